//! A dense copy of the order, in which a cursor finds its place with few waits for memory.
//!
//! A search in the list of a full memtable touches a dozen nodes, one behind the other. Here the
//! heads of all entries lie side by side: a search reads a small array that is mostly near, two
//! lines of a large one, and then the node. What was linked since the ladder was made is found from
//! that node on in the list, so a ladder may lag, and is made anew when it does by a half.

use crate::node::{NodeId, Ranked};
use crate::skiplist::{Skiplist, Target, first_word};
use crate::sort::{self, Ranks};

/// How many entries a rung stands for: as many as two cache lines hold heads.
const RUNG: usize = 16;

/// With more entries to a word than this a ladder would not tell much.
const TIED: usize = 16;

/// How many nodes ahead of use the processor is asked for one.
const AHEAD: usize = 12;

/// A shorter list is near as a whole.
const LEAST: usize = 4096;

/// The entries that were linked up to some moment, in order. Never changed.
pub(crate) struct Ladder {
    /// Entries of one head each, where heads alone tell too few of them apart; none otherwise.
    groups: Box<[Group]>,
    /// The last word of each whole rung.
    rungs: Box<[u64]>,
    /// The words that tell entries apart: their heads, or what lies behind the part of the key that
    /// their group shares.
    words: Box<[u64]>,
    nodes: Box<[NodeId]>,
}

/// Entries with the same head.
struct Group {
    head: u64,
    /// The first entry.
    from: usize,
    /// How many bytes their keys share.
    shared: usize,
}

/// Where in a ladder to look for a word.
struct Stretch {
    from: usize,
    end: usize,
    word: u64,
}

impl Ladder {
    /// The bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        let words = self.words.len() + self.rungs.len();
        words * size_of::<u64>()
            + self.nodes.len() * size_of::<NodeId>()
            + self.groups.len() * size_of::<Group>()
    }

    /// The last entry before the target, of those in the ladder.
    #[inline]
    pub(crate) fn before(&self, list: &Skiplist, target: &Target<'_>) -> Option<NodeId> {
        let whole = Stretch { from: 0, end: self.words.len(), word: target.head() };
        let within = if self.groups.is_empty() { Ok(whole) } else { self.stretch(list, target) };
        let end = match within {
            Ok(stretch) => self.search(list, target, &stretch),
            Err(end) => end,
        };
        self.nodes.get(end.checked_sub(1)?).copied()
    }

    /// The group of the target's head, or how many entries lie before the target where that is told by
    /// the groups.
    fn stretch(&self, list: &Skiplist, target: &Target<'_>) -> Result<Stretch, usize> {
        let at = self.groups.partition_point(|group| group.head < target.head());
        let start = |at: usize| self.groups.get(at).map_or(self.words.len(), |group| group.from);
        let (from, end) = (start(at), start(at + 1));
        let Some(group) = self.groups.get(at).filter(|group| group.head == target.head()) else {
            return Err(from);
        };
        let Some(first) = self.nodes.get(from) else { return Err(from) };
        let shared = list.nodes().key(*first).get(..group.shared).unwrap_or_default();
        match target.key().get(..shared.len()) {
            Some(start) if start == shared => {
                let rest = target.key().get(shared.len()..).unwrap_or_default();
                Ok(Stretch { from, end, word: first_word(rest) })
            }
            _ => Err(if target.key() < shared { from } else { end }),
        }
    }

    /// How many entries lie before the target, of which the words of a stretch tell most.
    #[inline]
    fn search(&self, list: &Skiplist, target: &Target<'_>, stretch: &Stretch) -> usize {
        let Stretch { from, end, word } = *stretch;
        let below = |other: &u64| *other < word;
        let first = from.div_ceil(RUNG);
        let rungs = self.rungs.get(first..end / RUNG).unwrap_or_default();
        let passed = rungs.partition_point(below);
        let near = if passed > 0 { (first + passed) * RUNG } else { from };
        let words = self.words.get(near..end).unwrap_or_default();
        let close = (first + passed + 1) * RUNG - near;
        let close = words.get(..close).unwrap_or(words);
        let low = near + close.iter().map(|other| usize::from(below(other))).sum::<usize>();
        // Of most words there is one or none, and the node is needed in any case.
        let ties = match self.words.get(low..end).unwrap_or_default() {
            [a, b, ..] if *a == word && *b == word => self.ties(low, end, word),
            [a, ..] => usize::from(*a == word),
            [] => 0,
        };
        let tied = self.nodes.get(low..low + ties).unwrap_or_default();
        let is_before = |&node: &NodeId| list.is_before(node, target);
        // Mostly the newest version of a key is looked for, or what lies behind the oldest.
        match tied {
            [first, ..] if !is_before(first) => low,
            [.., last] if is_before(last) => low + ties,
            _ => low + tied.partition_point(is_before),
        }
    }

    /// How many entries from `low` on and before `end` have a word, which is the one of entry `low`.
    fn ties(&self, low: usize, end: usize, word: u64) -> usize {
        let rungs = self.rungs.get(low / RUNG..end / RUNG).unwrap_or_default();
        let whole = rungs.partition_point(|last| *last == word);
        let from = if whole > 0 { (low / RUNG + whole) * RUNG } else { low };
        let rest = self.words.get(from..end).unwrap_or_default();
        from - low + rest.iter().take_while(|other| **other == word).count()
    }

    /// The heads of all entries, in their order.
    fn heads(&self) -> Vec<u64> {
        if self.groups.is_empty() {
            return self.words.to_vec();
        }
        let ends = self.groups.iter().skip(1).map(|group| group.from);
        let ends = ends.chain([self.words.len()]);
        let repeated = self.groups.iter().zip(ends);
        repeated
            .flat_map(|(group, end)| std::iter::repeat_n(group.head, end - group.from))
            .collect()
    }
}

