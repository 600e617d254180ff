//! Rebuilds what is readable of a damaged store in a new directory. The old one is only read.
//!
//! All tables that count and all whole records of the logs are merged into one sorted run: of
//! each key the newest version that can be read, unless it is a delete or under a newer range
//! delete. Which tables count, the manifest says where it can be read; else every table in the
//! directory is taken that no readable record of the manifest declares dead. Blocks of a table
//! whose index is damaged are found by their checksums. Memory is bounded by the options, one
//! block for each run of tables, and the range deletes; open files by `max_open_files`. What the
//! operating system refuses to open or to read is not damage: it ends the repair.
//!
//! `sources` decides what is read, `logs` turns logs into tables, `merge` joins all, `names` sees
//! to it that every keyspace can be reached, `target` guards the old store and the new one.

mod logs;
mod merge;
mod names;
mod on_demand;
mod report;
mod sources;
mod target;
mod values;

pub use report::RepairReport;

use crate::db::Db;
use crate::error::{Error, ErrorKind, Result};
use crate::limiter::Limiter;
use crate::open::{Opening, new_db_id};
use crate::options::Options;
use crate::output::{Made, TableMaker};
use crate::values::LONG_VALUE;
use kv_manifest::{Examined, FileName, LEVELS, Manifest, State, VersionEdit, examine};
use kv_vfs::{Fs, FsLock};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How far long work has come, in bytes of the files that it reads.
///
/// ```
/// # use kv_engine::Progress;
/// fn percent(at: Progress) -> u64 {
///     at.done * 100 / at.total.max(1)
/// }
/// assert_eq!(percent(Progress { done: 1, total: 4 }), 25);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are done.
    pub done: u64,
    /// Bytes in all, as far as known by now.
    pub total: u64,
}

/// Rebuilds what is readable of the store in `from` as a new store in `into`, a directory that
/// must be empty or not there. Nothing in `from` is changed. The report says what was lost; it is
/// also written as text beside `into`, with the ending `.repair.txt`, without keys; where that file
/// is there already, under a name that is free. [`RepairReport::file`] names it.
///
/// The new store has been opened and verified when the call returns. Where it fails, `into` holds
/// no store.
///
/// ```
/// use kv_engine::{Db, Options};
/// # let dir = tempfile::tempdir().unwrap();
/// let (old, new) = (dir.path().join("old"), dir.path().join("new"));
/// Db::open(&old, Options::default())?.put("apple", "red")?;
/// std::fs::remove_file(old.join("CURRENT")).unwrap();
///
/// let report = kv_engine::repair(&old, &new, Options::default())?;
/// println!("{report}");
/// let db = Db::open(&new, Options::default())?;
/// assert_eq!(db.get("apple")?.as_deref(), Some(&b"red"[..]));
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub fn repair(
    from: impl AsRef<Path>,
    into: impl AsRef<Path>,
    options: Options,
) -> Result<RepairReport> {
    repair_with(from, into, options, &mut |_| {})
}

/// [`repair`] that tells how far it has come.
///
/// ```
/// use kv_engine::{Db, Options};
/// # let dir = tempfile::tempdir().unwrap();
/// # let (old, new) = (dir.path().join("old"), dir.path().join("new"));
/// # Db::open(&old, Options::default())?.put("apple", "red")?;
/// kv_engine::repair_with(&old, &new, Options::default(), &mut |progress| {
///     println!("{} of {} bytes", progress.done, progress.total);
/// })?;
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub fn repair_with(
    from: impl AsRef<Path>,
    into: impl AsRef<Path>,
    options: Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<RepairReport> {
    let options = options.read_only(false).create_if_missing(true);
    options.check()?;
    let (from, into) = (from.as_ref(), into.as_ref());
    let fs = Arc::clone(&options.file_system);
    if fs.metadata(from).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
        return Err(sources::nothing(from));
    }
    let _reading = lock_source(&*fs, from)?;
    let examined = examine(&*fs, from)?;
    let found = sources::Found::list(&*fs, from, &examined)?;
    let into = &target::check(&*fs, from, into)?;
    let opening = Opening::new(into, options.clone());
    opening.create_dirs()?;
    let unfinished = target::Unfinished::begin(&*fs, into)?;
    let mut report = RepairReport::default();
    Repair {
        fs: &fs,
        from,
        into,
        options: &options,
        opening: &opening,
        examined: &examined,
        report: &mut report,
        progress: Tally { progress, at: Progress::default() },
    }
    .run(&found)?;
    prove(into, &options)?;
    unfinished.finish(&mut report);
    Ok(report)
}

