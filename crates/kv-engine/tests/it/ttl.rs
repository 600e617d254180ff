//! Time to live: hidden at once, from every read, and gone for good.

use crate::support::*;
use kv_engine::{Db, Options, WriteBatch};
use kv_vfs::{Clock, ManualClock, MemFs};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const MINUTE: Duration = Duration::from_secs(60);
const MILLI: Duration = Duration::from_millis(1);

/// Runs a promise under each setting with a clock that stands still until it is moved.
fn with_clock(promise: impl Fn(&World, &ManualClock)) {
    every_setting(|w| {
        let clock = Arc::new(ManualClock::new());
        let fs = MemFs::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        promise(&w.on(fs), &clock);
    });
}

#[test]
fn an_expired_key_is_hidden_from_every_read() {
    with_clock(|w, clock| {
        let db = w.open();
        db.put_with_ttl("b", "short", MINUTE).unwrap();
        db.put("a", "for ever").unwrap();
        db.put_with_ttl("c", "long", 2 * MINUTE).unwrap();
        let check = |expected: &[&str]| {
            assert_eq!(keys(db.iter()), expected);
            assert_eq!(keys(db.range("a".."z")), expected);
            let mut back = keys(db.prefix("").rev());
            back.reverse();
            assert_eq!(back, expected);
            assert_eq!(keys(db.snapshot().iter()), expected);
            for k in ["a", "b", "c"] {
                assert_eq!(db.contains_key(k).unwrap(), expected.contains(&k));
                assert_eq!(db.get(k).unwrap().is_some(), expected.contains(&k));
            }
            let mut cursor = db.cursor();
            cursor.seek("b").unwrap();
            let at = cursor.valid().then(|| cursor.key().to_vec());
            let next = expected.iter().find(|k| **k >= "b").map(|k| k.as_bytes().to_vec());
            assert_eq!(at, next);
        };
        check(&["a", "b", "c"]);
        db.flush().unwrap();
        clock.advance(MINUTE - MILLI);
        check(&["a", "b", "c"]);
        clock.advance(MILLI);
        check(&["a", "c"]);
        db.compact().unwrap();
        check(&["a", "c"]);
        clock.advance(MINUTE);
        check(&["a"]);
    });
}

#[test]
fn the_value_is_read_until_then_and_unchanged() {
    with_clock(|w, clock| {
        let db = w.open();
        for i in 0..60 {
            db.put_with_ttl(key(i), value(i, 0), MINUTE * (i as u32 + 1)).unwrap();
        }
        for round in 0..60 {
            for i in (round..60).step_by(7) {
                assert_eq!(db.get(key(i)).unwrap().unwrap(), value(i, 0));
            }
            if round % 20 == 10 {
                db.compact().unwrap();
            }
            assert_eq!(pairs(db.iter()).len(), 60 - round);
            clock.advance(MINUTE);
        }
        assert!(pairs(db.iter()).is_empty());
    });
}

#[test]
fn zero_is_hidden_at_once() {
    with_clock(|w, _| {
        let db = w.open();
        db.put("k", "old").unwrap();
        db.put_with_ttl("k", "new", Duration::ZERO).unwrap();
        assert_eq!(text(&db, "k"), None);
        assert!(pairs(db.iter()).is_empty());
        db.compact().unwrap();
        assert_eq!(text(&db, "k"), None);
    });
}

#[test]
fn a_time_too_far_for_the_clock_is_no_expiry() {
    with_clock(|w, clock| {
        let db = w.open();
        db.put_with_ttl("max", "1", Duration::MAX).unwrap();
        db.put_with_ttl("millis", "2", Duration::from_millis(u64::MAX)).unwrap();
        db.put_with_ttl("secs", "3", Duration::from_secs(u64::MAX / 1000)).unwrap();
        clock.advance(Duration::from_secs(1_000 * 365 * 86_400));
        for _ in 0..2 {
            assert_eq!(pairs(db.iter()).len(), 3);
            assert_eq!(text(&db, "max").as_deref(), Some("1"));
            db.compact().unwrap();
        }
        drop(db);
        assert_eq!(pairs(w.open().iter()).len(), 3);
    });
}

