//! Transactions beside each other and beside plain writes: nothing that changed under one is missed.

use crate::world::{World, check};
use kv_engine::{Db, ErrorKind, Isolation, Result};
use shuttle::thread;

fn number(db: &Db, key: &str) -> u64 {
    db.get(key).unwrap().map_or(0, |bytes| u64::from_le_bytes(bytes.as_ref().try_into().unwrap()))
}

/// Whether it committed; anything but a conflict fails.
fn committed(outcome: Result<()>) -> bool {
    outcome.map_err(|error| assert_eq!(error.kind(), ErrorKind::Conflict, "{error}")).is_ok()
}

/// The put may have got its number before the transaction began, and be visible after it.
#[test]
fn a_put_on_its_way_when_a_transaction_begins_is_not_missed() {
    check(|| {
        let db = World::new().open();
        let put = {
            let db = db.clone();
            thread::spawn(move || {
                db.put("put", "x").unwrap();
                db.get("transaction").unwrap().is_some()
            })
        };
        let mut tx = db.transaction();
        let seen = tx.get("put").unwrap().is_some();
        tx.put("transaction", "x");
        let committed = committed(tx.commit());
        let put_is_later = put.join().unwrap();
        assert!(seen || !committed || put_is_later, "the put is before it and was not seen");
        db.close().unwrap();
    });
}

#[test]
fn every_increment_that_commits_counts() {
    check(|| {
        let db = World::new().open();
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                let db = db.clone();
                thread::spawn(move || {
                    let mut count = 0;
                    for round in 0..2 {
                        let isolation = match (thread + round) % 2 {
                            0 => Isolation::Serializable,
                            _ => Isolation::Snapshot,
                        };
                        let mut tx = db.transaction().isolation(isolation);
                        let n = tx.get("n").unwrap().map_or(0, |bytes| {
                            u64::from_le_bytes(bytes.as_ref().try_into().unwrap())
                        });
                        tx.put("n", (n + 1).to_le_bytes());
                        count += u64::from(committed(tx.commit()));
                    }
                    count
                })
            })
            .collect();
        let counted: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(number(&db, "n"), counted);
        assert!(counted > 0, "somebody is first");
        db.close().unwrap();
    });
}

/// Each looks through the range and adds to it only where it was empty: one of them may, beside a
/// plain put into the same range that may come at any time.
#[test]
fn no_phantom_appears_in_a_range() {
    check(|| {
        let db = World::new().open();
        let put = {
            let db = db.clone();
            thread::spawn(move || {
                let before = db.prefix("r").count();
                db.put("r0", "x").unwrap();
                before
            })
        };
        let threads: Vec<_> = (1..3)
            .map(|thread| {
                let db = db.clone();
                thread::spawn(move || {
                    let mut tx = db.transaction();
                    let empty = tx.prefix("r").next().is_none();
                    tx.put(format!("r{thread}"), "x");
                    empty && committed(tx.commit())
                })
            })
            .collect();
        let added = threads.into_iter().map(|thread| thread.join().unwrap());
        let added = added.filter(|added| *added).count();
        put.join().unwrap();
        assert!(added <= 1, "two of them found the range empty");
        db.close().unwrap();
    });
}

/// The window is turned on and off while others write; the last one out leaves nothing behind.
#[test]
fn transactions_come_and_go_beside_writers() {
    check(|| {
        let db = World::new().open();
        let writer = {
            let db = db.clone();
            thread::spawn(move || {
                for n in 1..4u64 {
                    db.put("n", n.to_le_bytes()).unwrap();
                }
            })
        };
        for _ in 0..3 {
            let mut tx = db.transaction();
            let seen = tx.get("n").unwrap();
            tx.put("copy", seen.clone().unwrap_or_default());
            let seq = match tx.commit_seq() {
                Ok(seq) => seq.unwrap(),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Conflict);
                    continue;
                }
            };
            let copy = db.snapshot();
            assert_eq!(copy.get("copy").unwrap(), Some(seen.unwrap_or_default()), "{seq}");
        }
        writer.join().unwrap();
        let mut tx = db.transaction();
        tx.put("n", 9u64.to_le_bytes());
        tx.commit().unwrap();
        db.close().unwrap();
    });
}

/// It waits for writes that are on their way instead of being refused because of them.
#[test]
fn writes_elsewhere_refuse_no_transaction() {
    check(|| {
        let db = World::new().open();
        let writer = {
            let db = db.clone();
            thread::spawn(move || {
                for n in 0..3u64 {
                    db.put("elsewhere", n.to_le_bytes()).unwrap();
                }
            })
        };
        for n in 0..2u64 {
            let mut tx = db.transaction();
            assert!(tx.range("here".."hers").next().is_none() || n > 0);
            tx.put("here", n.to_le_bytes());
            tx.commit().unwrap();
        }
        writer.join().unwrap();
        assert_eq!(number(&db, "here"), 1);
        db.close().unwrap();
    });
}
