//! Consumers: what they need is held, over reopening and power cuts, and never without bound.

use super::{Replica, put, settings};
use crate::support::*;
use kv_engine::{Db, Durability, ErrorKind, Options, WriteBatch};
use kv_vfs::{Fault, FaultFs, Fs, FsFileExt, MemFs, OpKind};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[test]
fn a_consumer_finds_its_changes_after_flushes_and_reopening() {
    settings(|w| {
        let db = w.open();
        db.put("before", "x").unwrap();
        let mut changes = db.changes_since(0).unwrap();
        let mut replica = Replica::default();
        replica.follow(&mut changes, &db).unwrap();
        changes.acknowledge("replica").unwrap();
        drop((changes, db));
        let mut model = Model::from([(b"before".to_vec(), b"x".to_vec())]);
        for round in 0..4 {
            let db = w.open();
            fill(&db, &mut model, 50, round);
            db.flush().unwrap();
            fill(&db, &mut model, 20, round + 10);
            drop(db);
        }
        let db = w.open();
        let mut changes = db.changes_since(0).unwrap().resume("replica").unwrap();
        replica.follow(&mut changes, &db).unwrap();
        replica.is(&db);
        assert_eq!(replica.spaces[""], model);
        assert!(db.verify().unwrap().is_ok());
        changes.acknowledge("replica").unwrap();
        assert_eq!(changes.consumers().unwrap(), [("replica".to_owned(), replica.seq)]);
        drop((changes, db));
        assert_eq!(w.names(".log").len(), 0, "nothing is needed");
    });
}

fn held(db: &Db) -> u64 {
    let text = db.stats().prometheus();
    let line = text.lines().find(|line| line.starts_with("kv_held_log_bytes ")).unwrap();
    line.split(' ').next_back().unwrap().parse().unwrap()
}

#[test]
fn what_is_held_is_bounded_and_given_back() {
    let w = World::tiny();
    let limit = 64 << 10;
    let options = || w.options().wal_limit(limit).sync_on_write(false);
    let db = Db::open(DIR, options()).unwrap();
    let mut slow = db.changes_since(0).unwrap();
    slow.acknowledge("slow").unwrap();
    let mut model = Model::new();
    let mut most = 0;
    for round in 0..40 {
        fill(&db, &mut model, 60, round);
        db.flush().unwrap();
        most = most.max(held(&db));
        assert!(held(&db) <= limit);
        if round == 20 {
            let mut quick = db.changes_since(db.changes_since(0).unwrap().position()).unwrap();
            quick.by_ref().for_each(|change| drop(change.unwrap()));
            quick.acknowledge("quick").unwrap();
        }
    }
    assert!(most > 0);
    // It is told, and it holds nothing; the other one is too slow by now, too.
    let error = slow.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(slow.next().is_none());
    let gone = refused(db.changes_since(0).unwrap().resume("slow"));
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    drop((slow, db));
    let db = Db::open(DIR, options()).unwrap();
    assert!(held(&db) <= limit);
    let changes = db.changes_since(0).unwrap();
    assert_eq!(refused(changes.resume("slow")).kind(), ErrorKind::NotFound);
    let changes = db.changes_since(0).unwrap();
    changes.acknowledge("slow").unwrap();
    changes.forget("slow").unwrap();
    changes.forget("quick").unwrap();
    assert_eq!(held(&db), 0);
    assert_eq!(refused(changes.forget("quick")).kind(), ErrorKind::NotFound);
    assert!(refused(changes.acknowledge("a/b")).kind() == ErrorKind::InvalidArgument);
}

#[test]
fn what_is_held_gives_way_to_writes_under_a_disk_limit() {
    let w = World::tiny();
    let options = w.options().disk_limit(256 << 10).wal_limit(1 << 30);
    let db = Db::open(DIR, options).unwrap();
    let changes = db.changes_since(0).unwrap();
    changes.acknowledge("slow").unwrap();
    for round in 0..60 {
        for i in 0..40 {
            db.put(key(i), value(i, round)).unwrap();
        }
        if round % 10 == 9 {
            db.compact().unwrap();
        }
    }
    let lost = refused(db.changes_since(0).unwrap().resume("slow"));
    assert_eq!(lost.kind(), ErrorKind::NotFound);
}

