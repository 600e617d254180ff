//! A dense copy of the order, in which a cursor finds its place with few waits for memory.
//!
//! A search in the list of a full memtable touches a dozen nodes, one behind the other. Here the
//! heads of all entries lie side by side: a search reads a small array that is mostly near, two
//! lines of a large one, and then the node. What was linked since the ladder was made is found from
//! that node on in the list, so a ladder may lag, and is made anew when it does by a half.

use crate::node::{NodeId, Ranked};
use crate::skiplist::{Skiplist, Target};
use crate::sort::{self, Ranks};

/// How many entries a rung stands for: as many as two cache lines hold heads.
const RUNG: usize = 16;

/// With more entries to a head than this a ladder would not tell much.
const TIED: usize = 16;

/// A shorter list is near as a whole.
const LEAST: usize = 4096;

/// The entries that were linked up to some moment, in order. Never changed.
pub(crate) struct Ladder {
    /// The last head of each whole rung.
    rungs: Box<[u64]>,
    heads: Box<[u64]>,
    nodes: Box<[NodeId]>,
}

impl Ladder {
    /// The bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let words = self.heads.len() + self.rungs.len();
        words * size_of::<u64>() + self.nodes.len() * size_of::<NodeId>()
    }

    /// The last entry before the target, of those in the ladder.
    #[inline]
    pub(crate) fn before(&self, list: &Skiplist, target: &Target<'_>) -> Option<NodeId> {
        let below = |head: &u64| *head < target.head();
        let from = self.rungs.partition_point(below) * RUNG;
        let near = self.heads.get(from..).unwrap_or_default();
        let near = near.get(..RUNG).unwrap_or(near);
        let low = from + near.iter().map(|head| usize::from(below(head))).sum::<usize>();
        let nodes = self.nodes.get(low..).unwrap_or_default();
        // Of most heads there is one or none, and the node is needed in any case.
        let ties = self.heads.get(low..).unwrap_or_default();
        let ties = match ties {
            [a, b, ..] if *a == target.head() && *b == target.head() => self.ties(low, *a),
            [a, ..] => usize::from(*a == target.head()),
            [] => 0,
        };
        let tied = nodes.get(..ties).unwrap_or_default();
        let is_before = |&node: &NodeId| list.is_before(node, target);
        // Mostly the newest version of a key is looked for, or what lies behind the oldest.
        let end = match tied {
            [first, ..] if !is_before(first) => low,
            [.., last] if is_before(last) => low + ties,
            _ => low + tied.partition_point(is_before),
        };
        self.nodes.get(end.checked_sub(1)?).copied()
    }

    /// How many entries from entry `low` on have a head, which is that entry's.
    fn ties(&self, low: usize, head: u64) -> usize {
        let rungs = self.rungs.get(low / RUNG..).unwrap_or_default();
        let whole = rungs.partition_point(|last| *last == head);
        let from = if whole > 0 { (low / RUNG + whole) * RUNG } else { low };
        let rest = self.heads.get(from..).unwrap_or_default();
        from - low + rest.iter().take_while(|other| **other == head).count()
    }
}

/// What whoever links keeps, to make ladders of.
#[derive(Default)]
pub(crate) struct Late {
    /// Linked, and not in the ladder.
    nodes: Vec<NodeId>,
    /// Heads tell few entries apart, so that a ladder would be of no use.
    useless: bool,
}

impl Late {
    /// Takes note of nodes that were linked.
    pub(crate) fn add(&mut self, linked: &[NodeId]) {
        if !self.useless {
            self.nodes.extend_from_slice(linked);
        }
    }

    /// A ladder of all that was linked, if it is time for one. `old` is the present one.
    pub(crate) fn ladder(&mut self, list: &Skiplist, old: Option<&Ladder>) -> Option<Ladder> {
        let (heads, old) = old.map_or((&[][..], &[][..]), |old| (&old.heads, &old.nodes));
        if self.nodes.len() < LEAST.max(old.len() / 2) {
            return None;
        }
        let mut all: Vec<Ranked> = Vec::with_capacity(old.len() + self.nodes.len());
        let rank = |node: NodeId| Ranked::new(list.nodes().head(node), 0, node);
        all.extend(self.nodes.drain(..).map(rank));
        all.sort_unstable();
        // Two runs, which a stable sort only merges.
        all.extend(heads.iter().zip(old).map(|(&head, &node)| Ranked::new(head, 0, node)));
        all.sort();
        // Entries change places with others of the same head only.
        let heads: Box<[u64]> = all.iter().map(|ranked| ranked.rank()).collect();
        let groups = heads.chunk_by(|a, b| a == b).count();
        if groups < heads.len() / TIED {
            self.useless = true;
            return None;
        }
        let (rungs, _) = heads.as_chunks::<RUNG>();
        let rungs = rungs.iter().map(|[.., last]| *last).collect();
        let nodes = sort::sort(list.nodes(), Ranks::Few(all), list.prefix_len()).into();
        Some(Ladder { rungs, heads, nodes })
    }
}
