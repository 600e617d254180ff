//! A skip list that grows while it is read: entries are linked in, and never moved or removed.
//!
//! Who may do what: one thread at a time links nodes in, any number read meanwhile, with no lock.
//! A reader never waits and never starts over. Whoever links sees to it that it is alone; were it
//! not, entries would be lost from the list, and nothing worse.
//!
//! INVARIANTS
//! 1. Each level is sorted by key ascending, then newest first, and has no cycle.
//! 2. What is linked at a level is linked at all levels below it: a node is linked from level 0 up.
//! 3. A node's back link points to some node before it. It only ever moves forward, and while
//!    nothing is being linked it points to the very neighbour.
//! 4. The tail is to the end of the list what a back link is to a node.
//!
//! So the neighbour before is found by walking forward from a hint, and the walk is short.
//!
//! A search waits for memory and for little else. Above level 0 a link comes with the head of
//! the node that it leads to, so that only nodes before the target are touched; as the others
//! cost nothing, levels that halve the nodes, rather than quarter them, touch the fewest.

use crate::chunk::Pool;
use crate::node::{Link, MAX_HEIGHT, NodeId, Nodes};
use crate::sync::{AtomicUsize, Ordering};
use kv_core::Trailer;
use std::sync::Arc;

/// The place of an internal key in the order, ready to be compared with nodes.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    head: u64,
    key: &'a [u8],
    trailer: Trailer,
}

impl<'a> Target<'a> {
    /// The key.
    #[inline]
    pub(crate) fn key(&self) -> &'a [u8] {
        self.key
    }

    /// The word by which most nodes are told apart.
    #[inline]
    pub(crate) fn head(&self) -> u64 {
        self.head
    }
}

/// Two neighbours, between which a target belongs.
struct Gap {
    before: NodeId,
    behind: Option<NodeId>,
}

/// How many nodes ahead of use the processor is asked for one.
const AHEAD: usize = 8;

pub(crate) struct Skiplist {
    nodes: Nodes,
    /// A prefix that most keys are expected to have.
    prefix: Box<[u8]>,
    /// How many levels have a node. May lag, which costs a search a few steps.
    height: AtomicUsize,
}

impl Skiplist {
    /// An empty list with room for `capacity` bytes of nodes. `prefix` is a hint: keys that begin
    /// with it are mostly compared by one word, the eight bytes behind it.
    pub(crate) fn new(capacity: usize, prefix: &[u8], pool: Option<&Arc<Pool>>) -> Skiplist {
        Skiplist {
            nodes: Nodes::new(capacity, pool),
            prefix: prefix.into(),
            height: AtomicUsize::new(1),
        }
    }

    #[inline]
    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// How many bytes the hint has.
    pub(crate) fn prefix_len(&self) -> usize {
        self.prefix.len()
    }

