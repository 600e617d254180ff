//! A skip list that grows while it is read: entries are linked in, and never moved or removed.
//!
//! Who may do what: any number of threads insert, any number read, at the same time, with no
//! lock. A reader never waits and never starts over.
//!
//! INVARIANTS
//! 1. Each level is sorted by key ascending, then newest first, and has no cycle.
//! 2. What is linked at a level is linked at all levels below it: an insert goes from level 0 up.
//! 3. A node's back link points to some node before it. It only ever moves forward, and once
//!    every insert has returned, it points to the very neighbour: whoever links a node in front
//!    of another moves that one's back link to it, unless it points even further.
//! 4. The tail of a level is to the end of that level what a back link is to a node.
//!
//! So the neighbour before is found by walking forward from a hint, and the walk is short.
//!
//! A search waits for memory and for little else. Above level 0 a link comes with the head of
//! the node that it leads to, so that only nodes before the target are touched; as the others
//! cost nothing, levels that halve the nodes, rather than quarter them, touch the fewest.

use crate::node::{Link, MAX_HEIGHT, NodeId, Nodes};
use crate::sync::{AtomicUsize, Ordering};
use kv_core::Trailer;

/// The place of an internal key in the order, ready to be compared with nodes.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    head: u64,
    key: &'a [u8],
    trailer: Trailer,
}

/// Two neighbours at one level, between which a target belongs.
struct Gap {
    before: NodeId,
    behind: Option<NodeId>,
}

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
    pub(crate) fn new(capacity: usize, prefix: &[u8]) -> Skiplist {
        Skiplist { nodes: Nodes::new(capacity), prefix: prefix.into(), height: AtomicUsize::new(1) }
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.nodes
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
        match key.strip_prefix(&*self.prefix) {
            Some(rest) => first_word(rest),
            None if key < &*self.prefix => u64::MIN,
            None => u64::MAX,
        }
    }

    /// Whether a node (not the root) sorts before the target.
    #[inline]
    fn is_before(&self, node: NodeId, target: &Target<'_>) -> bool {
        let head = self.nodes.head(node);
        if head != target.head {
            return head < target.head;
        }
        match self.nodes.key(node).cmp(target.key) {
            std::cmp::Ordering::Equal => self.nodes.trailer(node) > target.trailer,
            order => order.is_lt(),
        }
    }

    /// Adds an entry; `false` where the arena has no room for it. `random` decides the height of
    /// its tower.
    #[inline]
    pub(crate) fn insert(&self, key: &[u8], trailer: Trailer, value: &[u8], random: u32) -> bool {
        let target = self.target(key, trailer);
        let height = self.nodes.grant(tower_height(random));
        let Some(node) = self.nodes.allocate(height, target.head, key, trailer, value) else {
            return false;
        };
        let before = self.all_before(&target, height);
        for (level, before) in before.into_iter().enumerate().take(height) {
            self.link(node, level, before, &target);
        }
        if height > self.height.load(Ordering::Relaxed) {
            self.height.fetch_max(height, Ordering::Relaxed);
        }
        true
    }

    /// A node before the target at each of the `height` lowest levels, mostly the very neighbour.
    #[inline]
    fn all_before(&self, target: &Target<'_>, height: usize) -> [NodeId; MAX_HEIGHT] {
        if let Some(tails) = self.tails_before(target, height) {
            return tails;
        }
        let mut all = [self.nodes.root(); MAX_HEIGHT];
        self.search(target, |level, before| {
            all[level] = before;
            // Linking compares with the node behind.
            if level < height
                && let Some(behind) = self.nodes.next(before, level).load()
            {
                self.nodes.prefetch(behind);
            }
        });
        all
    }

    /// The last nodes of the `height` lowest levels, if the target belongs behind them: keys that
    /// come in order need no search.
    #[inline]
    fn tails_before(&self, target: &Target<'_>, height: usize) -> Option<[NodeId; MAX_HEIGHT]> {
        let mut tails = [self.nodes.root(); MAX_HEIGHT];
        for (level, before) in tails.iter_mut().enumerate().take(height) {
            let tail = self.nodes.tail(level).load()?;
            if tail != self.nodes.root() && !self.is_before(tail, target) {
                return None;
            }
            *before = tail;
        }
        Some(tails)
    }

    /// Walks forward at one level from a node before the target.
    #[inline]
    fn walk(&self, from: NodeId, level: usize, target: &Target<'_>) -> Gap {
        let mut before = from;
        loop {
            let behind = self.nodes.next(before, level).load();
            match behind {
                Some(next) if self.is_before(next, target) => before = next,
                _ => return Gap { before, behind },
            }
        }
    }

    /// Goes down from the top level, telling at each a node before the target, and answers that
    /// of level 0. At most levels it is the very neighbour; an insert that has not lowered its
    /// bound yet is passed over and met by [`Skiplist::walk`] from here.
    #[inline]
    fn search(&self, target: &Target<'_>, mut tell: impl FnMut(usize, NodeId)) -> NodeId {
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
            tell(level, before);
        }
        tell(0, before);
        before
    }

    /// The gap of the target at level 0.
    #[inline]
    fn find(&self, target: &Target<'_>) -> Gap {
        self.walk(self.search(target, |_, _| ()), 0, target)
    }

    /// Links a node at one level, into the gap that lies at or behind `before`.
    #[inline]
    fn link(&self, node: NodeId, level: usize, mut before: NodeId, target: &Target<'_>) {
        let Gap { before, behind } = loop {
            let gap = self.walk(before, level, target);
            self.nodes.next(node, level).init(gap.behind);
            if level == 0 {
                self.nodes.prev(node).init(Some(gap.before));
            } else if let Some(behind) = gap.behind {
                self.nodes.next_head(node, level).init(self.nodes.head(behind));
            }
            if self.nodes.next(gap.before, level).replace(gap.behind, node).is_ok() {
                break gap;
            }
            before = gap.before;
        };
        if level > 0 {
            self.nodes.next_head(before, level).lower(target.head);
        }
        match behind {
            None => self.advance(self.nodes.tail(level), before, node),
            Some(behind) if level == 0 => self.advance(self.nodes.prev(behind), before, node),
            Some(_) => {}
        }
    }

    /// Moves a back link or a tail from `from` on to `to`, unless it is there or further already.
    #[inline]
    fn advance(&self, link: Link<'_>, from: NodeId, to: NodeId) {
        let mut from = Some(from);
        while let Err(now) = link.replace(from, to) {
            if !now.is_some_and(|now| self.precedes(now, to)) {
                return;
            }
            from = now;
        }
    }

    fn precedes(&self, a: NodeId, b: NodeId) -> bool {
        let (key, trailer) = (self.nodes.key(b), self.nodes.trailer(b));
        a == self.nodes.root()
            || self.is_before(a, &Target { head: self.nodes.head(b), key, trailer })
    }

    /// The first entry at or behind the target.
    #[inline]
    pub(crate) fn seek(&self, target: &Target<'_>) -> Option<NodeId> {
        self.find(target).behind
    }

    /// The last entry before the target.
    pub(crate) fn seek_before(&self, target: &Target<'_>) -> Option<NodeId> {
        self.entry(self.find(target).before)
    }

    pub(crate) fn first(&self) -> Option<NodeId> {
        self.next(self.nodes.root())
    }

    pub(crate) fn last(&self) -> Option<NodeId> {
        self.neighbour_before(self.nodes.tail(0), None)
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
fn first_word(bytes: &[u8]) -> u64 {
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
