//! Ingested pairs are one commit, newer than all before it, and whole or not there at all.

use crate::support::*;
use kv_engine::{Db, ErrorKind, Isolation, Keyspace, Options};
use kv_vfs::{Fault, FaultFs, Fs, MemFs};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Ingests one version of every `step`th key and notes them in the model.
fn ingest(db: &Db, model: &mut Model, keys: std::ops::Range<usize>, step: usize, version: usize) {
    let pairs: Vec<_> = keys.step_by(step).map(|i| (key(i), value(i, version))).collect();
    assert_eq!(db.ingest(pairs.clone()).unwrap(), pairs.len() as u64);
    model.extend(pairs);
}

#[test]
fn what_is_ingested_is_read_and_survives() {
    every_setting(|w| {
        let (db, mut model) = (w.open(), Model::new());
        ingest(&db, &mut model, 0..300, 1, 0);
        assert_same(&db, &model);
        assert_same(&w.after_power_cut().open(), &model);
        db.close().unwrap();
        assert_same(&w.open(), &model);
    });
}

#[test]
fn it_is_newer_than_what_was_written_before_and_older_than_what_comes() {
    every_setting(|w| {
        let (db, mut model) = (w.open(), Model::new());
        for round in 0..3 {
            fill(&db, &mut model, 200, 10 * round);
            if round == 1 {
                db.flush().unwrap();
            }
            db.delete_range(key(50)..key(70)).unwrap();
            model.retain(|k, _| *k < key(50) || *k >= key(70));
            let before = (db.snapshot(), model.clone());
            ingest(&db, &mut model, 20..180, 1 + round, 10 * round + 1);
            assert_same(&db, &model);
            assert_same(&before.0, &before.1);
            db.delete(key(100)).unwrap();
            model.remove(&key(100));
            db.put(key(101), "newer").unwrap();
            model.insert(key(101), b"newer".to_vec());
            assert_same(&db, &model);
            let cut = w.after_power_cut().open();
            if w.options().is_synced() {
                assert_same(&cut, &model);
            }
        }
        db.compact().unwrap();
        assert_same(&db, &model);
        assert!(db.verify().unwrap().is_ok());
        db.close().unwrap();
        let db = w.open();
        assert_same(&db, &model);
        fill(&db, &mut model, 60, 90);
        assert_same(&db, &model);
    });
}

trait Synced {
    fn is_synced(&self) -> bool;
}

impl Synced for Options {
    fn is_synced(&self) -> bool {
        !format!("{self:?}").contains("sync_on_write: false")
    }
}

#[test]
fn what_is_written_while_it_runs_is_older() {
    every_setting(|w| {
        let db = w.open();
        db.put(key(1), "before").unwrap();
        let mut held = None;
        let pairs = (0..100).map(|i| {
            if i == 50 {
                db.put(key(10), "meanwhile").unwrap();
                db.put(key(90), "meanwhile").unwrap();
                db.put("other", "meanwhile").unwrap();
                db.delete_range(key(30)..key(60)).unwrap();
                held = Some(db.snapshot());
                assert_eq!(text(&db, key(1)).as_deref(), Some("before"));
            }
            (key(i), "ingested")
        });
        assert_eq!(db.ingest(pairs).unwrap(), 100);
        for i in 0..100 {
            assert_eq!(text(&db, key(i)).as_deref(), Some("ingested"), "{i}");
        }
        assert_eq!(text(&db, "other").as_deref(), Some("meanwhile"));
        let held = held.unwrap();
        assert_eq!(keys(held.iter()), ["key000001", "key000010", "key000090", "other"]);
        assert_eq!(text(&held, key(10)).as_deref(), Some("meanwhile"));
    });
}

#[test]
fn of_two_ingests_the_one_that_ends_last_is_newer() {
    every_setting(|w| {
        let db = w.open();
        let long = "long ".repeat(500);
        let outer = (0..200).map(|i| {
            if i == 100 {
                let inner = (50..250).map(|i| (key(i), "inner"));
                assert_eq!(db.ingest(inner).unwrap(), 200);
                db.put(key(3), "meanwhile").unwrap();
            }
            (key(i), if i % 10 == 0 { long.as_str() } else { "outer" })
        });
        assert_eq!(db.ingest(outer).unwrap(), 200);
        db.put(key(4), "behind").unwrap();
        for db in [db.clone(), w.after_power_cut().open()] {
            for i in 0..250 {
                let expected = match i {
                    4 => "behind",
                    200.. => "inner",
                    _ if i % 10 == 0 => &long,
                    _ => "outer",
                };
                if i != 4 || w.options().is_synced() {
                    assert_eq!(text(&db, key(i)).as_deref(), Some(expected), "{i}");
                }
            }
            assert!(db.verify().unwrap().is_ok());
            db.compact().unwrap();
            assert_eq!(db.iter().count(), 250);
        }
    });
}

