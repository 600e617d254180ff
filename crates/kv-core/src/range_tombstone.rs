//! Range tombstones, cut at each other's ends so that a key is covered by one fragment.

use crate::SeqNo;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Everything older than `seq` in `[start, end)` is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RangeTombstone {
    /// The first key covered.
    pub start: Bytes,
    /// The first key behind.
    pub end: Bytes,
    /// Entries with a smaller sequence number are hidden.
    pub seq: SeqNo,
}

/// A stretch of keys with the sequence numbers of all tombstones over it, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// The first key covered.
    pub start: Bytes,
    /// The first key behind.
    pub end: Bytes,
    /// Strictly descending, never empty.
    pub seqs: Vec<SeqNo>,
}

impl Fragment {
    /// The newest tombstone that a snapshot at `snapshot` sees, 0 where there is none.
    pub fn newest_at(&self, snapshot: SeqNo) -> SeqNo {
        let i = self.seqs.partition_point(|&seq| seq > snapshot);
        self.seqs.get(i).copied().unwrap_or(0)
    }
}

/// A sorted list of disjoint [`Fragment`]s.
///
/// INVARIANT: `fragments[i].end <= fragments[i + 1].start`; no fragment is empty.
/// ```
/// use kv_core::{Fragment, RangeTombstone, RangeTombstones, SeqNo};
/// let tombstone = |start: &'static str, end: &'static str, seq: SeqNo| {
///     RangeTombstone { start: start.into(), end: end.into(), seq }
/// };
/// // Cut at each other's ends, they are [a, c), [c, e) and [e, g).
/// let set = RangeTombstones::new([tombstone("a", "e", 5), tombstone("c", "g", 8)]);
/// assert_eq!((set.fragments().len(), set.iter().count()), (3, 4));
///
/// // A snapshot at 7 sees the older one of the two that lie over this key.
/// let both = set.fragment_over(b"d").unwrap();
/// assert_eq!((both.newest_at(8), both.newest_at(7), both.newest_at(4)), (8, 5, 0));
/// assert!(set.fragment_over(b"g").is_none());
///
/// assert_eq!(set.clip(b"f", None).fragments()[0].start, "f");
/// assert!(set.clip(b"x", Some(b"z")).is_empty());
///
/// // What comes from a disk is taken in order only.
/// let mut stored: Vec<Fragment> = set.fragments().to_vec();
/// assert_eq!(RangeTombstones::from_fragments(stored.clone()), Some(set));
/// stored.reverse();
/// assert_eq!(RangeTombstones::from_fragments(stored), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeTombstones {
    fragments: Vec<Fragment>,
}

impl RangeTombstones {
    /// Fragments any set of tombstones: O(n log n + the fragments' sequence numbers).
    /// Empty and inverted ranges are left out.
    pub fn new(tombstones: impl IntoIterator<Item = RangeTombstone>) -> RangeTombstones {
        RangeTombstones::sweep(tombstones, |active| active.keys().rev().copied().collect())
    }

    /// Fragments any set of tombstones, and keeps of each fragment what readers at `snapshots`
    /// (ascending) can tell apart: the newest tombstone that each sees, and the newest of all.
    ///
    /// However many tombstones lie over each other (a queue that is cut off further and further),
    /// this takes O(n (log n + s log n)) time and O(n s) memory, with s snapshots.
    ///
    /// ```
    /// use kv_core::{RangeTombstone, RangeTombstones};
    /// let all = (1..=9).map(|seq| RangeTombstone { start: "a".into(), end: "b".into(), seq });
    /// let set = RangeTombstones::seen_by(all, &[3, 5]);
    /// assert_eq!(set.fragments()[0].seqs, [9, 5, 3]);
    /// ```
    pub fn seen_by(
        tombstones: impl IntoIterator<Item = RangeTombstone>,
        snapshots: &[SeqNo],
    ) -> RangeTombstones {
        RangeTombstones::sweep(tombstones, |active| {
            let newest = active.keys().next_back().copied();
            let seen = snapshots.iter().rev();
            let seen = seen.filter_map(|s| active.range(..=*s).next_back().map(|(seq, _)| *seq));
            let mut seqs: Vec<SeqNo> = newest.into_iter().chain(seen).collect();
            seqs.dedup();
            seqs
        })
    }

    /// Walks over the ends of all tombstones; `choose` says which of those that are active over a
    /// stretch its fragment lists, newest first.
    fn sweep(
        tombstones: impl IntoIterator<Item = RangeTombstone>,
        choose: impl Fn(&BTreeMap<SeqNo, usize>) -> Vec<SeqNo>,
    ) -> RangeTombstones {
        // The sequence numbers that begin (true) and end (false) at each boundary.
        let mut edges: BTreeMap<Bytes, Vec<(SeqNo, bool)>> = BTreeMap::new();
        for t in tombstones {
            if t.start < t.end {
                edges.entry(t.start).or_default().push((t.seq, true));
                edges.entry(t.end).or_default().push((t.seq, false));
            }
        }
        let mut active: BTreeMap<SeqNo, usize> = BTreeMap::new();
        let mut fragments: Vec<Fragment> = Vec::new();
        let mut previous = Bytes::new();
        for (at, changes) in edges {
            if !active.is_empty() {
                let seqs = choose(&active);
                push_fragment(&mut fragments, Fragment { start: previous, end: at.clone(), seqs });
            }
            for (seq, begins) in changes {
                let count = active.entry(seq).or_insert(0);
                if begins {
                    *count += 1;
                } else {
                    *count = count.wrapping_sub(1);
                }
                if *count == 0 {
                    active.remove(&seq);
                }
            }
            previous = at;
        }
        RangeTombstones { fragments }
    }

