//! From log segments to memtables.

use super::Opening;
use crate::error::{Error, Result};
use crate::limits;
use crate::space::DEFAULT_PREFIX;
use crate::stats::Counters;
use crate::write::buffer::WriteBuffer;
use kv_core::{Kind, MAX_SEQ, MAX_VARINT_LEN, Op, Ops, SeqNo, decode_batch};
use kv_manifest::{FileName, State};
use kv_vfs::testing::{bug, planted};
use kv_wal::{Replay, SegmentFile};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What the logs held.
pub(super) struct Replayed {
    /// The writes, oldest memtable first.
    pub(super) buffers: Vec<Arc<WriteBuffer>>,
    /// The newest sequence number in them, 0 where there was none.
    pub(super) last_seq: SeqNo,
}

/// Fills memtables with replayed batches and hands over each that is full.
pub(crate) struct Filler<'a> {
    opening: &'a Opening,
    buffer: Arc<WriteBuffer>,
    last_seq: SeqNo,
    /// Takes a full memtable and its last sequence number.
    full: Box<dyn FnMut(Arc<WriteBuffer>, SeqNo) -> Result<()> + 'a>,
}

impl<'a> Filler<'a> {
    pub(crate) fn new(
        opening: &'a Opening,
        last_seq: SeqNo,
        full: impl FnMut(Arc<WriteBuffer>, SeqNo) -> Result<()> + 'a,
    ) -> Filler<'a> {
        Filler { opening, buffer: opening.buffer(0), last_seq, full: Box::new(full) }
    }

    /// Inserts one batch. Batches that the tables hold already are skipped.
    /// Answers how many sequence numbers the batch takes.
    pub(crate) fn add(&mut self, first: SeqNo, payload: &[u8]) -> Result<u64> {
        let Some(batch) = Batch::read(first, payload)? else { return Ok(0) };
        let known = batch.last <= self.last_seq && !planted(bug::STALE_RECORD_BELIEVED);
        if known {
            return Ok(batch.count);
        }
        if !self.buffer.admit(batch.bound, 0) {
            self.hand_over()?;
            self.buffer = self.opening.buffer_for(0, batch.bound);
            if !self.buffer.admit(batch.bound, 0) {
                return Err(Error::invalid("a logged batch is too large for memory"));
            }
        }
        let (count, last) = (batch.count, batch.last);
        batch.apply(&self.buffer, first);
        self.last_seq = last;
        Ok(count)
    }

    fn hand_over(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let next = self.opening.buffer(0);
        (self.full)(std::mem::replace(&mut self.buffer, next), self.last_seq)
    }

    /// Hands over the rest and answers the last sequence number.
    pub(crate) fn finish(mut self) -> Result<SeqNo> {
        self.hand_over()?;
        Ok(self.last_seq)
    }
}

/// A logged batch that was found sound, but for its place.
struct Batch<'a> {
    ops: Ops<'a>,
    count: u64,
    /// Its last sequence number.
    last: SeqNo,
    /// The most memtable bytes that it takes.
    bound: usize,
}

