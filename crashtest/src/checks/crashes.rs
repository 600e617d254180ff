//! Checks of what a crash, a full disk or a clock that jumps may leave.

use super::base::{Pairs, Tally, collect, holds, key, open, options, put, value};
use super::hook::HookFs;
use crate::oracle::DIR;
use anyhow::{Context as _, Result};
use kv_engine::Db;
use kv_vfs::{
    Clock, CutFill, CutPolicy, Fault, FaultError, FaultFs, FaultKind, ManualClock, MemFs, OpKind,
};
use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A sync of the log fails and leaves pages that still read back. What the next open shows of them
/// must survive a power cut, whatever that does.
pub(super) fn what_an_open_shows_stays(tally: &mut Tally) -> Result<()> {
    for round in 0..6 {
        let disk = MemFs::new();
        let faults = FaultFs::new(Arc::new(disk.clone()));
        let db = open(faults.clone())?;
        let lost = Fault::new(OpKind::Sync, FaultError::EIO).on(".log").after(round).times(1);
        faults.arm(lost.kind(FaultKind::LostReadable));
        let mut model = Pairs::new();
        for n in 0..10 {
            // What is acknowledged after the failure counts all the more.
            _ = put(&db, &mut model, n, round, 100);
        }
        tally.trial(keeps(disk.crash(), &model).map_err(|e| format!("after a failed sync: {e}")));
        drop(db);
        // Background work waits a moment, so that the cut comes before it.
        let opener = thread::current().id();
        let slow = HookFs::new(disk.clone(), move |call, _| {
            if call == "create" && thread::current().id() != opener {
                thread::sleep(Duration::from_millis(100));
            }
        });
        let db = open(slow)?;
        let shown = collect(db.iter())?;
        let cut = disk.crash();
        drop(db);
        let lost = model.keys().any(|key| !shown.contains_key(key));
        tally.trial(match lost {
            true => Err("an acknowledged write is not there after a failed sync".to_owned()),
            false => Ok(()),
        });
        tally.trial(open(cut).map_err(|e| format!("after a cut: {e:#}")).and_then(|db| {
            holds(&db, &shown).map_err(|e| format!("what an open has shown was lost: {e}"))
        }));
    }
    Ok(())
}

/// After a crash with writes in the log, a store takes four times its memory in new writes within
/// ten seconds.
pub(super) fn writes_go_on_after_a_crash(tally: &mut Tally) -> Result<()> {
    for logged in [1, 30] {
        let disk = MemFs::new();
        let db = open(disk.clone())?;
        let mut model = Pairs::new();
        for n in 0..logged {
            put(&db, &mut model, n, 0, 200)?;
        }
        let cut = disk.crash();
        drop(db);
        let db = open(cut)?;
        let (done, ended) = mpsc::channel();
        thread::spawn(move || {
            let mut model = model;
            let wrote = (0..100).try_for_each(|n| put(&db, &mut model, n, 1, 500));
            let outcome = wrote.and_then(|()| Ok(db.flush()?)).map_err(|e| format!("{e:#}"));
            _ = done.send(outcome.and_then(|()| holds(&db, &model)));
        });
        let stuck = || Err("writes do not go on after a crash: stopped for ten seconds".to_owned());
        tally.trial(ended.recv_timeout(Duration::from_secs(10)).unwrap_or_else(|_| stuck()));
    }
    Ok(())
}

/// The time of day stands still, or jumps by ten years, forward or back.
pub(super) fn a_clock_may_jump(tally: &mut Tally) -> Result<()> {
    const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
    for jump in [-1, 0, 1] {
        let clock = Arc::new(ManualClock::new());
        let disk = MemFs::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        let db = open(disk.clone())?;
        let mut model = Pairs::new();
        for round in 0..6 {
            if round == 2 {
                let now = clock.wall();
                clock.set_wall(match jump {
                    -1 => now - TEN_YEARS,
                    0 => now,
                    _ => now + TEN_YEARS,
                });
            }
            for n in 0..8 {
                put(&db, &mut model, n + round, round, 900)?;
            }
            let cut = disk.crash();
            tally.trial(open(cut).map_err(|e| format!("{e:#}")).and_then(|db| {
                holds(&db, &model).map_err(|e| format!("the clock jumped ({jump}): {e}"))
            }));
        }
    }
    Ok(())
}

