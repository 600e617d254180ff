//! How far back a transaction may reach.

use super::{conflicts, db};
use crate::support::*;
use kv_engine::{Db, Options, WriteBatch};
use kv_vfs::{Clock, Fs, ManualClock, MemFs};
use std::sync::Arc;
use std::time::Duration;

/// A store that remembers 16 KiB of keys.
fn small() -> Db {
    Db::in_memory(Options::default().memory_budget(64 << 10).sync_on_write(false)).unwrap()
}

#[test]
fn a_transaction_older_than_what_is_remembered_is_refused_and_says_so() {
    let db = small();
    let mut tx = db.transaction();
    tx.put("mine", "x");
    for i in 0..4_000 {
        db.put(key(i), "v").unwrap();
    }
    let error = refused(tx.commit());
    assert_eq!(error.kind(), kv_engine::ErrorKind::Conflict);
    assert!(error.to_string().contains("too old"), "{error}");
    db.transact(|tx| {
        tx.put("mine", "x");
        Ok(())
    })
    .unwrap();
}

#[test]
fn one_commit_may_be_more_than_what_is_remembered() {
    let db = small();
    let mut old = db.transaction();
    old.put("mine", "x");
    let mut batch = WriteBatch::new();
    for i in 0..5_000 {
        batch.put(key(i), "v");
    }
    db.write(batch).unwrap();
    let mut young = db.transaction();
    young.put("other", "x");
    conflicts(old.commit());
    young.commit().unwrap();
}

#[test]
fn many_commits_are_remembered_as_long_as_there_is_room() {
    let db = db();
    for touched in [None, Some(0), Some(2_500), Some(4_999)] {
        let mut tx = db.transaction();
        if let Some(i) = touched {
            assert!(tx.get(key(i)).unwrap().is_some());
        }
        tx.put("mine", "x");
        for i in 0..5_000 {
            db.put(key(i), "v").unwrap();
        }
        assert_eq!(tx.commit().is_err(), touched.is_some(), "{touched:?}");
    }
}

#[test]
fn a_batch_of_many_keys_is_remembered() {
    let db = db();
    for (read, conflict) in [("key000700", true), ("other", false)] {
        let mut tx = db.transaction();
        tx.get(read).unwrap();
        tx.put("mine", "x");
        let mut batch = WriteBatch::new();
        for i in 0..1_000 {
            batch.put(key(i), "v");
        }
        db.write(batch).unwrap();
        db.put("behind", "v").unwrap();
        assert_eq!(tx.commit().is_err(), conflict, "{read}");
    }
}

#[test]
fn what_is_remembered_grows_old() {
    let clock = Arc::new(ManualClock::new());
    let fs = MemFs::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let options = Options::default().file_system(Arc::new(fs) as Arc<dyn Fs>);
    let db = Db::open(DIR, options.sync_on_write(false)).unwrap();
    let mut tx = db.transaction();
    tx.put("mine", "x");
    for round in 0..2 {
        for i in 0..600 {
            db.put(key(i), "v").unwrap();
        }
        clock.advance(Duration::from_secs(if round == 0 { 301 } else { 0 }));
    }
    let error = refused(tx.commit());
    assert!(error.to_string().contains("too old"), "{error}");
}

#[test]
fn transactions_that_are_too_old_hold_nothing_back() {
    let db = small();
    let forgotten = db.transaction();
    for i in 0..4_000 {
        db.put(key(i % 100), "v").unwrap();
    }
    for _ in 0..3 {
        let mut tx = db.transaction();
        assert!(tx.get(key(1)).unwrap().is_some());
        tx.put("mine", "x");
        tx.commit().unwrap();
        let mut tx = db.transaction();
        assert!(tx.get(key(1)).unwrap().is_some());
        tx.put("mine", "x");
        db.put(key(1), "w").unwrap();
        conflicts(tx.commit());
    }
    drop(forgotten);
}

/// One figure of the statistics.
fn figure(db: &Db, name: &str) -> u64 {
    let text = db.stats().prometheus();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("kv_{name} ")));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[test]
fn what_is_remembered_takes_its_room_from_the_cache() {
    let db = db();
    let before = figure(&db, "pinned_bytes");
    let tx = db.transaction();
    for i in 0..5_000 {
        db.put(key(i), "v").unwrap();
    }
    let held = figure(&db, "window_bytes");
    let pinned = figure(&db, "pinned_bytes") - before;
    assert!(held > 100_000, "{held}");
    // All but the chunk that is not full yet.
    assert!(pinned <= held && pinned > held / 2, "{pinned} of {held}");
    drop(tx);
    assert_eq!((figure(&db, "window_bytes"), figure(&db, "pinned_bytes")), (0, before));
}

#[test]
fn commits_and_conflicts_are_counted() {
    let db = small();
    let counts = || {
        ["transactions_total", "transaction_conflicts_total", "transactions_too_old_total"]
            .map(|name| figure(&db, name))
    };
    assert_eq!((counts(), figure(&db, "open_transactions")), ([0, 0, 0], 0));
    let (mut first, mut second, mut old) = (db.transaction(), db.transaction(), db.transaction());
    assert_eq!(figure(&db, "open_transactions"), 3);
    first.put("a", "1");
    first.commit().unwrap();
    second.put("a", "2");
    conflicts(second.commit());
    old.put("b", "1");
    for i in 0..4_000 {
        db.put(key(i), "v").unwrap();
    }
    conflicts(old.commit());
    // It wrote nothing, so it has committed nothing.
    db.transaction().commit().unwrap();
    assert_eq!((counts(), figure(&db, "open_transactions")), ([1, 1, 1], 0));
    assert!(db.stats().to_string().contains("1 committed, 1 conflicts, 1 too old"));
}
