//! Any file of a store as annotated text, for people who look into one: offsets, fields, meaning.
//! Works on damaged files, of which what is readable is shown and the rest is named as damaged.
//! Memory is bounded by the longest record or block.

mod wal;

use crate::error::{Error, Result};
use crate::options::Options;
use kv_manifest::FileName;
use kv_sstable::{DumpDetail, ValueFile};
use kv_vfs::{FsFile, Mode};
use kv_wal::RecordScanner;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// How deep an inspection goes. Keys are always escaped; values are shown only on demand.
///
/// ```
/// use kv_engine::Inspect;
/// let deep = Inspect { blocks: true, entries: true, ..Inspect::default() };
/// assert!(!deep.values);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inspect {
    /// Every block of a table, every field of a record's header.
    pub blocks: bool,
    /// Every entry, with its key.
    pub entries: bool,
    /// Values too, not only their lengths.
    pub values: bool,
}

/// Writes a log file as text, and answers how many damaged parts it has.
///
/// ```
/// # use kv_engine::{Db, Inspect, Options};
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = Db::open(dir.path(), Options::default())?;
/// # db.put("a", "1")?;
/// # let log = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
/// # let log = log.filter(|path| path.extension().is_some_and(|e| e == "log")).next().unwrap();
/// let mut text = String::new();
/// let damaged = kv_engine::inspect_wal(log, &Options::default(), Inspect::default(), &mut text)?;
/// assert!(text.contains("start record"), "{text}");
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub fn inspect_wal(
    path: impl AsRef<Path>,
    options: &Options,
    detail: Inspect,
    out: &mut dyn fmt::Write,
) -> Result<u64> {
    let path = path.as_ref();
    let file = open(path, options)?;
    let number = match number_of(path) {
        Some(number) => number,
        None => RecordScanner::number_in(Arc::clone(&file), path)?.unwrap_or(0),
    };
    wal::inspect(file, path, number, detail, out)
}

/// Writes a manifest as text, and answers how many damaged parts it has.
///
/// ```
/// # use kv_engine::{Db, Options};
/// # let dir = tempfile::tempdir().unwrap();
/// # Db::open(dir.path(), Options::default())?.close()?;
/// # let file = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
/// # let file = file.filter(|path| path.to_string_lossy().contains("MANIFEST")).next().unwrap();
/// let mut text = String::new();
/// kv_engine::inspect_manifest(file, &Options::default(), &mut text)?;
/// assert!(text.contains("snapshot"), "{text}");
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub fn inspect_manifest(
    path: impl AsRef<Path>,
    options: &Options,
    out: &mut dyn fmt::Write,
) -> Result<u64> {
    let path = path.as_ref();
    let file = open(path, options)?;
    let number = match number_of(path) {
        Some(number) => number,
        None => RecordScanner::number_in(Arc::clone(&file), path)?.unwrap_or(0),
    };
    kv_manifest::dump(file, path, number, out)?.map_err(|_| unwritten())
}

/// Writes a table as text, and answers how many damaged parts were met; without
/// [`Inspect::blocks`] its data blocks are not read.
///
/// ```
/// # use kv_engine::{Db, Inspect, Options};
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = Db::open(dir.path(), Options::default())?;
/// # db.put("a", "1")?;
/// # db.flush()?;
/// # let file = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
/// # let file = file.filter(|path| path.extension().is_some_and(|e| e == "sst")).next().unwrap();
/// let mut text = String::new();
/// let detail = Inspect { entries: true, ..Inspect::default() };
/// kv_engine::inspect_table(file, &Options::default(), detail, &mut text)?;
/// assert!(text.contains("footer"), "{text}");
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub fn inspect_table(
    path: impl AsRef<Path>,
    options: &Options,
    detail: Inspect,
    out: &mut dyn fmt::Write,
) -> Result<u64> {
    let path = path.as_ref();
    let file = open(path, options)?;
    let Inspect { blocks, entries, values } = detail;
    let detail = DumpDetail { blocks, entries, values };
    let number = number_of(path);
    kv_sstable::dump_file(file, path.to_owned(), number, detail, out)?.map_err(|_| unwritten())
}

/// Writes a value file as text, and answers how many damaged parts it has. Records are shown with
/// [`Inspect::blocks`] or [`Inspect::entries`]; all are read.
///
/// ```
/// # use kv_engine::{Db, Inspect, Options};
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = Db::open(dir.path(), Options::default())?;
/// # db.put("a", vec![7; 4096])?;
/// # db.flush()?;
/// # let file = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path());
/// # let file = file.filter(|path| path.extension().is_some_and(|e| e == "val")).next().unwrap();
/// let mut text = String::new();
/// let detail = Inspect { entries: true, ..Inspect::default() };
/// kv_engine::inspect_values(file, &Options::default(), detail, &mut text)?;
/// assert!(text.contains("value of 4096 bytes"), "{text}");
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub fn inspect_values(
    path: impl AsRef<Path>,
    options: &Options,
    detail: Inspect,
    out: &mut dyn fmt::Write,
) -> Result<u64> {
    let path = path.as_ref();
    let file = open(path, options)?;
    let Inspect { blocks, entries, values } = detail;
    let number = match number_of(path) {
        Some(number) => number,
        None => ValueFile::number_in(&file, path)?.unwrap_or(0),
    };
    let file = ValueFile::open_alone(file, path.to_owned(), number)?;
    file.dump(DumpDetail { blocks, entries, values }, out).map_err(|_| unwritten())
}

fn open(path: &Path, options: &Options) -> Result<Arc<dyn FsFile>> {
    options.file_system.open(path, Mode::Read).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::new(
            crate::error::ErrorKind::NotFound,
            format!("{}: there is no such file", path.display()),
        ),
        _ => Error::io(format!("{}: open failed", path.display()), e),
    })
}

/// The number in a file's name, if it has the name of a file of a store.
fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    FileName::parse(name.strip_suffix(".cut").unwrap_or(name))?.number()
}

/// The answer where the text was not taken.
fn unwritten() -> Error {
    Error::io("the text cannot be written", std::io::ErrorKind::WriteZero.into())
}
