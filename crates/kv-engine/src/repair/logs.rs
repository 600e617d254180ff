//! From the logs' whole records to tables, which are merged like any other.

use super::Repair;
use super::report::Part;
use super::sources::{Found, open, refused};
use crate::error::{ErrorKind, Result};
use crate::flush::flush_buffer;
use crate::open::replay::Filler;
use crate::output::TableMaker;
use crate::snapshots::Kept;
use kv_core::SeqNo;
use kv_manifest::{FileMeta, FileName};
use kv_vfs::FsFile;
use kv_wal::{Found as Piece, Predecessor, Record, RecordKind, RecordScanner};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Where reading a log stands.
struct Reading<'a, 'f> {
    name: String,
    filler: &'a mut Filler<'f>,
    /// The sequence number that comes next, once one is known.
    next_seq: &'a mut Option<SeqNo>,
    /// Damage that no record follows yet.
    open: Option<(u64, u64, String)>,
    behind: u64,
}

/// What the beginnings of the logs tell.
#[derive(Debug, Default)]
struct Survey {
    /// How long a log is by what the next one says; what lies behind does not count.
    lengths: BTreeMap<u64, u64>,
    /// The last sequence number before the first log, if that one says so.
    before_first: Option<SeqNo>,
    /// The last log in which anything was written. One that was made ahead of need holds nothing.
    last: Option<u64>,
}