#[test]
fn held_logs_are_not_replayed_and_a_checkpoint_has_none() {
    let temp = TempDir::new();
    let db = Db::open(temp.db(), Options::default()).unwrap();
    db.changes_since(0).unwrap().acknowledge("c").unwrap();
    let mut model = Model::new();
    fill(&db, &mut model, 50, 0);
    let copy = temp.path().join("copy");
    db.checkpoint(&copy).unwrap();
    drop(db);
    let logs = |dir: &std::path::Path| {
        let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().ends_with(".log")).count()
    };
    assert!(logs(&temp.db()) > 0);
    assert_eq!(logs(&copy), 0);
    let db = Db::open(temp.db(), Options::default()).unwrap();
    assert!(!db.stats().to_string().contains("recovered"));
    assert_same(&db, &model);
    assert!(db.verify().unwrap().is_ok());
    assert_eq!(db.changes_since(0).unwrap().resume("c").unwrap().count(), 50);
    db.close().unwrap();
    let report = kv_engine::verify(temp.db(), Options::default()).unwrap();
    assert!(report.is_ok(), "{report}");
    let copy = Db::open(copy, Options::default()).unwrap();
    assert!(copy.changes_since(0).unwrap().consumers().unwrap().is_empty());
    assert_same(&copy, &model);
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    for read_only in [false, true] {
        let w = World::plain();
        let db = Db::open(DIR, w.options().sync_on_write(false)).unwrap();
        let mut model = Model::new();
        fill(&db, &mut model, 70, 0);
        let reader = match read_only {
            true => Db::open(DIR, w.options().read_only(true)).unwrap(),
            false => db.clone(),
        };
        let mut changes = reader.changes_since(0).unwrap();
        changes.by_ref().for_each(|change| drop(change.unwrap()));
        changes.acknowledge("c").unwrap();
        let cut = w.after_power_cut();
        let cut = cut.open();
        assert_same(&cut, &model);
        // No number that it has taken is given again.
        cut.put("new", "x").unwrap();
        let rest = cut.changes_since(0).unwrap().resume("c").unwrap();
        let rest: Vec<_> = rest.map(|change| change.unwrap().ops).collect();
        assert_eq!(rest, [[put("new", "x")]], "read-only: {read_only}");
    }
}

#[test]
fn a_consumer_ahead_of_the_store_is_told() {
    let w = World::plain();
    let db = w.open();
    fill(&db, &mut Model::new(), 10, 0);
    let mut changes = db.changes_since(0).unwrap();
    assert_eq!(changes.by_ref().count(), 10);
    changes.acknowledge("c").unwrap();
    let dir = Path::new(DIR).join("consumers");
    let bytes = files(&*w.fs, &dir).remove("c").unwrap();
    let other = World::plain();
    let db = other.open();
    other.fs.create_dir(&dir).unwrap();
    other.fs.create_new(&dir.join("c")).unwrap().write_all_at(&bytes, 0).unwrap();
    db.put("one", "x").unwrap();
    let read_only = Db::open(DIR, other.options().read_only(true)).unwrap();
    for handle in [&db, &read_only] {
        db.put("more", "x").unwrap();
        let error = refused(handle.changes_since(0).unwrap().resume("c"));
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let last = db.changes_since(0).unwrap().last().unwrap().unwrap().seq;
        let said = format!("sequence number 10 lies ahead of the store, whose last one is {last}:");
        assert!(error.to_string().starts_with(&said), "{error}");
    }
}

