//! Followers: a consistent moment of a store that somebody else writes, never an older one than before.

use crate::support::*;
use kv_engine::{BackupDir, Backups, Db, ErrorKind, Follower, Options, WriteBatch};
use kv_vfs::Fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn follow(w: &World) -> Follower {
    Follower::open(DIR, w.options()).unwrap()
}

#[test]
fn it_catches_up_with_every_kind_of_change() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        let mut follower = follow(w);
        assert!(!follower.refresh().unwrap());
        for round in 0..5 {
            fill(&db, &mut model, 70, round);
            db.delete_range(key(round)..key(round + 5)).unwrap();
            model.retain(|k, _| k < &key(round) || k >= &key(round + 5));
            assert!(follower.refresh().unwrap());
            assert_same(follower.db(), &model);
            match round {
                1 => db.flush().unwrap(),
                2 => {
                    let pair = [("zz", "ingested")];
                    db.ingest(pair).unwrap();
                    model.insert(b"zz".to_vec(), b"ingested".to_vec());
                }
                3 => db.compact().unwrap(),
                _ => {}
            }
            follower.refresh().unwrap();
            assert_same(follower.db(), &model);
            assert!(!follower.refresh().unwrap());
        }
        let space = db.keyspace("space").unwrap();
        space.put("k", "v").unwrap();
        follower.refresh().unwrap();
        let there = follower.db().keyspace("space").unwrap();
        assert_eq!(text(&there, "k").as_deref(), Some("v"));
        db.drop_keyspace("space").unwrap();
        follower.refresh().unwrap();
        assert!(follower.db().keyspaces().unwrap().is_empty());
        assert_eq!(follower.db().put("k", "v").unwrap_err().kind(), ErrorKind::ReadOnly);
        assert_eq!(text(&there, "k").as_deref(), Some("v"), "its moment stays");
    });
}

#[test]
fn a_moment_stays_whatever_is_removed() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 100, 0);
        db.flush().unwrap();
        let mut follower = follow(w);
        let kept = follower.db().clone();
        let old = model.clone();
        for round in 1..4 {
            fill(&db, &mut model, 100, round);
            db.compact().unwrap();
            follower.refresh().unwrap();
            assert_same(follower.db(), &model);
            assert_same(&kept, &old);
        }
        drop(follower);
        assert_same(&kept, &old);
        drop(db);
        assert_same(&kept, &old);
    });
}

#[test]
fn it_follows_over_reopening_of_the_writer() {
    every_setting(|w| {
        let mut model = Model::new();
        w.open().close().unwrap();
        let mut follower = follow(w);
        for round in 0..4 {
            let db = w.open();
            fill(&db, &mut model, 50, round);
            follower.refresh().unwrap();
            assert_same(follower.db(), &model);
            fill(&db, &mut model, 20, round + 10);
            drop(db);
            follower.refresh().unwrap();
            assert_same(follower.db(), &model);
        }
    });
}

#[test]
fn nothing_in_the_directory_changes_and_nothing_is_locked() {
    let w = World::tiny();
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, 100, 0);
    db.close().unwrap();
    let before = w.files();
    let mut follower = follow(&w);
    follower.refresh().unwrap();
    assert_same(follower.db(), &model);
    drop(follower);
    assert!(w.files() == before);
    assert_eq!(refused(Follower::open("/nowhere", w.options())).kind(), ErrorKind::NotFound);
}