#[test]
fn put_ends_an_old_expiry() {
    with_clock(|w, clock| {
        let db = w.open();
        db.put_with_ttl("k", "short", MINUTE).unwrap();
        db.flush().unwrap();
        db.put("k", "for ever").unwrap();
        clock.advance(2 * MINUTE);
        assert_eq!(text(&db, "k").as_deref(), Some("for ever"));
        db.compact().unwrap();
        assert_eq!(text(&db, "k").as_deref(), Some("for ever"));
        db.put_with_ttl("k", "short again", MINUTE).unwrap();
        db.put_with_ttl("k", "longer", 3 * MINUTE).unwrap();
        clock.advance(2 * MINUTE);
        assert_eq!(text(&db, "k").as_deref(), Some("longer"));
    });
}

#[test]
fn an_expired_version_does_not_uncover_an_older_one() {
    with_clock(|w, clock| {
        let db = w.open();
        db.put("k", "older").unwrap();
        db.put("l", "older").unwrap();
        db.flush().unwrap();
        db.compact().unwrap();
        db.put_with_ttl("k", "newer", MINUTE).unwrap();
        clock.advance(2 * MINUTE);
        for round in 0..4 {
            assert_eq!(text(&db, "k"), None, "round {round}");
            assert_eq!(keys(db.iter()), ["l"], "round {round}");
            match round {
                0 => db.flush().unwrap(),
                _ => db.compact().unwrap(),
            }
        }
        drop(db);
        assert_eq!(keys(w.open().iter()), ["l"]);
    });
}

#[test]
fn snapshots_and_iterators_read_at_the_clock_of_their_creation() {
    with_clock(|w, clock| {
        let db = w.open();
        for i in 0..50 {
            db.put_with_ttl(key(i), value(i, 0), MINUTE).unwrap();
        }
        let snapshot = db.snapshot();
        let iter = db.iter();
        let mut cursor = db.cursor();
        clock.advance(10 * MINUTE);
        assert!(pairs(db.iter()).is_empty());
        db.flush().unwrap();
        db.compact().unwrap();
        assert_eq!(pairs(snapshot.iter()).len(), 50);
        assert_eq!(snapshot.get(key(3)).unwrap().unwrap(), value(3, 0));
        assert_eq!(pairs(iter).len(), 50);
        cursor.last().unwrap();
        assert_eq!(cursor.key(), key(49));
        assert!(pairs(db.snapshot().iter()).is_empty());
    });
}

#[test]
fn a_snapshot_with_an_expired_key_does_not_see_it_come_back() {
    with_clock(|w, clock| {
        let db = w.open();
        db.put_with_ttl("k", "v", MINUTE).unwrap();
        clock.advance(2 * MINUTE);
        let snapshot = db.snapshot();
        // The time of day steps back; what a snapshot reads does not change.
        clock.set_wall(clock.wall() - 10 * MINUTE);
        assert_eq!(text(&snapshot, "k"), None);
    });
}

#[test]
fn expiry_survives_reopening() {
    with_clock(|w, clock| {
        let db = w.open();
        db.put_with_ttl("log", "1", MINUTE).unwrap();
        db.put_with_ttl("long", "2", 10 * MINUTE).unwrap();
        drop(db);
        clock.advance(MINUTE - MILLI);
        let db = w.open();
        assert_eq!(keys(db.iter()), ["log", "long"]);
        db.compact().unwrap();
        drop(db);
        clock.advance(MILLI);
        let db = w.open();
        assert_eq!(keys(db.iter()), ["long"]);
    });
}

