// long: only this file can make the id of a node, which its unsafe code rests on
//! Entries as they lie in the arena, and the links between them: the chain of a bucket, the stack
//! of entries that wait to be ordered, and the ordered list.
//!
//! ```text
//! offset  what
//!  -16 l  of each level l from 1 to height - 1: head of the next node u64 | next node u32 | unused u32
//!      0  head u64
//!      8  trailer u64
//!     16  length of the key u24 | height u7 | whether the value lies elsewhere u1
//!     20  length of the value u32
//!     24  previous node u32; before the node is in the list, the one below it on the stack
//!     28  next node at level 0 u32
//!     32  next node of the chain u32
//!     36  key | value, or the address of one that lies elsewhere
//! ```
//!
//! The tower grows down from the node, so that all places are fixed, and a search that goes down
//! a tower or on to the key goes to the same cache line or a neighbouring one.
//!
//! INVARIANTS, which the safe functions here rest on:
//! * A [`NodeId`] is made only by [`Nodes::allocate`] and read only from links of the same
//!   `Nodes`; whoever holds one uses it with no other.
//! * All of a node but its links is written before its first link is, and never again. A link is
//!   stored with Release and loaded with Acquire, so whoever has an id sees the node's bytes.
//! * Links of a node are asked for only at levels below its height: a node is found at a level
//!   only if it was linked there.
//! * Nodes are never freed before the whole arena.

use crate::arena::{Arena, LONG_PIECE, UNIT, Words};
use crate::chunk::Pool;
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use kv_core::Trailer;
use std::num::NonZeroU32;
use std::sync::Arc;

/// The tallest tower: with 2^20 entries and more, searches grow longer than logarithmic.
pub(crate) const MAX_HEIGHT: usize = if cfg!(all(loom, test)) { 2 } else { 20 };

/// The height that an entry's bound allows for; an eighth of the towers is taller.
const USUAL_HEIGHT: usize = if cfg!(all(loom, test)) { 2 } else { 3 };

/// What is written once, at the node's own offset.
#[repr(C)]
struct Fixed {
    head: u64,
    trailer: u64,
    /// The key's length; the height in the top byte, which only checks in debug builds read.
    key_len: u32,
    value_len: u32,
}

const PREV_AT: usize = size_of::<Fixed>();
const NEXT_AT: usize = PREV_AT + 4;
const CHAIN_AT: usize = NEXT_AT + 4;
const KEY_AT: usize = CHAIN_AT + 4;
const LEVEL_LEN: usize = 16;
/// The bytes of a cache line, and how many of them an entry of usual size touches.
const LINE: usize = 64;
const ENTRY_LINES: usize = 3;
const KEY_LEN_BITS: u32 = 24;
const KEY_LEN_MASK: u32 = (1 << KEY_LEN_BITS) - 1;
const HEIGHT_MASK: u32 = 0x7F;
/// The value lies elsewhere, and its address in its place.
const ELSEWHERE: u32 = 1 << 31;
const ADDRESS_LEN: usize = size_of::<*const u8>();

const _: () = assert!(KEY_AT == 36 && align_of::<Fixed>() <= UNIT);
const _: () = assert!(LEVEL_LEN.is_multiple_of(UNIT));

/// The bytes below a node.
const fn tower_len(height: usize) -> usize {
    (height - 1) * LEVEL_LEN
}

/// The arena bytes of a node, `None` where they cannot be counted.
const fn node_len(height: usize, key_len: usize, value_len: usize) -> Option<usize> {
    let Some(bytes) = key_len.checked_add(value_len) else { return None };
    let Some(bytes) = bytes.checked_add(tower_len(height) + KEY_AT) else { return None };
    bytes.checked_next_multiple_of(UNIT)
}

/// The most bytes of the capacity that a node takes.
pub(crate) const fn node_bound(key_len: usize, value_len: usize) -> usize {
    match node_len(USUAL_HEIGHT, key_len, value_len) {
        // If the value lies elsewhere, its address is beside it.
        Some(len) => len.saturating_add(if len > LONG_PIECE { ADDRESS_LEN } else { 0 }),
        None => usize::MAX,
    }
}

