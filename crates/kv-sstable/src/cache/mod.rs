//! A cache of blocks, shared by all tables of a store.
//!
//! Promises: the data that it holds, with an overhead for each entry and with what is pinned,
//! never exceeds its capacity. A block is found by its place, under a shared lock, or through a
//! slot of the table that it belongs to: that takes no lock, and once the block is hot it writes
//! nothing that another thread reads. Blocks that are read once, by a scan, do not displace
//! blocks that are read again. Knows nothing of what a block means; a block never changes under
//! its place.

mod counters;
mod shard;
mod slab;
mod slot;

pub(crate) use slot::{Buffer, Seen, Slots, prefetch};

use bytes::Bytes;
use counters::Counters;
use shard::{Arrival, Claim, Home, Place, Shard};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Memory of an entry beside its data: its places in the map and in a queue, and the header of
/// its allocation.
const ENTRY_OVERHEAD: usize = 128;
/// What a shard holds at least, so that the filter of a large table fits into one even when half
/// of the capacity is pinned.
const MIN_SHARD: usize = 8 << 20;
/// Enough for the threads of a large machine to meet rarely.
const MAX_SHARDS: usize = 64;

/// Blocks by table and offset, up to a number of bytes.
///
/// ```
/// use bytes::Bytes;
/// use kv_sstable::BlockCache;
///
/// let cache = BlockCache::new(1 << 20);
/// cache.insert(7, 4096, Bytes::from_static(b"a block"));
/// assert_eq!(cache.get(7, 4096).unwrap(), "a block");
/// assert!(cache.get(8, 4096).is_none());
/// assert_eq!((cache.hits(), cache.misses()), (1, 1));
///
/// assert!(cache.used() > 7 && cache.used() < cache.capacity());
/// cache.erase_table(7);
/// assert_eq!(cache.used(), 0);
/// ```
pub struct BlockCache {
    shards: Box<[Shard]>,
    capacity: usize,
    pinned: AtomicUsize,
    counters: Counters,
}

impl BlockCache {
    /// A cache of this many bytes; 0 caches nothing.
    pub fn new(bytes: usize) -> Arc<BlockCache> {
        let wanted = (bytes / MIN_SHARD).clamp(1, MAX_SHARDS);
        let shards = 1 << wanted.ilog2();
        Arc::new(BlockCache {
            shards: (0..shards).map(|_| Shard::new(bytes / shards)).collect(),
            capacity: bytes,
            pinned: AtomicUsize::new(0),
            counters: Counters::default(),
        })
    }

    /// The block at this place, if it is here.
    pub fn get(&self, table: u64, offset: u64) -> Option<Bytes> {
        self.find(table, offset).map(Bytes::from_owner)
    }

    /// Takes a copy of a block in, making room where needed. A block larger than a shard is not
    /// admitted, and one that is here already stays.
    pub fn insert(&self, table: u64, offset: u64, data: Bytes) {
        self.admit(table, offset, Buffer::copy_of(&data));
    }

    /// [`BlockCache::get`] without a `Bytes` around the block.
    pub(crate) fn find(&self, table: u64, offset: u64) -> Option<Buffer> {
        let place = Place::new(table, offset);
        let found = self.shard(&place).get(&place);
        self.counters.count(found.is_some());
        found
    }

    /// [`BlockCache::insert`] without a copy.
    pub(crate) fn admit(&self, table: u64, offset: u64, data: Buffer) {
        let arrival = Arrival { data, home: None, claim: Claim::Read };
        self.enter(Place::new(table, offset), arrival);
    }

    /// [`BlockCache::admit`] of a block that nobody has read yet, in the place of others that were
    /// read so often lately: if need be others give way to it, but not to one that is `spare`.
    pub(crate) fn admit_unread(&self, place: (u64, u64), data: Buffer, reads: u8, spare: bool) {
        let (table, offset) = place;
        data.inherit(reads);
        let claim = if spare { Claim::Spare } else { Claim::Expected };
        let arrival = Arrival { data, home: None, claim };
        self.enter(Place::new(table, offset), arrival);
    }