/// How many files there are of each kind that holds data.
fn data_files(w: &World) -> usize {
    w.names(".sst").len() + w.names(".val").len()
}

#[test]
fn a_key_out_of_order_is_refused_by_its_position_and_nothing_is_stored() {
    every_setting(|w| {
        let db = w.open();
        let pairs = |bad: usize, with: Vec<u8>| {
            (0..500).map(move |i| (if i == bad { with.clone() } else { key(i) }, value(i, 0)))
        };
        for (bad, with) in [(1, key(0)), (499, key(498)), (300, key(5)), (300, vec![])] {
            let error = refused(db.ingest(pairs(bad, with)));
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains(&format!("position {bad},")), "{error}");
        }
        // The one that is too great is in order: the next one is not.
        let error = refused(db.ingest(pairs(7, key(900))));
        assert!(error.to_string().contains("position 8,"), "{error}");
        let error = refused(db.ingest(pairs(9, vec![b'k'; 65_536])));
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("position 9,"), "{error}");
        assert_eq!(db.iter().count(), 0);
        assert_eq!(data_files(w), 0);
        db.put("k", "v").unwrap();
        assert_eq!(keys(db.iter()), ["k"]);
    });
}

#[test]
fn nothing_ingested_changes_nothing() {
    let w = World::plain();
    let db = w.open();
    db.put("k", "v").unwrap();
    let before = w.files();
    assert_eq!(db.ingest(Vec::<(&str, &str)>::new()).unwrap(), 0);
    assert_eq!(w.files(), before);
}

#[test]
fn every_legal_key_and_value_is_ingested() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        for key in [&b""[..], b"\0", b"\0\0", b"a", &[b'k'; 65_535], b"\xff\xff"] {
            for len in [0, 1, 1_023, 1_024, 300_000] {
                let mut key = key.to_vec();
                key.truncate(65_534);
                if !key.is_empty() {
                    key.push(len as u8);
                }
                model.insert(key, vec![b'v'; len]);
            }
        }
        assert_eq!(db.ingest(&model).unwrap(), model.len() as u64);
        assert_same(&db, &model);
        assert!(db.verify().unwrap().is_ok());
        assert_same(&w.after_power_cut().open(), &model);
        db.delete_range::<&[u8]>(..).unwrap();
        db.compact().unwrap();
        assert_eq!(db.iter().count(), 0);
    });
}

#[test]
fn keyspaces_are_ingested_into_apart() {
    let w = World::tiny();
    let db = w.open();
    let (a, b) = (db.keyspace("a").unwrap(), db.keyspace("b").unwrap());
    let all = |text: &'static str| (0..100).map(move |i| (key(i), text));
    for (space, text) in [(&a, "a"), (&b, "b")] {
        assert_eq!(space.ingest(all(text)).unwrap(), 100);
    }
    db.ingest(all("default")).unwrap();
    let read = |space: &Keyspace| text(space, key(7)).unwrap();
    assert_eq!((read(&a), read(&b), text(&db, key(7)).unwrap()), {
        ("a".into(), "b".into(), "default".into())
    });
    db.drop_keyspace("a").unwrap();
    assert_eq!(refused(a.ingest(all("late"))).kind(), ErrorKind::NotFound);
    // Dropped while it runs.
    let pairs = all("late").inspect(|(k, _)| {
        if *k == key(50) {
            db.drop_keyspace("b").unwrap();
        }
    });
    assert_eq!(refused(b.ingest(pairs)).kind(), ErrorKind::NotFound);
    assert_eq!(db.keyspace("b").unwrap().iter().count(), 0);
    assert_eq!(db.iter().count(), 100);
}

