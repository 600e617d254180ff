//! From the logs' whole records to tables, which are merged like any other.

use super::Repair;
use super::report::Part;
use super::sources::Found;
use crate::error::{Error, ErrorKind, Result};
use crate::flush::flush_buffer;
use crate::open::replay::Filler;
use crate::output::TableMaker;
use crate::snapshots::Kept;
use kv_core::SeqNo;
use kv_manifest::{FileMeta, FileName};
use kv_vfs::{FsFile, Mode};
use kv_wal::{Found as Piece, Predecessor, RecordKind, RecordScanner};
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
        let lengths = self.named_lengths(found);
        let mut tables: Vec<Arc<FileMeta>> = Vec::new();
        // What the tables hold already is skipped, if the manifest says truly what they hold.
        let known = self.examined.state.as_ref().map_or(0, |state| state.last_seq);
        let mut filler = Filler::new(self.opening, known, |buffer, last_seq| {
            let kept = Kept { seqs: vec![last_seq], oldest_clock_ms: 0 };
            tables.extend(flush_buffer(maker, &buffer, 0, false, &kept)?);
            Ok(())
        });
        let mut next_seq = None;
        for number in &found.logs {
            let reading = Reading {
                name: FileName::Log(*number).to_string(),
                filler: &mut filler,
                next_seq: &mut next_seq,
                open: None,
                behind: 0,
            };
            let last = found.logs.last() == Some(number);
            self.read_log(*number, lengths.get(number).copied(), last, reading)?;
        }
        *last_seq = filler.finish()?.max(*last_seq);
        Ok(tables)
    }

    fn open_log(&self, number: u64) -> Result<(Arc<dyn FsFile>, PathBuf)> {
        let path = FileName::Log(number).path(self.from);
        match self.fs.open(&path, Mode::Read) {
            Ok(file) => Ok((file, path)),
            Err(e) => Err(Error::io("the log cannot be read", e)),
        }
    }

    /// How long each log is by what the next one says; what lies behind does not count.
    fn named_lengths(&mut self, found: &Found) -> BTreeMap<u64, u64> {
        let mut lengths = BTreeMap::new();
        for number in &found.logs {
            let Ok((file, path)) = self.open_log(*number) else { continue };
            self.progress.expect(file.len().unwrap_or(0));
            let Ok(mut scanner) = RecordScanner::new(file, &path, *number) else { continue };
            let Ok(Piece::Record(record)) = scanner.next() else { continue };
            let start = record.kind == RecordKind::Start && record.offset == 0;
            if !start {
                continue;
            }
            if let Ok(Some(before)) = Predecessor::decode(record.payload) {
                let here = found.logs.contains(&before.number);
                let known = found.missing_logs.contains(&before.number);
                if !here
                    && !known
                    && before.number >= self.examined.log_floor.max(1)
                    && self.examined.state.is_some()
                {
                    let name = FileName::Log(before.number).to_string();
                    self.report.missing(&name, "the next log continues it, and it is missing");
                }
                lengths.insert(before.number, before.length);
            }
        }
        lengths
    }

    fn read_log(
        &mut self,
        number: u64,
        length: Option<u64>,
        last: bool,
        mut reading: Reading<'_, '_>,
    ) -> Result<()> {
        let (mut scanner, size) = match self.open_log(number).and_then(|(file, path)| {
            let size = file.len().map_err(|e| Error::io("the log has no length", e))?;
            Ok((RecordScanner::new(file, &path, number)?, size))
        }) {
            Ok(opened) => opened,
            Err(error) => {
                self.report.missing(&reading.name, &error.to_string());
                return Ok(());
            }
        };
        self.report.logs += 1;
        self.report.bytes += size;
        let mut passed = 0;
        loop {
            let piece = match scanner.next() {
                Ok(piece) => piece,
                Err(error) => {
                    let reason = format!("the rest cannot be read: {error}");
                    let part = Part { offset: passed, end: size, reason, data: true, keys: None };
                    self.report.lose(&reading.name, part);
                    break;
                }
            };
            match piece {
                Piece::Record(record) if length.is_some_and(|len| record.offset >= len) => break,
                Piece::Record(record) => {
                    let end = record.offset + 32 + record.payload.len() as u64;
                    self.progress.done(end - passed);
                    passed = end;
                    let (kind, seq, at) = (record.kind, record.first_seq, record.offset);
                    self.take_record(&mut reading, kind, seq, at, record.payload)?;
                }
                Piece::Damage { offset, end, reason } => {
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
                true => self.report.note(format!(
                    "{}: bytes {offset} to {end} at its end are no record ({reason}): an \
                     interrupted write, or damage that cannot be told from one",
                    reading.name
                )),
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