    #[inline]
    pub(crate) fn target<'a>(&self, key: &'a [u8], trailer: Trailer) -> Target<'a> {
        Target { head: self.head(key), key, trailer }
    }

    /// A word that never sorts two keys the wrong way round, but may be the same for both.
    ///
    /// All keys without the prefix lie before or behind all keys with it, so they get the
    /// smallest or the largest word.
    #[inline]
    fn head(&self, key: &[u8]) -> u64 {
        // To compare with an empty slice that lies nowhere is slow.
        if self.prefix.is_empty() {
            return first_word(key);
        }
        match key.strip_prefix(&*self.prefix) {
            Some(rest) => first_word(rest),
            None if key < &*self.prefix => u64::MIN,
            None => u64::MAX,
        }
    }

    /// Whether a node (not the root) sorts before the target.
    #[inline]
    pub(crate) fn is_before(&self, node: NodeId, target: &Target<'_>) -> bool {
        let head = self.nodes.head(node);
        if head != target.head {
            return head < target.head;
        }
        match self.nodes.key(node).cmp(target.key) {
            std::cmp::Ordering::Equal => self.nodes.trailer(node) > target.trailer,
            order => order.is_lt(),
        }
    }

    /// Writes a node that is not in the list yet; `None` where the arena has no room for it.
    /// `random` decides the height of its tower.
    #[inline]
    pub(crate) fn allocate(
        &self,
        key: &[u8],
        trailer: Trailer,
        value: &[u8],
        random: u32,
    ) -> Option<NodeId> {
        let height = self.nodes.grant(tower_height(random));
        self.nodes.allocate(height, self.head(key), key, trailer, value)
    }

    /// Links nodes in, which are sorted. One thread at a time.
    pub(crate) fn link_all(&self, sorted: &[NodeId]) {
        let mut finger = [self.nodes.root(); MAX_HEIGHT];
        for (at, &node) in sorted.iter().enumerate() {
            if let Some(&ahead) = sorted.get(at + AHEAD) {
                self.nodes.prefetch(ahead);
            }
            self.link(node, &mut finger);
        }
    }

    /// Links a node in. `finger` holds at each level a node before it, and then the last one that
    /// is not behind it: the shorter the way from there, the faster.
    #[inline]
    fn link(&self, node: NodeId, finger: &mut [NodeId; MAX_HEIGHT]) {
        let target = self.target_of(node);
        let height = self.nodes.height(node);
        self.move_finger(&target, finger);
        for (level, place) in finger.iter_mut().enumerate().take(height) {
            let before = std::mem::replace(place, node);
            let behind = self.nodes.next(before, level).load();
            self.nodes.next(node, level).init(behind);
            if level == 0 {
                self.nodes.prev(node).init(Some(before));
            } else {
                let head = behind.map_or(u64::MAX, |behind| self.nodes.head(behind));
                self.nodes.next_head(node, level).init(head);
            }
            self.nodes.next(before, level).publish(node);
            if level > 0 {
                self.nodes.next_head(before, level).lower(target.head);
            } else {
                behind.map_or(self.nodes.tail(), |behind| self.nodes.prev(behind)).publish(node);
            }
        }
        if height > self.height.load(Ordering::Relaxed) {
            self.height.store(height, Ordering::Relaxed);
        }
    }

    /// Moves a finger forward to the last nodes before the target: up as far as there is a node to
    /// pass, and down again.
    #[inline]
    fn move_finger(&self, target: &Target<'_>, finger: &mut [NodeId; MAX_HEIGHT]) {
        let height = self.height.load(Ordering::Relaxed);
        let mut level = 0;
        while level < height && self.passes(finger[level], level, target).is_some() {
            level += 1;
        }
        // Where the level above has moved, that place is further on than the finger's.
        let mut further = None;
        while level > 0 {
            level -= 1;
            let mut before = further.unwrap_or(finger[level]);
            while let Some(next) = self.passes(before, level, target) {
                before = next;
                further = Some(next);
            }
            finger[level] = before;
            further = further.map(|_| before);
        }
    }

    /// The next node at a level, if that is before the target.
    #[inline]
    fn passes(&self, before: NodeId, level: usize, target: &Target<'_>) -> Option<NodeId> {
        if level > 0 && self.nodes.next_head(before, level).load() > target.head {
            return None;
        }
        self.nodes.next(before, level).load().filter(|&next| self.is_before(next, target))
    }

    /// Walks forward at level 0 from a node before the target.
    #[inline]
    fn walk(&self, from: NodeId, target: &Target<'_>) -> Gap {
        let mut before = from;
        loop {
            let behind = self.next(before);
            match behind {
                Some(next) if self.is_before(next, target) => before = next,
                _ => return Gap { before, behind },
            }
        }
    }

    /// Goes down from the top level to a node before the target at level 0, mostly the very
    /// neighbour; a node whose bound is not lowered yet is passed over and met by
    /// [`Skiplist::walk`] from here.
    #[inline]
    fn search(&self, target: &Target<'_>) -> NodeId {
        let mut before = self.nodes.root();
        // The last node that turned out to be behind the target, though its head is the same.
        let mut behind = None;
        for level in (1..self.height.load(Ordering::Relaxed)).rev() {
            loop {
                // The bound first, see there.
                let head = self.nodes.next_head(before, level).load();
                if head > target.head {
                    break;
                }
                let next = self.nodes.next(before, level).load();
                let Some(node) = next.filter(|_| next != behind) else { break };
                if head == target.head && !self.is_before(node, target) {
                    behind = next;
                    break;
                }
                before = node;
            }
        }
        before
    }

    /// The gap of the target, from a node before it that is mostly the very neighbour: up as long as
    /// there is a node to pass, and down again. Without such a node, from the top.
    #[inline]
    fn find_from(&self, from: Option<NodeId>, target: &Target<'_>) -> Gap {
        let Some(mut before) = from else { return self.find(target) };
        let Some(next) = self.passes(before, 0, target) else { return self.walk(before, target) };
        before = next;
        let mut level = self.nodes.height(before) - 1;
        while let Some(next) = self.passes(before, level, target) {
            before = next;
            level = self.nodes.height(before) - 1;
        }
        while level > 0 {
            level -= 1;
            while let Some(next) = self.passes(before, level, target) {
                before = next;
            }
        }
        self.walk(before, target)
    }

    /// The gap of the target at level 0.
    #[inline]
    fn find(&self, target: &Target<'_>) -> Gap {
        self.walk(self.search(target), target)
    }

    #[inline]
    fn target_of(&self, node: NodeId) -> Target<'_> {
        let nodes = &self.nodes;
        Target { head: nodes.head(node), key: nodes.key(node), trailer: nodes.trailer(node) }
    }

    /// Whether an entry's key is before another's.
    #[inline]
    pub(crate) fn has_smaller_key(&self, a: NodeId, b: NodeId) -> bool {
        let (x, y) = (self.nodes.head(a), self.nodes.head(b));
        if x != y { x < y } else { self.nodes.key(a) < self.nodes.key(b) }
    }

    /// Whether an entry has the key of a target and is not newer.
    #[inline]
    pub(crate) fn answers(&self, node: NodeId, target: &Target<'_>) -> bool {
        self.nodes.head(node) == target.head
            && self.nodes.key(node) == target.key
            && self.nodes.trailer(node) <= target.trailer
    }

    /// The first entry at or behind the target.
    #[inline]
    pub(crate) fn seek(&self, target: &Target<'_>) -> Option<NodeId> {
        self.find(target).behind
    }

    /// [`Skiplist::seek`], from an entry before the target.
    #[inline]
    pub(crate) fn seek_from(&self, from: Option<NodeId>, target: &Target<'_>) -> Option<NodeId> {
        self.find_from(from, target).behind
    }

    /// The last entry before the target, from an entry before the target.
    pub(crate) fn seek_before_from(
        &self,
        from: Option<NodeId>,
        target: &Target<'_>,
    ) -> Option<NodeId> {
        self.entry(self.find_from(from, target).before)
    }

    pub(crate) fn first(&self) -> Option<NodeId> {
        self.next(self.nodes.root())
    }

    pub(crate) fn last(&self) -> Option<NodeId> {
        self.neighbour_before(self.nodes.tail(), None)
    }

    #[inline]
    pub(crate) fn next(&self, node: NodeId) -> Option<NodeId> {
        self.nodes.next(node, 0).load()
    }

    #[inline]
    pub(crate) fn prev(&self, node: NodeId) -> Option<NodeId> {
        self.neighbour_before(self.nodes.prev(node), Some(node))
    }

    /// The entry whose next is `end`, found by walking forward from the hint.
    #[inline]
    fn neighbour_before(&self, hint: Link<'_>, end: Option<NodeId>) -> Option<NodeId> {
        let mut at = hint.load()?;
        while let Some(next) = self.next(at)
            && Some(next) != end
        {
            at = next;
        }
        self.entry(at)
    }

    #[inline]
    fn entry(&self, node: NodeId) -> Option<NodeId> {
        (node != self.nodes.root()).then_some(node)
    }
}

/// The first eight bytes as a number that sorts like them; missing ones are zero.
#[inline]
pub(crate) fn first_word(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.first_chunk() {
        return u64::from_be_bytes(*word);
    }
    bytes
        .iter()
        .zip([56, 48, 40, 32, 24, 16, 8])
        .fold(0, |word, (&b, shift)| word | u64::from(b) << shift)
}

/// Each level has half of the nodes of the one below.
#[inline]
fn tower_height(random: u32) -> usize {
    (1 + random.trailing_zeros() as usize).min(MAX_HEIGHT)
}
