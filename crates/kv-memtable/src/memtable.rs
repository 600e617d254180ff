//! The memtable: an index by hash, an order that is made when it is wanted, and range tombstones
//! beside them.

use crate::chunk::Pool;
use crate::cursor::MemCursor;
use crate::index::{self, Found, Index};
use crate::node::{self, NodeCell, NodeId};
use crate::ordered::Ordered;
use crate::skiplist::{Skiplist, Target};
use crate::sorted::Sorted;
use crate::tombstones::Tombstones;
use bytes::Bytes;
use kv_core::{RangeTombstones, SeqNo, Trailer, hash64};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The memtable has no room for the entry; it is as it was before.
///
/// ```
/// use kv_core::{Kind, Trailer, hash64};
/// use kv_memtable::{Full, Memtable};
///
/// // Room for a thousand such entries at least; then a new memtable is due.
/// let table = Memtable::new(1000 * Memtable::entry_bound(8, 100));
/// let refused = (1_u64..).find_map(|seq| {
///     let key = seq.to_be_bytes();
///     table.insert(&key, hash64(&key), Trailer::new(seq, Kind::Put), &[7; 100]).err()
/// });
/// assert_eq!(refused, Some(Full));
/// assert!(table.len() >= 1000);
/// assert!(table.memory() >= 1000 * 108);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the memtable has no room for the entry; write it to a new one")
    }
}

impl std::error::Error for Full {}

/// How many entries of a chain a get walks past before it asks whether to go on.
const STEPS: usize = 64;

/// How many more it walks past before they are counted.
const STRETCH: u32 = 256;

/// How many entries of many are looked up ahead at once.
const GROUP: usize = 8;

