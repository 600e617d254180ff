//! Transactions: all or nothing, over one moment, and in one order with everything else.

use crate::support::*;
use kv_engine::{Db, ErrorKind, Isolation, Options, Result, Transaction, WriteBatch};
use kv_vfs::{Clock, Fs, ManualClock, MemFs};
use std::sync::Arc;
use std::time::Duration;

mod model;
mod threads;
mod window;

fn db() -> Db {
    Db::in_memory(Options::default().sync_on_write(false)).unwrap()
}

fn read(tx: &mut Transaction, key: &str) -> Option<String> {
    tx.get(key).unwrap().map(|value| String::from_utf8_lossy(&value).into_owned())
}

#[track_caller]
fn conflicts(outcome: Result<()>) {
    assert_eq!(refused(outcome).kind(), ErrorKind::Conflict);
}

#[test]
fn writes_are_seen_inside_at_once_and_outside_after_the_commit() {
    every_setting(|w| {
        let db = w.open();
        db.put("old", "1").unwrap();
        let mut tx = db.transaction();
        tx.put("new", "2");
        tx.delete("old");
        assert_eq!(read(&mut tx, "new").as_deref(), Some("2"));
        assert_eq!(read(&mut tx, "old"), None);
        assert!(tx.contains_key("new").unwrap() && !tx.contains_key("old").unwrap());
        assert_eq!(keys(db.iter()), ["old"]);
        tx.commit().unwrap();
        assert_eq!(keys(db.iter()), ["new"]);
        db.flush().unwrap();
        db.close().unwrap();
        assert_eq!(keys(w.open().iter()), ["new"]);
    });
}

#[test]
fn ranges_show_own_writes_in_both_directions() {
    let db = db();
    for key in ["a", "c", "e", "g"] {
        db.put(key, "stored").unwrap();
    }
    let mut tx = db.transaction();
    tx.put("b", "own");
    tx.put("c", "own");
    tx.delete("e");
    tx.put("h", "own");
    assert_eq!(keys(tx.range::<&str>(..)), ["a", "b", "c", "g", "h"]);
    assert_eq!(keys(tx.range::<&str>(..).rev()), ["h", "g", "c", "b", "a"]);
    assert_eq!(keys(tx.range("b".."g")), ["b", "c"]);
    assert_eq!(keys(tx.range("b"..="g").rev()), ["g", "c", "b"]);
    let mut both = tx.range::<&str>(..);
    let mut seen = Vec::new();
    while let Some(pair) = if seen.len() % 2 == 0 { both.next() } else { both.next_back() } {
        seen.push(String::from_utf8_lossy(&pair.unwrap().0).into_owned());
    }
    assert_eq!(seen, ["a", "h", "b", "g", "c"]);
    assert!(both.next().is_none() && both.next_back().is_none());
    assert_eq!(keys(tx.prefix("c")), ["c"]);
    assert_eq!(keys(tx.range("g".."a")), [""; 0]);
}

#[test]
fn an_iterator_sees_the_moment_of_its_creation() {
    let db = db();
    db.put("a", "1").unwrap();
    let mut tx = db.transaction();
    tx.put("b", "2");
    let before = tx.range::<&str>(..);
    tx.put("c", "3");
    tx.delete("b");
    tx.put("a", "changed");
    let after = tx.range::<&str>(..);
    let text = |pairs: Pairs| -> Vec<String> {
        let text = |(k, v): &(Vec<u8>, Vec<u8>)| {
            format!("{}={}", String::from_utf8_lossy(k), String::from_utf8_lossy(v))
        };
        pairs.iter().map(text).collect()
    };
    assert_eq!(text(pairs(before)), ["a=1", "b=2"]);
    assert_eq!(text(pairs(after)), ["a=changed", "c=3"]);
    let outlives = tx.range::<&str>(..);
    tx.commit().unwrap();
    assert_eq!(text(pairs(outlives)), ["a=changed", "c=3"]);
}

