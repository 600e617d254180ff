//! Many threads: nothing lost, nothing half seen, no deadlock.

use crate::support::*;
use kv_engine::{Db, Durability, ErrorKind, WriteBatch};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const WRITERS: usize = 8;

#[test]
fn eight_writers_and_readers_lose_nothing() {
    every_setting(|w| {
        let db = w.open();
        let done = AtomicBool::new(false);
        let steps = 120;
        thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let db = db.clone();
                    scope.spawn(move || {
                        for i in 0..steps {
                            let key = format!("{writer} {i:04}");
                            db.put(&key, value(i, writer)).unwrap();
                            assert_eq!(db.get(&key).unwrap().unwrap(), value(i, writer));
                            if i % 4 == 3 {
                                db.delete(format!("{writer} {:04}", i - 1)).unwrap();
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let seen = pairs(db.iter());
                        assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "out of order");
                    }
                });
            }
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Relaxed);
        });
        let check = |db: &Db| {
            for writer in 0..WRITERS {
                for i in 0..steps {
                    let deleted = i % 4 == 2;
                    let found = db.get(format!("{writer} {i:04}")).unwrap();
                    let expected = (!deleted).then(|| value(i, writer));
                    assert_eq!(found.as_deref(), expected.as_deref(), "{writer} {i}");
                }
            }
            assert_eq!(pairs(db.iter()).len(), WRITERS * steps * 3 / 4);
        };
        check(&db);
        drop(db);
        check(&w.open());
    });
}

const ACCOUNTS: usize = 20;
const TOTAL: usize = ACCOUNTS * 1_000;

fn account(i: usize) -> Vec<u8> {
    format!("account {i:03}").into_bytes()
}

fn balance(bytes: &[u8]) -> usize {
    std::str::from_utf8(bytes).unwrap().trim().parse().unwrap()
}

#[test]
fn batches_are_seen_whole() {
    every_setting(|w| {
        let db = w.open();
        let mirror = db.keyspace("mirror").unwrap();
        for i in 0..ACCOUNTS {
            db.put(account(i), "1000").unwrap();
            mirror.put(account(i), "1000").unwrap();
        }
        let done = AtomicBool::new(false);
        let turn = std::sync::Mutex::new(());
        thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|seed| {
                    let (db, mirror, turn) = (&db, &mirror, &turn);
                    scope.spawn(move || {
                        let mut rng = Rng::new(seed);
                        for _ in 0..120 {
                            let (from, to) = (rng.below(ACCOUNTS), rng.below(ACCOUNTS));
                            let _turn = turn.lock().unwrap();
                            let here = balance(&db.get(account(from)).unwrap().unwrap());
                            let amount = rng.below(here + 1);
                            let mut batch = WriteBatch::new();
                            if from != to {
                                let there = balance(&db.get(account(to)).unwrap().unwrap());
                                batch.put(account(from), format!("{:60}", here - amount));
                                batch.put(account(to), format!("{:60}", there + amount));
                                batch.within(mirror);
                                batch.put(account(from), format!("{:60}", here - amount));
                                batch.put(account(to), format!("{:60}", there + amount));
                            }
                            db.write_with(batch, Durability::Os).unwrap();
                        }
                    })
                })
                .collect();
            for reader in 0..2 {
                let (db, mirror, done) = (&db, &mirror, &done);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let snapshot = db.snapshot();
                        let here = pairs(if reader == 0 { snapshot.iter() } else { db.iter() });
                        let sum: usize = here.iter().map(|(_, v)| balance(v)).sum();
                        assert_eq!(
                            (here.len(), sum),
                            (ACCOUNTS, TOTAL),
                            "a batch was seen in half"
                        );
                        if reader == 0 {
                            assert!(pairs(snapshot.within(mirror).iter()) == here);
                        }
                    }
                });
            }
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Relaxed);
        });
        drop(mirror);
        drop(db);
        let sum: usize = pairs(w.open().iter()).iter().map(|(_, v)| balance(v)).sum();
        assert_eq!(sum, TOTAL);
    });
}

#[test]
fn what_a_reader_saw_is_never_taken_back() {
    every_setting(|w| {
        let db = w.open();
        let last = 400;
        thread::scope(|scope| {
            let writer = db.clone();
            scope.spawn(move || {
                for i in 0..=last {
                    writer.put("counter", i.to_string()).unwrap();
                    writer.put(key(i), value(i, 0)).unwrap();
                }
            });
            for _ in 0..2 {
                let db = db.clone();
                scope.spawn(move || {
                    let mut seen = 0;
                    while seen < last {
                        let now = text(&db, "counter").map_or(0, |n| n.parse::<usize>().unwrap());
                        assert!(now >= seen, "{now} after {seen}");
                        if now > 0 {
                            assert!(db.contains_key(key(now - 1)).unwrap(), "a hole below {now}");
                        }
                        seen = now;
                    }
                });
            }
        });
    });
}

#[test]
fn readers_go_on_through_flush_and_compaction() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 150, 0);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut rng = Rng::new(5);
                    while !done.load(Ordering::Relaxed) {
                        let i = rng.below(150);
                        let found = db.get(key(i)).unwrap().unwrap();
                        assert!(found.starts_with(format!("value {i} version").as_bytes()));
                        assert_eq!(pairs(db.prefix("key")).len(), 150);
                    }
                });
            }
            for version in 1..8 {
                fill(&db, &mut model, 150, version);
                db.flush().unwrap();
                if version % 2 == 0 {
                    db.compact().unwrap();
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_same(&db, &model);
    });
}