/// Which node: its offset in units. The root's tower lies before every node, so none is at 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(NonZeroU32);

impl NodeId {
    #[inline]
    fn offset(self) -> usize {
        self.0.get() as usize * UNIT
    }
}

/// A place that holds the id of a node, or none.
#[derive(Clone, Copy)]
pub(crate) struct Link<'a>(&'a AtomicU32);

#[inline]
fn raw(node: Option<NodeId>) -> u32 {
    node.map_or(0, |node| node.0.get())
}

#[inline]
fn id(raw: u32) -> Option<NodeId> {
    NonZeroU32::new(raw).map(NodeId)
}

impl Link<'_> {
    /// The node that the link points to; all that was written before it was linked is visible.
    #[inline]
    pub(crate) fn load(self) -> Option<NodeId> {
        id(self.0.load(Ordering::Acquire))
    }

    /// Sets a link that nobody else can reach yet; the one that publishes it has Release.
    #[inline]
    pub(crate) fn init(self, to: Option<NodeId>) {
        self.0.store(raw(to), Ordering::Relaxed);
    }

    /// Points the link to a node, for all to see. For links that only one thread at a time sets.
    #[inline]
    pub(crate) fn publish(self, to: NodeId) {
        self.0.store(raw(Some(to)), Ordering::Release);
    }

    /// Points the link to `to` if it points to `from`; otherwise answers where it points.
    #[inline]
    pub(crate) fn replace(self, from: Option<NodeId>, to: NodeId) -> Result<(), Option<NodeId>> {
        self.0
            .compare_exchange(raw(from), raw(Some(to)), Ordering::Release, Ordering::Acquire)
            .map(|_| ())
            .map_err(id)
    }
}

/// A bound from above on the head of the node that a link above level 0 points to.
///
/// Nodes only come in between, so that head only ever falls. The bound follows it: it is lowered
/// after the link was changed, and read before the link is read. So the node read then has a
/// head that is at most the bound, and mostly it is the bound.
#[derive(Clone, Copy)]
pub(crate) struct HeadBound<'a>(&'a AtomicU64);

impl HeadBound<'_> {
    /// The bound. A link that is loaded later points to a node whose head is at most that, or to
    /// none.
    #[inline]
    pub(crate) fn load(self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Sets a bound that nobody else can reach yet.
    #[inline]
    pub(crate) fn init(self, head: u64) {
        self.0.store(head, Ordering::Relaxed);
    }

    /// Lowers the bound to the head of a node that the link has been pointed to. One thread at a
    /// time.
    #[inline]
    pub(crate) fn lower(self, head: u64) {
        self.0.store(head, Ordering::Release);
    }
}

/// A link with a number beside it; both change at once.
#[derive(Clone, Copy)]
pub(crate) struct Tagged<'a>(&'a AtomicU64);

/// What a [`Tagged`] holds.
pub(crate) type TagAndNode = (u32, Option<NodeId>);

#[inline]
fn join((tag, node): TagAndNode) -> u64 {
    u64::from(tag) << 32 | u64::from(raw(node))
}

#[inline]
fn split(word: u64) -> TagAndNode {
    ((word >> 32) as u32, id(word as u32))
}

impl Tagged<'_> {
    /// What it holds; all that was written before the node was linked is visible.
    #[inline]
    pub(crate) fn load(self) -> TagAndNode {
        split(self.0.load(Ordering::Acquire))
    }

    /// Changes it if it holds `from`; otherwise answers what it holds.
    #[inline]
    pub(crate) fn replace(self, from: TagAndNode, to: TagAndNode) -> Result<(), TagAndNode> {
        self.0
            .compare_exchange(join(from), join(to), Ordering::AcqRel, Ordering::Acquire)
            .map(|_| ())
            .map_err(split)
    }

    /// Sets bits of the number.
    #[inline]
    pub(crate) fn set_bits(self, bits: u32) {
        self.0.fetch_or(u64::from(bits) << 32, Ordering::AcqRel);
    }
}