#[test]
fn a_store_that_takes_no_writes_takes_no_ingest() {
    let w = World::plain();
    w.open().put("k", "v").unwrap();
    let reader = Db::open(DIR, w.options().read_only(true)).unwrap();
    assert_eq!(refused(reader.ingest([("a", "b")])).kind(), ErrorKind::ReadOnly);
    let db = w.open();
    let other = db.clone();
    let mut once = Some(other);
    let pairs = (0..10_000).map(|i| {
        if i == 5_000 {
            once.take().unwrap().close().unwrap();
        }
        (key(i), value(i, 0))
    });
    assert_eq!(refused(db.ingest(pairs)).kind(), ErrorKind::Closed);
    assert_eq!(refused(db.ingest([("a", "b")])).kind(), ErrorKind::Closed);
    assert_eq!(keys(w.open().iter()), ["k"]);
}

#[test]
fn a_full_store_refuses_it_and_keeps_none_of_its_files() {
    let w = World::tiny();
    let db = Db::open(DIR, w.options().disk_limit(256 << 10)).unwrap();
    db.put("k", "v").unwrap();
    let error = refused(db.ingest((0..100_000).map(|i| (key(i), value(i, 0)))));
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert_eq!(data_files(&w), 0);
    assert_eq!(db.ingest((0..10).map(|i| (key(i), value(i, 0)))).unwrap(), 10);
}

#[test]
fn a_transaction_over_its_keys_conflicts_and_another_one_does_not() {
    let db = Db::in_memory(Options::default()).unwrap();
    db.put(key(5), "old").unwrap();
    let mut reads = db.transaction();
    assert!(reads.get(key(5)).unwrap().is_some());
    reads.put("x", "1");
    let mut scans = db.transaction();
    assert_eq!(scans.range(key(2)..key(4)).count(), 0);
    scans.put("y", "1");
    let mut writes = db.transaction().isolation(Isolation::Snapshot);
    writes.put(key(7), "1");
    let mut apart = db.transaction();
    assert!(apart.get("z").unwrap().is_none());
    apart.put("z", "1");
    db.ingest((0..10).map(|i| (key(i), "new"))).unwrap();
    for transaction in [reads, scans, writes] {
        assert_eq!(refused(transaction.commit()).kind(), ErrorKind::Conflict);
    }
    apart.commit().unwrap();
    db.transact(|tx| {
        assert_eq!(tx.get(key(5))?.as_deref(), Some(&b"new"[..]));
        tx.put(key(5), "newer");
        Ok(())
    })
    .unwrap();
    assert_eq!(text(&db, key(5)).as_deref(), Some("newer"));
}

#[test]
fn readers_and_writers_beside_it_see_all_of_it_or_nothing() {
    const KEYS: usize = 60;
    every_setting(|w| {
        let db = w.open();
        let (done, newest) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let (db, done) = (&db, &done);
                scope.spawn(move || {
                    let mut i = 0;
                    while !done.load(Ordering::Relaxed) {
                        i += 1;
                        let key =
                            format!("{}{thread} {}", if i % 2 == 0 { "a" } else { "z" }, i % 90);
                        db.put(key, value(i, 0)).unwrap();
                    }
                });
            }
            for _ in 0..2 {
                let (db, done, newest) = (&db, &done, &newest);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let least = newest.load(Ordering::SeqCst);
                        let seen: Vec<_> = pairs(db.prefix("key"));
                        if let Some((_, first)) = seen.first() {
                            assert_eq!(seen.len(), KEYS);
                            assert!(seen.iter().all(|(_, value)| value == first));
                            let version: usize = String::from_utf8_lossy(first).parse().unwrap();
                            assert!(version >= least, "{version} after {least}");
                        } else {
                            assert_eq!(least, 0);
                        }
                        // A write that was made after an ingest is never seen without it.
                        let (mark, value) = (db.get("mark").unwrap(), db.get(key(3)).unwrap());
                        let number = |b: Option<kv_engine::Bytes>| -> usize {
                            b.map_or(0, |b| String::from_utf8_lossy(&b).parse().unwrap())
                        };
                        let (mark, value) = (number(mark), number(value));
                        assert!(value >= mark, "{value} with mark {mark}");
                        let marked = pairs(db.range("key".."mark~"));
                        if let Some((_, mark)) = marked.iter().find(|(k, _)| k == b"mark") {
                            let number =
                                |b: &[u8]| -> usize { String::from_utf8_lossy(b).parse().unwrap() };
                            assert!(number(&marked[0].1) >= number(mark));
                        }
                    }
                });
            }
            for version in 1..=15 {
                let text = version.to_string();
                db.ingest((0..KEYS).map(|i| (key(i), &text))).unwrap();
                newest.store(version, Ordering::SeqCst);
                db.put("mark", &text).unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        assert!(db.verify().unwrap().is_ok());
    });
}

