//! Reading the log from a sequence number on, segment by segment, while it is written and while
//! its oldest segments go.
//!
//! Promises: records come in order, and none is left out. Where one is missing because its segment
//! is gone, that is `NotFound`, which names the oldest one that is there; where it is damaged,
//! `Corruption`. Nothing is kept in memory but what the reader of one file holds.

use crate::error::{Error, ErrorKind, Result};
use kv_core::SeqNo;
use kv_manifest::FileName;
use kv_vfs::{Fs, Mode};
use kv_wal::{Predecessor, RecordKind, RecordReader, Step};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often a log is looked at where it seems damaged: a write may be under way.
const LOOKS: usize = 20;
/// How often the directory is listed again where a log went meanwhile.
const LISTS: usize = 20;

/// A place in the log of a store.
pub(crate) struct LogTail {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    /// The next sequence number; 0 for the oldest one held.
    next_seq: SeqNo,
    part: Option<Part>,
}

/// The segment that is read.
struct Part {
    number: u64,
    reader: RecordReader,
    /// What the reader knows of the file is as new as the call that is on.
    fresh: bool,
    /// The end was looked at in full since the last record.
    examined: bool,
}

/// What a segment begins with.
#[derive(Clone, Copy)]
struct Head {
    number: u64,
    first_seq: SeqNo,
    predecessor: Option<Predecessor>,
}

impl Head {
    /// The first sequence number that has no place before this segment: some are in no log, where
    /// an ingest has them.
    fn from(&self) -> SeqNo {
        match self.predecessor {
            Some(before) => self.first_seq.min(before.last_seq.saturating_add(1)),
            None => self.first_seq,
        }
    }
}

/// For each of these logs that something was written to: its number, and the first sequence number
/// that has no place before it.
pub(crate) fn log_beginnings(fs: &Arc<dyn Fs>, dir: &Path, numbers: &[u64]) -> Vec<(u64, SeqNo)> {
    let tail = LogTail::new(Arc::clone(fs), dir, 0);
    let heads = numbers.iter().filter_map(|number| tail.head(*number).ok().flatten());
    heads.map(|head| (head.number, head.from())).collect()
}

/// What came of looking for the next record.
enum Found {
    /// It was visited.
    Record,
    /// Something else was read: look on.
    Other,
    /// There is nothing more in the segment; with what is wrong behind its last record, if
    /// anything.
    End(Option<String>),
}

impl LogTail {
    /// Reads from the batch on that has the sequence number `next_seq`; 0 for the oldest one held.
    pub(crate) fn new(fs: Arc<dyn Fs>, dir: &Path, next_seq: SeqNo) -> LogTail {
        LogTail { fs, dir: dir.to_owned(), next_seq, part: None }
    }

    /// The sequence number that comes next; 0 where nothing was read and the oldest is wanted.
    pub(crate) fn next_seq(&self) -> SeqNo {
        self.next_seq
    }

    /// The number of the segment that was read from last.
    pub(crate) fn segment(&self) -> Option<u64> {
        self.part.as_ref().map(|part| part.number)
    }

    /// Tells that the files may hold more than before.
    pub(crate) fn look_again(&mut self) {
        if let Some(part) = &mut self.part {
            part.fresh = false;
        }
    }