/// The place of one [`Tagged`]; empty at first.
pub(crate) struct TaggedLink(AtomicU64);

impl TaggedLink {
    pub(crate) fn new() -> TaggedLink {
        TaggedLink(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn get(&self) -> Tagged<'_> {
        Tagged(&self.0)
    }
}

/// A fixed number of [`Tagged`]s; all are empty at first.
pub(crate) struct TaggedLinks(Words);

impl TaggedLinks {
    pub(crate) fn new(count: usize) -> TaggedLinks {
        TaggedLinks(Words::new(count))
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline]
    pub(crate) fn get(&self, at: usize) -> Tagged<'_> {
        Tagged(&self.0[at])
    }

    /// Asks the processor for a link.
    #[inline]
    pub(crate) fn prefetch(&self, at: usize) {
        self.0.prefetch(at * size_of::<u64>());
    }
}

/// The place of one [`Link`]; it points nowhere at first.
pub(crate) struct NodeCell(AtomicU32);

impl NodeCell {
    pub(crate) fn new(node: Option<NodeId>) -> NodeCell {
        NodeCell(AtomicU32::new(raw(node)))
    }

    #[inline]
    pub(crate) fn get(&self) -> Link<'_> {
        Link(&self.0)
    }
}

/// A node behind the numbers that sort it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ranked(u128);

impl Ranked {
    #[inline]
    pub(crate) fn new(rank: u64, second: u32, node: NodeId) -> Ranked {
        Ranked(u128::from(rank) << 64 | u128::from(second) << 32 | u128::from(raw(Some(node))))
    }

