//! Power cuts: what was synced is there, and what is there is a prefix of what was written.

use crate::cutting::{CuttingFs, Survivors};
use crate::support::*;
use kv_engine::{Db, Durability, Options, WriteBatch};
use kv_vfs::{MemFs, PendingOp};
use std::sync::Arc;

#[test]
fn a_synced_write_survives() {
    every_setting(|w| {
        let db = Db::open(DIR, w.options().sync_on_write(true)).unwrap();
        let mut model = Model::new();
        for i in 0..60 {
            db.put(key(i), value(i, 0)).unwrap();
            model.insert(key(i), value(i, 0));
            if i % 3 == 2 {
                db.delete(key(i - 1)).unwrap();
                model.remove(&key(i - 1));
            }
            if i % 10 == 9 {
                db.delete_range(key(i - 5)..key(i - 3)).unwrap();
                model.retain(|k, _| k < &key(i - 5) || k >= &key(i - 3));
            }
            if i % 6 == 0 {
                assert_same(&w.after_power_cut().open(), &model);
            }
        }
    });
}

#[test]
fn a_synced_batch_survives_whole_in_every_keyspace() {
    every_setting(|w| {
        let db = Db::open(DIR, w.options().sync_on_write(false)).unwrap();
        let space = db.keyspace("space").unwrap();
        let mut batch = WriteBatch::new();
        for i in 0..50 {
            batch.put(key(i), value(i, 0));
        }
        batch.within(&space).put("k", "v");
        db.write_with(batch, Durability::Sync).unwrap();
        let db = w.after_power_cut().open();
        assert_eq!(pairs(db.iter()).len(), 50);
        assert_eq!(db.keyspaces().unwrap(), ["space"]);
        assert_eq!(text(&db.keyspace("space").unwrap(), "k").as_deref(), Some("v"));
    });
}

#[test]
fn sync_makes_everything_before_it_survive() {
    every_setting(|w| {
        let db = Db::open(DIR, w.options().sync_on_write(false)).unwrap();
        let mut model = Model::new();
        for round in 0..5 {
            fill(&db, &mut model, 60, round);
            db.delete_range(key(round)..key(round + 4)).unwrap();
            model.retain(|k, _| k < &key(round) || k >= &key(round + 4));
            db.sync().unwrap();
            assert_same(&w.after_power_cut().open(), &model);
        }
    });
}

#[test]
fn one_synced_write_takes_all_unsynced_ones_before_it_along() {
    every_setting(|w| {
        let db = Db::open(DIR, w.options().sync_on_write(false)).unwrap();
        let mut model = Model::new();
        fill(&db, &mut model, 150, 0);
        let mut batch = WriteBatch::new();
        batch.put("last", "synced");
        db.write_with(batch, Durability::Sync).unwrap();
        model.insert(b"last".to_vec(), b"synced".to_vec());
        assert_same(&w.after_power_cut().open(), &model);
    });
}

#[test]
fn flush_compact_and_close_make_it_survive() {
    every_setting(|w| {
        let options = || w.options().sync_on_write(false);
        let mut model = Model::new();
        let db = Db::open(DIR, options()).unwrap();
        fill(&db, &mut model, 80, 0);
        db.flush().unwrap();
        assert_same(&w.after_power_cut().open(), &model);
        fill(&db, &mut model, 80, 1);
        db.compact().unwrap();
        assert_same(&w.after_power_cut().open(), &model);
        fill(&db, &mut model, 80, 2);
        db.close().unwrap();
        assert_same(&w.after_power_cut().open(), &model);
    });
}

#[test]
fn creating_and_dropping_a_keyspace_survive_like_writes() {
    every_setting(|w| {
        let db = Db::open(DIR, w.options().sync_on_write(true)).unwrap();
        let space = db.keyspace("a").unwrap();
        assert_eq!(w.after_power_cut().open().keyspaces().unwrap(), ["a"]);
        space.put("k", "v").unwrap();
        db.drop_keyspace("a").unwrap();
        assert!(w.after_power_cut().open().keyspaces().unwrap().is_empty());
        db.keyspace("a").unwrap();
        let again = w.after_power_cut().open();
        assert!(pairs(again.keyspace("a").unwrap().iter()).is_empty());
    });
}