    /// Makes durable what was read, whoever wrote it.
    pub(crate) fn sync(&self) -> Result<()> {
        let last = self.segment().unwrap_or(u64::MAX);
        for number in self.numbers(0)?.into_iter().take_while(|number| *number <= last) {
            let path = FileName::Log(number).path(&self.dir);
            match self.fs.open(&path, Mode::Read).and_then(|file| file.sync_data()) {
                // One that went meanwhile is in tables.
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io(format!("{}: sync failed", path.display()), e));
                }
                _ => {}
            }
        }
        let synced = self.fs.sync_dir(&self.dir);
        synced.map_err(|e| Error::io(format!("{}: sync failed", self.dir.display()), e))
    }

    /// Finds the place, or says that it is not held.
    pub(crate) fn find(&mut self, known: SeqNo, bounded: bool) -> Result<()> {
        if self.part.is_none() && !(bounded && self.next_seq > known) {
            self.begin(known)?;
        }
        Ok(())
    }

    /// Whether the log holds the next sequence number, or goes on behind it.
    pub(crate) fn holds_next(mut self) -> Result<bool> {
        let next = self.next_seq;
        if self.heads(0)?.iter().any(|head| head.first_seq > next) {
            return Ok(true);
        }
        self.next(0, false, |_, _| Ok(()))
    }

    /// Visits the next record: `visit` gets its first sequence number and its payload. Answers
    /// `false` where there is none yet.
    ///
    /// Everything up to `known` was written before; with `bounded`, nothing behind it is read.
    pub(crate) fn next(
        &mut self,
        known: SeqNo,
        bounded: bool,
        mut visit: impl FnMut(SeqNo, &[u8]) -> Result<()>,
    ) -> Result<bool> {
        loop {
            if bounded && self.next_seq > known {
                return Ok(false);
            }
            if self.part.is_none() && !self.begin(known)? {
                return Ok(false);
            }
            match self.step(&mut visit)? {
                Found::Record => return Ok(true),
                Found::Other => {}
                Found::End(wrong) => {
                    if !self.go_on(known, wrong)? {
                        return Ok(false);
                    }
                }
            }
        }
    }

    /// The records of one segment, as far as they are there.
    fn step(&mut self, visit: &mut impl FnMut(SeqNo, &[u8]) -> Result<()>) -> Result<Found> {
        let next_seq = &mut self.next_seq;
        let Some(part) = &mut self.part else { return Ok(Found::Other) };
        if !part.fresh {
            part.reader.look_again()?;
            part.fresh = true;
        }
        // The whole end is looked at once, and then only whether anything was written there.
        if part.examined && part.reader.is_unwritten()? {
            return Ok(Found::End(None));
        }
        match part.reader.next()? {
            Step::Record(record) if record.kind == RecordKind::Data => {
                part.examined = false;
                let first = record.first_seq;
                let count = visit_from(*next_seq, first, record.payload, visit)?;
                let end = first.saturating_add(count.numbers);
                *next_seq = end.max(*next_seq);
                Ok(if count.visited { Found::Record } else { Found::Other })
            }
            Step::Record(_) => {
                part.examined = false;
                Ok(Found::Other)
            }
            Step::End { .. } => {
                part.examined = true;
                Ok(Found::End(None))
            }
            Step::Torn { .. } => Ok(Found::End(None)),
            Step::Corrupt { offset, reason } => Ok(Found::End(Some(format!(
                "{} is damaged at offset {offset}: {reason}",
                FileName::Log(part.number).path(&self.dir).display()
            )))),
        }
    }

    /// What follows where a segment has no more. Answers `false` where nothing does yet.
    fn go_on(&mut self, known: SeqNo, wrong: Option<String>) -> Result<bool> {
        let Some(number) = self.segment() else { return Ok(true) };
        let following = self.heads(number + 1)?.into_iter().next();
        // What is behind a later segment's beginning was written before it, and so is what the
        // store has shown: another look finds it.
        let must_be = following.is_some_and(|next| next.first_seq > self.next_seq)
            || self.next_seq <= known
            || wrong.is_some();
        if must_be && self.finds_more()? {
            return Ok(true);
        }
        match following {
            Some(next) => {
                // Nothing was given between what was read and the segment's beginning.
                let joined = next.from() <= self.next_seq;
                if !joined {
                    return Err(match wrong {
                        Some(wrong) => Error::corrupt(wrong),
                        None => self.gone(next.first_seq),
                    });
                }
                self.next_seq = self.next_seq.max(next.first_seq);
                self.part = self.open(next.number)?;
                Ok(true)
            }
            None => match wrong {
                Some(wrong) => Err(Error::corrupt(wrong)),
                None if self.next_seq > known => {
                    self.look_again();
                    Ok(false)
                }
                None => Err(self.gone(known + 1)),
            },
        }
    }

    /// Whether the segment has more after all.
    fn finds_more(&mut self) -> Result<bool> {
        let clock = self.fs.clock();
        for look in 0..LOOKS {
            if look > 1 {
                clock.sleep(Duration::from_millis(1));
            }
            let Some(part) = &mut self.part else { return Ok(false) };
            part.reader.look_again()?;
            match part.reader.next()? {
                Step::Record(_) => {
                    // It is visited when the segment is read again.
                    let number = part.number;
                    self.part = self.open(number)?;
                    return Ok(self.part.is_some());
                }
                Step::End { .. } | Step::Torn { .. } if look > 0 => return Ok(false),
                _ => {}
            }
        }
        Ok(false)
    }

    /// Finds the segment with the next sequence number. Answers `false` where nothing of the log
    /// is there, and nothing is missing.
    fn begin(&mut self, known: SeqNo) -> Result<bool> {
        for _ in 0..LISTS {
            let heads = self.heads(0)?;
            let wanted = match self.next_seq {
                0 => heads.first(),
                next => heads.iter().rev().find(|head| head.from() <= next),
            };
            match (wanted.copied(), heads.first()) {
                (Some(head), _) => {
                    if self.next_seq == 0 {
                        self.next_seq = head.first_seq;
                    }
                    self.part = self.open(head.number)?;
                    // One that went meanwhile is looked for again.
                    if self.part.is_some() {
                        return Ok(true);
                    }
                }
                (None, _) if self.next_seq == 0 => {
                    self.next_seq = known + 1;
                    return Ok(false);
                }
                (None, Some(oldest)) => return Err(self.gone(oldest.first_seq)),
                (None, None) if self.next_seq > known => return Ok(false),
                (None, None) => return Err(self.gone(known + 1)),
            }
        }
        Err(self.gone(known + 1))
    }

    fn gone(&self, oldest: SeqNo) -> Error {
        let (wanted, before) = (self.next_seq, oldest.saturating_sub(1));
        let message = format!(
            "the changes from sequence number {wanted} on are not held any more: the oldest one \
             held is {oldest}; read the store as a whole, then the changes since {before}"
        );
        Error::new(ErrorKind::NotFound, message)
    }

    fn open(&self, number: u64) -> Result<Option<Part>> {
        let path = FileName::Log(number).path(&self.dir);
        let file = match self.fs.open(&path, Mode::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(format!("{}: open failed", path.display()), e)),
        };
        let reader = RecordReader::new(file, &path, number)?.of_log();
        Ok(Some(Part { number, reader, fresh: true, examined: false }))
    }

    /// The numbers of the segments from `first` on, ascending.
    fn numbers(&self, first: u64) -> Result<Vec<u64>> {
        let listed = self.fs.list(&self.dir);
        let entries = listed
            .map_err(|e| Error::io(format!("{}: cannot be listed", self.dir.display()), e))?;
        let mut numbers: Vec<u64> = entries
            .iter()
            .filter_map(|entry| match FileName::parse(&entry.name) {
                Some(FileName::Log(number)) if number >= first => Some(number),
                _ => None,
            })
            .collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The beginnings of the segments from `first` on to which something was written, ascending.
    fn heads(&self, first: u64) -> Result<Vec<Head>> {
        let mut heads = Vec::new();
        for number in self.numbers(first)? {
            heads.extend(self.head(number)?);
        }
        Ok(heads)
    }

    /// How a segment begins; `None` where nothing whole was written to it, or it is gone.
    fn head(&self, number: u64) -> Result<Option<Head>> {
        let Some(mut part) = self.open(number)? else { return Ok(None) };
        if part.reader.is_unwritten()? {
            return Ok(None);
        }
        let path = FileName::Log(number).path(&self.dir);
        let damaged =
            |reason: &str| Error::corrupt(format!("{} is damaged: {reason}", path.display()));
        match part.reader.next()? {
            Step::Record(record) if record.kind == RecordKind::Start => {
                let predecessor = Predecessor::decode(record.payload).map_err(damaged)?;
                Ok(Some(Head { number, first_seq: record.first_seq, predecessor }))
            }
            // A record of another kind is what a file was left with that had its place before.
            Step::Record(_) | Step::End { .. } | Step::Torn { .. } => Ok(None),
            Step::Corrupt { reason, .. } => Err(damaged(&reason)),
        }
    }
}

struct Counted {
    numbers: u64,
    visited: bool,
}

/// Visits a record unless all of it lies before `next_seq`.
fn visit_from(
    next_seq: SeqNo,
    first: SeqNo,
    payload: &[u8],
    visit: &mut impl FnMut(SeqNo, &[u8]) -> Result<()>,
) -> Result<Counted> {
    let numbers = kv_core::decode_batch(payload).map_err(malformed)?.remaining();
    let numbers = u64::from(numbers);
    if numbers == 0 || first.saturating_add(numbers) <= next_seq {
        return Ok(Counted { numbers, visited: false });
    }
    visit(first, payload)?;
    Ok(Counted { numbers, visited: true })
}

/// A batch that cannot be read.
pub(super) fn malformed(e: kv_core::Malformed) -> Error {
    Error::corrupt(format!("a log record with a good checksum holds a bad batch: {e}"))
}
