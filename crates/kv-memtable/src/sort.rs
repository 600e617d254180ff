//! Puts nodes in order, without looking at most of them twice.
//!
//! Eight bytes of each key are brought beside the node's id and sorted there, where all is near;
//! only the nodes that agree in them are looked at again, for the next eight. A key that was
//! written many times costs one look more at each version.

use crate::chunk::Brief;
use crate::node::{NodeId, Nodes, Ranked};

/// From how many nodes on that agree it pays to bring their next bytes together.
const MANY: usize = 24;

/// How many nodes ahead of use the processor is asked for one.
const AHEAD: usize = 12;

/// How many bytes ahead of use the processor is asked for nodes of the stack.
const STACK_AHEAD: usize = 2048;

/// What stands for "more bytes follow" where the count of a key's last bytes stands.
const MORE: u32 = 9;

/// Nodes that are to be sorted.
pub(crate) enum Ranks {
    Few(Vec<Ranked>),
    Many(Brief<Ranked>),
}

impl Ranks {
    fn new(count: usize) -> Ranks {
        match Brief::new(count) {
            Some(many) => Ranks::Many(many),
            None => Ranks::Few(Vec::with_capacity(count)),
        }
    }

    #[inline]
    fn push(&mut self, ranked: Ranked) {
        match self {
            Ranks::Few(few) => few.push(ranked),
            Ranks::Many(many) => {
                if many.push(ranked).is_err() {
                    // More than were counted: others push while the stack is walked.
                    let mut all = many.to_vec();
                    all.push(ranked);
                    *self = Ranks::Few(all);
                }
            }
        }
    }

    fn as_mut(&mut self) -> &mut [Ranked] {
        match self {
            Ranks::Few(few) => few,
            Ranks::Many(many) => many,
        }
    }
}

/// The nodes of a stack that begins with `top`, `count` of them, to be sorted.
pub(crate) fn collect(nodes: &Nodes, top: Option<NodeId>, count: usize) -> Ranks {
    let mut all = Ranks::new(count);
    let stack = std::iter::successors(top, |&node| nodes.below(node).load());
    stack.for_each(|node| {
        // Mostly the node below was written before, and so lies before this one.
        nodes.prefetch_before(node, STACK_AHEAD);
        all.push(Ranked::new(nodes.head(node), 0, node));
    });
    all
}

/// Sorts collected nodes by key and then newest first. `prefix_len` bytes are not in the heads.
pub(crate) fn sort(nodes: &Nodes, mut all: Ranks, prefix_len: usize) -> Vec<NodeId> {
    let all = all.as_mut();
    all.sort_unstable();
    for tied in all.chunk_by_mut(same).filter(|tied| tied.len() > 1) {
        // Such a head says no more than that the key is outside of the prefix, or may be.
        let outside = matches!(tied[0].rank(), u64::MIN | u64::MAX);
        sort_from(nodes, tied, if outside { 0 } else { prefix_len });
    }
    all.iter().map(|ranked| ranked.node()).collect()
}

/// Whether two have the same numbers.
#[inline]
fn same(a: &Ranked, b: &Ranked) -> bool {
    (a.rank(), a.second()) == (b.rank(), b.second())
}

/// Sorts nodes whose keys agree in the first `depth` bytes.
fn sort_from(nodes: &Nodes, mut group: &mut [Ranked], mut depth: usize) {
    loop {
        if group.len() < MANY {
            return sort_few(nodes, group);
        }
        rank_again(nodes, group, |node| word_at(nodes.key(node), depth));
        depth += size_of::<u64>();
        // The longest run goes on in the loop, so that the calls nest no deeper than log n.
        let mut longest: &mut [Ranked] = &mut [];
        for mut tied in group.chunk_by_mut(same) {
            if tied[0].second() < MORE {
                // The keys end here, and are the same.
                if tied.len() > 1 {
                    rank_again(nodes, tied, |node| (!nodes.trailer(node).raw(), 0));
                }
                continue;
            }
            if tied.len() > longest.len() {
                std::mem::swap(&mut tied, &mut longest);
            }
            if tied.len() > 1 {
                sort_from(nodes, tied, depth);
            }
        }
        if longest.len() < 2 {
            return;
        }
        group = longest;
    }
}

/// Eight bytes of a key, and how many of them there are.
#[inline]
fn word_at(key: &[u8], depth: usize) -> (u64, u32) {
    let rest = key.get(depth..).unwrap_or_default();
    (crate::skiplist::first_word(rest), rest.len().min(MORE as usize) as u32)
}

/// Sorts by other numbers.
fn rank_again(nodes: &Nodes, group: &mut [Ranked], rank: impl Fn(NodeId) -> (u64, u32)) {
    for at in 0..group.len() {
        if let Some(ahead) = group.get(at + AHEAD) {
            nodes.prefetch(ahead.node());
        }
        let node = group[at].node();
        let (word, count) = rank(node);
        group[at] = Ranked::new(word, count, node);
    }
    group.sort_unstable();
}

fn sort_few(nodes: &Nodes, group: &mut [Ranked]) {
    group.iter().for_each(|ranked| nodes.prefetch(ranked.node()));
    group.sort_unstable_by(|a, b| {
        let (a, b) = (a.node(), b.node());
        nodes.key(a).cmp(nodes.key(b)).then_with(|| nodes.trailer(b).cmp(&nodes.trailer(a)))
    });
}