#[test]
fn it_counts_from_the_commit() {
    with_clock(|w, clock| {
        let db = w.open();
        let mut batch = WriteBatch::new();
        batch.put_with_ttl("k", "v", MINUTE);
        batch.put("for ever", "v");
        clock.advance(10 * MINUTE);
        db.write(batch).unwrap();
        assert_eq!(text(&db, "k").as_deref(), Some("v"));
        clock.advance(MINUTE);
        assert_eq!(keys(db.iter()), ["for ever"]);
    });
}

#[test]
fn an_expired_key_can_be_put_and_deleted_again() {
    with_clock(|w, clock| {
        let db = w.open();
        for round in 0..4 {
            db.put_with_ttl("k", "v", MINUTE).unwrap();
            assert_eq!(text(&db, "k").as_deref(), Some("v"), "round {round}");
            clock.advance(MINUTE);
            assert_eq!(text(&db, "k"), None);
            if round % 2 == 0 {
                db.delete("k").unwrap();
                db.flush().unwrap();
            }
        }
        db.put_with_ttl("k", "v", MINUTE).unwrap();
        db.delete_range("a".."z").unwrap();
        assert_eq!(text(&db, "k"), None);
    });
}

#[test]
fn the_space_of_expired_keys_comes_back() {
    with_clock(|w, clock| {
        let db = w.open();
        let mut rng = Rng::new(2);
        for i in 0..500 {
            let noise: Vec<u8> = (0..200).map(|_| (rng.next() >> 56) as u8).collect();
            db.put_with_ttl(key(i), noise, MINUTE).unwrap();
        }
        db.put("k", "stays").unwrap();
        db.compact().unwrap();
        assert!(w.table_bytes() > 500 * 200);
        clock.advance(MINUTE);
        db.compact().unwrap();
        w.shrinks_to(500 * 20);
        assert_eq!(keys(db.iter()), ["k"]);
    });
}

#[test]
fn a_clock_that_stepped_back_takes_nothing() {
    with_clock(|w, clock| {
        let db = w.open();
        db.put_with_ttl("k", "v", 5 * MINUTE).unwrap();
        db.put("stays", "v").unwrap();
        clock.set_wall(UNIX_EPOCH + MINUTE);
        db.put_with_ttl("l", "v", MINUTE).unwrap();
        db.compact().unwrap();
        drop(db);
        let db = w.open();
        assert_eq!(keys(db.iter()), ["k", "l", "stays"]);
        clock.advance(MINUTE);
        assert_eq!(keys(db.iter()), ["k", "stays"]);
    });
}

#[test]
fn keyspaces_have_it_too() {
    with_clock(|w, clock| {
        let db = w.open();
        let space = db.keyspace("space").unwrap();
        space.put_with_ttl("k", "v", MINUTE).unwrap();
        let mut batch = WriteBatch::new();
        batch.put_with_ttl("default", "v", MINUTE);
        batch.within(&space).put_with_ttl("batch", "v", 2 * MINUTE);
        db.write(batch).unwrap();
        assert_eq!(keys(space.iter()), ["batch", "k"]);
        clock.advance(MINUTE);
        assert_eq!(keys(space.iter()), ["batch"]);
        assert!(pairs(db.iter()).is_empty());
    });
}

#[test]
fn empty_keys_and_values_expire_like_others() {
    with_clock(|w, clock| {
        let db = w.open();
        db.put_with_ttl("", "", MINUTE).unwrap();
        assert_eq!(db.get("").unwrap().unwrap(), "");
        db.compact().unwrap();
        assert_eq!(db.get("").unwrap().unwrap(), "");
        clock.advance(MINUTE);
        assert_eq!(db.get("").unwrap(), None);
    });
}

#[test]
fn the_real_clock_counts_milliseconds() {
    let db = Db::in_memory(Options::default()).unwrap();
    db.put_with_ttl("short", "v", Duration::from_millis(40)).unwrap();
    db.put_with_ttl("long", "v", MINUTE).unwrap();
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(keys(db.iter()), ["long"]);
}
