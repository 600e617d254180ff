//! What the log's lock protects.

use crate::ahead::Ahead;
use crate::answers::LogStats;
use crate::error::{Error, Result};
use crate::frame::{Framer, HEADER_LEN, RecordKind, START_LEN, Stamp};
use crate::log::LogOptions;
use crate::segment::{Segment, Space, payload_len};
use crate::turn::Turn;
use kv_vfs::testing::{bug, planted};
use std::collections::VecDeque;

/// The most that an idle group buffer keeps allocated.
const KEPT_BUFFER: usize = 4 << 20;

/// The segment that is appended to.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) segment: Segment,
    /// The position of its first byte.
    pub(crate) base: u64,
    pub(crate) framer: Framer,
    pub(crate) space: Space,
    pub(crate) ahead: Ahead,
}

/// An older segment that is not yet durable to its end.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) segment: Segment,
    pub(crate) end: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) current: Current,
    pub(crate) closed: VecDeque<Closed>,
    pub(crate) next_seq: u64,
    pub(crate) buffer: Vec<u8>,
    /// Records in the buffer.
    pub(crate) records: u64,
    /// The other buffer, while no write uses it.
    pub(crate) spare: Vec<u8>,
    pub(crate) write: Turn,
    pub(crate) sync: Turn,
    /// How many waited for the last sync.
    pub(crate) released: usize,
    pub(crate) finished: bool,
    pub(crate) failure: Option<Error>,
    pub(crate) stats: LogStats,
}

impl State {
    pub(crate) fn end(&self) -> u64 {
        self.current.base + self.current.framer.offset()
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        if planted(bug::RESUMED_AFTER_LOG_FAILURE) {
            return self.failure.take().map_or(Ok(()), Err);
        }
        match &self.failure {
            None => Ok(()),
            Some(failure) => Err(failure.clone()),
        }
    }

    /// What whoever did a round hears of it.
    pub(crate) fn after_round(&mut self, reached: bool) -> Result<()> {
        // The bug tells the others that it is reached.
        if reached && !planted(bug::ERROR_KEPT_FROM_GROUP) { Ok(()) } else { self.check() }
    }

    pub(crate) fn check_open(&mut self) -> Result<()> {
        self.check()?;
        if self.finished {
            return Err(Error::Finished { path: self.current.segment.path().into() });
        }
        Ok(())
    }

    /// Reserves space for a record; answers its payload's length. From here on nothing can
    /// refuse it.
    #[inline]
    pub(crate) fn reserve(&mut self, payload: &[&[u8]]) -> Result<u32> {
        let Current { segment, framer, space, .. } = &mut self.current;
        let len = payload_len(segment.path(), framer.offset(), payload)?;
        let end = framer.offset() + HEADER_LEN as u64 + u64::from(len);
        space.reserve(segment.file(), segment.path(), end)?;
        Ok(len)
    }

    #[inline]
    pub(crate) fn frame(&mut self, kind: RecordKind, payload: &[&[u8]], len: u32) {
        let durable = self.sync.done;
        let base = self.current.base;
        let stamp = Stamp {
            kind,
            // Nothing synced yet: nothing is known of the segments that an earlier log left.
            older_durable: durable > 0 && durable >= base,
            synced: durable.saturating_sub(base) as u32,
            first_seq: self.next_seq,
        };
        let before = self.buffer.len();
        self.current.framer.frame(&mut self.buffer, stamp, payload, len);
        self.records += 1;
        self.stats.bytes += (self.buffer.len() - before) as u64;
    }

    /// Writes all that is buffered by copying it, if the window takes it. No write is on, but for
    /// that of the caller.
    #[inline]
    pub(crate) fn copy_out(&mut self) -> bool {
        let offset = self.current.framer.offset() - self.buffer.len() as u64;
        let copied = self.current.ahead.copy(&self.buffer, self.records, offset);
        if copied {
            self.count_group();
            self.buffer.clear();
            self.write.done = self.end();
        }
        copied
    }

    /// The buffer, for a write; appends go on into the other one.
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        self.count_group();
        std::mem::replace(&mut self.buffer, std::mem::take(&mut self.spare))
    }

    /// Notes that what is buffered goes to the file.
    #[inline]
    fn count_group(&mut self) {
        if let Some(group) = self.records.checked_ilog2() {
            let last = self.stats.groups.len() - 1;
            self.stats.groups[last.min(group as usize)] += 1;
            self.stats.writes += 1;
        }
        self.records = 0;
    }

    pub(crate) fn keep_buffer(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BUFFER {
            buffer.clear();
            self.spare = buffer;
        }
    }

    /// The oldest file with bytes before `target` that are not durable, and how far a sync of it
    /// brings us.
    pub(crate) fn next_unsynced(&self, target: u64) -> Option<(Segment, u64)> {
        if self.sync.done >= target {
            return None;
        }
        match self.closed.front() {
            Some(closed) => Some((closed.segment.clone(), closed.end.min(target))),
            None => Some((self.current.segment.clone(), target)),
        }
    }

    pub(crate) fn synced(&mut self, to: u64) {
        self.sync.done = to;
        self.stats.syncs += 1;
        while self.closed.front().is_some_and(|closed| closed.end <= to) {
            self.closed.pop_front();
        }
    }
}

impl Current {
    /// `segment` as the current one, with space for its start record.
    pub(crate) fn new(segment: Segment, base: u64, options: &LogOptions) -> Result<Current> {
        let framer = Framer::new(segment.number());
        let mut space = Space::new(options.allocation_chunk);
        let end = (HEADER_LEN + START_LEN) as u64;
        space.reserve(segment.file(), segment.path(), end)?;
        let ahead = Ahead::new(options.allocation_chunk);
        Ok(Current { segment, base, framer, space, ahead })
    }
}