/// A repair under way.
struct Repair<'a> {
    fs: &'a Arc<dyn Fs>,
    from: &'a Path,
    into: &'a Path,
    options: &'a Options,
    opening: &'a Opening,
    examined: &'a Examined,
    report: &'a mut RepairReport,
    progress: Tally<'a>,
}

/// Counts the bytes that are done.
struct Tally<'a> {
    progress: &'a mut dyn FnMut(Progress),
    at: Progress,
}

impl Tally<'_> {
    fn expect(&mut self, bytes: u64) {
        self.at.total += bytes;
    }

    fn done(&mut self, bytes: u64) {
        self.at.done = (self.at.done + bytes).min(self.at.total);
        (self.progress)(self.at);
    }
}

impl Repair<'_> {
    fn run(mut self, found: &sources::Found) -> Result<()> {
        let limiter = Limiter::new(self.options.rate_limit);
        let numbers = AtomicU64::new(1);
        let maker = TableMaker {
            fs: self.fs,
            dir: self.into,
            options: self.options,
            limiter: &limiter,
            numbers: &numbers,
            long_value: LONG_VALUE,
            warming: None,
        };
        // Its tables are gone when the repair ends.
        let inline = TableMaker { long_value: usize::MAX, ..maker };
        self.report.uncertain = found.uncertain;
        for error in &self.examined.damage {
            self.report.note(error.to_string());
        }
        for note in &found.notes {
            self.report.note(note.clone());
        }
        let mut last_seq = self.examined.last_seq;
        let from_logs = self.read_logs(found, &inline, &mut last_seq)?;
        let mut tables = self.plan_tables(found)?;
        tables.extend(from_logs.iter().map(|meta| sources::Planned::made(meta, self.into)));
        let merged = self.merge(tables, &maker, &mut last_seq)?;
        for meta in &from_logs {
            let path = FileName::Table(meta.number).path(self.into);
            self.fs
                .remove(&path)
                .map_err(|e| Error::io(format!("{}: cannot be removed", path.display()), e))?;
        }
        let named = self.name_spaces(&merged.spaces, &maker, &mut last_seq)?;
        maker.sync_dir()?;
        self.install(merged.made, named, last_seq, &numbers)
    }

    /// Writes the manifest of the new store.
    fn install(&self, merged: Made, named: Made, last_seq: u64, numbers: &AtomicU64) -> Result<()> {
        let last_seq = Some(last_seq);
        let mut edit = VersionEdit { last_seq, ..merged.added(LEVELS - 1) };
        edit.added.extend(named.tables.into_iter().map(|meta| (0, meta)));
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        edit.next_file = Some(numbers.load(Ordering::Relaxed));
        let state = State::new(new_db_id())
            .apply(&edit)
            .map_err(|broken| Error::corrupt(broken.to_string()))?;
        Manifest::create(Arc::clone(self.fs), self.into, state, number)?;
        Ok(())
    }
}

/// Keeps a writer away from the old store. Nothing is created there: where no lock is, or none
/// can be taken (a disk that takes no writes), nobody is kept away.
fn lock_source(fs: &dyn Fs, from: &Path) -> Result<Option<Box<dyn FsLock>>> {
    let path = FileName::Lock.path(from);
    if fs.metadata(&path).is_err() {
        return Ok(None);
    }
    match fs.lock(&path) {
        Ok(lock) => Ok(Some(lock)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(Error::new(
            ErrorKind::Locked,
            format!("{}: the store is open; close it there first", path.display()),
        )),
        Err(_) => Ok(None),
    }
}

/// Opens the new store as its users will, and verifies it.
fn prove(into: &Path, options: &Options) -> Result<()> {
    let db = Db::open(into, options.clone())?;
    let report = db.verify()?;
    db.close()?;
    match report.is_ok() {
        true => Ok(()),
        false => Err(Error::corrupt(format!(
            "the new store does not verify, so the disk is not to be trusted: {report}"
        ))),
    }
}