/// Writes numbered batches while followers look: each sees a prefix, whole and never shorter.
fn beside(db: &Db, open: impl Fn() -> Follower + Sync, batches: usize) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looker = || {
            let mut follower = open();
            let (mut last, mut kept) = (0, None);
            loop {
                let end = done.load(Ordering::Acquire);
                follower.refresh().unwrap();
                let now = prefix(follower.db());
                assert!(now >= last, "{now} after {last}");
                if let Some((db, at)) = kept.replace((follower.db().clone(), now)) {
                    assert_eq!(prefix(&db), at);
                }
                last = now;
                if end {
                    return last;
                }
            }
        };
        let first = scope.spawn(looker);
        let second = scope.spawn(looker);
        for i in 1..=batches {
            let mut batch = WriteBatch::new();
            batch.put(format!("a{i:06}"), value(i, 0));
            batch.put("count", i.to_string());
            batch.put(format!("b{i:06}"), value(i, 1));
            db.write(batch).unwrap();
            if i % 500 == 0 {
                db.compact().unwrap();
            }
            if i % 50 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        done.store(true, Ordering::Release);
        assert_eq!(first.join().unwrap(), batches);
        assert_eq!(second.join().unwrap(), batches);
    });
}

/// How many batches a store shows, which are whole.
fn prefix(db: &Db) -> usize {
    let snapshot = db.snapshot();
    let count = text(&snapshot, "count").map_or(0, |count| count.parse().unwrap());
    for side in ["a", "b"] {
        let found = keys(snapshot.prefix(side));
        assert_eq!(found.len(), count);
        assert!((1..=count).zip(found).all(|(i, key)| key == format!("{side}{i:06}")));
    }
    count
}

#[test]
fn beside_a_writer_that_flushes_and_merges_each_look_is_a_prefix() {
    for setting in [SETTINGS[1], SETTINGS[9], SETTINGS[12]] {
        println!("setting: {}", setting.0);
        let w = World::new(setting);
        let db = w.open();
        beside(&db, || follow(&w), 1500);
    }
}

#[test]
fn the_same_on_a_real_directory() {
    let temp = TempDir::new();
    let options = || Options::default().write_buffer(32 << 10).sync_on_write(false);
    let db = Db::open(temp.db(), options()).unwrap();
    beside(&db, || Follower::open(temp.db(), options()).unwrap(), 3000);
}

#[test]
fn a_backup_of_a_kept_moment_holds_nothing_newer() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 20, 0);
        let mut follower = follow(w);
        let (kept, old) = (follower.db().clone(), model.clone());
        fill(&db, &mut model, 10, 1);
        db.delete_range(key(3)..key(9)).unwrap();
        db.put("new", "x").unwrap();
        // The memtable of the kept moment goes on growing.
        follower.refresh().unwrap();
        let fs = || Arc::clone(&w.fs) as Arc<dyn Fs>;
        let backups = Backups::open(BackupDir::on(fs(), "/backups"));
        let point = backups.create(&kept).unwrap();
        let options = || Options::default().file_system(fs());
        backups.restore(point.number(), "/copy", options()).unwrap();
        let copy = Db::open("/copy", options()).unwrap();
        assert_same(&copy, &old);
        assert!(copy.verify().unwrap().is_ok());
        copy.put(key(0), "newest").unwrap();
        assert_eq!(text(&copy, key(0)).as_deref(), Some("newest"));
    });
}

#[test]
fn a_store_in_the_place_of_another_is_not_mixed_with_it() {
    let w = World::plain();
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, 30, 0);
    let mut follower = follow(&w);
    drop(db);
    for name in w.files().into_keys() {
        w.remove(&name);
    }
    let db = w.open();
    fill(&db, &mut Model::new(), 60, 1);
    let error = follower.refresh().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.to_string().contains("replaced"), "{error}");
    assert_same(follower.db(), &model);
}

#[test]
fn a_refresh_answers_what_there_was_beside_ingests() {
    let temp = TempDir::new();
    let db = Db::open(temp.db(), Options::default()).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            let mut follower = Follower::open(temp.db(), Options::default()).unwrap();
            let mut found = follower.db().iter().count();
            while !done.load(Ordering::Acquire) {
                let new = follower.refresh().unwrap();
                let now = follower.db().iter().count();
                assert_eq!(new, now > found, "{now} keys, {found} before");
                found = now;
            }
        });
        for i in 0..100 {
            db.ingest([(key(i), value(i, 0))]).unwrap();
        }
        done.store(true, Ordering::Release);
        looker.join().unwrap();
    });
}
