//! What a verification looked at and found.

use crate::error::{Error, ErrorKind, Result};
use crate::words::counted;
use std::collections::BTreeSet;
use std::fmt;

/// After so many findings nothing more is listed.
const MAX_DAMAGE: usize = 10_000;
/// After so many notes the rest is counted.
const MAX_NOTES: usize = 1000;

/// What [`Db::verify`](crate::Db::verify) or [`verify`](crate::verify()) looked at and found.
/// `Display` lists each damage by file and offset, then what is odd without being damage.
///
/// ```
/// # use kv_engine::{Db, Options};
/// # let db = Db::in_memory(Options::default())?;
/// let report = db.verify()?;
/// assert!(report.is_ok(), "{report}");
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    pub(super) tables: usize,
    pub(super) logs: usize,
    pub(super) value_files: usize,
    pub(super) bytes: u64,
    damage: Vec<String>,
    listed: BTreeSet<String>,
    notes: Vec<String>,
    more_notes: usize,
}

impl VerifyReport {
    /// Whether nothing is damaged.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert!(db.verify()?.is_ok());
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn is_ok(&self) -> bool {
        self.damage.is_empty()
    }

    /// Lists damage, once.
    pub(super) fn damaged(&mut self, what: impl fmt::Display) {
        let what = what.to_string();
        if self.damage.len() < MAX_DAMAGE && self.listed.insert(what.clone()) {
            self.damage.push(what);
        }
    }

    /// How much damage and how many notes are listed.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.damage.len(), self.notes.len())
    }

    /// Forgets the notes behind the first `count`.
    pub(super) fn forget_notes(&mut self, count: usize) {
        self.notes.truncate(count);
        self.more_notes = 0;
    }

    /// The damage of a file that is listed.
    pub(super) fn told_of(&self, file: &str) -> Vec<String> {
        self.damage.iter().filter(|line| line.contains(file)).cloned().collect()
    }

    /// Lists something that is odd and no damage.
    pub(super) fn note(&mut self, what: impl fmt::Display) {
        match self.notes.len() < MAX_NOTES {
            true => self.notes.push(what.to_string()),
            false => self.more_notes += 1,
        }
    }

    /// Damage goes into the report; a check that could not be made is an error.
    pub(super) fn take(&mut self, error: Error) -> Result<()> {
        match error.kind() {
            ErrorKind::Corruption
            | ErrorKind::IncompatibleFormat
            | ErrorKind::Unsupported
            | ErrorKind::Io => {
                self.damaged(error);
                Ok(())
            }
            _ => Err(error),
        }
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&counted(self.tables, "table"))?;
        if self.value_files > 0 {
            write!(f, ", {}", counted(self.value_files, "value file"))?;
        }
        write!(f, " and {}, {} bytes read: ", counted(self.logs, "log"), self.bytes)?;
        match self.is_ok() {
            true => f.write_str("no damage")?,
            false => write!(f, "{} damaged", self.damage.len())?,
        }
        self.damage.iter().try_for_each(|line| write!(f, "\n{line}"))?;
        self.notes.iter().try_for_each(|line| write!(f, "\nnote: {line}"))?;
        match self.more_notes {
            0 => Ok(()),
            more => write!(f, "\nnote: and {more} more notes"),
        }
    }
}
