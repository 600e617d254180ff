//! What readers see is the same before and after a merge, whatever is kept.

use crate::compaction::retain::{Retention, Verdict, retain_tombstones};
use bytes::Bytes;
use kv_core::{Kind, RangeTombstone, RangeTombstones, SeqNo, Trailer, expiry_of};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Sequence numbers of one test; the newest visible one is below, so that some are newer.
const SEQS: SeqNo = 24;
const KEYS: u8 = 5;
const CUTOFF: u64 = 100;

#[derive(Clone, Debug)]
enum Op {
    Put(u8),
    Delete(u8),
    Expiring(u8, u64),
    DeleteRange(u8, u8),
}

/// Entries in internal order, and range tombstones.
#[derive(Clone, Debug, Default)]
struct Entries {
    points: Vec<(u8, Trailer, Vec<u8>)>,
    ranges: RangeTombstones,
}

fn key(key: u8) -> Bytes {
    Bytes::from(vec![b'a' + key])
}

fn entries(ops: &[Op]) -> Entries {
    let mut points = Vec::new();
    let mut ranges = Vec::new();
    for (i, op) in ops.iter().enumerate() {
        let seq = i as SeqNo + 1;
        let value = seq.to_be_bytes().to_vec();
        match *op {
            Op::Put(k) => points.push((k, Trailer::new(seq, Kind::Put), value)),
            Op::Delete(k) => points.push((k, Trailer::new(seq, Kind::Delete), Vec::new())),
            Op::Expiring(k, at) => {
                let value = [&at.to_le_bytes()[..], &value].concat();
                points.push((k, Trailer::new(seq, Kind::PutExpiring), value));
            }
            Op::DeleteRange(a, b) => {
                ranges.push(RangeTombstone { start: key(a), end: key(b), seq });
            }
        }
    }
    points.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    Entries { points, ranges: RangeTombstones::new(ranges) }
}

impl Entries {
    /// What a reader at `snapshot` with that clock sees of a key, straight from the definition.
    fn get(&self, k: u8, snapshot: SeqNo, now_ms: u64) -> Option<Vec<u8>> {
        let newest = self.points.iter().find(|(p, t, _)| *p == k && t.seq() <= snapshot);
        let (_, trailer, value) = newest?;
        let hidden = self.ranges.covering(&key(k), snapshot) > trailer.seq();
        let kind = trailer.kind().unwrap();
        let expired = expiry_of(kind, value).is_some_and(|at| at <= now_ms);
        (!hidden && !expired && kind != Kind::Delete).then(|| value.clone())
    }
}

/// A merge of all of `from`, with `below` saying of which keys there may be more below.
fn merge(
    from: &Entries,
    snapshots: &[SeqNo],
    below: impl Fn(u8) -> bool,
    bottommost: bool,
) -> Entries {
    let mut retention = Retention::new(snapshots, from.ranges.clone(), CUTOFF);
    let mut points = Vec::new();
    for (k, trailer, value) in &from.points {
        match retention.keep(&key(*k), *trailer, value, !below(*k)) {
            Verdict::Drop => {}
            Verdict::Keep(trailer) => points.push((*k, trailer, value.clone())),
            Verdict::Tombstone(trailer) => points.push((*k, trailer, Vec::new())),
        }
    }
    Entries { points, ranges: retain_tombstones(&from.ranges, snapshots, bottommost) }
}

/// Newer entries over older ones.
fn join(above: &Entries, below: &Entries) -> Entries {
    let mut points = [above.points.clone(), below.points.clone()].concat();
    points.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    let ranges = above.ranges.iter().chain(below.ranges.iter());
    Entries { points, ranges: RangeTombstones::new(ranges) }
}