#[test]
fn flush_compact_sync_and_verify_run_beside_writers() {
    every_setting(|w| {
        let db = w.open();
        thread::scope(|scope| {
            for writer in 0..2 {
                let db = db.clone();
                scope.spawn(move || {
                    for i in 0..150 {
                        db.put(format!("{writer} {i:04}"), value(i, writer)).unwrap();
                    }
                });
            }
            scope.spawn(|| (0..6).for_each(|_| db.flush().unwrap()));
            scope.spawn(|| (0..3).for_each(|_| db.compact().unwrap()));
            scope.spawn(|| (0..10).for_each(|_| db.sync().unwrap()));
            scope.spawn(|| {
                for _ in 0..3 {
                    let report = db.verify().unwrap();
                    assert!(report.is_ok(), "{report}");
                }
            });
        });
        assert_eq!(pairs(db.iter()).len(), 300);
    });
}

#[test]
fn a_close_amid_writers_keeps_what_was_acknowledged() {
    every_setting(|w| {
        let db = w.open();
        let written = [const { AtomicUsize::new(0) }; 4];
        thread::scope(|scope| {
            for (writer, count) in written.iter().enumerate() {
                let db = db.clone();
                scope.spawn(move || {
                    for i in 0.. {
                        match db.put(format!("{writer} {i:06}"), value(i, writer)) {
                            Ok(()) => count.store(i + 1, Ordering::Relaxed),
                            Err(error) => {
                                assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                                break;
                            }
                        }
                        if i % 16 == 0 {
                            match db.iter().next_back() {
                                None | Some(Ok(_)) => {}
                                Some(Err(e)) => assert_eq!(e.kind(), ErrorKind::Closed, "{e}"),
                            }
                        }
                    }
                });
            }
            while written.iter().any(|count| count.load(Ordering::Relaxed) < 40) {
                thread::yield_now();
            }
            db.clone().close().unwrap();
        });
        drop(db);
        let db = w.open();
        for (writer, count) in written.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            let found = pairs(db.prefix(format!("{writer} ")));
            assert!(found.len() == count || found.len() == count + 1, "{} of {count}", found.len());
            for (i, (key, v)) in found.iter().enumerate() {
                assert_eq!(*key, format!("{writer} {i:06}").into_bytes());
                assert!(*v == value(i, writer));
            }
        }
    });
}

#[test]
fn a_name_asked_for_by_many_threads_is_one_keyspace() {
    every_setting(|w| {
        let db = w.open();
        thread::scope(|scope| {
            for i in 0..6 {
                let db = db.clone();
                scope.spawn(move || {
                    for round in 0..5 {
                        let space = db.keyspace(&format!("space {round}")).unwrap();
                        space.put(key(i), value(i, round)).unwrap();
                    }
                });
            }
        });
        assert_eq!(db.keyspaces().unwrap().len(), 5);
        drop(db);
        let db = w.open();
        for round in 0..5 {
            let space = db.keyspace(&format!("space {round}")).unwrap();
            assert_eq!(pairs(space.iter()).len(), 6, "round {round}");
        }
    });
}

#[test]
fn one_key_fought_over_ends_with_somebodys_last_value() {
    every_setting(|w| {
        let db = w.open();
        thread::scope(|scope| {
            for writer in 0..4 {
                let db = db.clone();
                scope.spawn(move || {
                    for i in 0..100 {
                        db.put("k", value(i, writer)).unwrap();
                    }
                });
            }
        });
        let last = db.get("k").unwrap().unwrap();
        assert!((0..4).any(|writer| last == value(99, writer)));
        db.compact().unwrap();
        assert_eq!(db.get("k").unwrap().unwrap(), last);
        drop(db);
        assert_eq!(w.open().get("k").unwrap().unwrap(), last);
    });
}

#[test]
fn dropping_a_keyspace_amid_its_writers_ends_them_cleanly() {
    every_setting(|w| {
        let db = w.open();
        let space = db.keyspace("space").unwrap();
        thread::scope(|scope| {
            for writer in 0..3 {
                let space = space.clone();
                scope.spawn(move || {
                    for i in 0.. {
                        if let Err(error) = space.put(format!("{writer} {i}"), "v") {
                            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                            break;
                        }
                    }
                });
            }
            while pairs(space.iter()).len() < 30 {
                thread::yield_now();
            }
            db.drop_keyspace("space").unwrap();
        });
        assert!(pairs(db.keyspace("space").unwrap().iter()).is_empty());
        db.drop_keyspace("space").unwrap();
        drop((space, db));
        assert!(pairs(w.open().keyspace("space").unwrap().iter()).is_empty());
    });
}

#[test]
fn no_write_waits_for_seconds() {
    every_setting(|w| {
        let db = w.open();
        let slowest = AtomicUsize::new(0);
        thread::scope(|scope| {
            for writer in 0..3 {
                let (db, slowest) = (&db, &slowest);
                scope.spawn(move || {
                    for i in 0..400 {
                        let start = Instant::now();
                        db.put(format!("{writer} {i:06}"), value(i, writer)).unwrap();
                        slowest.fetch_max(start.elapsed().as_millis() as usize, Ordering::Relaxed);
                    }
                });
            }
        });
        let slowest = slowest.into_inner();
        assert!(slowest < 3_000, "a put took {slowest} ms\n{}", db.stats());
    });
}

#[test]
fn overwriting_in_order_waits_for_no_seconds_either() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 2_000, 0);
        db.compact().unwrap();
        // Each memtable becomes a table that overlaps what lies below and none of its neighbours.
        let mut slowest = Duration::ZERO;
        for i in 0..2_000 {
            let start = Instant::now();
            db.put(key(i), value(i, 1)).unwrap();
            model.insert(key(i), value(i, 1));
            slowest = slowest.max(start.elapsed());
        }
        assert!(slowest < Duration::from_secs(3), "a put took {slowest:?}\n{}", db.stats());
        assert_same(&db, &model);
    });
}
