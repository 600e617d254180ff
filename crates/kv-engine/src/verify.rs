//! Reading every byte of a store and checking every checksum and invariant.

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::read::view::View;
use kv_manifest::{FileMeta, FileName, Manifest};
use kv_vfs::Mode;
use kv_wal::{RecordReader, Step};
use std::fmt;

/// What [`Db::verify`](crate::Db::verify) looked at and found. `Display` lists each damage by
/// file and offset.
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
    tables: usize,
    logs: usize,
    bytes: u64,
    damage: Vec<String>,
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

    fn note(&mut self, error: impl fmt::Display) {
        self.damage.push(error.to_string());
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tables and {} logs, {} bytes read: ", self.tables, self.logs, self.bytes)?;
        if self.is_ok() {
            return f.write_str("no damage");
        }
        write!(f, "{} damaged", self.damage.len())?;
        self.damage.iter().try_for_each(|line| write!(f, "\n{line}"))
    }
}

impl Engine {
    /// Checks every file that the store needs, as it is on disk now.
    pub(crate) fn verify(&self) -> Result<VerifyReport> {
        self.health.check_open()?;
        let (view, _) = self.now();
        let mut report = VerifyReport::default();
        self.verify_manifest(&mut report)?;
        if let Err(broken) = view.version.check() {
            report.note(broken);
        }
        self.verify_logs(&view, &mut report)?;
        for level in 0..kv_manifest::LEVELS {
            for meta in view.version.level(level) {
                self.health.check_open()?;
                self.verify_table(meta, &mut report)?;
            }
        }
        Ok(report)
    }

    /// Reads the manifest again. Its lock is held, so that no edit is half written meanwhile.
    fn verify_manifest(&self, report: &mut VerifyReport) -> Result<()> {
        let _held = self.writer.as_ref().map(|writer| writer.manifest.lock());
        match Manifest::read(&*self.fs, &self.dir).map_err(Error::from) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => {
                report.note(format!("{}: missing", FileName::Current.path(&self.dir).display()));
                Ok(())
            }
            Err(error) => keep_damage(error, report),
        }
    }

    /// Checks the logs of memtables that wait to be written out: they change no more.
    fn verify_logs(&self, view: &View, report: &mut VerifyReport) -> Result<()> {
        for buffer in view.sealed.iter().rev().filter(|buffer| buffer.log > 0) {
            match self.verify_log(buffer.log) {
                Ok(bytes) => {
                    report.logs += 1;
                    report.bytes += bytes;
                }
                // It was written out and removed meanwhile.
                Err(_) if !self.view.load().buffers().any(|held| held.log == buffer.log) => {}
                Err(error) => keep_damage(error, report)?,
            }
        }
        Ok(())
    }

    /// Reads a closed log to its end; answers how many bytes of records it has.
    fn verify_log(&self, number: u64) -> Result<u64> {
        let path = FileName::Log(number).path(&self.dir);
        let file = self
            .fs
            .open(&path, Mode::Read)
            .map_err(|e| Error::io(format!("{}: open failed", path.display()), e))?;
        let mut reader = RecordReader::new(file, &path, number)?;
        loop {
            match reader.next()? {
                Step::Record(_) => {}
                Step::End { offset } => return Ok(offset),
                Step::Torn { offset, reason } | Step::Corrupt { offset, reason } => {
                    let path = path.display();
                    return Err(Error::corrupt(format!(
                        "{path} is damaged at offset {offset}: {reason}"
                    )));
                }
            }
        }
    }

    fn verify_table(&self, meta: &FileMeta, report: &mut VerifyReport) -> Result<()> {
        report.tables += 1;
        report.bytes += meta.size;
        let checked = self.tables.open(meta).and_then(|table| {
            for error in table.verify() {
                keep_damage(error.into(), report)?;
            }
            let found = table.properties()?;
            let agrees = found.entries == meta.entries
                && found.tombstones == meta.tombstones
                && found.range_tombstones == meta.range_tombstones
                && found.min_seq == meta.min_seq
                && found.max_seq == meta.max_seq;
            match agrees {
                true => Ok(()),
                false => Err(Error::corrupt(format!(
                    "{}: the table holds something else than the manifest says",
                    table.path().display()
                ))),
            }
        });
        match checked {
            Ok(()) => Ok(()),
            Err(error) => keep_damage(error, report),
        }
    }
}

/// Damage goes into the report; a check that could not be made is an error.
fn keep_damage(error: Error, report: &mut VerifyReport) -> Result<()> {
    match error.kind() {
        ErrorKind::Corruption | ErrorKind::IncompatibleFormat | ErrorKind::Io => {
            report.note(error);
            Ok(())
        }
        _ => Err(error),
    }
}