/// The writes of step `i`, in one batch: a key of its own, one that all share, and a delete.
fn step(i: usize) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(key(i), value(i, 0));
    batch.put("last", i.to_string());
    if i % 5 == 4 {
        batch.delete(key(i - 2));
    }
    if i % 11 == 10 {
        batch.delete_range(key(i - 8)..key(i - 6));
    }
    batch
}

/// The store after the first `count` steps.
fn after_steps(count: usize) -> Model {
    let mut model = Model::new();
    for i in 0..count {
        model.insert(key(i), value(i, 0));
        model.insert(b"last".to_vec(), i.to_string().into_bytes());
        if i % 5 == 4 {
            model.remove(&key(i - 2));
        }
        if i % 11 == 10 {
            model.retain(|k, _| k < &key(i - 8) || k >= &key(i - 6));
        }
    }
    model
}

/// How many steps a store holds; fails where it holds anything but the first so many.
#[track_caller]
fn steps_in(db: &Db, what: &str) -> usize {
    let count = text(db, "last").map_or(0, |last| last.parse::<usize>().unwrap() + 1);
    let expected: Pairs = after_steps(count).into_iter().collect();
    assert!(pairs(db.iter()) == expected, "{what}: not the first {count} steps");
    count
}

/// Ways in which a disk keeps or loses what was not synced.
pub(crate) fn survivors(policy: usize, seed: u64) -> Survivors {
    let mut rng = Rng::new(seed);
    match policy {
        0 => Box::new(|_| false),
        1 => Box::new(|_| true),
        2 => Box::new(move |_| rng.chance(50)),
        // Names reach the disk and contents do not, and the other way round.
        3 => Box::new(|op| !matches!(op, PendingOp::Write(..) | PendingOp::SetLen(..))),
        4 => Box::new(|op| matches!(op, PendingOp::Write(..) | PendingOp::SetLen(..))),
        // Lengths without the bytes.
        5 => Box::new(|op| !matches!(op, PendingOp::Write(..))),
        _ => Box::new(move |_| rng.chance(90)),
    }
}

pub(crate) const POLICIES: usize = 7;

#[test]
fn what_survives_is_a_prefix_and_is_kept_from_then_on() {
    every_setting(|w| {
        let mut rng = Rng::new(1);
        for policy in 0..POLICIES {
            let mut world = w.on(MemFs::new());
            let mut count = 0;
            for round in 0..4 {
                let db = Db::open(DIR, world.options().sync_on_write(false)).unwrap();
                let what = format!("policy {policy}, round {round}");
                assert_eq!(steps_in(&db, &what), count, "{what}: rolled back after it was shown");
                let mut synced = count;
                let until = count + 20 + rng.below(30);
                for i in count..until {
                    let durability = if rng.chance(8) { Durability::Sync } else { Durability::Os };
                    db.write_with(step(i), durability).unwrap();
                    if durability == Durability::Sync {
                        synced = i + 1;
                    }
                    if rng.chance(3) {
                        db.flush().unwrap();
                        synced = i + 1;
                    }
                }
                world = world.on(world.fs.crash_with(&mut survivors(policy, rng.next())));
                drop(db);
                let db = world.open();
                count = steps_in(&db, &what);
                assert!(count >= synced, "{what}: {synced} were synced and {count} are left");
                assert!(count <= until);
                // What this open showed may not go away in the next cut.
                let cut = world.after_power_cut();
                assert_eq!(steps_in(&cut.open(), &what), count, "{what}: a second cut");
                drop(db);
            }
        }
    });
}