    /// The first number.
    #[inline]
    pub(crate) fn rank(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// The second number.
    #[inline]
    pub(crate) fn second(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The node, among those of the same list as ever.
    #[inline]
    pub(crate) fn node(self) -> NodeId {
        // The low bits are those of an id, so they are not zero and the 1 is never taken.
        NodeId(NonZeroU32::new(self.0 as u32).unwrap_or(NonZeroU32::MIN))
    }
}

/// All nodes of one list: those in the arena, and the root, which is before all and no entry.
pub(crate) struct Nodes {
    arena: Arena,
    root: NodeId,
    /// The last node of the list, or the root.
    tail: NodeCell,
    /// Bytes that towers may still take over the usual height.
    spare: AtomicUsize,
}

impl Nodes {
    /// Room for nodes whose bounds add up to `capacity` bytes.
    pub(crate) fn new(capacity: usize, pool: Option<&Arc<Pool>>) -> Nodes {
        const ROOT_AT: usize = tower_len(MAX_HEIGHT);
        const ROOT: NodeId = match NonZeroU32::new((ROOT_AT / UNIT) as u32) {
            Some(unit) => NodeId(unit),
            None => panic!("the root's tower lies before it"),
        };
        const ROOT_LEN: usize = (ROOT_AT + KEY_AT).next_multiple_of(UNIT);
        // Twice what the towers over the smallest nodes are expected to take.
        let spare = capacity / 8;
        let nodes = Nodes {
            arena: Arena::new(capacity.saturating_add(spare + ROOT_LEN), pool),
            root: ROOT,
            tail: NodeCell::new(Some(ROOT)),
            spare: AtomicUsize::new(spare),
        };
        let fixed = Fixed { head: 0, trailer: 0, key_len: 0, value_len: 0 };
        let allocated = nodes.place(MAX_HEIGHT, fixed, &[], &[]);
        assert_eq!(allocated, Some(ROOT), "the arena begins with the root");
        for level in 0..MAX_HEIGHT {
            nodes.next(ROOT, level).init(None);
            if level > 0 {
                nodes.next_head(ROOT, level).init(u64::MAX);
            }
        }
        nodes
    }

    /// The height a tower gets that asks for `height`. Tall ones draw on what is set aside for
    /// them, and never on the room of entries: an entry's bound is then close to its size.
    #[inline]
    pub(crate) fn grant(&self, height: usize) -> usize {
        if height <= USUAL_HEIGHT {
            return height;
        }
        let extra = tower_len(height) - tower_len(USUAL_HEIGHT);
        let granted = self
            .spare
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(extra));
        if granted.is_ok() { height } else { USUAL_HEIGHT }
    }

    /// Writes a node that no link points to yet. `None` where the arena has no room for it, and
    /// for a key or a value whose length the layout cannot hold.
    #[inline]
    pub(crate) fn allocate(
        &self,
        height: usize,
        head: u64,
        key: &[u8],
        trailer: Trailer,
        value: &[u8],
    ) -> Option<NodeId> {
        let key_len = u32::try_from(key.len()).ok().filter(|&len| len <= KEY_LEN_MASK)?;
        let value_len = u32::try_from(value.len()).ok()?;
        self.place(height, Fixed { head, trailer: trailer.raw(), key_len, value_len }, key, value)
    }

    #[inline]
    fn place(&self, height: usize, mut fixed: Fixed, key: &[u8], value: &[u8]) -> Option<NodeId> {
        assert!((1..=MAX_HEIGHT).contains(&height));
        let len = node_len(height, key.len(), value.len())?;
        fixed.key_len |= (height as u32) << KEY_LEN_BITS;
        if self.arena.is_long(len) && value.len() > ADDRESS_LEN {
            return self.place_in_two(height, fixed, key, value);
        }
        let at = self.arena.allocate(len)? + tower_len(height);
        // SAFETY: the allocation is ours alone, and `node_len` counted these places in it; `at`
        // is a multiple of `UNIT`, which aligns `Fixed`.
        unsafe {
            self.arena.at(at).cast::<Fixed>().write(fixed);
            self.arena.write(at + KEY_AT, key);
            self.arena.write(at + KEY_AT + key.len(), value);
        }
        id(u32::try_from(at / UNIT).ok()?)
    }

    /// Writes a node whose value lies elsewhere.
    #[cold]
    fn place_in_two(
        &self,
        height: usize,
        mut fixed: Fixed,
        key: &[u8],
        value: &[u8],
    ) -> Option<NodeId> {
        fixed.key_len |= ELSEWHERE;
        let len = node_len(height, key.len(), ADDRESS_LEN)?;
        let at = self.arena.allocate(len)? + tower_len(height);
        let address = self.arena.keep_long(value)?;
        // SAFETY: as in `place`; the address takes the value's place and may lie unaligned.
        unsafe {
            self.arena.at(at).cast::<Fixed>().write(fixed);
            self.arena.write(at + KEY_AT, key);
            let place = self.arena.at(at + KEY_AT + key.len());
            place.cast::<*const u8>().write_unaligned(address);
        }
        id(u32::try_from(at / UNIT).ok()?)
    }

    #[inline]
    fn fixed(&self, node: NodeId) -> &Fixed {
        // SAFETY: an id is the offset of a node that was written before the id could be read
        // (invariants above), and these bytes are never written again.
        unsafe { &*self.arena.at(node.offset()).cast::<Fixed>() }
    }

    #[inline]
    fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        // SAFETY: only called with the key's and the value's place in a written node, whose
        // lengths `node_len` counted; these bytes are never written again.
        unsafe { std::slice::from_raw_parts(self.arena.at(offset), len) }
    }

    /// What sorts the node's key, where it differs from another's.
    #[inline]
    pub(crate) fn head(&self, node: NodeId) -> u64 {
        self.fixed(node).head
    }

    #[inline]
    pub(crate) fn trailer(&self, node: NodeId) -> Trailer {
        Trailer::from_raw(self.fixed(node).trailer)
    }

    #[inline]
    pub(crate) fn key(&self, node: NodeId) -> &[u8] {
        self.bytes(node.offset() + KEY_AT, (self.fixed(node).key_len & KEY_LEN_MASK) as usize)
    }