#[test]
fn several_keyspaces_commit_as_one() {
    every_setting(|w| {
        let db = w.open();
        let (a, b) = (db.keyspace("a").unwrap(), db.keyspace("b").unwrap());
        a.put("k", "stored").unwrap();
        let mut tx = db.transaction();
        tx.put("k", "default");
        assert_eq!(read(tx.within(&a), "k").as_deref(), Some("stored"));
        tx.put("l", "in a");
        tx.within(&b).put("k", "in b");
        assert_eq!(keys(tx.range::<&str>(..)), ["k"]);
        assert_eq!(keys(tx.within(&a).range::<&str>(..)), ["k", "l"]);
        tx.within(&db.keyspace("").unwrap()).put("back", "in the default one");
        assert_eq!(keys(tx.range::<&str>(..)), ["back", "k"]);
        tx.commit().unwrap();
        assert_eq!(keys(db.iter()), ["back", "k"]);
        assert_eq!(keys(a.iter()), ["k", "l"]);
        assert_eq!(text(&b, "k").as_deref(), Some("in b"));
    });
}

#[test]
fn a_dropped_or_rolled_back_transaction_leaves_nothing() {
    let db = db();
    let mut tx = db.transaction();
    tx.put("k", "v");
    tx.rollback();
    let mut tx = db.transaction();
    tx.put("k", "v");
    drop(tx);
    assert!(db.get("k").unwrap().is_none());
    let failed: Result<()> = db.transact(|tx| {
        tx.put("k", "v");
        db.keyspace(&"n".repeat(300)).map(|_| ())
    });
    assert_eq!(refused(failed).kind(), ErrorKind::InvalidArgument);
    assert!(db.get("k").unwrap().is_none());
}

#[test]
fn a_savepoint_takes_back_what_came_after_it() {
    let db = db();
    db.put("stored", "0").unwrap();
    let mut tx = db.transaction();
    tx.put("a", "1");
    let first = tx.savepoint();
    tx.put("a", "2");
    tx.delete("stored");
    let second = tx.savepoint();
    tx.put("b", "3");
    tx.put("a", "4");
    let during = tx.range::<&str>(..);
    tx.rollback_to(&second).unwrap();
    assert_eq!(keys(tx.range::<&str>(..)), ["a"]);
    assert_eq!(read(&mut tx, "a").as_deref(), Some("2"));
    tx.put("a", "5");
    tx.rollback_to(&second).unwrap();
    assert_eq!(read(&mut tx, "a").as_deref(), Some("2"), "a savepoint can be used again");
    tx.rollback_to(&first).unwrap();
    assert_eq!(read(&mut tx, "a").as_deref(), Some("1"));
    assert_eq!(keys(tx.range::<&str>(..)), ["a", "stored"]);
    assert_eq!(keys(during), ["a", "b"], "an iterator keeps its moment");
    assert_eq!(refused(tx.rollback_to(&second)).kind(), ErrorKind::InvalidArgument);
    let mut other = db.transaction();
    assert_eq!(refused(other.rollback_to(&first)).kind(), ErrorKind::InvalidArgument);
    tx.commit().unwrap();
    assert_eq!(keys(db.iter()), ["a", "stored"]);
    assert_eq!(text(&db, "a").as_deref(), Some("1"));
}

#[test]
fn a_transaction_that_took_everything_back_writes_nothing() {
    let db = db();
    let space = db.keyspace("space").unwrap();
    let mut tx = db.transaction();
    let savepoint = tx.savepoint();
    tx.within(&space).put("k", "v");
    tx.rollback_to(&savepoint).unwrap();
    db.drop_keyspace("space").unwrap();
    assert_eq!(tx.commit_seq().unwrap(), None);
}

#[test]
fn the_first_committer_wins() {
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        let db = db();
        let mut a = db.transaction().isolation(isolation);
        let mut b = db.transaction().isolation(isolation);
        a.put("k", "a");
        b.put("k", "b");
        b.commit().unwrap();
        conflicts(a.commit());
        assert_eq!(text(&db, "k").as_deref(), Some("b"));
        let mut later = db.transaction().isolation(isolation);
        later.put("k", "later");
        later.commit().unwrap();
    }
}

