//! Threads that meet.

use super::db;
use crate::support::*;
use kv_engine::{Db, ErrorKind, Isolation, Result};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const ACCOUNTS: usize = 8;
const EACH: u64 = 100;

fn balance(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

fn transfer(db: &Db, rng: &mut Rng) -> Result<()> {
    let (from, to) = (rng.below(ACCOUNTS), rng.below(ACCOUNTS));
    let amount = rng.below(40) as u64;
    db.transact(|tx| {
        let has = balance(&tx.get(key(from))?.unwrap());
        if from == to || has < amount {
            return Ok(());
        }
        let gets = balance(&tx.get(key(to))?.unwrap());
        tx.put(key(from), (has - amount).to_le_bytes());
        tx.put(key(to), (gets + amount).to_le_bytes());
        Ok(())
    })
}

#[test]
fn money_is_moved_and_never_made() {
    every_setting(|w| {
        let db = w.open();
        for i in 0..ACCOUNTS {
            db.put(key(i), EACH.to_le_bytes()).unwrap();
        }
        let given_up = AtomicUsize::new(0);
        thread::scope(|scope| {
            for thread in 0..4 {
                let (db, given_up) = (&db, &given_up);
                scope.spawn(move || {
                    let mut rng = Rng::new(thread);
                    for _ in 0..60 {
                        match transfer(db, &mut rng) {
                            Ok(()) => {}
                            Err(error) if error.kind() == ErrorKind::Conflict => {
                                given_up.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            for _ in 0..60 {
                let mut tx = db.transaction();
                let sum: u64 = tx.prefix("key").map(|pair| balance(&pair.unwrap().1)).sum();
                assert_eq!(sum, EACH * ACCOUNTS as u64);
                tx.commit().unwrap();
            }
        });
        let sum: u64 = db.iter().map(|pair| balance(&pair.unwrap().1)).sum();
        assert_eq!(sum, EACH * ACCOUNTS as u64);
    });
}

#[test]
fn every_increment_counts_beside_plain_writes() {
    let db = db();
    db.put("counter", 0u64.to_le_bytes()).unwrap();
    let counted = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..4 {
            let (db, counted) = (&db, &counted);
            scope.spawn(move || {
                for i in 0..500 {
                    db.put(key(1_000 * thread + i), "beside").unwrap();
                    let isolation = [Isolation::Serializable, Isolation::Snapshot][i % 2];
                    let mut tx = db.transaction().isolation(isolation);
                    let n = balance(&tx.get("counter").unwrap().unwrap());
                    tx.put("counter", (n + 1).to_le_bytes());
                    match tx.commit() {
                        Ok(()) => drop(counted.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
                    }
                }
            });
        }
    });
    let n = balance(&db.get("counter").unwrap().unwrap());
    assert_eq!(n as usize, counted.into_inner());
}

/// Two threads each look for the other's mark before they set their own. One is a plain put, and
/// looks behind it: where it does not see the other's mark, the other must see its.
#[test]
fn a_put_that_is_on_its_way_when_a_transaction_begins_is_not_missed() {
    for round in 0..400 {
        let db = db();
        thread::scope(|scope| {
            let put = scope.spawn(|| {
                db.put("put", "x").unwrap();
                db.get("transaction").unwrap().is_some()
            });
            let mut tx = db.transaction();
            let seen = tx.get("put").unwrap().is_some();
            tx.put("transaction", "x");
            let committed = tx.commit().is_ok();
            let put_is_later = put.join().unwrap();
            assert!(seen || !committed || put_is_later, "round {round}");
        });
    }
}
