//! Sets of stored keys and of ranges of them: what a write changes, and what a transaction read.

use kv_core::{Kind, decode_batch, hash64};
use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Bound;

/// Passes a hash through: what is kept by it is a hash already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The hashes of some stored keys. Two keys with one hash count as one key: at worst a transaction
/// is told of a conflict that there was not.
pub(crate) type Hashes = HashSet<u64, BuildHasherDefault<AsIs>>;

/// The first key of a range, and the key behind its last.
type Range = (Box<[u8]>, Box<[u8]>);

/// Stored keys and half-open ranges of them, in the order in which they came, packed.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    hashes: Vec<u64>,
    /// Where each key ends in `bytes`.
    ends: Vec<usize>,
    bytes: Vec<u8>,
    ranges: Vec<Range>,
    range_bytes: usize,
}

impl Keys {
    /// What an encoded batch changes. It was found readable before.
    pub(crate) fn of_batch(payload: &[u8]) -> Keys {
        let mut keys = Keys::default();
        let Ok(ops) = decode_batch(payload) else { return keys };
        for op in ops.map_while(Result::ok) {
            match op.kind {
                Kind::RangeDelete => keys.push_range(op.key, op.value),
                _ => keys.push(hash64(op.key), op.key),
            }
        }
        keys
    }

    /// One range: the keys from `start` to before `end`.
    pub(crate) fn of_range(start: &[u8], end: &[u8]) -> Keys {
        let mut keys = Keys::default();
        keys.push_range(start, end);
        keys
    }

    pub(crate) fn push(&mut self, hash: u64, key: &[u8]) {
        self.hashes.push(hash);
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    fn push_range(&mut self, start: &[u8], end: &[u8]) {
        if start >= end {
            return;
        }
        self.range_bytes += start.len() + end.len();
        self.ranges.push((start.into(), end.into()));
    }

    /// Adds all of `other`.
    pub(crate) fn extend(&mut self, other: &Keys) {
        let base = self.bytes.len();
        self.hashes.extend_from_slice(&other.hashes);
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| base + end));
        for (start, end) in &other.ranges {
            self.push_range(start, end);
        }
    }

    /// How many keys, and how many ranges.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.hashes.len(), self.ranges.len())
    }

    /// The memory that they take, roughly.
    pub(crate) fn memory(&self) -> usize {
        16 * self.hashes.len() + self.bytes.len() + 32 * self.ranges.len() + self.range_bytes
    }

    /// The hashes of the keys from number `first` on.
    pub(crate) fn hashes_from(&self, first: usize) -> &[u64] {
        self.hashes.get(first..).unwrap_or_default()
    }

    /// The keys from number `first` on.
    pub(crate) fn keys_from(&self, first: usize) -> impl Iterator<Item = &[u8]> {
        let before = first.checked_sub(1).and_then(|i| self.ends.get(i)).copied().unwrap_or(0);
        let ends = self.ends.get(first..).unwrap_or_default();
        ends.iter().scan(before, |start, end| {
            let key = self.bytes.get(*start..*end);
            *start = *end;
            key
        })
    }

    /// The ranges from number `first` on.
    pub(crate) fn ranges_from(&self, first: usize) -> &[Range] {
        self.ranges.get(first..).unwrap_or_default()
    }

    /// Forgets all and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.hashes.clear();
        self.ends.clear();
        self.bytes.clear();
        self.ranges.clear();
        self.range_bytes = 0;
    }
}

/// Half-open ranges of stored keys; those that touch are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges(BTreeMap<Vec<u8>, Vec<u8>>);

impl Ranges {
    /// Adds the keys from `start` to before `end`.
    pub(crate) fn add(&mut self, start: &[u8], end: &[u8]) {
        if start >= end {
            return;
        }
        let (mut start, mut end) = (start.to_vec(), end.to_vec());
        let upto = (Bound::Unbounded, Bound::Included(end.as_slice()));
        // Of those that begin up to `end`, the last ones can reach `start`.
        let touching: Vec<Vec<u8>> = self
            .0
            .range::<[u8], _>(upto)
            .rev()
            .take_while(|(_, other)| **other >= start)
            .map(|(first, _)| first.clone())
            .collect();
        for first in touching {
            if let Some(other) = self.0.remove(&first) {
                end = end.max(other);
            }
            start = start.min(first);
        }
        self.0.insert(start, end);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `key` is in one of them.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        let upto = (Bound::Unbounded, Bound::Included(key));
        self.0.range::<[u8], _>(upto).next_back().is_some_and(|(_, end)| end.as_slice() > key)
    }

    /// Whether one of them has a key from `start` to before `end`.
    pub(crate) fn overlaps(&self, start: &[u8], end: &[u8]) -> bool {
        let before = (Bound::Unbounded, Bound::Excluded(end));
        self.0.range::<[u8], _>(before).next_back().is_some_and(|(_, last)| last.as_slice() > start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_was_added_and_nothing_else() {
        let mut seed = 7u32;
        let mut random = |below: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % below
        };
        for _ in 0..200 {
            let (mut ranges, mut model) = (Ranges::default(), [false; 64]);
            for _ in 0..8 {
                let start = random(60) as u8;
                let end = start + random(5) as u8;
                ranges.add(&[start], &[end]);
                (start..end).for_each(|i| model[usize::from(i)] = true);
            }
            for key in 0..64u8 {
                assert_eq!(ranges.contains(&[key]), model[usize::from(key)], "{ranges:?} {key}");
                for end in key + 1..64 {
                    let held = model[usize::from(key)..usize::from(end)].contains(&true);
                    assert_eq!(ranges.overlaps(&[key], &[end]), held, "{ranges:?} {key}..{end}");
                }
            }
            let runs = (0..64).filter(|&i| model[i] && (i == 0 || !model[i - 1])).count();
            assert_eq!(ranges.0.len(), runs, "those that touch are one: {ranges:?}");
        }
    }

    #[test]
    fn keys_come_back_in_order_from_any_number() {
        let mut keys = Keys::default();
        let mut more = Keys::default();
        for key in [&b"one"[..], b"", b"three"] {
            keys.push(hash64(key), key);
            more.push(hash64(key), key);
        }
        more.push_range(b"a", b"b");
        keys.extend(&more);
        let all = [&b"one"[..], b"", b"three", b"one", b"", b"three"];
        for first in 0..=all.len() {
            assert!(keys.keys_from(first).eq(all[first..].iter().copied()), "from {first}");
        }
        assert_eq!(keys.count(), (6, 1));
    }
}