impl Repair<'_> {
    /// Writes all whole records of the logs into tables, oldest first, and raises `last_seq`.
    pub(super) fn read_logs(
        &mut self,
        found: &Found,
        maker: &TableMaker<'_>,
        last_seq: &mut SeqNo,
    ) -> Result<Vec<Arc<FileMeta>>> {
        for number in &found.missing_logs {
            let name = FileName::Log(*number).to_string();
            self.report.missing(&name, "the manifest names this log, and it is missing");
        }
        let survey = self.survey(found)?;
        let mut tables: Vec<Arc<FileMeta>> = Vec::new();
        // What the tables hold already is skipped, if the manifest says truly what they hold.
        let known = self.examined.state.as_ref().map_or(0, |state| state.last_seq);
        let mut filler = Filler::new(self.opening, known, |buffer, last_seq| {
            let kept = Kept { seqs: vec![last_seq], oldest_clock_ms: 0 };
            tables.extend(flush_buffer(maker, &buffer, 0, false, &kept)?.tables);
            Ok(())
        });
        // What lies before the first log is in tables: up to what the manifest says, or up to
        // what the first log says of the one before it.
        let held = self.examined.state.as_ref().map(|state| state.last_seq);
        let mut next_seq = held.max(survey.before_first).map(|seq| seq.saturating_add(1));
        for number in &found.logs {
            let reading = Reading {
                name: FileName::Log(*number).to_string(),
                filler: &mut filler,
                next_seq: &mut next_seq,
                open: None,
                behind: 0,
            };
            let last = survey.last.is_none_or(|last| *number >= last);
            self.read_log(*number, survey.lengths.get(number).copied(), last, reading)?;
        }
        *last_seq = filler.finish()?.max(*last_seq);
        Ok(tables)
    }

    /// A log that is there, and its length.
    fn open_log(&self, number: u64) -> Result<(Arc<dyn FsFile>, PathBuf, u64)> {
        let path = FileName::Log(number).path(self.from);
        let file = open(&**self.fs, &path)?;
        let size = file.len().map_err(|e| refused(&path, "has no length", e))?;
        Ok((file, path, size))
    }

    /// Reads the beginning of each log.
    fn survey(&mut self, found: &Found) -> Result<Survey> {
        let mut survey = Survey::default();
        for number in &found.logs {
            let (file, path, size) = self.open_log(*number)?;
            self.progress.expect(size);
            let mut scanner = RecordScanner::new(file, &path, *number)?;
            let record = match scanner.next()? {
                Piece::End { .. } => continue,
                Piece::Damage { .. } => None,
                Piece::Record(record) => Some(record),
            };
            survey.last = Some(*number);
            let start =
                |record: &Record<'_>| record.kind == RecordKind::Start && record.offset == 0;
            let before = record.filter(start).map(|record| Predecessor::decode(record.payload));
            let Some(Ok(Some(before))) = before else { continue };
            survey.lengths.insert(before.number, before.length);
            if self.is_missing(found, before.number) {
                let name = FileName::Log(before.number).to_string();
                self.report.missing(&name, "the next log continues it, and it is missing");
            } else if found.logs.first() == Some(number) {
                survey.before_first = Some(before.last_seq);
            }
        }
        Ok(survey)
    }

    /// Whether a log that another one continues should be there, and nobody has said so yet.
    fn is_missing(&self, found: &Found, number: u64) -> bool {
        self.examined.state.is_some()
            && number >= self.examined.log_floor.max(1)
            && !found.logs.contains(&number)
            && !found.missing_logs.contains(&number)
    }

    fn read_log(
        &mut self,
        number: u64,
        length: Option<u64>,
        last: bool,
        mut reading: Reading<'_, '_>,
    ) -> Result<()> {
        let (file, path, size) = self.open_log(number)?;
        let mut scanner = RecordScanner::new(file, &path, number)?;
        // What lies behind the named length is none of the log's.
        let limit = length.unwrap_or(u64::MAX);
        self.report.logs += 1;
        self.report.bytes += size;
        let mut passed = 0;
        loop {
            match scanner.next()? {
                Piece::Record(record) if record.offset >= limit => break,
                Piece::Damage { offset, .. } if offset >= limit => break,
                Piece::Record(record) => {
                    let end = record.offset + 32 + record.payload.len() as u64;
                    self.progress.done(end - passed);
                    passed = end;
                    let (kind, seq, at) = (record.kind, record.first_seq, record.offset);
                    self.take_record(&mut reading, kind, seq, at, record.payload)?;
                }
                Piece::Damage { offset, end, reason } => {
                    let end = end.min(limit);
                    reading.open = match reading.open.take() {
                        Some((first, _, reason)) => Some((first, end, reason)),
                        None => Some((offset, end, reason)),
                    };
                }
                Piece::End { offset } => {
                    if let Some(length) = length.filter(|length| *length > offset) {
                        let reason = "the log ends before the length that the next one names";
                        let reason = reason.to_owned();
                        let open = reading.open.take();
                        let offset = open.map_or(offset, |(first, ..)| first);
                        let part = Part { offset, end: length, reason, data: true, keys: None };
                        self.report.lose(&reading.name, part);
                    }
                    break;
                }
            }
        }
        self.progress.done(size.saturating_sub(passed));
        self.end_log(reading, length, last);
        Ok(())
    }

    fn take_record(
        &mut self,
        reading: &mut Reading<'_, '_>,
        kind: RecordKind,
        seq: SeqNo,
        offset: u64,
        payload: &[u8],
    ) -> Result<()> {
        if let Some((from, end, reason)) = reading.open.take() {
            let part = Part { offset: from, end, reason, data: true, keys: None };
            self.report.lose(&reading.name, part);
        }
        if kind != RecordKind::Data {
            // The numbers between two logs that none was given.
            if let (Ok(Some(before)), Some(next)) =
                (Predecessor::decode(payload), reading.next_seq.as_mut())
                && let Some(left_out) = seq.checked_sub(before.last_seq.saturating_add(1))
                && *next <= before.last_seq.saturating_add(1)
            {
                *next = next.saturating_add(left_out);
            }
            return Ok(());
        }
        if let Some(gap) = reading.next_seq.and_then(|next| seq.checked_sub(next))
            && gap > 0
        {
            self.report.lose_entries(&reading.name, gap);
        }
        if self.report.files.contains_key(&reading.name) {
            reading.behind += 1;
        }
        match reading.filler.add(seq, payload) {
            Ok(count) => *reading.next_seq = Some(seq.saturating_add(count)),
            Err(error) if error.kind() == ErrorKind::Corruption => {
                let end = offset + 32 + payload.len() as u64;
                let part = Part { offset, end, reason: error.to_string(), data: true, keys: None };
                self.report.lose(&reading.name, part);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn end_log(&mut self, mut reading: Reading<'_, '_>, length: Option<u64>, last: bool) {
        if let Some((offset, end, reason)) = reading.open.take() {
            let unproven = last && length.is_none();
            match unproven {
                true => {
                    self.report.doubt = true;
                    self.report.note(format!(
                        "{}: bytes {offset} to {end} at its end are no record ({reason}): an \
                         interrupted write, or damage that cannot be told from one",
                        reading.name
                    ));
                }
                false => {
                    let part = Part { offset, end, reason, data: true, keys: None };
                    self.report.lose(&reading.name, part);
                }
            }
        }
        if reading.behind > 0 {
            self.report.note(format!(
                "{}: {} records behind the damage were kept",
                reading.name, reading.behind
            ));
        }
    }
}
