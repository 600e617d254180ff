//! Checks of what failing calls do.

use super::base::{Pairs, Tally, collect, holds, key, open, options, put};
use super::hook::HookFs;
use crate::oracle::DIR;
use crate::settings::Settings;
use anyhow::{Context as _, Result, anyhow};
use kv_engine::{Cursor, Db};
use kv_vfs::testing::set_manifest_slack;
use kv_vfs::{Fault, FaultError, FaultFs, Fs, MemFs, OpKind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Several threads write; a write or a sync of the log fails for a whole group. Whoever was told
/// that a write is durable finds it after a power cut.
pub(super) fn a_group_fails_as_one(tally: &mut Tally) -> Result<()> {
    for round in 0..24 {
        let disk = MemFs::new();
        // Slow calls let groups come together.
        let slow = HookFs::new(disk.clone(), |call, path| {
            if matches!(call, "sync" | "write") && path.extension().is_some_and(|e| e == "log") {
                thread::sleep(Duration::from_millis(1));
            }
        });
        let faults = FaultFs::new(Arc::new(slow));
        let db = Db::open(DIR, options(faults.clone()).write_buffer(1 << 20))?;
        let op = if round % 2 == 0 { OpKind::Sync } else { OpKind::Write };
        faults.arm(Fault::new(op, FaultError::EIO).on(".log").after(3 + round).times(1));
        let model = Mutex::new(Pairs::new());
        thread::scope(|scope| {
            for writer in 0..6 {
                let (db, model) = (&db, &model);
                scope.spawn(move || {
                    for n in 0..30 {
                        let mut mine = Pairs::new();
                        if put(db, &mut mine, writer * 1000 + n, round, 50).is_err() {
                            break;
                        }
                        model.lock().unwrap_or_else(PoisonError::into_inner).append(&mut mine);
                    }
                });
            }
        });
        let cut = disk.crash();
        drop(db);
        let found = collect(open(cut)?.iter())?;
        let model = model.into_inner().unwrap_or_else(PoisonError::into_inner);
        let lost = model.keys().filter(|key| !found.contains_key(*key)).count();
        tally.trial(match lost {
            0 => Ok(()),
            lost => Err(format!("{lost} acknowledged writes of a failed group are lost")),
        });
    }
    Ok(())
}

/// A store of many small tables, on several levels, that reads with few files and little cache.
fn many_tables(disk: &MemFs, faults: &FaultFs) -> Result<(Db, Pairs)> {
    let mut model = Pairs::new();
    let settings = || options(disk.clone()).table_size(2 << 10).level0_runs(64);
    let db = Db::open(DIR, settings())?;
    for n in 0..120 {
        put(&db, &mut model, n * 2, 0, 120)?;
    }
    db.compact()?;
    for round in 1..4 {
        for n in 0..15 {
            put(&db, &mut model, n * 11 + round, round, 120)?;
        }
        db.flush()?;
    }
    db.close()?;
    let settings = options(faults.clone()).table_size(2 << 10).level0_runs(64);
    let db = Db::open(DIR, settings.max_open_files(4).memory_budget(64 << 10))?;
    Ok((db, model))
}

/// A read fails under a cursor: it says so, says so again, and never leaves anything out.
pub(super) fn a_cursor_repeats_its_error(tally: &mut Tally) -> Result<()> {
    let disk = MemFs::new();
    let faults = FaultFs::new(Arc::new(disk.clone()));
    let (db, model) = many_tables(&disk, &faults)?;
    for after in 0..60 {
        let mut cursor = db.cursor();

        faults.arm(Fault::new(OpKind::Read, FaultError::EIO).on(".sst").after(after).times(1));
        let outcome = walk(&mut cursor, &model);
        faults.disarm();
        tally.trial(outcome);
        cursor.first().context("a cursor is placed again")?;
        tally.trial(holds(&db, &model));
    }
    Ok(())
}

/// Walks to the end or an error; after an error it must be repeated.
fn walk(cursor: &mut Cursor, model: &Pairs) -> std::result::Result<(), String> {
    let mut moved = cursor.first();
    for (key, value) in model {
        if moved.is_err() {
            return match (cursor.next(), cursor.next()) {
                (Err(_), Err(_)) if !cursor.valid() => Ok(()),
                _ => Err("a cursor went on after an error".to_owned()),
            };
        }
        if !cursor.valid() || cursor.key() != &key[..] || cursor.value() != &value[..] {
            return Err("a cursor left a key out".to_owned());
        }
        moved = cursor.next();
    }
    Ok(())
}

/// A read fails in a merge: the merge fails, and every pair stays.
pub(super) fn a_merge_that_fails_changes_nothing(tally: &mut Tally) -> Result<()> {
    for after in 0..30 {
        let disk = MemFs::new();
        let faults = FaultFs::new(Arc::new(disk.clone()));
        let (db, model) = many_tables(&disk, &faults)?;

        faults.arm(Fault::new(OpKind::Read, FaultError::EIO).on(".sst").after(after).times(1));
        // Whether it notices is not the point: a background merge may have met the fault.
        _ = db.compact();
        faults.disarm();
        tally.trial(holds(&db, &model).map_err(|e| format!("a merge met a read error: {e}")));
        drop(db);
        tally.trial(holds(&open(disk)?, &model).map_err(|e| format!("and after an open: {e}")));
    }
    Ok(())
}

/// Each call fails in turn while new manifests are begun all the time: the store opens, with all
/// that was acknowledged, whether power is cut or not.
pub(super) fn a_manifest_that_fails_to_roll_stays(tally: &mut Tally) -> Result<()> {
    set_manifest_slack(0);
    let outcome = (0..60).try_for_each(|nth| {
        for path in ["MANIFEST", "CURRENT"] {
            let disk = MemFs::new();
            let faults = FaultFs::new(Arc::new(disk.clone()));
            let db = open(faults.clone())?;
            faults.arm(Fault::nth(nth).on(path));
            let mut model = Pairs::new();
            for n in 0..24 {
                _ = put(&db, &mut model, n, 0, 100);
                if n % 3 != 2 {
                    continue;
                }
                _ = db.flush();
                for (how, fs) in [("cut", disk.crash()), ("end", disk.crash_with(&mut |_| true))] {
                    let opened = open(fs).and_then(|db| collect(db.iter()));
                    let kept = opened.and_then(|found| {
                        let whole = model.iter().all(|(key, value)| found.get(key) == Some(value));
                        whole.then_some(()).ok_or_else(|| anyhow!("an acknowledged write is lost"))
                    });
                    tally.trial(kept.map_err(|e| {
                        format!("after the {how}; call {nth} on {path} had failed: {e:#}")
                    }));
                }
            }
        }
        Ok(())
    });
    set_manifest_slack(u64::MAX);
    outcome
}

/// A read fails in an open or in the scan behind it: an error, or the truth, and nothing is lost.
pub(super) fn a_failed_read_hides_nothing(tally: &mut Tally) -> Result<()> {
    let open = |fs: Arc<dyn Fs>| Db::open(DIR, Settings::quiet().options(fs)).context("an open");
    let disk = MemFs::new();
    let db = open(Arc::new(disk.clone()))?;
    let mut model = Pairs::new();
    for n in 0..30 {
        put(&db, &mut model, n, 0, 100)?;
    }
    db.flush()?;
    // As long as it is held, no merge takes the tombstone for what it deletes.
    let held = db.snapshot();
    db.delete_range(key(5)..key(25))?;
    db.flush()?;
    model.retain(|found, _| !(key(5)..key(25)).contains(found));
    for n in 40..45 {
        put(&db, &mut model, n, 0, 100)?;
    }
    let left = disk.crash();
    drop((held, db));
    // More than there are reads.
    for after in 0..60 {
        let fs = left.crash();
        let faults = FaultFs::new(Arc::new(fs.clone()));
        faults.arm(Fault::new(OpKind::Read, FaultError::EIO).after(after).times(1));
        if let Ok(found) = open(Arc::new(faults)).and_then(|db| collect(db.iter())) {
            tally.trial(match found == model {
                true => Ok(()),
                false => Err(format!("read {after} failed, and other pairs are shown")),
            });
        }
        let again =
            open(Arc::new(fs)).map_err(|e| format!("{e:#}")).and_then(|db| holds(&db, &model));
        tally.trial(again.map_err(|e| format!("read {after} had failed in an open: {e}")));
    }
    Ok(())
}

/// A cursor turns around again and again.
pub(super) fn a_cursor_turns_anywhere(tally: &mut Tally) -> Result<()> {
    let disk = MemFs::new();
    let faults = FaultFs::new(Arc::new(disk.clone()));
    let (db, model) = many_tables(&disk, &faults)?;
    let keys: Vec<&Vec<u8>> = model.keys().collect();
    let mut rng = crate::rng::Rng::new(1);
    let mut cursor = db.cursor();
    cursor.first()?;
    let mut at = 0;
    for _ in 0..3000 {
        let forward = rng.chance(55);
        let moved = if forward { cursor.next() } else { cursor.prev() };
        moved?;
        at = if forward { at + 1 } else { usize::wrapping_sub(at, 1) };
        let expected = keys.get(at).map(|key| key.as_slice());
        let shown = cursor.valid().then(|| cursor.key());
        tally.trial(match shown == expected {
            true => Ok(()),
            false => Err("a cursor that turned shows another key than the next".to_owned()),
        });
        if expected.is_none() {
            cursor.first()?;
            at = 0;
        }
    }
    Ok(())
}