fn op() -> impl Strategy<Value = Op> {
    let at = prop_oneof![Just(CUTOFF - 1), Just(CUTOFF), Just(CUTOFF + 1)];
    prop_oneof![
        4 => (0..KEYS).prop_map(Op::Put),
        2 => (0..KEYS).prop_map(Op::Delete),
        2 => (0..KEYS, at).prop_map(|(k, at)| Op::Expiring(k, at)),
        2 => (0..KEYS, 0..=KEYS).prop_map(|(a, b)| Op::DeleteRange(a.min(b), a.max(b))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// The ops up to `cut` lie below the merge, the others are merged; `visible` is the newest
    /// number that was visible when the merge began. All live and later readers see the same.
    #[test]
    fn readers_see_the_same(
        ops in prop::collection::vec(op(), SEQS as usize),
        cut in 0..SEQS,
        mut snapshots in prop::collection::btree_set(0..SEQS, 0..4),
        visible in SEQS - 6..=SEQS,
    ) {
        snapshots.retain(|seq| *seq <= visible);
        snapshots.insert(visible);
        let snapshots: Vec<SeqNo> = snapshots.into_iter().collect();
        let all = entries(&ops);
        let part = |from: SeqNo, to: SeqNo| {
            let inside = |seq: SeqNo| from < seq && seq <= to;
            let points = all.points.iter().filter(|(_, t, _)| inside(t.seq())).cloned().collect();
            let ranges = RangeTombstones::new(all.ranges.iter().filter(|r| inside(r.seq)));
            Entries { points, ranges }
        };
        let (old, new) = (part(0, cut), part(cut, SEQS));
        let held: BTreeSet<u8> = old.points.iter().map(|(k, _, _)| *k).collect();
        let below = |k: u8| held.contains(&k) || old.ranges.fragment_over(&key(k)).is_some();
        // Once with the old entries below, once with all entries in one last merge.
        let upper = merge(&new, &snapshots, below, held.is_empty() && old.ranges.is_empty());
        let outcomes =
            [join(&upper, &old), merge(&join(&upper, &old), &snapshots, |_| false, true)];
        for after in &outcomes {
            // Live snapshots, and every later one; clocks only go on from the cutoff.
            for snapshot in snapshots.iter().copied().chain(visible..=SEQS) {
                for now in [CUTOFF, CUTOFF + 1] {
                    for k in 0..KEYS {
                        let (want, got) = (all.get(k, snapshot, now), after.get(k, snapshot, now));
                        prop_assert_eq!(want, got, "key {} at {} of {:?}", k, snapshot, after);
                    }
                }
            }
            // The order of a table.
            let sorted = after.points.windows(2).all(|w| (w[0].0, w[1].1) < (w[1].0, w[0].1));
            prop_assert!(sorted, "{:?}", after.points);
        }
        // Nothing that the last merge could drop is left.
        let last = &outcomes[1];
        let oldest = snapshots[0];
        let mut per_stripe: BTreeMap<(u8, usize), usize> = BTreeMap::new();
        for (k, trailer, value) in &last.points {
            let seq = trailer.seq();
            if seq > visible {
                continue;
            }
            let stripe = snapshots.partition_point(|s| *s < seq);
            *per_stripe.entry((*k, stripe)).or_default() += 1;
            let dead = trailer.kind() == Some(Kind::Delete)
                || expiry_of(trailer.kind().unwrap(), value).is_some_and(|at| at <= CUTOFF);
            prop_assert!(!(dead && seq <= oldest), "{:?}", last.points);
        }
        prop_assert!(per_stripe.values().all(|versions| *versions == 1));
        prop_assert!(last.ranges.iter().all(|range| range.seq > oldest));
    }
}

#[test]
fn the_last_level_keeps_one_bare_entry() {
    let ops = [Op::Put(0), Op::Delete(1), Op::Put(0), Op::Expiring(2, CUTOFF + 1)];
    let merged = merge(&entries(&ops), &[9], |_| false, true);
    let kept: Vec<_> = merged.points.iter().map(|(k, trailer, _)| (*k, *trailer)).collect();
    assert_eq!(kept, [(0, Trailer::new(0, Kind::Put)), (2, Trailer::new(0, Kind::PutExpiring))]);
}

#[test]
fn a_version_under_an_older_range_tombstone_keeps_its_number() {
    let ops = [Op::DeleteRange(0, 3), Op::Put(1)];
    // The tombstone stays, since something lies below part of its range, though not below key 1.
    let merged = merge(&entries(&ops), &[9], |_| false, false);
    assert_eq!(merged.points.len(), 1);
    assert_eq!(merged.points[0].1, Trailer::new(2, Kind::Put));
    assert!(merged.get(1, 9, 0).is_some());
}
