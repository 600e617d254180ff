//! A full disk: nothing is lost, reads go on, and writing goes on when there is room again.

use crate::support::*;
use kv_engine::{Db, ErrorKind, Event, Options};
use kv_vfs::MemFs;
use std::sync::Arc;
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

/// The same without a flush.
fn retry_put(db: &Db, key: &[u8], value: &[u8]) {
    let start = Instant::now();
    loop {
        match db.put(key, value) {
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

/// The options of a store under a limit that tells what fails behind it.
fn limited(w: &World, limit: u64) -> Options {
    let tell = |event: &Event| {
        if let Event::WorkFailed { .. } = event {
            println!("{event}");
        }
    };
    w.options().disk_limit(limit).listener(Arc::new(tell))
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
        assert!(w.fs.used() <= limit, "{} bytes are used under {limit}", w.fs.used());
        assert_same(&db, &model);
        drop(db);
        let db = Db::open(DIR, w.options().disk_limit(100 << 20)).unwrap();
        assert_same(&db, &model);
        put_when_there_is_room(w, &db, "k");
    });
}

/// Puts new values at random keys until the limit refuses one, or as many as fill it several times.
fn put_until_refused(db: &Db, model: &mut Model, rng: &mut Rng, keys: usize) {
    for _ in 0..4_000 {
        let (key, value) = (key(rng.below(keys)), noise(rng));
        match db.put(&key, &value) {
            Ok(()) => model.insert(key, value),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoSpace);
                assert!(error.to_string().contains("disk_limit"), "{error}");
                return;
            }
        };
    }
}

#[test]
fn a_store_stays_within_its_disk_limit_and_deletes_make_room() {
    every_setting(|w| {
        let limit = 4 << 20;
        // The disk has no more: whatever passes the limit at any moment fails.
        let w = w.on(MemFs::with_capacity(limit));
        let db = Db::open(DIR, limited(&w, limit)).unwrap();
        let (mut model, mut rng) = (Model::new(), Rng::new(8));
        for round in 0..2 {
            put_until_refused(&db, &mut model, &mut rng, 100_000);
            let bytes: usize = model.values().map(Vec::len).sum();
            assert!(bytes > 600 << 10, "round {round}: only {bytes} bytes fit under {limit}");
            let deleted: Vec<Vec<u8>> = model.keys().step_by(2).cloned().collect();
            for key in deleted {
                db.delete(&key).unwrap();
                model.remove(&key);
            }
            // Neither a compaction nor an open in between.
            retry_put(&db, b"after", b"v");
            model.insert(b"after".to_vec(), b"v".to_vec());
            assert_same(&db, &model);
        }
        assert_eq!(figure(&db, "kv_background_errors_total"), 0);
        db.delete_range::<&[u8]>(..).unwrap();
        retry_put(&db, b"last", b"v");
        assert_eq!(keys(db.iter()), ["last"]);
        assert!(db.verify().unwrap().is_ok());
    });
}

#[test]
fn overwriting_goes_on_under_a_disk_limit() {
    every_setting(|w| {
        let limit = 4 << 20;
        let w = w.on(MemFs::with_capacity(limit));
        let db = Db::open(DIR, limited(&w, limit)).unwrap();
        let (mut model, mut rng) = (Model::new(), Rng::new(9));
        for _ in 0..3_000 {
            // A twentieth of the limit is alive.
            let (key, value) = (key(rng.below(100)), noise(&mut rng));
            retry_put(&db, &key, &value);
            model.insert(key, value);
        }
        assert_same(&db, &model);
        assert_eq!(figure(&db, "kv_background_errors_total"), 0);
    });
}

/// A run of writes of every kind under a limit, on a disk that has no more than that: whatever passes
/// it at any moment, also in the background, fails and is counted.
struct Run {
    w: World,
    limit: u64,
    capacity: u64,
    db: Option<Db>,
    model: Model,
    rng: Rng,
}

impl Run {
    fn new(w: &World, limit: u64, seed: u64) -> Run {
        // What its documentation says.
        let capacity = if limit < 1 << 20 { limit + (128 << 10) } else { limit };
        let w = w.on(MemFs::with_capacity(capacity));
        let (model, rng) = (Model::new(), Rng::new(seed));
        let mut run = Run { w, limit, capacity, db: None, model, rng };
        run.open();
        run
    }

    fn open(&mut self) {
        self.close();
        self.db = Some(Db::open(DIR, limited(&self.w, self.limit)).unwrap());
    }

    fn close(&mut self) {
        if let Some(db) = self.db.take() {
            assert_eq!(figure(&db, "kv_background_errors_total"), 0);
            db.close().unwrap();
        }
    }

    fn db(&self) -> &Db {
        self.db.as_ref().unwrap()
    }

    fn value(&mut self) -> Vec<u8> {
        let len = if self.rng.chance(30) { self.rng.below(6_000) } else { self.rng.below(300) };
        (0..len).map(|_| (self.rng.next() >> 56) as u8).collect()
    }

