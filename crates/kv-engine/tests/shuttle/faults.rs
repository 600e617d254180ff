//! A write or sync of the log that fails under several writers: everyone who waits hears of it, no
//! later write is taken, and what was acknowledged as durable survives a power cut.

use crate::world::{World, big, check, check_with_time};
use kv_engine::{Durability, WriteBatch};
use kv_vfs::{Fault, FaultError, OpKind};
use shuttle::thread;
use std::io;

fn failing(op: OpKind, after: u64) {
    let world = World::new();
    let db = world.open();
    let error = FaultError::from(io::ErrorKind::Other);
    world.faults.arm(Fault::new(op, error).on(".log").after(after));
    let writers: Vec<_> = (0..3u8)
        .map(|writer| {
            let db = db.clone();
            thread::spawn(move || {
                let mut acknowledged = 0;
                let mut failed = false;
                for n in 0..3u8 {
                    let mut batch = WriteBatch::new();
                    batch.put([writer, n], big(n));
                    match db.write_with(batch, Durability::Sync) {
                        Ok(()) => {
                            assert!(!failed, "a write is taken after a failure");
                            acknowledged = n + 1;
                        }
                        Err(_) => failed = true,
                    }
                }
                acknowledged
            })
        })
        .collect();
    let taken: Vec<u8> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    let after = world.after_power_cut();
    for (writer, count) in taken.iter().enumerate() {
        for n in 0..*count {
            assert!(db.get([writer as u8, n]).unwrap().is_some(), "reads go on");
        }
    }
    let _ = db.close();
    let db = after.open();
    for (writer, count) in taken.into_iter().enumerate() {
        for n in 0..count {
            let found = db.get([writer as u8, n]).unwrap();
            assert_eq!(found.as_deref(), Some(&big(n)[..]), "an acknowledged write is gone");
        }
    }
}

#[test]
fn a_failed_sync_of_the_log_is_told_to_every_member_of_the_group() {
    check_with_time(|| failing(OpKind::Sync, 0));
    check_with_time(|| failing(OpKind::Sync, 2));
}

#[test]
fn a_failed_write_of_the_log_is_told_to_every_member_of_the_group() {
    check_with_time(|| failing(OpKind::Write, 0));
    check_with_time(|| failing(OpKind::Write, 2));
}

#[test]
fn a_flush_that_fails_is_tried_again_and_loses_nothing() {
    check_with_time(|| {
        let world = World::new();
        let db = world.open();
        let error = FaultError::from(io::ErrorKind::Other);
        world.faults.arm(Fault::new(OpKind::Write, error).on(".sst").times(1));
        let other = db.clone();
        let writer = thread::spawn(move || {
            (0..6u8).filter(|n| other.put([*n], big(*n)).is_ok()).collect::<Vec<u8>>()
        });
        let _ = db.flush();
        let taken = writer.join().unwrap();
        for n in taken {
            assert_eq!(db.get([n]).unwrap().as_deref(), Some(&big(n)[..]));
        }
        let _ = db.close();
    });
}

/// No time passes here, so that one who waits for a retry waits for ever.
#[test]
fn who_asks_for_a_flush_hears_that_it_fails_also_where_another_one_has_just_failed() {
    check(|| {
        let world = World::new();
        let db = world.open();
        let error = FaultError::from(io::ErrorKind::Other);
        world.faults.arm(Fault::new(OpKind::Write, error).on(".sst"));
        let other = db.clone();
        // The last one seals what was there before.
        let writer = thread::spawn(move || (0..5u8).for_each(|n| other.put([n], big(n)).unwrap()));
        let flushed = db.flush();
        writer.join().unwrap();
        assert!(flushed.is_err() || world.faults.struck(0).is_empty() || db.flush().is_err());
        let _ = db.close();
    });
}
