//! Verifying a store by its directory: also one that cannot be opened.

use super::logs::{Promise, check};
use super::{VerifyReport, check_table};
use crate::changes::CONSUMERS;
use crate::error::{Error, ErrorKind, Result};
use crate::open;
use crate::options::Options;
use crate::repair::Progress;
use crate::tables::Tables;
use kv_manifest::{Examined, FileName, examine};
use kv_sstable::{BlockCache, Table};
use kv_vfs::{FileKind, Fs, Mode};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Reads every byte of the store in `dir` and checks it, also where it cannot be opened: what
/// can still be told is then in the report. Works beside a live writer; nothing is changed.
///
/// ```
/// use kv_engine::{Db, Options};
/// # let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("store");
/// Db::open(&path, Options::default())?.put("apple", "red")?;
/// std::fs::write(path.join("CURRENT"), "rubbish").unwrap();
/// assert!(Db::open(&path, Options::default()).is_err());
/// let report = kv_engine::verify(&path, Options::default())?;
/// assert!(report.to_string().contains("CURRENT"), "{report}");
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub fn verify(dir: impl AsRef<Path>, options: Options) -> Result<VerifyReport> {
    verify_with(dir, options, &mut |_| {})
}

/// [`verify`](crate::verify()) that tells how far it has come.
///
/// ```
/// use kv_engine::{Db, Options};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("store");
/// # Db::open(&path, Options::default())?.put("apple", "red")?;
/// kv_engine::verify_with(&path, Options::default(), &mut |progress| {
///     println!("{} of {} bytes", progress.done, progress.total);
/// })?;
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub fn verify_with(
    dir: impl AsRef<Path>,
    options: Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport> {
    let dir = dir.as_ref();
    let options = options.read_only(true);
    match open::open(dir, options.clone()) {
        Ok(engine) => {
            let outcome = engine.verify(progress);
            engine.close()?;
            outcome
        }
        Err(error) if is_damage(&error) => {
            let mut report = by_directory(dir, &options, progress)?;
            if report.is_ok() {
                // The open knows of something that no file shows by itself.
                report.damaged(error);
            }
            Ok(report)
        }
        Err(error) => Err(error),
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Io | ErrorKind::Unsupported)
}

/// Checks each file of a store that does not open.
fn by_directory(
    dir: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport> {
    let fs = Arc::clone(&options.file_system);
    let mut report = VerifyReport::default();
    let examined = examine(&*fs, dir)?;
    for error in &examined.damage {
        report.damaged(error);
    }
    let found = list(&*fs, dir, &mut report, |name| counts(&examined, name))?;
    let Listed { tables, logs, values } = found;
    let tables_len = tables.iter().map(|number| length(&*fs, dir, FileName::Table(*number)));
    let values_len = values.iter().map(|number| length(&*fs, dir, FileName::Values(*number)));
    let total = tables_len.chain(values_len).sum();
    let mut at = Progress { done: 0, total };
    match &examined.state {
        Some(state) => {
            let open =
                Tables::new(Arc::clone(&fs), dir.to_owned(), 0, options.max_open_files, false);
            for (_, meta) in state.version.files() {
                check_table(&open, meta, &mut report)?;
                at.done += meta.size;
                progress(at);
            }
            for held in state.version.values() {
                super::values::check(open.values(), &held.meta, &mut report)?;
                at.done += held.meta.size;
                progress(at);
            }
            for missing in state.logs.iter().filter(|number| !logs.contains(number)) {
                let path = FileName::Log(*missing).path(dir);
                report.damaged(format!(
                    "{}: the manifest names this log, and it is missing",
                    path.display()
                ));
            }
        }
        None => {
            report.note(
                "the manifest cannot be read in full, so each table is checked by itself, and a \
                 missing one is not missed",
            );
            for number in &tables {
                check_alone(&*fs, dir, *number, &mut report)?;
                at.done += length(&*fs, dir, FileName::Table(*number));
                progress(at);
            }
            for number in &values {
                super::values::check_alone(&*fs, dir, *number, &mut report)?;
                at.done += length(&*fs, dir, FileName::Values(*number));
                progress(at);
            }
        }
    }
    check_chain(&*fs, dir, &logs, &mut report)?;
    Ok(report)
}

/// Whether a file is one of the store, by what is known of its manifest.
fn counts(examined: &Examined, name: FileName) -> bool {
    match name {
        FileName::Table(number) => match &examined.state {
            Some(_) => examined.tables.contains_key(&number),
            None => !examined.gone.contains(&number),
        },
        FileName::Values(number) => match &examined.state {
            Some(state) => state.version.value_file(number).is_some(),
            None => true,
        },
        FileName::Log(number) => number >= examined.log_floor,
        FileName::Manifest(number) => examined.manifest.is_none_or(|counts| counts == number),
        FileName::Current | FileName::Lock => true,
        FileName::Temp => false,
    }
}

/// The numbers of the files that count.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) tables: BTreeSet<u64>,
    pub(super) logs: BTreeSet<u64>,
    pub(super) values: BTreeSet<u64>,
}

/// The numbers of the files that count; all else that lies there is noted.
pub(super) fn list(
    fs: &dyn Fs,
    dir: &Path,
    report: &mut VerifyReport,
    counts: impl Fn(FileName) -> bool,
) -> Result<Listed> {
    let entries =
        fs.list(dir).map_err(|e| Error::io(format!("{}: cannot be listed", dir.display()), e))?;
    let mut found = Listed::default();
    for entry in entries {
        let name = &entry.name;
        match FileName::parse(name) {
            Some(parsed) if entry.kind != FileKind::File => {
                report.note(format!("{name}: not a file, though {parsed} is a name of the store"));
            }
            Some(FileName::Log(number)) if !counts(FileName::Log(number)) => {
                report.note(format!(
                    "{name}: its writes are in tables; it is kept for consumers of changes, or dead"
                ));
            }
            Some(parsed) if !counts(parsed) => {
                report.note(format!("{name}: the manifest does not count it (any more)"));
            }
            Some(FileName::Table(number)) => {
                found.tables.insert(number);
            }
            Some(FileName::Log(number)) => {
                found.logs.insert(number);
            }
            Some(FileName::Values(number)) => {
                found.values.insert(number);
            }
            Some(_) => {}
            None if name.ends_with(".log.cut") => {
                report.note(format!("{name}: a log whose end was cut when the store was opened"));
            }
            None if name == CONSUMERS => {}
            None => report.note(format!("{name}: unknown; no file of the store has such a name")),
        }
    }
    Ok(found)
}

fn length(fs: &dyn Fs, dir: &Path, name: FileName) -> u64 {
    fs.metadata(&name.path(dir)).map_or(0, |found| found.len)
}

/// Checks a table of which the manifest says nothing.
fn check_alone(fs: &dyn Fs, dir: &Path, number: u64, report: &mut VerifyReport) -> Result<()> {
    let path = FileName::Table(number).path(dir);
    report.tables += 1;
    report.bytes += length(fs, dir, FileName::Table(number));
    let opened = fs
        .open(&path, Mode::Read)
        .map_err(|e| Error::io(format!("{}: open failed", path.display()), e))
        .and_then(|file| Ok(Table::open_alone(file, path, number, BlockCache::new(0))?));
    match opened {
        Ok(table) => table.verify().into_iter().try_for_each(|error| report.take(error.into())),
        Err(error) => report.take(error),
    }
}

/// Checks how the logs follow each other, then each for itself.
fn check_chain(
    fs: &dyn Fs,
    dir: &Path,
    logs: &BTreeSet<u64>,
    report: &mut VerifyReport,
) -> Result<()> {
    let segments: Vec<kv_wal::SegmentFile> = logs
        .iter()
        .map(|number| kv_wal::SegmentFile {
            number: *number,
            path: FileName::Log(*number).path(dir),
        })
        .collect();
    let replayed = kv_wal::replay(fs, &segments, |_, payload| {
        let count = kv_core::decode_batch(payload).map(|ops| u64::from(ops.remaining()));
        count.map_err(|e| Error::corrupt(format!("a record holds a bad batch: {e}")))
    });
    if let Err(error) = replayed {
        report.take(error)?;
    }
    for segment in &segments {
        let checked = check(fs, &segment.path, segment.number, Promise::Synced, report);
        if let Err(error) = checked {
            report.take(error)?;
        }
    }
    Ok(())
}