    /// Answers whether it was taken.
    fn put(&mut self, keys: usize) -> bool {
        let (key, value) = (key(self.rng.below(keys)), self.value());
        match self.db().put(&key, &value) {
            Ok(()) => {
                self.model.insert(key, value);
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoSpace);
                assert!(error.to_string().contains("disk_limit"), "{error}");
                false
            }
        }
    }

    /// Puts until the limit refuses one.
    fn fill(&mut self) {
        let puts = (0..5_000).take_while(|_| self.put(1_000_000)).count();
        assert!(puts < 5_000, "{} was never full", self.limit);
        let bytes: usize = self.model.values().map(Vec::len).sum();
        assert!(bytes as u64 > self.limit / 4, "only {bytes} bytes fit under {}", self.limit);
    }

    fn step(&mut self) {
        let keys = 2_000;
        match self.rng.below(1_000) {
            0..700 => drop(self.put(keys)),
            700..800 => drop(self.put(20)),
            800..950 => {
                // Some are not there.
                let key = key(self.rng.below(2 * keys));
                match self.db().delete(&key) {
                    Ok(()) => drop(self.model.remove(&key)),
                    // Hardly more than the logs take.
                    Err(error) => assert!(self.limit <= 64 << 10, "{error}"),
                }
            }
            950..970 => {
                let from = self.rng.below(keys);
                let (from, to) = (key(from), key(from + self.rng.below(100)));
                match self.db().delete_range(&from[..]..&to[..]) {
                    Ok(()) => self.model.retain(|key, _| *key < from || *key >= to),
                    Err(error) => assert!(self.limit <= 64 << 10, "{error}"),
                }
            }
            970..990 => self.db().flush().unwrap(),
            990..995 => self.db().compact().unwrap(),
            995..998 => self.open(),
            _ => assert_same(self.db(), &self.model),
        }
        let used = self.w.fs.used();
        assert!(used <= self.capacity, "{used} bytes are used under {}", self.limit);
    }
}

#[test]
fn whatever_is_written_a_store_stays_within_its_disk_limit_and_comes_back_from_it() {
    for (seed, limit) in [(1, 1 << 20), (2, 2_500_000)] {
        every_setting(|w| {
            let mut run = Run::new(w, limit, seed);
            for _ in 0..1_500 {
                run.step();
            }
            run.fill();
            assert_same(run.db(), &run.model);
            run.open();
            // The way out: key by key, as far as nothing is left.
            for (key, _) in std::mem::take(&mut run.model) {
                run.db().delete(&key).unwrap();
                run.db().delete([&key[..], b"absent"].concat()).unwrap();
            }
            run.db().compact().unwrap();
            run.fill();
            assert_same(run.db(), &run.model);
            run.close();
        });
    }
}

#[test]
fn the_smallest_limits_are_passed_by_little() {
    for (seed, limit) in [(5, 64 << 10), (6, 200_000)] {
        every_setting(|w| {
            let mut run = Run::new(w, limit, seed);
            for _ in 0..500 {
                run.step();
            }
            assert_same(run.db(), &run.model);
            run.close();
        });
    }
}

#[test]
fn deletes_of_what_is_not_there_do_not_pass_the_disk_limit() {
    every_setting(|w| {
        let mut run = Run::new(w, 1 << 20, 4);
        run.fill();
        for i in 0..15_000 {
            run.db().delete(format!("not there {i}")).unwrap();
            let used = run.w.fs.used();
            assert!(used <= run.limit, "{used} bytes are used after {i} deletes");
        }
        assert_same(run.db(), &run.model);
        run.close();
    });
}

#[test]
fn on_real_files_too() {
    let temp = TempDir::new();
    let limit = 4 << 20;
    let options = || Options::default().disk_limit(limit).sync_on_write(false);
    let used = || -> u64 {
        let files = std::fs::read_dir(temp.db()).unwrap().map(|entry| entry.unwrap().metadata());
        // One that went since it was listed takes nothing.
        files.map(|metadata| metadata.map_or(0, |metadata| metadata.len())).sum()
    };
    let mut db = Db::open(temp.db(), options()).unwrap();
    let (mut model, mut rng) = (Model::new(), Rng::new(11));
    for round in 0..3 {
        let refused = (0..5_000).find_map(|i| {
            let (key, value) = (key(rng.below(20_000)), noise(&mut rng));
            let outcome = db.put(&key, &value);
            if outcome.is_ok() {
                model.insert(key, value);
            }
            assert!(i % 16 > 0 || used() <= limit, "{} bytes are used", used());
            outcome.err()
        });
        assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::NoSpace), "round {round}");
        let bytes: usize = model.values().map(Vec::len).sum();
        assert!(bytes as u64 > limit * 2 / 5, "only {bytes} bytes fit under {limit}");
        drop(db);
        db = Db::open(temp.db(), options()).unwrap();
        assert_same(&db, &model);
        for key in model.keys().step_by(2).cloned().collect::<Vec<_>>() {
            db.delete(&key).unwrap();
            model.remove(&key);
        }
        db.compact().unwrap();
        assert!(used() <= limit, "{} bytes are used", used());
    }
    assert_eq!(figure(&db, "kv_background_errors_total"), 0);
    assert_same(&db, &model);
}

#[test]
fn a_store_over_a_lower_disk_limit_opens_and_deletes_bring_it_under_it() {
    every_setting(|w| {
        let mut model = Model::new();
        let mut rng = Rng::new(12);
        let db = w.open();
        for i in 0..1_000 {
            let value = noise(&mut rng);
            db.put(key(i), &value).unwrap();
            model.insert(key(i), value);
        }
        drop(db);
        let limit = 1_500_000;
        let db = Db::open(DIR, w.options().disk_limit(limit)).unwrap();
        assert_eq!(refused(db.put("k", "v")).kind(), ErrorKind::NoSpace);
        assert_same(&db, &model);
        for key in model.keys().take(800).cloned().collect::<Vec<_>>() {
            db.delete(&key).unwrap();
            model.remove(&key);
        }
        retry_put(&db, b"k", b"v");
        model.insert(b"k".to_vec(), b"v".to_vec());
        assert_same(&db, &model);
        db.compact().unwrap();
        drop(db);
        assert!(w.fs.used() < limit, "{} bytes are used under {limit}", w.fs.used());
    });
}
