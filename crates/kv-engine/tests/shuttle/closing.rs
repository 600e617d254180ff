//! Closing beside everything else: what was acknowledged is there, the lock is free when the call
//! returns, and nobody waits for ever.

use crate::world::{World, big, check};
use kv_engine::{Db, Durability, ErrorKind, Result, WriteBatch};
use shuttle::thread;

/// Puts keys until one is refused because the store is closed; answers how many were taken.
fn put_until_closed(db: &Db, writer: u8, most: u8, durability: Durability) -> u8 {
    for n in 0..most {
        let mut batch = WriteBatch::new();
        batch.put([writer, n], big(n));
        match db.write_with(batch, durability) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                return n;
            }
        }
    }
    most
}

fn assert_has(db: &Db, writer: u8, count: u8) {
    for n in 0..count {
        let found = db.get([writer, n]).unwrap();
        assert_eq!(found.as_deref(), Some(&big(n)[..]), "an acknowledged write is gone");
    }
}

fn closed(outcome: Result<()>) -> bool {
    match outcome {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
            false
        }
    }
}

#[test]
fn what_is_acknowledged_while_the_store_closes_is_there() {
    check(|| {
        let world = World::new();
        let db = world.open();
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let db = db.clone();
                thread::spawn(move || put_until_closed(&db, writer, 4, Durability::Os))
            })
            .collect();
        assert!(closed(db.close()));
        // The directory is free at once, though others still hold handles of the closed store.
        let again = world.open();
        let taken: Vec<u8> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        for (writer, count) in taken.into_iter().enumerate() {
            assert_has(&again, writer as u8, count);
        }
        again.close().unwrap();
    });
}

#[test]
fn synced_writes_beside_a_close_survive_a_power_cut() {
    check(|| {
        let world = World::new();
        let db = world.open();
        let other = db.clone();
        let writer = thread::spawn(move || put_until_closed(&other, 7, 5, Durability::Sync));
        let closer = thread::spawn(move || closed(db.close()));
        let count = writer.join().unwrap();
        let after = world.after_power_cut();
        assert!(closer.join().unwrap());
        let again = after.open();
        assert_has(&again, 7, count);
        again.close().unwrap();
    });
}

#[test]
fn of_two_closers_one_closes_and_the_lock_goes_last() {
    check(|| {
        let world = World::new();
        let db = world.open();
        db.put("a", big(1)).unwrap();
        let closers: Vec<_> = (0..2)
            .map(|_| {
                let (db, world) = (db.clone(), world.clone());
                thread::spawn(move || {
                    let first = closed(db.close());
                    // Whoever returns from a close finds the store closed and the lock free.
                    match Db::open(crate::world::DIR, world.options()) {
                        Ok(again) => {
                            assert_eq!(again.get("a").unwrap().as_deref(), Some(&big(1)[..]));
                            drop(again);
                        }
                        // The other closer has opened it already.
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Locked, "{error}"),
                    }
                    first
                })
            })
            .collect();
        drop(db);
        let firsts = closers.into_iter().map(|closer| closer.join().unwrap());
        assert_eq!(firsts.filter(|first| *first).count(), 1);
    });
}

#[test]
fn logs_roll_while_the_store_closes_and_nobody_waits_for_ever() {
    check(|| {
        let world = World::new();
        let db = world.open();
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let db = db.clone();
                let durability = if writer == 0 { Durability::Sync } else { Durability::Os };
                thread::spawn(move || put_until_closed(&db, writer, 6, durability))
            })
            .collect();
        let flusher = {
            let db = db.clone();
            thread::spawn(move || closed(db.flush()))
        };
        assert!(closed(db.close()));
        let taken: Vec<u8> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        flusher.join().unwrap();
        let again = world.open();
        for (writer, count) in taken.into_iter().enumerate() {
            assert_has(&again, writer as u8, count);
        }
    });
}