#[test]
fn what_was_read_must_not_change_under_a_serializable_transaction() {
    let changes: [fn(&Db) -> Result<()>; 7] = [
        |db| db.put("k", "changed"),
        |db| db.delete("k"),
        |db| db.put_with_ttl("k", "changed", Duration::from_secs(9)),
        |db| db.delete_range("j".."l"),
        |db| {
            let mut batch = WriteBatch::new();
            batch.put("other", "1");
            batch.put("k", "changed");
            db.write(batch)
        },
        |db| {
            let mut batch = WriteBatch::new();
            batch.delete_range(..="k");
            db.write(batch)
        },
        |db| {
            db.transact(|tx| {
                tx.delete("k");
                Ok(())
            })
        },
    ];
    let looks: [fn(&mut Transaction); 3] = [
        |tx| assert!(tx.get("k").unwrap().is_some()),
        |tx| assert!(tx.contains_key("k").unwrap()),
        |tx| assert_eq!(tx.range("a".."z").count(), 1),
    ];
    for change in changes {
        for look in looks {
            let db = db();
            db.put("k", "v").unwrap();
            let mut serializable = db.transaction();
            let mut snapshot = db.transaction().isolation(Isolation::Snapshot);
            let mut reads_only = db.transaction();
            for tx in [&mut serializable, &mut snapshot, &mut reads_only] {
                look(tx);
            }
            change(&db).unwrap();
            look(&mut serializable);
            serializable.put("mine", "1");
            snapshot.put("mine", "2");
            conflicts(serializable.commit());
            snapshot.commit().unwrap();
            reads_only.commit().unwrap();
        }
    }
}

#[test]
fn a_key_that_was_written_must_not_be_covered_by_a_range_delete() {
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        let db = db();
        let mut tx = db.transaction().isolation(isolation);
        tx.put("k", "v");
        db.delete_range("a".."k").unwrap();
        db.delete_range("k\0".."z").unwrap();
        tx.commit().unwrap();
        let mut tx = db.transaction().isolation(isolation);
        tx.put("k", "w");
        db.delete_range("a"..="k").unwrap();
        conflicts(tx.commit());
    }
}

#[test]
fn a_key_that_was_looked_for_must_not_appear() {
    let db = db();
    let mut tx = db.transaction();
    assert_eq!(read(&mut tx, "absent"), None);
    tx.put("k", "v");
    db.put("absent", "here").unwrap();
    conflicts(tx.commit());
}

#[test]
fn a_range_that_was_read_must_not_grow() {
    let db = db();
    let mut tx = db.transaction();
    assert_eq!(tx.prefix("user:").count(), 0);
    tx.put("count", "0");
    db.put("user:1", "x").unwrap();
    conflicts(tx.commit());
    let mut tx = db.transaction().isolation(Isolation::Snapshot);
    assert_eq!(tx.prefix("user:").count(), 1);
    tx.put("count", "1");
    db.put("user:2", "x").unwrap();
    tx.commit().unwrap();
}

#[test]
fn write_skew_is_refused_when_serializable_and_allowed_under_snapshot() {
    for (isolation, both) in [(Isolation::Serializable, false), (Isolation::Snapshot, true)] {
        let db = db();
        db.put("a", "on call").unwrap();
        db.put("b", "on call").unwrap();
        let mut first = db.transaction().isolation(isolation);
        let mut second = db.transaction().isolation(isolation);
        for tx in [&mut first, &mut second] {
            assert_eq!(tx.range("a"..="b").count(), 2);
        }
        first.delete("a");
        second.delete("b");
        first.commit().unwrap();
        assert_eq!(second.commit().is_ok(), both);
    }
}

/// Reads some of `a` to `i` and writes elsewhere; answers whether a put of `changed` meanwhile is
/// a conflict.
fn disturbed(changed: &str, look: impl Fn(&mut Transaction)) -> bool {
    let db = db();
    for key in ["a", "c", "e", "g", "i"] {
        db.put(key, "v").unwrap();
    }
    let mut tx = db.transaction();
    look(&mut tx);
    tx.put("elsewhere", "x");
    db.put(changed, "changed").unwrap();
    tx.commit().is_err()
}