impl<'a> Batch<'a> {
    /// Checks every operation; `None` where there is none.
    fn read(first: SeqNo, payload: &'a [u8]) -> Result<Option<Batch<'a>>> {
        let malformed =
            |e| Error::corrupt(format!("a log record with a good checksum holds a bad batch: {e}"));
        let ops = decode_batch(payload).map_err(malformed)?;
        let count = u64::from(ops.remaining());
        let beyond = || Error::corrupt("a log record has a sequence number beyond the last one");
        let end = first.checked_add(count).filter(|end| *end <= MAX_SEQ).ok_or_else(beyond)?;
        if count == 0 {
            return Ok(None);
        }
        let mut bound = 0usize;
        for op in ops.clone() {
            let op = op.map_err(malformed)?;
            // Stored keys and range ends are a little longer than user keys.
            let key_len = op.key.len().saturating_sub(2 * MAX_VARINT_LEN);
            if let Some(reason) = limits::refuse(key_len, op.value.len().saturating_sub(8)) {
                return Err(Error::corrupt(format!("a log record breaks a limit: {reason}")));
            }
            bound = bound.saturating_add(WriteBuffer::bound(op.key.len(), op.value.len()));
        }
        if bound > limits::MAX_BATCH_MEMORY {
            return Err(Error::corrupt("a log record needs more memory than any batch may"));
        }
        Ok(Some(Batch { ops, count, last: end - 1, bound }))
    }

    /// Inserts it where it was admitted.
    fn apply(self, buffer: &WriteBuffer, first: SeqNo) {
        // Every one was readable above.
        let ops = self.ops.map_while(std::result::Result::ok).map(|op| {
            let dropped = op.kind == Kind::RangeDelete && planted(bug::RANGE_DELETE_NOT_REPLAYED);
            // An empty range deletes nothing.
            if dropped { Op { value: op.key, ..op } } else { op }
        });
        buffer.apply_all(first, ops);
        buffer.leave();
    }
}

impl Opening {
    /// Inserts a logged batch into `active`; where that is full, into a new one, which is answered.
    pub(super) fn insert(
        &self,
        active: &Arc<WriteBuffer>,
        first: SeqNo,
        payload: &[u8],
    ) -> Result<Option<Arc<WriteBuffer>>> {
        let Some(batch) = Batch::read(first, payload)? else { return Ok(None) };
        if active.admit(batch.bound, 0) {
            batch.apply(active, first);
            return Ok(None);
        }
        let next = self.buffer_for(active.log, batch.bound);
        if !next.admit(batch.bound, 0) {
            return Err(Error::invalid("a logged batch is too large for memory"));
        }
        batch.apply(&next, first);
        Ok(Some(next))
    }

    /// An empty memtable for the writes of segment `log`, with room for a batch of `bound` bytes.
    fn buffer_for(&self, log: u64, bound: usize) -> Arc<WriteBuffer> {
        let limit = self.options.memtable_limit() as usize;
        WriteBuffer::new(log, limit, bound, u64::MAX, DEFAULT_PREFIX, &self.pool)
    }

    /// The log segments to be replayed. Every one that the manifest names must be there.
    pub(super) fn segments(&self, state: &State, on_disk: &[u64]) -> Result<Vec<SegmentFile>> {
        let lost = state.logs.iter().find(|number| !on_disk.contains(number));
        if let Some(lost) = lost.filter(|_| !planted(bug::READER_DOES_NOT_LOOK_AGAIN)) {
            let path = FileName::Log(*lost).path(&self.dir);
            return Err(Error::corrupt(format!(
                "{}: the manifest names this log, and it is missing; restore it from a backup",
                path.display()
            )));
        }
        let live = on_disk.iter().filter(|number| **number >= state.log_floor);
        Ok(live
            .map(|number| SegmentFile {
                number: *number,
                path: FileName::Log(*number).path(&self.dir),
            })
            .collect())
    }

    /// Replays the logs through `filler`, and counts what was found and cut.
    pub(super) fn replay(
        &self,
        segments: &[SegmentFile],
        filler: &mut Filler<'_>,
        counters: &Counters,
    ) -> Result<Replay> {
        let replay: Replay =
            kv_wal::replay(&*self.fs, segments, |first, payload| filler.add(first, payload))?;
        counters.recovered_batches.store(replay.records, Ordering::Relaxed);
        if let Some(cut) = &replay.cut {
            counters.recovered_cut_bytes.store(cut.bytes_cut, Ordering::Relaxed);
        }
        Ok(replay)
    }

    /// Replays the logs into memory only; for a reader beside a live writer.
    pub(super) fn replay_to_memory(&self, state: &State, counters: &Counters) -> Result<Replayed> {
        let on_disk = self.list()?.logs();
        let segments = self.segments(state, &on_disk)?;
        let mut buffers = Vec::new();
        let mut filler = Filler::new(self, state.last_seq, |buffer, _| {
            buffers.push(buffer);
            Ok(())
        });
        self.replay(&segments, &mut filler, counters)?;
        let last_seq = filler.finish()?;
        Ok(Replayed { buffers, last_seq })
    }
}
