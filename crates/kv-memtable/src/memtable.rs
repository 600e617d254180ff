//! The memtable: a filter in front of a skip list, and range tombstones beside it.

use crate::cursor::MemCursor;
use crate::filter::Filter;
use crate::node;
use crate::skiplist::Skiplist;
use crate::tombstones::Tombstones;
use bytes::Bytes;
use kv_core::{RangeTombstones, SeqNo, Trailer};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memtable has no room for the entry; it is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the memtable has no room for the entry; write it to a new one")
    }
}

impl std::error::Error for Full {}

/// Alone in its cache line: every insert writes it, and what lies around it is only read.
#[repr(align(64))]
struct Count(AtomicUsize);

/// Sorted entries in memory, in a fixed amount of it. Any number of threads insert and read at
/// the same time; entries are never changed or removed.
pub struct Memtable {
    list: Skiplist,
    filter: Filter,
    tombstones: Tombstones,
    count: Count,
}

impl Memtable {
    /// An empty memtable with room for entries whose [`Memtable::entry_bound`]s add up to
    /// `capacity`; its arena is an eighth larger, and at most 32 GiB. Memory is reserved now and
    /// used when entries come.
    pub fn new(capacity: usize) -> Memtable {
        Memtable::with_prefix(capacity, b"")
    }

    /// [`Memtable::new`] for keys of which most begin with `prefix`: such keys are mostly told
    /// apart by one comparison of the eight bytes behind it. Only a hint; any key may come.
    pub fn with_prefix(capacity: usize, prefix: &[u8]) -> Memtable {
        Memtable {
            list: Skiplist::new(capacity, prefix),
            filter: Filter::new(capacity),
            tombstones: Tombstones::default(),
            count: Count(AtomicUsize::new(0)),
        }
    }

    /// The most bytes of the capacity that one insert takes; `usize::MAX` where that is no number.
    pub const fn entry_bound(key_len: usize, value_len: usize) -> usize {
        node::node_bound(key_len, value_len)
    }

    /// Adds an entry. `hash` is [`kv_core::hash64`] of the key. Never waits for another thread.
    ///
    /// A key with a trailer comes once; a second time it makes a second entry. [`Full`] is also
    /// the answer to a key from 16 MiB or a value from 4 GiB on.
    pub fn insert(
        &self,
        key: &[u8],
        hash: u64,
        trailer: Trailer,
        value: &[u8],
    ) -> Result<(), Full> {
        // First, so that whoever meets the entry on another way also gets it by its key. Where
        // there is no room, the bits stay, and cost a search.
        self.filter.insert(hash);
        if !self.list.insert(key, trailer, value, scramble(hash, trailer)) {
            return Err(Full);
        }
        self.count.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Deletes everything older than `seq` in `[start, end)`; an empty or inverted range is
    /// nothing. Range tombstones take no room from the entries, but count in
    /// [`Memtable::memory`].
    pub fn delete_range(&self, start: &[u8], end: &[u8], seq: SeqNo) {
        self.tombstones.add(start, end, seq);
    }

    /// The newest version of `key` that a snapshot at `snapshot` sees, whatever range tombstone
    /// lies over it. `hash` is [`kv_core::hash64`] of the key.
    #[inline]
    pub fn get(&self, key: &[u8], hash: u64, snapshot: SeqNo) -> Option<(Trailer, &[u8])> {
        if !self.filter.may_contain(hash) {
            return None;
        }
        let node = self.list.seek(&self.list.target(key, Trailer::upper_bound(snapshot)))?;
        let nodes = self.list.nodes();
        (nodes.key(node) == key).then(|| (nodes.trailer(node), nodes.value(node)))
    }

    /// Whether there is a range tombstone: one relaxed load.
    #[inline]
    pub fn has_range_deletes(&self) -> bool {
        self.tombstones.any()
    }

    /// The newest range tombstone over `key` that a snapshot at `snapshot` sees, 0 where there is
    /// none. Also fast while range tombstones keep coming.
    pub fn covering(&self, key: &[u8], snapshot: SeqNo) -> SeqNo {
        self.tombstones.covering(key, snapshot)
    }

    /// All range tombstones, cut at each other's ends; cut anew only if one came since the last
    /// call. [`Memtable::covering`] answers for one key without cutting.
    pub fn range_tombstones(&self) -> RangeTombstones {
        self.tombstones.fragmented()
    }

    /// The range tombstones, fragmented, of which readers at `snapshots` (ascending) need: the
    /// newest that each sees, and the newest of all. Unlike [`Memtable::range_tombstones`] its size
    /// does not grow with how many lie over each other.
    pub fn range_tombstones_seen_by(&self, snapshots: &[SeqNo]) -> RangeTombstones {
        self.tombstones.seen_by(snapshots)
    }

    /// The smallest start and the largest end of a range tombstone.
    pub fn range_tombstone_span(&self) -> Option<(Bytes, Bytes)> {
        self.tombstones.span()
    }

    /// A cursor over the entries, that keeps the memtable alive. It also meets entries that are
    /// inserted behind its place while it walks.
    pub fn cursor(self: &Arc<Self>) -> MemCursor {
        MemCursor::new(Arc::clone(self))
    }

    /// The bytes in use: entries, range tombstones and the filter.
    pub fn memory(&self) -> usize {
        self.list.nodes().used() + self.filter.memory() + self.tombstones.memory()
    }

    /// How many entries, range tombstones not counted.
    pub fn len(&self) -> usize {
        self.count.0.load(Ordering::Relaxed)
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What all keys begin with: a hint for the next memtable. Empty where there are not two keys.
    pub fn common_prefix(&self) -> &[u8] {
        let ends = self.list.first().zip(self.list.last());
        let (first, last) = ends.map_or((&[][..], &[][..]), |(a, b)| {
            (self.list.nodes().key(a), self.list.nodes().key(b))
        });
        let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        if first == last { &[] } else { &first[..shared] }
    }

    pub(crate) fn list(&self) -> &Skiplist {
        &self.list
    }
}

impl fmt::Debug for Memtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memtable")
            .field("len", &self.len())
            .field("memory", &self.memory())
            .finish()
    }
}

/// A random number for each entry. The hash alone would give all versions of a key the same
/// tower, and a key that is written again and again a list without levels.
#[inline]
fn scramble(hash: u64, trailer: Trailer) -> u32 {
    let mixed = (hash ^ trailer.raw().wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed >> 32) as u32
}