/// The disk is full for the tables, and then is not: nothing is lost, and reads never fail.
pub(super) fn a_full_disk_heals(tally: &mut Tally) -> Result<()> {
    for op in [OpKind::Create, OpKind::Write, OpKind::Sync] {
        for path in [".sst", "MANIFEST"] {
            let disk = MemFs::new();
            let faults = FaultFs::new(Arc::new(disk.clone()));
            let db = open(faults.clone())?;
            let mut model = Pairs::new();
            put(&db, &mut model, 1, 0, 100)?;
            faults.arm(Fault::new(op, io::ErrorKind::StorageFull).on(path));
            // Whether each of these succeeds is another matter.
            for n in 0..40 {
                _ = put(&db, &mut model, n, 1, 300);
            }
            _ = db.flush();
            tally.trial(holds(&db, &model).map_err(|e| format!("while the disk is full: {e}")));
            let cut = keeps(disk.crash(), &model);
            tally.trial(cut.map_err(|e| format!("{op:?} of {path} failed, power was cut: {e}")));
            drop(db);
            let reopened = open(disk.clone()).map_err(|e| format!("{e:#}"));
            tally.trial(reopened.and_then(|db| still_works(&db, &mut model)).map_err(|e| {
                format!("after {op:?} of {path} found the disk full, with space again: {e}")
            }));
        }
    }
    Ok(())
}

/// Whether what is acknowledged is there.
fn keeps(disk: MemFs, model: &Pairs) -> std::result::Result<(), String> {
    let found = open(disk).and_then(|db| collect(db.iter())).map_err(|e| format!("{e:#}"))?;
    let lost = model.iter().filter(|(key, value)| found.get(*key) != Some(value)).count();
    if lost == 0 { Ok(()) } else { Err(format!("{lost} acknowledged writes are lost")) }
}

/// Whether a store holds `model`, and takes and keeps another write. A write that was refused may
/// be there all the same: its key is known, and its value the one that was tried.
fn still_works(db: &Db, model: &mut Pairs) -> std::result::Result<(), String> {
    let found = collect(db.iter()).map_err(|e| format!("{e:#}"))?;
    for n in 0..40 {
        let tried = value(n, 1, 300);
        if found.get(&key(n)) == Some(&tried) {
            model.insert(key(n), tried);
        }
    }
    holds(db, model)?;
    put(db, model, 1000, 2, 100).map_err(|e| format!("{e:#}"))?;
    db.flush().map_err(|e| e.to_string())?;
    holds(db, model)
}

/// Blocks of a removed log lie behind the end of a new one, record for record: none of it returns.
pub(super) fn old_blocks_stay_dead(tally: &mut Tally) -> Result<()> {
    // Such that each record but the first, which has the start record before it, fills a sector.
    let len = |n: u64| if n.is_multiple_of(8) { 914 } else { 462 };
    let disk = MemFs::new();
    let settings = options(disk.clone()).sync_on_write(false).write_buffer(64 << 10);
    let db = Db::open(DIR, settings)?;
    let mut model = Pairs::new();
    for n in 0..8 {
        put(&db, &mut model, n, 0, len(n))?;
    }
    db.flush()?;
    db.delete_range::<&[u8]>(..)?;
    db.flush()?;
    let mut states = vec![Pairs::new()];
    for n in 8..16 {
        let mut next = states.last().context("there is a state")?.clone();
        put(&db, &mut next, n, 0, len(n))?;
        states.push(next);
    }
    let stale = CutPolicy::ALL.iter().copied().filter(|policy| policy.fill == CutFill::Stale);
    for policy in stale {
        for seed in 0..300 {
            let opened = open(disk.power_cut(policy, seed));
            let found = opened.and_then(|db| collect(db.iter())).map_err(|e| format!("{e:#}"));
            let outcome = found.and_then(|found| match states.contains(&found) {
                true => Ok(()),
                false => Err(format!("{} pairs are there that no moment had", found.len())),
            });
            tally.trial(outcome.map_err(|e| format!("{e} [{policy}, seed {seed}]")));
        }
    }
    Ok(())
}