#[test]
fn a_reader_takes_up_what_another_one_took_since_it_was_opened() {
    for flushes in [false, true] {
        let w = World::plain();
        let db = w.open();
        db.put("a", "1").unwrap();
        let open = || Db::open(DIR, w.options().read_only(true)).unwrap();
        let (early, mut other) = (open(), open().changes_since(0).unwrap());
        other.acknowledge("c").unwrap();
        fill(&db, &mut Model::new(), 20, 0);
        other.by_ref().for_each(|change| drop(change.unwrap()));
        other.acknowledge("c").unwrap();
        if flushes {
            db.flush().unwrap();
        }
        db.put("b", "2").unwrap();
        let rest = early.changes_since(0).unwrap().resume("c").unwrap();
        let rest: Vec<_> = rest.map(|change| change.unwrap().ops).collect();
        assert_eq!(rest, [[put("b", "2")]], "flushes: {flushes}");
    }
}

#[test]
fn a_resume_goes_on_after_an_error() {
    let w = World::tiny();
    let db = w.open();
    let mut changes = db.changes_since(0).unwrap();
    fill(&db, &mut Model::new(), 100, 0);
    db.flush().unwrap();
    // The log goes a moment after its flush.
    while db.changes_since(99).is_ok() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // What it has open it may still give.
    let error = changes.find_map(Result::err).unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    db.changes_since(0).unwrap().acknowledge("c").unwrap();
    db.put("a", "1").unwrap();
    assert_eq!(changes.resume("c").unwrap().count(), 1);
}

#[test]
fn held_logs_of_unknown_size_are_given_up_too() {
    let faulty = Arc::new(FaultFs::new(Arc::new(MemFs::new())));
    let options = Options::default().file_system(Arc::clone(&faulty) as Arc<dyn Fs>);
    let db = Db::open(DIR, options.write_buffer(16 << 10).disk_limit(256 << 10)).unwrap();
    db.changes_since(0).unwrap().acknowledge("slow").unwrap();
    let fault =
        faulty.arm(Fault::new(OpKind::Metadata, io::ErrorKind::PermissionDenied).on(".log"));
    let full = (0..).find_map(|i| db.put(key(i), vec![i as u8; 2000]).err()).unwrap();
    assert_eq!(full.kind(), ErrorKind::NoSpace);
    assert!(faulty.fired(fault) > 0);
}

#[test]
fn writers_beside_a_consumer() {
    for setting in [SETTINGS[0], SETTINGS[1], SETTINGS[7], SETTINGS[12]] {
        println!("setting: {}", setting.0);
        beside(&World::new(setting), 4);
    }
}

fn beside(w: &World, writers: usize) {
    let db = w.open();
    let mut changes = db.changes_since(0).unwrap();
    let done = AtomicBool::new(false);
    let mut replica = Replica::default();
    changes.acknowledge("c").unwrap();
    std::thread::scope(|scope| {
        let consumer = scope.spawn(|| {
            loop {
                let last = done.load(Ordering::Acquire);
                replica.follow(&mut changes, &db).unwrap();
                changes.acknowledge("c").unwrap();
                if last {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let threads: Vec<_> = (0..writers)
            .map(|n| {
                let db = &db;
                scope.spawn(move || {
                    let mut rng = Rng::new(n as u64);
                    let own = db.keyspace(&format!("space {}", n % 2)).unwrap();
                    for i in 0..300 {
                        let mut batch = WriteBatch::new();
                        for _ in 0..1 + rng.below(4) {
                            batch.put(key(rng.below(200)), value(i, n));
                            batch.within(&own).put(key(rng.below(50)), value(i, n));
                            batch.within(&db.keyspace("").unwrap()).delete(key(rng.below(200)));
                        }
                        if rng.chance(10) {
                            let at = rng.below(200);
                            batch.delete_range(key(at)..key(at + 5));
                        }
                        let how = if rng.chance(20) { Durability::Sync } else { Durability::Os };
                        db.write_with(batch, how).unwrap();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        done.store(true, Ordering::Release);
        consumer.join().unwrap();
    });
    replica.is(&db);
}