    #[inline]
    pub(crate) fn value(&self, node: NodeId) -> &[u8] {
        let fixed = self.fixed(node);
        let key_len = (fixed.key_len & KEY_LEN_MASK) as usize;
        let at = node.offset() + KEY_AT + key_len;
        if fixed.key_len & ELSEWHERE == 0 {
            return self.bytes(at, fixed.value_len as usize);
        }
        // SAFETY: `place_in_two` wrote the address of a copy of the value, of this length, which
        // the arena keeps as long as itself.
        unsafe {
            let address = self.arena.at(at).cast::<*const u8>().read_unaligned();
            std::slice::from_raw_parts(address, fixed.value_len as usize)
        }
    }

    /// The node before all entries.
    #[inline]
    pub(crate) fn root(&self) -> NodeId {
        self.root
    }

    #[inline]
    fn has_level(&self, node: NodeId, level: usize) -> bool {
        level < self.height(node)
    }

    /// The link from a node to the one behind it at `level`.
    #[inline]
    pub(crate) fn next(&self, node: NodeId, level: usize) -> Link<'_> {
        debug_assert!(self.has_level(node, level));
        let at = if level == 0 {
            NEXT_AT + node.offset()
        } else {
            node.offset() - level * LEVEL_LEN + 8
        };
        // SAFETY: the level is below the node's height, so this is a link of the node's
        // allocation; these places are reached only here. What memory held before is no id, but
        // nobody loads a link before it was set: a node is found at a level only once its link
        // there is.
        Link(unsafe { self.arena.atomic_u32(at) })
    }

    /// The bound on the head that [`Nodes::next`] leads to, at a level above 0.
    #[inline]
    pub(crate) fn next_head(&self, node: NodeId, level: usize) -> HeadBound<'_> {
        debug_assert!(level > 0 && self.has_level(node, level));
        // SAFETY: as in `next`.
        HeadBound(unsafe { self.arena.atomic_u64(node.offset() - level * LEVEL_LEN) })
    }

    /// The link from a node to one before it: a place to look for its neighbour from.
    #[inline]
    pub(crate) fn prev(&self, node: NodeId) -> Link<'_> {
        // SAFETY: every node has this link, and it is reached only here.
        Link(unsafe { self.arena.atomic_u32(node.offset() + PREV_AT) })
    }

    /// The link from a node to the one below it on the stack: the same place, for a node is on the
    /// stack before it is in the list.
    #[inline]
    pub(crate) fn below(&self, node: NodeId) -> Link<'_> {
        self.prev(node)
    }

    /// The link from a node to the next of its chain.
    #[inline]
    pub(crate) fn chain(&self, node: NodeId) -> Link<'_> {
        // SAFETY: as in `prev`.
        Link(unsafe { self.arena.atomic_u32(node.offset() + CHAIN_AT) })
    }

    /// How many levels the node has.
    #[inline]
    pub(crate) fn height(&self, node: NodeId) -> usize {
        (self.fixed(node).key_len >> KEY_LEN_BITS & HEIGHT_MASK) as usize
    }

    /// The link to the last node of the list: a place to look for the end from.
    #[inline]
    pub(crate) fn tail(&self) -> Link<'_> {
        self.tail.get()
    }

    /// Asks the processor for the node's first line.
    #[inline]
    pub(crate) fn prefetch(&self, node: NodeId) {
        self.arena.prefetch(node.offset());
    }

    /// Asks the processor for what was allocated so many bytes before the node.
    #[inline]
    pub(crate) fn prefetch_before(&self, node: NodeId, bytes: usize) {
        self.arena.prefetch(node.offset().saturating_sub(bytes));
    }

    /// Asks the processor for all of a short entry.
    #[inline]
    pub(crate) fn prefetch_entry(&self, node: NodeId) {
        for line in 0..ENTRY_LINES {
            self.arena.prefetch(node.offset() + line * LINE);
        }
    }

    /// The arena bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.arena.used()
    }
}