/// What whoever links keeps, to make ladders of.
#[derive(Default)]
pub(crate) struct Late {
    /// Linked, and not in the ladder.
    nodes: Vec<NodeId>,
    /// Neither heads nor what lies behind shared parts tell the entries apart, so that a ladder would be
    /// of no use.
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
        let old_len = old.map_or(0, |old| old.nodes.len());
        if self.nodes.len() < LEAST.max(old_len / 2) {
            return None;
        }
        let (heads, old) = old.map_or((Vec::new(), &[][..]), |old| (old.heads(), &old.nodes));
        let mut all: Vec<Ranked> = Vec::with_capacity(old.len() + self.nodes.len());
        let rank = |node: NodeId| Ranked::new(list.nodes().head(node), 0, node);
        all.extend(self.nodes.drain(..).map(rank));
        all.sort_unstable();
        // Two runs, which a stable sort only merges.
        all.extend(heads.iter().zip(old).map(|(&head, &node)| Ranked::new(head, 0, node)));
        all.sort();
        // Entries change places with others of the same head only.
        let mut words: Box<[u64]> = all.iter().map(|ranked| ranked.rank()).collect();
        let nodes: Box<[NodeId]> =
            sort::sort(list.nodes(), Ranks::Few(all), list.prefix_len()).into();
        let mut groups: Box<[Group]> = Box::default();
        if tells_little(&words) {
            groups = group(list, &mut words, &nodes);
            if tells_little(&words) {
                self.useless = true;
                return None;
            }
        }
        let (rungs, _) = words.as_chunks::<RUNG>();
        let rungs = rungs.iter().map(|[.., last]| *last).collect();
        Some(Ladder { groups, rungs, words, nodes })
    }
}

/// Whether so many entries have the same word that a search by words is of little use.
fn tells_little(words: &[u64]) -> bool {
    words.chunk_by(|a, b| a == b).count() < words.len() / TIED
}

/// The groups of entries with the same word, which is replaced by what comes behind the part of the
/// key that the group shares.
fn group(list: &Skiplist, words: &mut [u64], nodes: &[NodeId]) -> Box<[Group]> {
    let key = |at: usize| nodes.get(at).map_or(&[][..], |&node| list.nodes().key(node));
    let mut groups = Vec::new();
    let mut from = 0;
    for group in words.chunk_by_mut(|a, b| a == b) {
        let (first, last) = (key(from), key(from + group.len() - 1));
        let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        let head = group.first().copied().unwrap_or(0);
        groups.push(Group { head, from, shared });
        for word in group {
            if let Some(&ahead) = nodes.get(from + AHEAD) {
                list.nodes().prefetch_entry(ahead);
            }
            *word = first_word(key(from).get(shared..).unwrap_or_default());
            from += 1;
        }
    }
    groups.into()
}
