//! Nodes of the list as they lie in the arena, and the links between them.
//!
//! ```text
//!        | next[h-1] .. next[2] next[1] | head | trailer | key_len, height | value_len | prev | next[0] | key | value |
//! offset  -4 * (h - 1)               -4   0      8         16                20          24     28        32
//! ```
//!
//! The tower grows down from the node, so that the key is at a fixed place and what one step of
//! a search reads (head and a low link) is mostly one cache line.
//!
//! INVARIANTS, which the safe functions here rest on:
//! * A [`NodeId`] is made only by [`Nodes::allocate`] and read only from links of the same
//!   `Nodes`; whoever holds one uses it with no other.
//! * All of a node but its links is written before its first link is, and never again. A link is
//!   stored with Release and loaded with Acquire, so whoever has an id sees the node's bytes.
//! * `next(node, level)` is asked only for levels below the node's height: a node is found at a
//!   level only if it was linked there.
//! * Nodes are never freed before the whole arena.

use crate::arena::{Arena, UNIT};
use crate::sync::{AtomicU32, Ordering};
use kv_core::Trailer;
use std::num::NonZeroU32;

/// The tallest tower: 4^12 entries before searches grow longer than logarithmic.
pub(crate) const MAX_HEIGHT: usize = if cfg!(all(loom, test)) { 2 } else { 12 };

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
const KEY_AT: usize = NEXT_AT + 4;
const LINK_LEN: usize = 4;
const KEY_LEN_BITS: u32 = 24;
const KEY_LEN_MASK: u32 = (1 << KEY_LEN_BITS) - 1;

const _: () = assert!(KEY_AT == 32 && KEY_AT.is_multiple_of(UNIT) && align_of::<Fixed>() <= UNIT);

/// The bytes of the links below a node, rounded so that the node is aligned.
const fn tower_len(height: usize) -> usize {
    ((height - 1) * LINK_LEN).next_multiple_of(UNIT)
}

/// The arena bytes of a node, `None` where they cannot be counted.
const fn node_len(height: usize, key_len: usize, value_len: usize) -> Option<usize> {
    let Some(bytes) = key_len.checked_add(value_len) else { return None };
    let Some(bytes) = bytes.checked_add(tower_len(height) + KEY_AT) else { return None };
    bytes.checked_next_multiple_of(UNIT)
}

/// The most arena bytes that a node takes, whatever its height.
pub(crate) const fn node_bound(key_len: usize, value_len: usize) -> usize {
    match node_len(MAX_HEIGHT, key_len, value_len) {
        Some(len) => len,
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

    /// Points the link to `to` if it points to `from`; otherwise answers where it points.
    #[inline]
    pub(crate) fn replace(self, from: Option<NodeId>, to: NodeId) -> Result<(), Option<NodeId>> {
        self.0
            .compare_exchange(raw(from), raw(Some(to)), Ordering::Release, Ordering::Acquire)
            .map(|_| ())
            .map_err(id)
    }
}

/// All nodes of one list: those in the arena, and the root, which is before all and no entry.
pub(crate) struct Nodes {
    arena: Arena,
    root: NodeId,
    /// The last node of each level, or the root.
    tails: [AtomicU32; MAX_HEIGHT],
}

impl Nodes {
    /// Room for `capacity` bytes of nodes.
    pub(crate) fn new(capacity: usize) -> Nodes {
        const ROOT_AT: usize = tower_len(MAX_HEIGHT);
        const ROOT: NodeId = match NonZeroU32::new((ROOT_AT / UNIT) as u32) {
            Some(unit) => NodeId(unit),
            None => panic!("the root's tower lies before it"),
        };
        let arena = Arena::new(capacity.saturating_add(ROOT_AT + KEY_AT));
        let nodes = Nodes {
            arena,
            root: ROOT,
            tails: std::array::from_fn(|_| AtomicU32::new(raw(Some(ROOT)))),
        };
        let allocated = nodes.place(
            MAX_HEIGHT,
            Fixed { head: 0, trailer: 0, key_len: 0, value_len: 0 },
            &[],
            &[],
        );
        assert_eq!(allocated, Some(ROOT), "the arena begins with the root");
        nodes
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
        let at =
            self.arena.allocate(node_len(height, key.len(), value.len())?)? + tower_len(height);
        fixed.key_len |= (height as u32) << KEY_LEN_BITS;
        // SAFETY: the allocation is ours alone, and `node_len` counted these places in it; `at`
        // is a multiple of `UNIT`, which aligns `Fixed`.
        unsafe {
            self.arena.at(at).cast::<Fixed>().write(fixed);
            self.arena.write(at + KEY_AT, key);
            self.arena.write(at + KEY_AT + key.len(), value);
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
        self.bytes(node.offset() + KEY_AT + key_len, fixed.value_len as usize)
    }

    /// The node before all entries.
    #[inline]
    pub(crate) fn root(&self) -> NodeId {
        self.root
    }

    /// The link from a node to the one behind it at `level`.
    #[inline]
    pub(crate) fn next(&self, node: NodeId, level: usize) -> Link<'_> {
        debug_assert!(level < (self.fixed(node).key_len >> KEY_LEN_BITS) as usize);
        let at =
            if level == 0 { node.offset() + NEXT_AT } else { node.offset() - level * LINK_LEN };
        // SAFETY: the level is below the node's height, so this is a link of the node's
        // allocation; links are reached only here and in `prev`, at other places.
        Link(unsafe { self.arena.link(at) })
    }

    /// The link from a node to one before it: a place to look for its neighbour from.
    #[inline]
    pub(crate) fn prev(&self, node: NodeId) -> Link<'_> {
        // SAFETY: every node has this link.
        Link(unsafe { self.arena.link(node.offset() + PREV_AT) })
    }

    /// The link to the last node of a level: a place to look for the end from.
    #[inline]
    pub(crate) fn tail(&self, level: usize) -> Link<'_> {
        Link(&self.tails[level])
    }

    /// Asks the processor for the node's first line.
    #[inline]
    pub(crate) fn prefetch(&self, node: NodeId) {
        self.arena.prefetch(node.offset());
    }

    /// The arena bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.arena.used()
    }

    /// The arena bytes that are left.
    pub(crate) fn remaining(&self) -> usize {
        self.arena.remaining()
    }
}
