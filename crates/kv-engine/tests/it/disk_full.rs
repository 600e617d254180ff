//! A full disk: nothing is lost, reads go on, and writing goes on when there is room again.

use crate::support::*;
use kv_engine::{Db, ErrorKind};
use kv_vfs::MemFs;
use std::time::{Duration, Instant};

fn noise(rng: &mut Rng) -> Vec<u8> {
    (0..2_000).map(|_| (rng.next() >> 56) as u8).collect()
}

/// Puts until the disk is full; answers the error's kind.
fn put_until_full(db: &Db, model: &mut Model, rng: &mut Rng) -> ErrorKind {
    for _ in 0..20_000 {
        let (key, value) = (key(rng.below(100_000)), noise(rng));
        match db.put(&key, &value) {
            Ok(()) => model.insert(key, value),
            Err(error) => return error.kind(),
        };
    }
    panic!("the disk is never full");
}

/// Tries to put for some seconds: room may be noticed a moment later, or at once where a flush is
/// asked for, which waits for no retry. Under the defaults nobody asks.
fn put_when_there_is_room(w: &World, db: &Db, key: &str) {
    let start = Instant::now();
    loop {
        if w.setting.0 != SETTINGS[0].0 {
            let _ = db.flush();
        }
        match db.put(key, "v") {
            Ok(()) => return,
            Err(e) => {
                assert!(start.elapsed() < Duration::from_secs(10), "it does not heal: {e:?}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

#[test]
fn a_full_disk_is_no_space_and_reads_go_on() {
    every_setting(|w| {
        let w = w.on(MemFs::with_capacity(1 << 20));
        let db = w.open();
        let mut model = Model::new();
        let mut rng = Rng::new(4);
        assert_eq!(put_until_full(&db, &mut model, &mut rng), ErrorKind::NoSpace);
        assert!(model.len() > 50, "only {} keys fit", model.len());
        assert_same(&db, &model);
        assert_same(&db.snapshot(), &model);
    });
}

#[test]
fn with_room_again_the_same_handle_writes_on() {
    every_setting(|w| {
        let w = w.on(MemFs::with_capacity(1 << 20));
        let db = w.open();
        let mut model = Model::new();
        let mut rng = Rng::new(5);
        for _ in 0..2 {
            put_until_full(&db, &mut model, &mut rng);
            // A merge needs room for its inputs and its outputs at once.
            w.fs.set_capacity(3 * w.fs.used() + (1 << 20));
            put_when_there_is_room(&w, &db, "after");
            model.insert(b"after".to_vec(), b"v".to_vec());
            assert_same(&db, &model);
        }
        w.fs.set_capacity(u64::MAX);
        put_when_there_is_room(&w, &db, "last");
        db.compact().unwrap();
        db.delete("last").unwrap();
        assert_same(&db, &model);
        assert!(db.verify().unwrap().is_ok());
        db.close().unwrap();
        assert_same(&w.open(), &model);
    });
}

#[test]
fn what_was_acknowledged_before_is_there_after_reopening() {
    every_setting(|w| {
        let full = w.on(MemFs::with_capacity(1 << 20));
        let db = full.open();
        let mut model = Model::new();
        put_until_full(&db, &mut model, &mut Rng::new(6));
        // Also without a clean end, as after a kill.
        let cut = w.on(full.fs.crash_with(&mut |_| true));
        drop(db);
        for world in [full, cut] {
            // Still full: it opens, or says why and changes nothing.
            match world.try_open() {
                Ok(db) => assert_same(&db, &model),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}"),
            }
            world.fs.set_capacity(u64::MAX);
            let db = world.open();
            assert_same(&db, &model);
            db.put("k", "v").unwrap();
        }
    });
}

#[test]
fn a_full_disk_at_creation_is_no_space_and_can_be_repeated() {
    for capacity in [0, 1, 100, 1_000, 10_000, 40_000] {
        let w = World::plain().on(MemFs::with_capacity(capacity));
        if let Err(error) = w.try_open() {
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{capacity}: {error}");
        }
        w.fs.set_capacity(u64::MAX);
        w.open().put("k", "v").unwrap();
        assert_eq!(keys(w.open().iter()), ["k"]);
    }
}

#[test]
fn past_the_disk_limit_writes_are_no_space() {
    every_setting(|w| {
        let limit = 2 << 20;
        let db = Db::open(DIR, w.options().disk_limit(limit)).unwrap();
        let mut model = Model::new();
        let kind = put_until_full(&db, &mut model, &mut Rng::new(7));
        assert_eq!(kind, ErrorKind::NoSpace);
        let bytes: usize = model.values().map(Vec::len).sum();
        assert!(bytes > 200 << 10, "only {bytes} bytes fit under {limit}");
        // The limit is on what is kept; a merge needs room for its outputs beside its inputs.
        assert!(w.fs.used() < 3 * limit, "{} bytes are used under {limit}", w.fs.used());
        assert_same(&db, &model);
        drop(db);
        let db = Db::open(DIR, w.options().disk_limit(100 << 20)).unwrap();
        assert_same(&db, &model);
        put_when_there_is_room(w, &db, "k");
    });
}