/// Steps with flushes, a compaction and reopening in between; `acknowledged` is told each.
fn workload(options: &Options, acknowledged: &mut dyn FnMut(usize)) {
    let mut i = 0;
    for session in 0..2 {
        let db = Db::open(DIR, options.clone()).unwrap();
        for _ in 0..24 {
            let synced = i % 3 == 0;
            let durability = if synced { Durability::Sync } else { Durability::Os };
            db.write_with(step(i), durability).unwrap();
            i += 1;
            if synced {
                acknowledged(i);
            }
            match (session, i % 24) {
                (0, 10) => db.flush().unwrap(),
                (0, 18) => db.compact().unwrap(),
                (1, 12) => db.compact().unwrap(),
                _ => continue,
            }
            acknowledged(i);
        }
        if session == 0 {
            db.close().unwrap();
            acknowledged(i);
        }
    }
}

/// Opens what a cut left, checks it, and checks that another cut right then takes nothing.
fn holds_a_prefix(disk: &MemFs, acknowledged: usize, what: &str) -> usize {
    let open = |disk: &MemFs| {
        let options = small().file_system(Arc::new(disk.clone()));
        Db::open(DIR, options).unwrap_or_else(|e| panic!("{what}: {e}"))
    };
    let db = open(disk);
    let count = steps_in(&db, what);
    assert!(count >= acknowledged, "{what}: {count} of {acknowledged} steps are left");
    let again = open(&disk.crash());
    assert_eq!(steps_in(&again, what), count, "{what}: after a second cut");
    db.put("alive", "1").unwrap();
    count
}

fn small() -> Options {
    Options::default().write_buffer(4 << 10).background_threads(1)
}

#[test]
fn a_cut_at_any_operation_leaves_a_prefix() {
    let on = |fs: &CuttingFs| small().file_system(Arc::new(fs.clone()));
    let whole = CuttingFs::counting(MemFs::new());
    workload(&on(&whole), &mut |_| {});
    let operations = whole.operations();
    assert!(operations > 100, "only {operations} operations");
    let mut rng = Rng::new(77);
    for at in 0..operations {
        let policy = rng.below(POLICIES);
        let fs = CuttingFs::new(MemFs::new(), at, survivors(policy, rng.next()));
        let told = fs.clone();
        workload(&on(&fs), &mut |count| told.acknowledge(count));
        // Background work comes in another order each time, so the last cuts may not be reached.
        let Some((disk, acknowledged)) = fs.cut() else { continue };
        holds_a_prefix(&disk, acknowledged, &format!("operation {at}, policy {policy}"));
    }
}

#[test]
fn a_cut_at_any_operation_of_recovery_takes_nothing() {
    let disk = MemFs::new();
    let db = Db::open(DIR, small().file_system(Arc::new(disk.clone()))).unwrap();
    for i in 0..40 {
        db.write_with(step(i), Durability::Sync).unwrap();
        if i == 20 {
            db.flush().unwrap();
        }
    }
    let crashed = disk.crash();
    drop(db);
    let open = |fs: &CuttingFs| {
        drop(Db::open(DIR, small().file_system(Arc::new(fs.clone()))).unwrap());
    };
    let whole = CuttingFs::counting(crashed.crash());
    open(&whole);
    let mut rng = Rng::new(78);
    for at in 0..whole.operations() {
        for policy in 0..POLICIES {
            let fs = CuttingFs::new(crashed.crash(), at, survivors(policy, rng.next()));
            open(&fs);
            let Some((disk, _)) = fs.cut() else { continue };
            let what = format!("operation {at} of recovery, policy {policy}");
            assert_eq!(holds_a_prefix(&disk, 40, &what), 40, "{what}");
        }
    }
}

#[test]
fn a_cut_at_any_operation_of_creation_leaves_an_empty_store_or_nothing() {
    let open = |fs: &CuttingFs| {
        drop(Db::open(DIR, small().file_system(Arc::new(fs.clone()))).unwrap());
    };
    let whole = CuttingFs::counting(MemFs::new());
    open(&whole);
    let mut rng = Rng::new(79);
    for at in 0..whole.operations() {
        for policy in 0..POLICIES {
            let fs = CuttingFs::new(MemFs::new(), at, survivors(policy, rng.next()));
            open(&fs);
            let Some((disk, _)) = fs.cut() else { continue };
            let what = format!("operation {at} of creation, policy {policy}");
            assert_eq!(holds_a_prefix(&disk, 0, &what), 0);
        }
    }
}
