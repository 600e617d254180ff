//! A memtable with what rotation needs to know of it: its log, its room and its writers.

use kv_core::{Kind, Op, SeqNo, Trailer};
use kv_memtable::{Memtable, Pool};
use kv_vfs::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;

/// The most arena bytes over twice the limit, so that an ordinary batch never finds the arena too
/// small.
const SLACK: usize = 64 << 10;
/// What the log adds to each write.
const RECORD_OVERHEAD: u64 = 32;

/// The bytes of a long entry in the log.
const LONG_ENTRY: u64 = 4 << 10;

/// One memtable and the log segment that holds the same writes.
pub(crate) struct WriteBuffer {
    pub(crate) table: Arc<Memtable>,
    /// Where its memory comes from and goes to.
    pub(crate) pool: Arc<Pool>,
    /// The number of the log segment that holds these writes.
    pub(crate) log: u64,
    /// Arena bytes at which it is full.
    limit: AtomicUsize,
    /// Arena bytes from which on its writers are slowed down; 0 where it shares no memory with others.
    plenty: AtomicUsize,
    capacity: usize,
    /// Log bytes at which it is full.
    log_limit: u64,
    /// The most arena bytes that admitted writes may take. Changed under the log's lock only.
    reserved: AtomicUsize,
    /// Log bytes of admitted writes. Changed under the log's lock only.
    logged: AtomicU64,
    /// Writes that were admitted and have not been published.
    writers: AtomicUsize,
    /// The last sequence number it can hold; set when it is sealed.
    last_seq: AtomicU64,
}

impl WriteBuffer {
    /// A buffer for the writes of log segment `log` that is full at `limit` arena bytes or
    /// `log_limit` log bytes, with room for one batch of `at_least` bytes. Keys that begin with
    /// `like` are found fastest.
    pub(crate) fn new(
        log: u64,
        limit: usize,
        at_least: usize,
        log_limit: u64,
        like: &[u8],
        pool: &Arc<Pool>,
    ) -> Arc<WriteBuffer> {
        let capacity = (2 * limit).max(at_least) + limit.min(SLACK);
        Arc::new(WriteBuffer {
            table: Arc::new(Memtable::with_pool(capacity, like, pool)),
            pool: Arc::clone(pool),
            log,
            limit: AtomicUsize::new(limit),
            plenty: AtomicUsize::new(0),
            capacity,
            log_limit,
            reserved: AtomicUsize::new(0),
            logged: AtomicU64::new(0),
            writers: AtomicUsize::new(0),
            last_seq: AtomicU64::new(u64::MAX),
        })
    }

    /// Admits a write that takes at most `bytes` here and `log_bytes` in the log, unless the
    /// buffer is full. Called under the log's lock, so that a sealed buffer admits nobody.
    pub(crate) fn admit(&self, bytes: usize, log_bytes: usize) -> bool {
        let reserved = self.reserved.load(Ordering::Relaxed);
        let logged = self.logged.load(Ordering::Relaxed);
        let fits = reserved.saturating_add(bytes) <= self.capacity;
        let full =
            self.table.memory() >= self.limit.load(Ordering::Relaxed) || logged >= self.log_limit;
        if !fits || (full && reserved > 0) {
            return false;
        }
        self.logged.store(logged + log_bytes as u64 + RECORD_OVERHEAD, Ordering::Relaxed);
        self.reserved.store(reserved + bytes, Ordering::Relaxed);
        self.writers.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Sets from how many bytes on it is full, and from how many its writers are slowed down.
    pub(crate) fn aim(&self, limit: usize, plenty: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        self.plenty.store(plenty.max(1), Ordering::Relaxed);
    }

    /// Whether it shares memory with others: [`WriteBuffer::aim`].
    pub(crate) fn is_shared(&self) -> bool {
        self.plenty.load(Ordering::Relaxed) > 0
    }

    /// Whether its writers do little more than copy values.
    pub(crate) fn has_long_entries(&self) -> bool {
        self.logged() / LONG_ENTRY >= (self.table.len() as u64).max(1)
    }

    /// Whether so much is in it that its next log should be there.
    pub(crate) fn is_half_full(&self) -> bool {
        2 * self.table.memory() > self.limit.load(Ordering::Relaxed)
    }

    /// Whether its writers are to be slowed down.
    #[inline]
    pub(crate) fn is_plenty(&self) -> bool {
        match self.plenty.load(Ordering::Relaxed) {
            0 | usize::MAX => false,
            plenty => self.table.memory() >= plenty,
        }
    }

    /// How far it is over that, in bytes.
    pub(crate) fn excess(&self) -> usize {
        self.table.memory().saturating_sub(self.plenty.load(Ordering::Relaxed))
    }

    /// Admits nobody any more, as if it were sealed with this last sequence number. Called under
    /// the log's lock; answers what [`WriteBuffer::reopen`] wants.
    pub(crate) fn shut(&self, last_seq: SeqNo) -> usize {
        self.seal(last_seq);
        self.reserved.swap(usize::MAX, Ordering::Relaxed)
    }

    /// Takes writes again after [`WriteBuffer::shut`]. Called under the log's lock.
    pub(crate) fn reopen(&self, reserved: usize) {
        self.reserved.store(reserved, Ordering::Relaxed);
        self.seal(u64::MAX);
    }

    /// Ends an admitted write; answers whether it was the last one of a sealed buffer.
    pub(crate) fn leave(&self) -> bool {
        self.writers.fetch_sub(1, Ordering::AcqRel) == 1 && self.is_sealed()
    }

    /// Whether writes are still on their way into it.
    pub(crate) fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Acquire) > 0
    }

    /// Notes the last sequence number given to this buffer. Called under the log's lock.
    pub(crate) fn seal(&self, last_seq: SeqNo) {
        self.last_seq.store(last_seq, Ordering::Release);
    }

    fn is_sealed(&self) -> bool {
        self.last_seq.load(Ordering::Acquire) != u64::MAX
    }

    /// The last sequence number given to a sealed buffer.
    pub(crate) fn last_seq(&self) -> SeqNo {
        self.last_seq.load(Ordering::Acquire)
    }

    /// Log bytes of its writes.
    pub(crate) fn logged(&self) -> u64 {
        self.logged.load(Ordering::Relaxed)
    }

    /// Whether nothing was written to it.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty() && !self.table.has_range_deletes()
    }

    /// The most arena bytes that an operation takes.
    pub(crate) fn bound(key_len: usize, value_len: usize) -> usize {
        Memtable::entry_bound(key_len, value_len)
    }

    /// Asks the processor for what inserting a key with this hash needs first.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.table.prefetch(hash);
    }

    /// Inserts an admitted put or delete. It fits, because `admit` reserved for it.
    #[inline]
    pub(crate) fn apply(&self, seq: SeqNo, hash: u64, op: Op<'_>) {
        let inserted = self.table.insert(op.key, hash, Trailer::new(seq, op.kind), op.value);
        assert!(inserted.is_ok(), "a memtable has less room than was reserved");
    }

    /// Inserts the operations of an admitted batch, which have been found readable.
    pub(crate) fn apply_all<'a>(&self, first: SeqNo, ops: impl Iterator<Item = Op<'a>>) {
        let entries = (first..).zip(ops).filter_map(|(seq, op)| {
            if op.kind == Kind::RangeDelete {
                self.table.delete_range(op.key, op.value, seq);
                return None;
            }
            Some((op.key, Trailer::new(seq, op.kind), op.value))
        });
        let inserted = self.table.insert_all(entries);
        assert!(inserted.is_ok(), "a memtable has less room than was reserved");
    }
}