    /// Takes fragments that are already sorted, disjoint and not empty; `None` where they are not.
    pub fn from_fragments(fragments: Vec<Fragment>) -> Option<RangeTombstones> {
        let whole = fragments.iter().all(|f| {
            f.start < f.end
                && !f.seqs.is_empty()
                && f.seqs.iter().zip(f.seqs.iter().skip(1)).all(|(a, b)| a > b)
        });
        let ordered = fragments.iter().zip(fragments.iter().skip(1)).all(|(a, b)| a.end <= b.start);
        (whole && ordered).then_some(RangeTombstones { fragments })
    }

    /// Whether there is no tombstone.
    pub fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }

    /// The fragments in order.
    pub fn fragments(&self) -> &[Fragment] {
        &self.fragments
    }

    /// All tombstones, cut at each other's ends.
    pub fn iter(&self) -> impl Iterator<Item = RangeTombstone> + '_ {
        self.fragments.iter().flat_map(|f| {
            f.seqs.iter().map(|&seq| RangeTombstone {
                start: f.start.clone(),
                end: f.end.clone(),
                seq,
            })
        })
    }

    /// The fragment that covers `key`: O(log n).
    pub fn fragment_over(&self, key: &[u8]) -> Option<&Fragment> {
        let i = self.fragments.partition_point(|f| f.end.as_ref() <= key);
        self.fragments.get(i).filter(|f| f.start.as_ref() <= key)
    }

    /// The newest tombstone over `key` that a snapshot at `snapshot` sees, 0 where there is none.
    ///
    /// ```
    /// use kv_core::{RangeTombstone, RangeTombstones};
    /// let t = RangeTombstone { start: "b".into(), end: "d".into(), seq: 7 };
    /// let set = RangeTombstones::new([t]);
    /// assert_eq!(set.covering(b"c", 9), 7);
    /// assert_eq!(set.covering(b"c", 6), 0);
    /// assert_eq!(set.covering(b"d", 9), 0);
    /// ```
    pub fn covering(&self, key: &[u8], snapshot: SeqNo) -> SeqNo {
        self.fragment_over(key).map_or(0, |f| f.newest_at(snapshot))
    }

    /// The part of the tombstones that lies in `[start, end)`; `end` of `None` is no bound.
    pub fn clip(&self, start: &[u8], end: Option<&[u8]>) -> RangeTombstones {
        let mut fragments = Vec::new();
        let from = self.fragments.partition_point(|f| f.end.as_ref() <= start);
        for f in self.fragments.iter().skip(from) {
            if end.is_some_and(|end| f.start.as_ref() >= end) {
                break;
            }
            let mut f = f.clone();
            if f.start.as_ref() < start {
                f.start = Bytes::copy_from_slice(start);
            }
            if let Some(end) = end
                && f.end.as_ref() > end
            {
                f.end = Bytes::copy_from_slice(end);
            }
            fragments.push(f);
        }
        RangeTombstones { fragments }
    }
}

/// Joins a fragment to its left neighbour where nothing changes between them.
fn push_fragment(fragments: &mut Vec<Fragment>, next: Fragment) {
    match fragments.last_mut() {
        Some(last) if last.end == next.start && last.seqs == next.seqs => last.end = next.end,
        _ => fragments.push(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tombstone(start: &str, end: &str, seq: SeqNo) -> RangeTombstone {
        RangeTombstone {
            start: Bytes::copy_from_slice(start.as_bytes()),
            end: Bytes::copy_from_slice(end.as_bytes()),
            seq,
        }
    }

    /// Every set of up to three tombstones over five keys agrees with the definition.
    #[test]
    fn covering_agrees_with_the_definition() {
        let keys = ["a", "b", "c", "d", "e"];
        let mut ranges = Vec::new();
        for (i, a) in keys.iter().enumerate() {
            for b in &keys[i..] {
                ranges.push((*a, *b));
            }
        }
        for x in &ranges {
            for y in &ranges {
                for z in &ranges {
                    let set =
                        [tombstone(x.0, x.1, 3), tombstone(y.0, y.1, 5), tombstone(z.0, z.1, 5)];
                    let built = RangeTombstones::new(set.clone());
                    assert!(RangeTombstones::from_fragments(built.fragments().to_vec()).is_some());
                    for key in keys {
                        for snapshot in [2, 3, 4, 9] {
                            let want = set
                                .iter()
                                .filter(|t| {
                                    t.start.as_ref() <= key.as_bytes()
                                        && key.as_bytes() < t.end.as_ref()
                                        && t.seq <= snapshot
                                })
                                .map(|t| t.seq)
                                .max()
                                .unwrap_or(0);
                            assert_eq!(built.covering(key.as_bytes(), snapshot), want);
                        }
                    }
                    let clipped = built.clip(b"b", Some(b"d"));
                    for key in keys {
                        let inside = ("b".."d").contains(&key);
                        let want = if inside { built.covering(key.as_bytes(), 9) } else { 0 };
                        assert_eq!(clipped.covering(key.as_bytes(), 9), want);
                    }
                }
            }
        }
    }

    #[test]
    fn unsorted_fragments_are_refused() {
        let a = Fragment { start: "a".into(), end: "c".into(), seqs: vec![2] };
        let b = Fragment { start: "b".into(), end: "d".into(), seqs: vec![2] };
        assert!(RangeTombstones::from_fragments(vec![a.clone(), b]).is_none());
        let c = Fragment { start: "c".into(), end: "d".into(), seqs: vec![1, 2] };
        assert!(RangeTombstones::from_fragments(vec![a, c]).is_none());
    }
}