/// Writes, ingests over them, and writes again; answers how far it came.
fn script(fs: Arc<dyn Fs>) -> (usize, kv_engine::Result<()>) {
    let mut done = 0;
    let outcome = (|| {
        let options = Options::default().write_buffer(4 << 10).table_size(4 << 10);
        let db = Db::open(DIR, options.block_size(512).file_system(fs))?;
        for step in 0..STEPS {
            match step % 4 {
                1 => drop(db.ingest(step_pairs(step))?),
                3 => drop(db.ingest(step_pairs(step).inspect(|(k, _)| {
                    // The outcome is that of a put beside it, which is seen only once it is over.
                    if *k == key(2) {
                        _ = db.put(key(3), "meanwhile");
                    }
                }))?),
                _ => db.write(step_pairs(step).fold(
                    kv_engine::WriteBatch::new(),
                    |mut b, (k, v)| {
                        b.put(k, v);
                        b
                    },
                ))?,
            }
            done = step + 1;
        }
        db.close()
    })();
    (done, outcome)
}

const STEPS: usize = 9;

fn step_pairs(step: usize) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    (0..40 + step).map(move |i| {
        let mut value = value(i, step);
        if i % 9 == 0 {
            value.resize(1_500, b'l');
        }
        (key(i), value)
    })
}

/// What the store holds once so many steps are done.
fn after_steps(done: usize) -> Model {
    (0..done).flat_map(step_pairs).collect()
}

/// A store that came to `done` and then stopped holds that, or one step more.
fn check_after(db: &Db, done: usize, states: &mut BTreeMap<&'static str, u32>) {
    let found: Model = pairs(db.iter()).into_iter().collect();
    let mut meanwhile = after_steps(done);
    meanwhile.insert(key(3), b"meanwhile".to_vec());
    let state = match () {
        () if found == after_steps(done) => "as it was",
        () if done < STEPS && found == after_steps(done + 1) => "one more",
        () if done % 4 == 3 && found == meanwhile => "with the put beside it",
        () => panic!("{} pairs after {done} steps are neither", found.len()),
    };
    *states.entry(state).or_default() += 1;
    let report = db.verify().unwrap();
    assert!(report.is_ok(), "{report}");
    let mut model = found;
    ingest(db, &mut model, 0..30, 3, 99);
    fill(db, &mut model, 5, 100);
    assert_same(db, &model);
}

#[test]
fn a_power_cut_anywhere_leaves_all_of_it_or_nothing() {
    let mut states = BTreeMap::new();
    let mut struck = true;
    let mut cut = 0;
    while struck {
        let disk = MemFs::new();
        let fs = FaultFs::new(Arc::new(disk.clone()));
        let fault = fs.arm(Fault::nth(cut).times(u64::MAX));
        let (done, _) = script(Arc::new(fs.clone()));
        struck = fs.fired(fault) > 0;
        for disk in [disk.crash(), disk] {
            let db = Db::open(DIR, Options::default().file_system(Arc::new(disk))).unwrap();
            check_after(&db, done, &mut states);
        }
        cut += 1;
    }
    assert!(states.len() == 3 && cut > 200, "{states:?} {cut}");
}

#[test]
fn a_failure_anywhere_leaves_all_of_it_or_nothing() {
    let mut states = BTreeMap::new();
    let mut struck = true;
    let mut cut = 0;
    while struck {
        let disk = MemFs::new();
        let fs = FaultFs::new(Arc::new(disk.clone()));
        let fault = fs.arm(Fault::nth(cut).times(1));
        let (done, _) = script(Arc::new(fs.clone()));
        struck = fs.fired(fault) > 0;
        let db = Db::open(DIR, Options::default().file_system(Arc::new(disk))).unwrap();
        check_after(&db, done, &mut states);
        cut += 1;
    }
    assert!(cut > 200, "{states:?} {cut}");
}
