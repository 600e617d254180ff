//! Range tombstones that are added one by one and asked in between.
//!
//! Promises: adding takes O(log² n) steps amortised, asking O(log² n), and the memory is
//! O(n log n), also where all of them overlap (a queue that is cut off further and further):
//! unlike fragments, nothing here lists all tombstones over a stretch for every stretch.
//!
//! The newest few are in a plain list. A full list becomes a run, taking in the runs that are no
//! longer than it, so that there are O(log n) runs.

use bytes::Bytes;
use kv_core::{RangeTombstone, RangeTombstones, SeqNo};
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many tombstones are looked at one by one before they become a run.
const TAIL_LEN: usize = 16;

/// The range tombstones of one memtable.
#[derive(Default)]
pub(crate) struct Tombstones {
    any: AtomicBool,
    memory: AtomicUsize,
    index: RwLock<Index>,
    fragments: Mutex<Fragments>,
}

#[derive(Default)]
struct Index {
    /// Longest first; each is longer than what the next one was made of.
    runs: Vec<Run>,
    tail: Vec<RangeTombstone>,
}

/// The tombstones that were there when fragments were last asked for, cut into such.
#[derive(Default)]
struct Fragments {
    of: usize,
    set: RangeTombstones,
}

impl Tombstones {
    /// Adds a tombstone; an empty or inverted range is none.
    pub(crate) fn add(&self, start: &[u8], end: &[u8], seq: SeqNo) {
        if start >= end {
            return;
        }
        let start = Bytes::copy_from_slice(start);
        let end = Bytes::copy_from_slice(end);
        let mut index = self.index.write();
        index.add(RangeTombstone { start, end, seq });
        self.memory.store(index.memory(), Ordering::Relaxed);
        self.any.store(true, Ordering::Relaxed);
    }

    /// Whether there is any: one relaxed load.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// The newest tombstone over `key` that a snapshot at `snapshot` sees, 0 where there is none.
    pub(crate) fn covering(&self, key: &[u8], snapshot: SeqNo) -> SeqNo {
        if !self.any() {
            return 0;
        }
        let index = self.index.read();
        let tail = index
            .tail
            .iter()
            .filter(|t| t.seq <= snapshot && t.start.as_ref() <= key && key < t.end.as_ref())
            .map(|t| t.seq);
        tail.chain(index.runs.iter().map(|run| run.covering(key, snapshot))).max().unwrap_or(0)
    }

    /// All tombstones, cut at each other's ends. Cut anew only if one came since the last call.
    pub(crate) fn fragmented(&self) -> RangeTombstones {
        if !self.any() {
            return RangeTombstones::default();
        }
        // Locked first, so that threads that ask at once do the work once.
        let mut fragments = self.fragments.lock();
        let all = {
            let index = self.index.read();
            if index.len() == fragments.of {
                return fragments.set.clone();
            }
            index.iter().cloned().collect::<Vec<_>>()
        };
        fragments.of = all.len();
        fragments.set = RangeTombstones::new(all);
        fragments.set.clone()
    }

    /// The tombstones as readers at `snapshots` (ascending) can tell them apart.
    pub(crate) fn seen_by(&self, snapshots: &[SeqNo]) -> RangeTombstones {
        if !self.any() {
            return RangeTombstones::default();
        }
        let all: Vec<RangeTombstone> = self.index.read().iter().cloned().collect();
        RangeTombstones::seen_by(all, snapshots)
    }

    /// The smallest start and the largest end.
    pub(crate) fn span(&self) -> Option<(Bytes, Bytes)> {
        let index = self.index.read();
        let start = index.iter().map(|tombstone| &tombstone.start).min()?.clone();
        let end = index.iter().map(|tombstone| &tombstone.end).max()?.clone();
        Some((start, end))
    }

    /// The bytes of the tombstones and of the runs.
    pub(crate) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }
}

impl Index {
    fn add(&mut self, tombstone: RangeTombstone) {
        self.tail.push(tombstone);
        if self.tail.len() < TAIL_LEN {
            return;
        }
        let mut all = std::mem::take(&mut self.tail);
        while let Some(run) = self.runs.pop_if(|run| run.tombstones.len() <= all.len()) {
            all.extend(run.tombstones);
        }
        self.runs.push(Run::new(all));
    }

    fn iter(&self) -> impl Iterator<Item = &RangeTombstone> {
        self.runs.iter().flat_map(|run| &run.tombstones).chain(&self.tail)
    }

    fn len(&self) -> usize {
        self.runs.iter().map(|run| run.tombstones.len()).sum::<usize>() + self.tail.len()
    }

    fn memory(&self) -> usize {
        let runs = self.runs.iter().map(|run| run.memory).sum::<usize>();
        runs + self.tail.iter().map(tombstone_memory).sum::<usize>()
    }
}

fn tombstone_memory(tombstone: &RangeTombstone) -> usize {
    size_of::<RangeTombstone>() + tombstone.start.len() + tombstone.end.len()
}

/// Tombstones that change no more, as a segment tree.
///
/// The bounds cut the keys into stretches, which are the leaves of a binary tree laid out like a
/// heap: node `i` is over nodes `2i` and `2i + 1`. A tombstone is kept at the O(log n) highest
/// nodes that lie wholly in it, so those over a key are at the nodes from its leaf to the root.
struct Run {
    tombstones: Vec<RangeTombstone>,
    /// Every start and end, ascending.
    bounds: Vec<Bytes>,
    /// The sequence numbers kept at each tree node, ascending.
    tree: Vec<Vec<SeqNo>>,
    memory: usize,
}

impl Run {
    fn new(tombstones: Vec<RangeTombstone>) -> Run {
        let mut bounds: Vec<Bytes> =
            tombstones.iter().flat_map(|t| [t.start.clone(), t.end.clone()]).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let mut tree = vec![Vec::new(); 2 * bounds.len()];
        for t in &tombstones {
            let leaf = |key: &Bytes| bounds.len() + bounds.partition_point(|bound| bound < key);
            let (mut from, mut to) = (leaf(&t.start), leaf(&t.end));
            while from < to {
                if from % 2 == 1 {
                    tree[from].push(t.seq);
                    from += 1;
                }
                if to % 2 == 1 {
                    to -= 1;
                    tree[to].push(t.seq);
                }
                from /= 2;
                to /= 2;
            }
        }
        for seqs in &mut tree {
            seqs.sort_unstable();
            seqs.shrink_to_fit();
        }
        let memory = tombstones.iter().map(tombstone_memory).sum::<usize>()
            + size_of_val(&*bounds)
            + size_of_val(&*tree)
            + tree.iter().map(|seqs| size_of_val(&**seqs)).sum::<usize>();
        Run { tombstones, bounds, tree, memory }
    }

    fn covering(&self, key: &[u8], snapshot: SeqNo) -> SeqNo {
        let starts = self.bounds.partition_point(|bound| bound.as_ref() <= key);
        // Before the first bound there is no leaf; behind the last one is a leaf without any.
        let leaf = (starts > 0).then(|| self.bounds.len() + starts - 1);
        let path = std::iter::successors(leaf, |&node| (node > 1).then_some(node / 2));
        let newest = path.filter_map(|node| {
            let seqs = &self.tree[node];
            seqs[..seqs.partition_point(|&seq| seq <= snapshot)].last().copied()
        });
        newest.max().unwrap_or(0)
    }
}