#[test]
fn a_range_counts_as_read_as_far_as_it_was_shown() {
    let two = |tx: &mut Transaction| assert_eq!(keys(tx.range("a".."z").take(2)), ["a", "c"]);
    for (key, disturbs) in [("a", true), ("b", true), ("c", true), ("d", false), ("e", false)] {
        assert_eq!(disturbed(key, two), disturbs, "two from the front, {key}");
    }
    let back = |tx: &mut Transaction| assert_eq!(keys(tx.range("b".."z").rev().take(1)), ["i"]);
    for (key, disturbs) in [("g", false), ("h", false), ("i", true), ("y", true), ("z", false)] {
        assert_eq!(disturbed(key, back), disturbs, "one from the back, {key}");
    }
    let ends = |tx: &mut Transaction| {
        let mut iter = tx.range::<&str>(..);
        assert_eq!(iter.next().unwrap().unwrap().0, "a");
        assert_eq!(iter.next_back().unwrap().unwrap().0, "i");
    };
    for (key, disturbs) in [("A", true), ("a", true), ("b", false), ("h", false), ("z", true)] {
        assert_eq!(disturbed(key, ends), disturbs, "one from each end, {key}");
    }
    let all = |tx: &mut Transaction| assert_eq!(tx.range("b".."h").count(), 3);
    for (key, disturbs) in [("a", false), ("b", true), ("f", true), ("gz", true), ("h", false)] {
        assert_eq!(disturbed(key, all), disturbs, "the whole range, {key}");
    }
    let met = |tx: &mut Transaction| {
        let mut iter = tx.range("b".."h");
        while iter.next_back().is_some() {}
        assert!(iter.next().is_none());
    };
    assert!(disturbed("b", met) && disturbed("d", met) && !disturbed("h", met));
    assert!(!disturbed("a", |tx| drop(tx.range("a".."z"))), "an iterator that was never asked");
}

#[test]
fn own_writes_hide_nothing_of_what_was_shown() {
    let own = |tx: &mut Transaction| {
        tx.delete("a");
        tx.put("d", "own");
        assert_eq!(keys(tx.range("a".."z").take(2)), ["c", "d"]);
    };
    for (key, disturbs) in [("b", true), ("c", true), ("cc", true), ("e", false)] {
        assert_eq!(disturbed(key, own), disturbs, "{key}");
    }
}

