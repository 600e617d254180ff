//! What a repair found, lost and kept, file by file.

use crate::words::counted;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Of one file so many damaged parts are listed; the rest is counted.
const MAX_PARTS: usize = 1000;

/// What [`repair`](crate::repair()) kept and what was lost. `Display` lists each damaged part by
/// file and offset, without keys; [`RepairReport::with_keys`] shows them.
///
/// ```
/// # use kv_engine::{Db, Options};
/// # let dir = tempfile::tempdir().unwrap();
/// # Db::open(dir.path().join("old"), Options::default())?.put("a", "1")?;
/// let report = kv_engine::repair(dir.path().join("old"), dir.path().join("new"), Options::default())?;
/// assert!(report.is_complete(), "{report}");
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RepairReport {
    pub(super) tables: usize,
    pub(super) logs: usize,
    pub(super) kept: u64,
    pub(super) bytes: u64,
    pub(super) files: BTreeMap<String, Losses>,
    pub(super) notes: Vec<String>,
    /// The tables that count could not be told from dead ones.
    pub(super) uncertain: bool,
    /// Something may be lost, and nothing can tell: bytes at the end of the last log.
    pub(super) doubt: bool,
    /// Keys of which an entry without a sequence number lost against one of an older table.
    pub(super) doubtful: u64,
    pub(super) file: Option<PathBuf>,
}

/// The damage of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    parts: Vec<Part>,
    more: usize,
    data: bool,
    /// Entries, or operations of a log, that are known to be lost.
    pub(super) entries: Option<u64>,
}

/// A damaged part of a file.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) offset: u64,
    pub(super) end: u64,
    pub(super) reason: String,
    pub(super) data: bool,
    pub(super) keys: Option<(Bytes, Bytes)>,
}

impl RepairReport {
    /// Whether it is sure that no entry was lost. It is not where the last log ends in bytes that
    /// are no record: an interrupted write, which nobody was promised, or a damaged record.
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # Db::open(dir.path().join("old"), Options::default())?;
    /// # let report = kv_engine::repair(dir.path().join("old"), dir.path().join("new"), Options::default())?;
    /// if !report.is_complete() {
    ///     println!("{report}");
    /// }
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn is_complete(&self) -> bool {
        !self.uncertain && !self.doubt && !self.has_losses()
    }

    fn has_losses(&self) -> bool {
        self.files.values().any(|file| file.data)
    }

    /// The file that holds the report as text; none where it could not be written.
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # Db::open(dir.path().join("old"), Options::default())?;
    /// # let report = kv_engine::repair(dir.path().join("old"), dir.path().join("new"), Options::default())?;
    /// assert!(report.file().is_some_and(|file| file.ends_with("new.repair.txt")));
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The report with the keys between which entries were lost. Keys are data: this text may not
    /// be fit for a log.
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # Db::open(dir.path().join("old"), Options::default())?;
    /// # let report = kv_engine::repair(dir.path().join("old"), dir.path().join("new"), Options::default())?;
    /// println!("{}", report.with_keys());
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn with_keys(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text, true);
        text
    }

    pub(super) fn lose(&mut self, file: &str, part: Part) {
        let losses = self.files.entry(file.to_owned()).or_default();
        losses.data |= part.data;
        match losses.parts.len() < MAX_PARTS {
            true => losses.parts.push(part),
            false => losses.more += 1,
        }
    }

    pub(super) fn lose_entries(&mut self, file: &str, entries: u64) {
        let losses = self.files.entry(file.to_owned()).or_default();
        losses.data |= entries > 0;
        losses.entries = Some(losses.entries.unwrap_or(0) + entries);
    }

    pub(super) fn missing(&mut self, file: &str, reason: &str) {
        let reason = reason.to_owned();
        self.lose(file, Part { offset: 0, end: 0, reason, data: true, keys: None });
    }

    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    fn write(&self, out: &mut dyn fmt::Write, keys: bool) -> fmt::Result {
        write!(
            out,
            "{} kept, from {} and {}, {} bytes: ",
            counted(self.kept, "key"),
            counted(self.tables, "table"),
            counted(self.logs, "log"),
            self.bytes
        )?;
        out.write_str(match () {
            () if self.has_losses() => "something is lost",
            () if !self.is_complete() => "something may be lost",
            () => "nothing is lost",
        })?;
        for (name, file) in &self.files {
            write!(out, "\n{name}:")?;
            if let Some(entries) = file.entries.filter(|entries| *entries > 0) {
                write!(out, " {entries} entries are lost")?;
            }
            let mut parts: Vec<&Part> = file.parts.iter().collect();
            parts.sort_by_key(|part| part.offset);
            parts.into_iter().try_for_each(|part| part.write(out, keys))?;
            if file.more > 0 {
                write!(out, "\n  and {} more damaged parts", file.more)?;
            }
        }
        if self.has_losses() {
            out.write_str(
                "\nOf a key whose newest version is lost, an older version may stand in the new \
                 store, also where the lost one was a delete.",
            )?;
        }
        if self.uncertain {
            out.write_str(
                "\nThe manifest is damaged, so tables that were dead could not be told from live \
                 ones: deleted keys may have returned, and older values may stand. Where there \
                 were several versions of a key, the one with the greatest sequence number was \
                 kept; compaction takes them from entries that nothing lies below.",
            )?;
            if self.doubtful > 0 {
                write!(
                    out,
                    "\nOf {} keys the value may be an older one: a younger table holds another, \
                     without a sequence number.",
                    self.doubtful
                )?;
            }
        }
        self.notes.iter().try_for_each(|note| write!(out, "\nnote: {note}"))
    }
}

impl Part {
    fn write(&self, out: &mut dyn fmt::Write, keys: bool) -> fmt::Result {
        match self.end > self.offset {
            true => write!(out, "\n  bytes {} to {}: ", self.offset, self.end)?,
            false => write!(out, "\n  offset {}: ", self.offset)?,
        }
        out.write_str(&self.reason)?;
        if !self.data {
            out.write_str("; no entry is lost by it")?;
        }
        match (&self.keys, keys) {
            (Some((after, upto)), true) => {
                let (after, upto) = (after.escape_ascii(), upto.escape_ascii());
                write!(out, "; keys behind \"{after}\" up to \"{upto}\"")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}