    /// A look through slot `i`, which belongs to a block; what it finds counts as read.
    #[inline]
    pub(crate) fn look(&self, slots: &Slots, i: usize) -> Option<Seen> {
        let seen = slots.look(i)?;
        let buffer = seen.buffer()?;
        buffer.prefetch();
        buffer.touch();
        self.counters.count(true);
        Some(seen)
    }

    /// [`BlockCache::find`] of a block whose slot `i` is empty: fills it.
    pub(crate) fn attach(
        &self,
        table: u64,
        offset: u64,
        slots: &Arc<Slots>,
        i: usize,
    ) -> Option<Buffer> {
        let place = Place::new(table, offset);
        let found = self.shard(&place).attach(&place, Home::new(slots, i));
        self.counters.count(found.is_some());
        found
    }

    /// [`BlockCache::admit`] of a block that is to be reached through slot `i`, too.
    pub(crate) fn admit_to(
        &self,
        table: u64,
        offset: u64,
        data: Buffer,
        slots: &Arc<Slots>,
        i: usize,
    ) {
        let arrival = Arrival { data, home: Some(Home::new(slots, i)), claim: Claim::Read };
        self.enter(Place::new(table, offset), arrival);
    }

    fn enter(&self, place: Place, arrival: Arrival) {
        // The limit is read under the shard's lock: see `pin`.
        self.shard(&place).insert(place, arrival, || self.shard_limit());
    }

    /// Forgets the blocks of a table that is gone.
    pub fn erase_table(&self, table: u64) {
        self.shards.iter().for_each(|shard| shard.erase_table(table));
    }

    /// Sets memory aside for something outside the cache, until the [`Pin`] is dropped; blocks
    /// make room for it at once. `None` where more than half of the capacity would be pinned.
    ///
    /// ```
    /// # use kv_sstable::{BlockCache, Pin};
    /// let cache = BlockCache::new(1 << 20);
    /// let pin: Pin = cache.pin(300 << 10).unwrap();
    /// assert_eq!(cache.pinned(), 300 << 10);
    /// assert!(cache.pin(300 << 10).is_none());
    /// drop(pin);
    /// assert_eq!(cache.pinned(), 0);
    /// ```
    pub fn pin(self: &Arc<BlockCache>, bytes: usize) -> Option<Pin> {
        let most = self.capacity / 2;
        self.pinned
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |pinned| {
                pinned.checked_add(bytes).filter(|&sum| sum <= most)
            })
            .ok()?;
        // An insert that took its shard's lock before this loop is trimmed by it, one that takes
        // it afterwards finds the lower limit.
        let limit = self.shard_limit();
        self.shards.iter().for_each(|shard| shard.trim(limit));
        Some(Pin { cache: Arc::clone(self), bytes })
    }

    /// Bytes that cached and pinned data may take together.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes that cached blocks take, each with the overhead of an entry.
    pub fn used(&self) -> usize {
        self.shards.iter().map(Shard::used).sum()
    }

    /// Bytes that are pinned.
    pub fn pinned(&self) -> usize {
        self.pinned.load(Ordering::Relaxed)
    }

    /// How often a block was found.
    pub fn hits(&self) -> u64 {
        self.counters.hits()
    }

    /// How often a block was not found.
    pub fn misses(&self) -> u64 {
        self.counters.misses()
    }

    #[inline]
    fn shard(&self, place: &Place) -> &Shard {
        // The number of shards is a power of two; the map uses the lowest and highest bits.
        &self.shards[(place.hash() >> 32) as usize & (self.shards.len() - 1)]
    }

    fn shard_limit(&self) -> usize {
        (self.capacity - self.pinned()) / self.shards.len()
    }
}

impl fmt::Debug for BlockCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockCache")
            .field("capacity", &self.capacity)
            .field("used", &self.used())
            .field("pinned", &self.pinned())
            .finish_non_exhaustive()
    }
}

/// Memory that a [`BlockCache`] does without as long as this lives.
#[derive(Debug)]
pub struct Pin {
    cache: Arc<BlockCache>,
    bytes: usize,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.cache.pinned.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