#[test]
fn an_iterator_that_is_still_held_counts_and_one_that_outlives_changes_nothing() {
    let db = db();
    db.put("a", "1").unwrap();
    let mut tx = db.transaction();
    let mut iter = tx.range::<&str>(..);
    assert!(iter.next().is_some());
    tx.put("mine", "x");
    db.put("a", "2").unwrap();
    conflicts(tx.commit());
    let mut tx = db.transaction();
    let mut iter = tx.range::<&str>(..);
    tx.put("mine", "y");
    tx.commit().unwrap();
    db.put("b", "2").unwrap();
    assert_eq!(iter.next().unwrap().unwrap().0, "a");
    assert!(iter.next().is_none());
    db.transact(|tx| {
        tx.put("mine", "z");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_dropped_keyspace_conflicts_with_its_readers_and_refuses_its_writers() {
    let db = db();
    let space = db.keyspace("space").unwrap();
    space.put("k", "v").unwrap();
    let (mut reader, mut writer, mut other) =
        (db.transaction(), db.transaction(), db.transaction());
    assert_eq!(read(reader.within(&space), "k").as_deref(), Some("v"));
    reader.within(&db.keyspace("").unwrap()).put("mine", "1");
    writer.within(&space).put("k", "w");
    other.put("theirs", "1");
    db.drop_keyspace("space").unwrap();
    assert_eq!(read(reader.within(&space), "k").as_deref(), Some("v"), "its moment was before");
    conflicts(reader.commit());
    assert_eq!(refused(writer.commit()).kind(), ErrorKind::NotFound);
    other.commit().unwrap();
}

#[test]
fn a_bad_argument_is_told_by_the_commit() {
    let db = db();
    let long = vec![b'k'; 65_536];
    let mut tx = db.transaction();
    tx.put("good", "1");
    let savepoint = tx.savepoint();
    tx.put(&long, "bad");
    assert_eq!(tx.get(&long).unwrap(), None);
    tx.rollback_to(&savepoint).unwrap();
    tx.commit().unwrap();
    let mut tx = db.transaction();
    tx.put("other", "1");
    tx.delete(&long);
    assert_eq!(refused(tx.commit()).kind(), ErrorKind::InvalidArgument);
    assert_eq!(keys(db.iter()), ["good"]);
    let mut tx = db.transaction();
    tx.put("k", "v");
    let tx = tx.isolation(Isolation::Snapshot);
    assert_eq!(refused(tx.commit()).kind(), ErrorKind::InvalidArgument);
    let foreign = World::plain().open().keyspace("foreign").unwrap();
    let mut tx = db.transaction();
    assert_eq!(refused(tx.within(&foreign).get("k")).kind(), ErrorKind::InvalidArgument);
    tx.put("k", "v");
    assert_eq!(refused(tx.commit()).kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_read_only_store_reads_and_refuses_to_write() {
    let w = World::plain();
    let db = w.open();
    db.put("k", "v").unwrap();
    db.close().unwrap();
    let db = Db::open(DIR, w.options().read_only(true)).unwrap();
    let mut tx = db.transaction();
    assert_eq!(read(&mut tx, "k").as_deref(), Some("v"));
    assert_eq!(tx.range::<&str>(..).count(), 1);
    tx.commit().unwrap();
    let mut tx = db.transaction();
    tx.put("k", "w");
    assert_eq!(refused(tx.commit()).kind(), ErrorKind::ReadOnly);
}

#[test]
fn after_close_everything_answers_closed() {
    let db = db();
    db.put("k", "v").unwrap();
    let mut tx = db.transaction();
    tx.put("k", "w");
    let reads_only = db.transaction();
    let mut late = db.transaction();
    db.clone().close().unwrap();
    assert_eq!(refused(late.get("k")).kind(), ErrorKind::Closed);
    assert_eq!(refused(late.range::<&str>(..).next().unwrap()).kind(), ErrorKind::Closed);
    assert_eq!(refused(tx.commit()).kind(), ErrorKind::Closed);
    assert_eq!(refused(reads_only.commit()).kind(), ErrorKind::Closed);
    let mut after = db.transaction();
    after.put("k", "x");
    assert_eq!(refused(after.commit()).kind(), ErrorKind::Closed);
}

#[test]
fn what_expires_during_a_transaction_stays_in_it() {
    let clock = Arc::new(ManualClock::new());
    let fs = MemFs::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let options = Options::default().file_system(Arc::new(fs) as Arc<dyn Fs>);
    let db = Db::open(DIR, options).unwrap();
    db.put_with_ttl("k", "v", Duration::from_secs(5)).unwrap();
    let mut tx = db.transaction();
    assert_eq!(read(&mut tx, "k").as_deref(), Some("v"));
    clock.advance(Duration::from_secs(10));
    db.compact().unwrap();
    assert_eq!(read(&mut tx, "k").as_deref(), Some("v"));
    assert_eq!(keys(tx.range::<&str>(..)), ["k"]);
    tx.put("seen", "1");
    tx.commit().unwrap();
    assert_eq!(keys(db.iter()), ["seen"], "an expiry is no commit, and no conflict");
}

#[test]
fn a_transaction_survives_power_loss_whole_or_not_at_all() {
    every_setting(|w| {
        let db = w.open();
        let mut tx = db.transaction();
        for i in 0..200 {
            tx.put(key(i), value(i, 1));
        }
        tx.commit().unwrap();
        db.sync().unwrap();
        let mut unfinished = db.transaction();
        unfinished.put("unfinished", "x");
        let after = w.after_power_cut();
        assert_eq!(after.open().iter().count(), 200);
    });
}

#[test]
fn transact_runs_again_after_a_conflict_and_gives_up_at_last() {
    let db = db();
    let mut runs = 0;
    let outcome = db.transact(|tx| {
        runs += 1;
        let seen = tx.get("k")?;
        tx.put("k", "mine");
        if runs < 3 {
            db.put("k", "theirs")?;
        }
        Ok(seen)
    });
    assert_eq!((outcome.unwrap().as_deref(), runs), (Some(&b"theirs"[..]), 3));
    let mut runs = 0;
    let outcome = db.transact(|tx| {
        runs += 1;
        tx.get("k")?;
        tx.put("k", "mine");
        db.put("k", "theirs")
    });
    conflicts(outcome);
    assert_eq!(runs, 24);
}

#[test]
fn commits_are_numbered_in_their_order() {
    let db = db();
    let mut last = 0;
    for i in 0..20 {
        let mut tx = db.transaction();
        assert_eq!(tx.snapshot_seq(), last);
        tx.put(key(i), "v");
        tx.put("both", "v");
        let seq = tx.commit_seq().unwrap().unwrap();
        assert_eq!(seq, last + 1);
        last = seq + 1;
    }
}

#[test]
fn a_transaction_can_move_to_another_thread() {
    fn is_send<T: Send + 'static>(_: &T) {}
    let db = db();
    let mut tx = db.transaction();
    is_send(&tx);
    is_send(&tx.range::<&str>(..));
    tx.put("k", "v");
    std::thread::spawn(move || tx.commit().unwrap()).join().unwrap();
    assert_eq!(text(&db, "k").as_deref(), Some("v"));
}