/// Entries in memory, in a fixed amount of it, found by key and walked in order. Any number of
/// threads insert and read at the same time; entries are never changed or removed.
///
/// ```
/// use kv_core::{Kind, Trailer, hash64};
/// use kv_memtable::Memtable;
///
/// let table = Memtable::new(1 << 20);
/// assert!(table.is_empty());
/// let fill = |writer: u64| {
///     for n in 1..=100 {
///         let (key, seq) = (format!("user:{writer}{n:03}"), 2 * n + writer);
///         let key = key.as_bytes();
///         table.insert(key, hash64(key), Trailer::new(seq, Kind::Put), b"new").unwrap();
///     }
/// };
/// std::thread::scope(|scope| {
///     scope.spawn(|| fill(0));
///     scope.spawn(|| fill(1));
/// });
/// assert_eq!(table.len(), 200);
/// assert_eq!(table.key_span(), Some((&b"user:0001"[..], &b"user:1100"[..])));
/// assert_eq!(table.common_prefix(), b"user:");
/// ```
pub struct Memtable {
    ordered: Ordered,
    index: Index,
    tombstones: Tombstones,
    /// An entry with the smallest key, and one with the largest.
    first: NodeCell,
    last: NodeCell,
    /// Whether a cursor was made.
    has_cursors: AtomicBool,
    /// Whether inserts see to it that little waits to be ordered.
    in_order: AtomicBool,
    /// How many entries gets walked past on long chains, since they were last put in order.
    walked: AtomicU32,
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
        Memtable::build(capacity, prefix, None)
    }

    /// [`Memtable::with_prefix`] whose memory comes from a pool, if it is more than a chunk, and
    /// goes back there. An entry of more than 32 KiB has its value elsewhere.
    ///
    /// ```
    /// use kv_core::{Cursor, Kind, Trailer, hash64};
    /// use kv_memtable::{Memtable, Pool};
    /// use std::sync::Arc;
    ///
    /// let pool = Pool::new(64 << 20);
    /// let table = Arc::new(Memtable::with_pool(16 << 20, b"", &pool));
    /// for (seq, key) in (1..).zip([b"user:1", b"user:2"]) {
    ///     table.insert(key, hash64(key), Trailer::new(seq, Kind::Put), b"new")?;
    /// }
    /// let mut cursor = table.cursor();
    /// cursor.last()?;
    /// assert_eq!(cursor.key(), b"user:2");
    ///
    /// // What one memtable has seen tells the next one what to expect.
    /// let next = Memtable::with_pool(16 << 20, table.common_prefix(), &pool);
    /// if table.has_cursors() {
    ///     next.expect_cursors();
    /// }
    /// assert!(next.is_empty() && !next.has_cursors());
    /// // The memory of the first is there for a third.
    /// drop((cursor, table));
    /// assert!(pool.memory() > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_pool(capacity: usize, prefix: &[u8], pool: &Arc<Pool>) -> Memtable {
        Memtable::build(capacity, prefix, Some(pool))
    }

    fn build(capacity: usize, prefix: &[u8], pool: Option<&Arc<Pool>>) -> Memtable {
        Memtable {
            ordered: Ordered::new(Skiplist::new(capacity, prefix, pool)),
            index: Index::new(capacity),
            tombstones: Tombstones::default(),
            first: NodeCell::new(None),
            last: NodeCell::new(None),
            has_cursors: AtomicBool::new(false),
            in_order: AtomicBool::new(false),
            walked: AtomicU32::new(0),
        }
    }

    /// The most bytes of the capacity that one insert takes; `usize::MAX` where that is no number.
    pub const fn entry_bound(key_len: usize, value_len: usize) -> usize {
        node::node_bound(key_len, value_len)
    }

    /// Adds an entry. `hash` is [`kv_core::hash64`] of the key. Never waits for another thread.
    ///
    /// A key with a trailer comes once; a second time it makes a second entry. [`Full`] is also
    /// the answer to a key from 120 KiB or a value from 4 GiB on.
    pub fn insert(
        &self,
        key: &[u8],
        hash: u64,
        trailer: Trailer,
        value: &[u8],
    ) -> Result<(), Full> {
        let node = self.add(key, hash, trailer, value)?;
        self.ordered.push(node, node, 1);
        if self.in_order.load(Ordering::Relaxed) {
            self.ordered.order_if_long();
        }
        Ok(())
    }

    /// [`Memtable::insert`] of many entries at once, key, trailer and value each, which costs less
    /// for each of them. Where one is refused, those before it are in.
    ///
    /// ```
    /// use kv_core::{Kind, Trailer, hash64};
    /// use kv_memtable::Memtable;
    ///
    /// let table = Memtable::with_prefix(1 << 20, b"user:");
    /// let pairs = [("user:1", "ann"), ("user:2", "bob")];
    /// let entries = (1..).zip(pairs).map(|(seq, (key, value))| {
    ///     (key.as_bytes(), Trailer::new(seq, Kind::Put), value.as_bytes())
    /// });
    /// table.insert_all(entries)?;
    /// let found = table.get(b"user:2", hash64(b"user:2"), 9);
    /// assert_eq!(found, Some((Trailer::new(2, Kind::Put), &b"bob"[..])));
    /// # Ok::<(), kv_memtable::Full>(())
    /// ```
    pub fn insert_all<'a>(
        &self,
        mut entries: impl Iterator<Item = (&'a [u8], Trailer, &'a [u8])>,
    ) -> Result<(), Full> {
        // The entry that was added last, the first, and how many.
        let mut added: Option<(NodeId, NodeId, u32)> = None;
        let mut outcome = Ok(());
        'all: loop {
            let group: [_; GROUP] = std::array::from_fn(|_| {
                let entry = entries.next()?;
                let hash = hash64(entry.0);
                self.index.prefetch(hash);
                Some((entry, hash))
            });
            for next in group {
                let Some(((key, trailer, value), hash)) = next else { break 'all };
                let node = match self.add(key, hash, trailer, value) {
                    Ok(node) => node,
                    Err(full) => {
                        outcome = Err(full);
                        break 'all;
                    }
                };
                added = match added {
                    None => Some((node, node, 1)),
                    Some((top, bottom, count)) => {
                        self.ordered.list().nodes().below(node).init(Some(top));
                        Some((node, bottom, count + 1))
                    }
                };
            }
        }
        if let Some((top, bottom, count)) = added {
            self.ordered.push(top, bottom, count);
        }
        if self.in_order.load(Ordering::Relaxed) {
            self.ordered.order_if_long();
        }
        outcome
    }

    /// Writes a node and puts it where gets find it.
    #[inline]
    fn add(&self, key: &[u8], hash: u64, trailer: Trailer, value: &[u8]) -> Result<NodeId, Full> {
        let list = self.ordered.list();
        let random = scramble(hash, trailer);
        let node = list.allocate(key, trailer, value, random).ok_or(Full)?;
        // First, so that whoever meets the entry on another way also gets it by its key.
        self.index.insert(list.nodes(), node, hash, trailer);
        self.widen(node);
        Ok(node)
    }

    /// Moves the ends of the keys out to a new entry's.
    #[inline]
    fn widen(&self, node: NodeId) {
        let list = self.ordered.list();
        let (first, last) = (self.first.get(), self.last.get());
        let mut now = first.load();
        while now.is_none_or(|now| list.has_smaller_key(node, now)) {
            match first.replace(now, node) {
                Ok(()) => break,
                Err(other) => now = other,
            }
        }
        let mut now = last.load();
        while now.is_none_or(|now| list.has_smaller_key(now, node)) {
            match last.replace(now, node) {
                Ok(()) => break,
                Err(other) => now = other,
            }
        }
    }

    /// Asks the processor for what an insert or a get of a key with this hash needs first. Worth
    /// it where something else is done in between.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Deletes everything older than `seq` in `[start, end)`; an empty or inverted range is
    /// nothing. Range tombstones take no room from the entries, but count in
    /// [`Memtable::memory`].
    ///
    /// ```
    /// use kv_core::{Kind, Trailer, hash64};
    /// use kv_memtable::Memtable;
    ///
    /// let table = Memtable::new(1 << 20);
    /// table.insert(b"pear", hash64(b"pear"), Trailer::new(1, Kind::Put), b"green")?;
    /// table.delete_range(b"p", b"q", 2);
    ///
    /// // What a snapshot sees of a key: nothing where a newer range tombstone lies over its entry.
    /// let read = |key: &[u8], snapshot| {
    ///     let hash = hash64(key);
    ///     table.prefetch(hash);
    ///     let (trailer, value) = table.get(key, hash, snapshot)?;
    ///     let hidden = table.has_range_deletes() && table.covering(key, snapshot) > trailer.seq();
    ///     (!hidden).then_some(value)
    /// };
    /// assert_eq!(read(b"pear", 2), None);
    /// assert_eq!(read(b"pear", 1), Some(&b"green"[..]));
    /// table.insert(b"pear", hash64(b"pear"), Trailer::new(3, Kind::Put), b"yellow")?;
    /// assert_eq!(read(b"pear", 3), Some(&b"yellow"[..]));
    /// # Ok::<(), kv_memtable::Full>(())
    /// ```
    pub fn delete_range(&self, start: &[u8], end: &[u8], seq: SeqNo) {
        self.tombstones.add(start, end, seq);
    }

    /// The newest version of `key` that a snapshot at `snapshot` sees, whatever range tombstone
    /// lies over it. `hash` is [`kv_core::hash64`] of the key.
    #[inline]
    pub fn get(&self, key: &[u8], hash: u64, snapshot: SeqNo) -> Option<(Trailer, &[u8])> {
        let head = self.index.chain(hash)?;
        let list = self.ordered.list();
        let (nodes, target) = (list.nodes(), list.target(key, Trailer::upper_bound(snapshot)));
        let node = match index::find(nodes, head, STEPS, |node| list.answers(node, &target)) {
            Found::Entry(node) => node,
            Found::Nothing => return None,
            Found::Far(node) => self.find_far(node, &target)?,
        };
        Some((nodes.trailer(node), nodes.value(node)))
    }

    /// Goes on along a chain, or, where as many entries were walked past on such ways as wait to
    /// be ordered, by the order. So neither one long chain makes a get wait for the order of all,
    /// nor do gets that meet it again and again walk for ever: together they cost at most twice
    /// what the cheaper of both would have.
    #[cold]
    fn find_far(&self, from: NodeId, target: &Target<'_>) -> Option<NodeId> {
        let list = self.ordered.list();
        let (mut at, mut left) =
            (from, self.ordered.waiting().saturating_sub(self.walked.load(Ordering::Relaxed)));
        while left > 0 {
            let steps = left.min(STRETCH);
            self.walked.fetch_add(steps, Ordering::Relaxed);
            match index::find(list.nodes(), at, steps as usize, |node| list.answers(node, target)) {
                Found::Entry(node) => return Some(node),
                Found::Nothing => return None,
                Found::Far(node) => at = node,
            }
            left -= steps;
        }
        self.ordered.order();
        self.walked.store(0, Ordering::Relaxed);
        list.seek(target).filter(|&node| list.nodes().key(node) == target.key())
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
    ///
    /// ```
    /// use kv_memtable::Memtable;
    ///
    /// // A queue that is cut off further and further.
    /// let table = Memtable::new(64 << 10);
    /// table.delete_range(b"a", b"f", 1);
    /// table.delete_range(b"a", b"m", 2);
    /// table.delete_range(b"a", b"z", 3);
    /// assert_eq!(table.range_tombstone_span(), Some(("a".into(), "z".into())));
    ///
    /// // Over "b" lie all three; a reader at 2 and those that come need two of them.
    /// let (all, needed) = (table.range_tombstones(), table.range_tombstones_seen_by(&[2]));
    /// assert_eq!(all.fragment_over(b"b").unwrap().seqs, [3, 2, 1]);
    /// assert_eq!(needed.fragment_over(b"b").unwrap().seqs, [3, 2]);
    /// ```
    pub fn range_tombstones_seen_by(&self, snapshots: &[SeqNo]) -> RangeTombstones {
        self.tombstones.seen_by(snapshots)
    }

    /// The smallest start and the largest end of a range tombstone.
    pub fn range_tombstone_span(&self) -> Option<(Bytes, Bytes)> {
        self.tombstones.span()
    }

    /// A cursor over the entries, that keeps the memtable alive. It meets every entry that was
    /// inserted before it was made; of those that come later it may meet some.
    ///
    /// Making it orders what has come since the last cursor was made: 0.1 to 0.2 µs for each entry. From
    /// the first one on inserts help, so that it is never much again.
    ///
    /// ```
    /// use kv_core::{Cursor, Kind, Trailer, hash64};
    /// use kv_memtable::Memtable;
    /// use std::sync::Arc;
    ///
    /// let table = Arc::new(Memtable::new(64 << 10));
    /// for (seq, key) in (1..).zip([b"plum", b"lime", b"pear"]) {
    ///     table.insert(key, hash64(key), Trailer::new(seq, Kind::Put), b"ripe")?;
    /// }
    /// // One walk sorts for itself; only a cursor orders the memtable.
    /// assert_eq!(table.sorted().first_key(), Some(&b"lime"[..]));
    /// assert!(!table.has_cursors());
    ///
    /// let mut cursor = table.cursor();
    /// cursor.seek(b"m", Trailer::MAX)?;
    /// assert_eq!(cursor.key(), b"pear");
    /// assert!(table.has_cursors());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cursor(self: &Arc<Self>) -> MemCursor {
        if !self.has_cursors() {
            self.has_cursors.store(true, Ordering::Relaxed);
            self.expect_cursors();
        }
        self.ordered.order();
        MemCursor::new(Arc::clone(self))
    }

    /// Lets inserts see to it that a cursor finds little to order. A memtable that follows one
    /// that had cursors is told so from the beginning.
    pub fn expect_cursors(&self) {
        self.in_order.store(true, Ordering::Relaxed);
    }

    /// Whether a cursor was ever made.
    pub fn has_cursors(&self) -> bool {
        self.has_cursors.load(Ordering::Relaxed)
    }

    /// One walk over all entries that were inserted before: the cheapest where no cursor was made.
    pub fn sorted(self: &Arc<Self>) -> Sorted {
        Sorted::new(Arc::clone(self))
    }

    /// The bytes in use: entries, what finds and orders them, and range tombstones.
    pub fn memory(&self) -> usize {
        let list = self.ordered.list().nodes().used() + self.ordered.memory();
        list + self.index.memory() + self.tombstones.memory()
    }

    /// How many entries, range tombstones not counted.
    pub fn len(&self) -> usize {
        self.ordered.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The smallest key and the largest.
    pub fn key_span(&self) -> Option<(&[u8], &[u8])> {
        let nodes = self.ordered.list().nodes();
        let (first, last) = self.first.get().load().zip(self.last.get().load())?;
        Some((nodes.key(first), nodes.key(last)))
    }

    /// What all keys begin with: a hint for the next memtable. Empty where there are not two keys.
    pub fn common_prefix(&self) -> &[u8] {
        let (first, last) = self.key_span().unwrap_or_default();
        let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        if first == last { &[] } else { &first[..shared] }
    }

    pub(crate) fn ordered(&self) -> &Ordered {
        &self.ordered
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
