//! Checks of several users at once: threads, readers beside a writer, other processes.

use super::base::{Pairs, Tally, collect, holds, key, open, options, put, value};
use super::hook::HookFs;
use super::probe::run_probe;
use crate::oracle::DIR;
use anyhow::{Context as _, Result, ensure};
use kv_engine::{Db, ErrorKind, Options};
use kv_vfs::MemFs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Flushes and merges make tables while others are being removed.
pub(super) fn nothing_new_is_removed(tally: &mut Tally) -> Result<()> {
    let disk = MemFs::new();
    // A table lies there for a while before it has a name in the manifest.
    let slow = HookFs::new(disk.clone(), |call, path| {
        if call == "sync" && path.extension().is_some_and(|e| e == "sst") {
            thread::sleep(Duration::from_millis(3));
        }
    });
    let settings = options(slow).sync_on_write(false).background_threads(3).level0_runs(1);
    let db = Db::open(DIR, settings)?;
    let mut model = Pairs::new();
    for n in 0..1500 {
        put(&db, &mut model, n * 7 % 300, n, 200)?;
    }
    db.flush()?;
    tally.trial(holds(&db, &model));
    let report = db.verify()?;
    tally.trial(if report.is_ok() { Ok(()) } else { Err(report.to_string()) });
    drop(db);
    tally.trial(open(disk).map_err(|e| format!("{e:#}")).and_then(|db| holds(&db, &model)));
    Ok(())
}

/// A writer moves its log into tables before each call of a read-only open in turn: the reader
/// sees everything from before it began.
pub(super) fn a_reader_beside_a_writer_sees_one_moment(tally: &mut Tally) -> Result<()> {
    for moment in 1.. {
        let disk = MemFs::new();
        let writer = open(disk.clone())?;
        let mut model = Pairs::new();
        for n in 0..6 {
            put(&writer, &mut model, n, 0, 100)?;
        }
        writer.flush()?;
        for n in 6..10 {
            put(&writer, &mut model, n, 0, 100)?;
        }
        let calls = Arc::new(AtomicU64::new(0));
        let (counted, busy) = (Arc::clone(&calls), writer.clone());
        let fs = HookFs::new(disk, move |_, _| {
            if counted.fetch_add(1, Ordering::Relaxed) + 1 == moment {
                // A failure shows in what the reader sees.
                _ = busy.put(key(10), value(10, 0, 100));
                _ = busy.flush();
            }
        });
        let reader = Db::open(DIR, options(fs).read_only(true));
        let reader = reader.context("a read-only open beside a writer")?;
        let found = collect(reader.iter())?;
        let whole = model.iter().all(|(key, value)| found.get(key) == Some(value));
        tally.trial(match whole && found.len() <= model.len() + 1 {
            true => Ok(()),
            false => Err(format!(
                "a reader sees {} of {} pairs; the writer flushed before its call {moment}",
                found.len(),
                model.len()
            )),
        });
        if calls.load(Ordering::Relaxed) < moment {
            break;
        }
    }
    Ok(())
}

/// An iterator and a snapshot are read on while everything under them is merged away.
pub(super) fn readers_keep_their_tables(tally: &mut Tally) -> Result<()> {
    for threads in [1, 2] {
        let disk = MemFs::new();
        let small = options(disk).table_size(1 << 10).max_open_files(4).memory_budget(64 << 10);
        let db = Db::open(DIR, small.sync_on_write(false).background_threads(threads))?;
        let mut old = Pairs::new();
        for n in 0..200 {
            put(&db, &mut old, n, 0, 150)?;
        }
        db.compact()?;
        let snapshot = db.snapshot();
        let mut iter = db.iter();
        let mut seen = Pairs::new();
        for (key, value) in iter.by_ref().take(5).collect::<kv_engine::Result<Vec<_>>>()? {
            seen.insert(key.to_vec(), value.to_vec());
        }
        let mut new = Pairs::new();
        for round in 1..4 {
            for n in 0..200 {
                put(&db, &mut new, n, round, 150)?;
            }
            db.compact()?;
        }
        let rest = collect(iter).map_err(|e| format!("an iterator lost its table: {e:#}"));
        tally.trial(rest.and_then(|rest| {
            seen.extend(rest);
            if seen == old { Ok(()) } else { Err("an iterator saw another moment".to_owned()) }
        }));
        let kept = collect(snapshot.iter()).map_err(|e| format!("a snapshot: {e:#}"));
        tally.trial(kept.and_then(|kept| match kept == old {
            true => Ok(()),
            false => Err("a snapshot saw another moment".to_owned()),
        }));
        tally.trial(holds(&db, &new));
    }
    Ok(())
}

/// A second opener, by whatever way and name, is refused, and costs the first one nothing.
pub(super) fn there_is_one_opener(tally: &mut Tally) -> Result<()> {
    let temp = tempfile::tempdir()?;
    let dir = temp.path().join("db");
    let db = Db::open(&dir, Options::default())?;
    db.put("key", "value")?;
    let refused = |how: &str, dir: &Path| match Db::open(dir, Options::default()) {
        Err(error) if error.kind() == ErrorKind::Locked => Ok(()),
        Err(error) => Err(format!("{how} failed, but not for the lock: {error}")),
        Ok(_) => Err(format!("{how} was let in")),
    };
    tally.trial(refused("a second handle", &dir));
    let link = temp.path().join("link");
    std::os::unix::fs::symlink(&dir, &link)?;
    tally.trial(refused("a handle by a link", &link));
    tally.trial(refused("a handle by another path", &dir.join("../db/.")));
    let other = |tally: &mut Tally, dir: &Path| -> Result<()> {
        let said = run_probe("open", dir)?;
        tally.trial(match said.stdout.trim() {
            "locked" => Ok(()),
            _ => Err(format!("another process was let in: {}", said.stdout.trim())),
        });
        Ok(())
    };
    other(tally, &dir)?;
    // Whoever opens and closes the file of the lock takes it away from nobody.
    drop(std::fs::File::open(dir.join("LOCK"))?);
    other(tally, &dir)?;
    let moved = temp.path().join("moved");
    std::fs::rename(&dir, &moved)?;
    tally.trial(refused("a handle under the directory's new name", &moved));
    std::fs::rename(&moved, &dir)?;
    db.close()?;
    ensure!(dir.join("LOCK").exists(), "the file of the lock went with its holder");
    let said = run_probe("open", &dir)?;
    tally.trial(match said.stdout.trim() {
        "open" => Ok(()),
        said => Err(format!("the lock outlived its holder: {said}")),
    });
    Ok(())
}

/// Tables are cut short while a store reads them: each read answers, with an error or the truth.
pub(super) fn a_table_cut_short_is_an_error(tally: &mut Tally) -> Result<()> {
    let temp = tempfile::tempdir()?;
    let said = run_probe("cut", &temp.path().join("db"))?;
    tally.trial(match (said.ended.success(), said.stdout.trim()) {
        (true, "errors") => Ok(()),
        (_, said_so) => Err(format!("a process that reads cut tables: {} {said_so}", said.ended)),
    });
    Ok(())
}
