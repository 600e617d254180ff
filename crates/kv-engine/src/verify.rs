//! Reading every byte of a store and checking every checksum and invariant.
//!
//! `directory` checks a store by its files, also one that does not open; here an open one is
//! checked. `logs` tells what of a log had been promised.

mod directory;
mod logs;
mod report;
mod values;

pub use directory::{verify, verify_with};
pub use report::VerifyReport;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::read::view::View;
use crate::repair::Progress;
use crate::tables::Tables;
use kv_manifest::{FileMeta, FileName, Manifest};
use kv_sstable::Table;
use logs::Promise;
use std::collections::BTreeSet;

/// How often a log is read where it seems damaged.
const LOOKS: usize = 3;

impl Engine {
    /// Checks every file that the store needs, as it is on disk now.
    pub(crate) fn verify(&self, progress: &mut dyn FnMut(Progress)) -> Result<VerifyReport> {
        self.health.check_open()?;
        let (view, _) = self.now();
        let mut report = VerifyReport::default();
        self.verify_manifest(&mut report)?;
        if let Err(broken) = view.version.check() {
            report.damaged(broken);
        }
        match self.writer {
            Some(_) => self.verify_own_logs(&view, &mut report)?,
            None => self.verify_logs_beside(&mut report)?,
        }
        let total = view.version.total_size() + view.version.value_size();
        let mut at = Progress { done: 0, total };
        progress(at);
        for (_, meta) in view.version.files() {
            self.health.check_open()?;
            check_table(&self.tables, meta, &mut report)?;
            at.done += meta.size;
            progress(at);
        }
        for held in view.version.values() {
            self.health.check_open()?;
            values::check(self.tables.values(), &held.meta, &mut report)?;
            at.done += held.meta.size;
            progress(at);
        }
        self.note_strangers(&view, &mut report)?;
        Ok(report)
    }

    /// Reads the manifest again. Its lock is held, so that no edit is half written meanwhile.
    fn verify_manifest(&self, report: &mut VerifyReport) -> Result<()> {
        let _held = self.writer.as_ref().map(|writer| writer.manifest.lock());
        match Manifest::read(&*self.fs, &self.dir).map_err(Error::from) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => {
                report.damaged(format!("{}: missing", FileName::Current.path(&self.dir).display()));
                Ok(())
            }
            Err(error) => report.take(error),
        }
    }

    /// Checks the logs of all memtables: of those that wait to be written out everything, of the
    /// active one, and of those that are kept for consumers of changes, what a sync has made durable.
    fn verify_own_logs(&self, view: &View, report: &mut VerifyReport) -> Result<()> {
        for buffer in view.sealed.iter().rev().filter(|buffer| buffer.log > 0) {
            self.verify_log(buffer.log, Promise::Whole, report)?;
        }
        for log in self.held.numbers() {
            let path = FileName::Log(log).path(&self.dir);
            // It may go meanwhile: a consumer needs it no longer.
            if let Err(error) = logs::check(&*self.fs, &path, log, Promise::Synced, report) {
                report.take(error)?;
            }
        }
        match view.active.log {
            0 => Ok(()),
            log => self.verify_log(log, Promise::Synced, report),
        }
    }

    /// Checks the logs that a reader beside a writer replayed. They may be gone by now.
    fn verify_logs_beside(&self, report: &mut VerifyReport) -> Result<()> {
        let Ok(Some(state)) = Manifest::read(&*self.fs, &self.dir) else { return Ok(()) };
        let mut ignored = VerifyReport::default();
        let all = directory::list(&*self.fs, &self.dir, &mut ignored, |_| true)?.logs;
        for number in all.range(state.log_floor..) {
            self.verify_log(*number, Promise::Synced, report)?;
        }
        Ok(())
    }

    /// Checks a log, and looks again where it seems damaged: a write may be under way.
    fn verify_log(&self, number: u64, promise: Promise, report: &mut VerifyReport) -> Result<()> {
        let path = FileName::Log(number).path(&self.dir);
        let before = report.clone();
        for _ in 0..LOOKS {
            *report = before.clone();
            match logs::check(&*self.fs, &path, number, promise, report) {
                Ok(true) => {}
                Ok(false) if self.writer.is_none() => {}
                Ok(false) => report.damaged(format!("{}: missing", path.display())),
                Err(error) => report.take(error)?,
            }
            // It may have been written out and removed meanwhile.
            let held = || self.view.load().buffers().any(|held| held.log == number);
            if self.writer.is_some() {
                if !held() {
                    *report = before;
                    return Ok(());
                }
                // What nothing vouches for may be a write that is under way.
                report.forget_notes(before.counts().1);
            }
            if report.counts().0 == before.counts().0 {
                break;
            }
        }
        Ok(())
    }

    /// Notes the files that the store does not know. What a live store is about to write or to
    /// remove is known to it.
    fn note_strangers(&self, view: &View, report: &mut VerifyReport) -> Result<()> {
        let live: BTreeSet<u64> = view.version.numbers().collect();
        let writes = self.writer.is_some();
        let known = |name| match name {
            FileName::Table(number) | FileName::Values(number) => writes || live.contains(&number),
            _ => true,
        };
        directory::list(&*self.fs, &self.dir, report, known)?;
        Ok(())
    }
}

/// Checks a table against itself and against the manifest.
fn check_table(tables: &Tables, meta: &FileMeta, report: &mut VerifyReport) -> Result<()> {
    report.tables += 1;
    report.bytes += meta.size;
    let checked = tables.open(meta).and_then(|table| {
        for error in table.verify() {
            report.take(error.into())?;
        }
        if table.checksum_of_file()? != meta.checksum {
            report.damaged(format!(
                "{} is damaged at offset 0: the checksum of the whole file is not the one in the \
                 manifest",
                table.path().display()
            ));
        }
        disagreement(&table, meta)?;
        values::check_pointers(tables.values(), &table, meta, report)
    });
    match checked {
        Ok(()) => Ok(()),
        Err(error) => report.take(error),
    }
}

/// Whether a table is what the manifest says of it: counts, sequence numbers and bounds.
fn disagreement(table: &Table, meta: &FileMeta) -> Result<()> {
    let found = table.properties()?;
    let tombstones = table.range_tombstones()?;
    let fragments = tombstones.fragments();
    let start = fragments.first().map(|fragment| &fragment.start);
    let end = fragments.last().map(|fragment| &fragment.end);
    let first = Some(&found.first_key).filter(|_| found.entries > 0);
    let last = Some(&found.last_key).filter(|_| found.entries > 0);
    let checks = [
        ("entries", found.entries == meta.entries),
        ("point tombstones", found.tombstones == meta.tombstones),
        ("range tombstones", found.range_tombstones == meta.range_tombstones),
        ("smallest sequence number", found.min_seq == meta.min_seq),
        ("largest sequence number", found.max_seq == meta.max_seq),
        ("expiring entries", found.expiring == meta.expiring),
        ("first key", first.into_iter().chain(start).min() == Some(&meta.smallest)),
        ("last key", last.into_iter().chain(end).max() == Some(&meta.largest)),
        ("kind of its end", (end > last) == meta.largest_exclusive),
    ];
    match checks.iter().find(|(_, agrees)| !agrees) {
        None => Ok(()),
        Some((what, _)) => Err(Error::corrupt(format!(
            "{}: the table holds something else than the manifest says: {what}",
            table.path().display()
        ))),
    }
}
