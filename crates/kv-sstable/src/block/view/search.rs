//! Searches in a block: by heads first, which lie side by side.

use super::Block;
use crate::block::{HEAD_LEN, HEADER_LEN, head_of};
use kv_core::Trailer;
use std::cmp::Ordering;
use std::ops::Deref;

/// The key that a search looks for, split like the block's keys.
struct Target<'a> {
    head: u64,
    head_len: usize,
    rest: &'a [u8],
    trailer: Trailer,
}

impl<D: Deref<Target = [u8]>> Block<D> {
    /// Whether an entry's key is `key`.
    pub(crate) fn key_equals(&self, i: usize, key: &[u8]) -> bool {
        self.target(key, Trailer::MAX).is_ok_and(|target| self.is_key(i, &target))
    }

    #[inline]
    fn is_key(&self, i: usize, target: &Target<'_>) -> bool {
        self.head(i) == target.head
            && self.head_len(i) == target.head_len
            && order_of_rests(self.rest(i), target.rest).is_eq()
    }

    /// The first entry at or behind `(key, trailer)` in internal order; `count` where none is.
    pub(crate) fn lower_bound(&self, key: &[u8], trailer: Trailer) -> usize {
        match self.target(key, trailer) {
            Ok(target) => self.search(&target),
            Err(outside) => outside,
        }
    }

    /// The first entry at or behind `key`, most likely close to `from`: all before that are known to
    /// be below it.
    #[inline]
    pub(crate) fn lower_bound_from(&self, from: usize, key: &[u8]) -> usize {
        let target = match self.target(key, Trailer::MAX) {
            Ok(target) => target,
            Err(outside) => return outside,
        };
        let near = self.heads().get(from..).unwrap_or_default();
        for (i, head) in near.iter().take(NEAR).enumerate() {
            match u64::from_le_bytes(*head).cmp(&target.head) {
                Ordering::Less => {}
                Ordering::Equal => break,
                Ordering::Greater => return from + i,
            }
        }
        self.search(&target)
    }

    /// The first entry at or behind `(key, trailer)`, most likely close before `end`: all from that
    /// on are known to be behind it. Or the block may begin behind it.
    #[inline]
    pub(crate) fn lower_bound_before(&self, end: usize, key: &[u8], trailer: Trailer) -> usize {
        let target = match self.target(key, trailer) {
            Ok(target) => target,
            Err(outside) => return outside,
        };
        let near = self.heads().get(..end).unwrap_or_default();
        if near.first().is_some_and(|head| u64::from_le_bytes(*head) > target.head) {
            return 0;
        }
        for (i, head) in near.iter().enumerate().rev().take(NEAR) {
            match u64::from_le_bytes(*head).cmp(&target.head) {
                Ordering::Less => return i + 1,
                Ordering::Equal => break,
                Ordering::Greater => {}
            }
        }
        self.search(&target)
    }

    /// The first entry of `key` at or behind `(key, trailer)`, if there is one.
    pub(crate) fn find(&self, key: &[u8], trailer: Trailer) -> Option<usize> {
        let target = self.target(key, trailer).ok()?;
        let i = self.search(&target);
        (i < self.count && self.is_key(i, &target)).then_some(i)
    }

    /// The key that a search looks for, or the answer of every search where it does not share
    /// the prefix.
    #[inline]
    fn target<'a>(&self, key: &'a [u8], trailer: Trailer) -> Result<Target<'a>, usize> {
        let prefix = self.prefix();
        match key.strip_prefix(prefix) {
            Some(suffix) => Ok(Target::new(suffix, trailer)),
            None => Err(if key < prefix { 0 } else { self.count }),
        }
    }

    #[inline]
    fn search(&self, target: &Target<'_>) -> usize {
        let heads = self.heads();
        let first = first_not_below(heads, target.head);
        let ties = heads.get(first..).unwrap_or_default();
        let is_tie = |head: &[u8; HEAD_LEN]| u64::from_le_bytes(*head) == target.head;
        // Most often there is one tie or none.
        match ties {
            [head, second, ..] if is_tie(head) && is_tie(second) => {}
            [head, ..] if is_tie(head) => {
                return first + usize::from(self.compare_tie(first, target).is_lt());
            }
            _ => return first,
        }
        let (mut low, mut high) = (first, first + ties.partition_point(is_tie));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.compare_tie(middle, target).is_lt() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Compares an entry, whose head is the target's, with the target. A head that is equal with
    /// fewer bytes of the key in it belongs to the smaller key: the zeros behind it are padding.
    fn compare_tie(&self, i: usize, target: &Target<'_>) -> Ordering {
        self.head_len(i)
            .cmp(&target.head_len)
            .then_with(|| order_of_rests(self.rest(i), target.rest))
            .then_with(|| target.trailer.cmp(&self.trailer(i)))
    }

    fn heads(&self) -> &[[u8; HEAD_LEN]] {
        self.data.get(HEADER_LEN..self.seqs).unwrap_or_default().as_chunks().0
    }
}

/// How what lies behind two heads compares. Mostly both are empty, and to compare nothing costs up to
/// 300 ns: an empty slice may point to where no memory is, and vector instructions that load nothing
/// from there take a fault that the processor hides.
#[inline]
fn order_of_rests(a: &[u8], b: &[u8]) -> Ordering {
    match a.is_empty() || b.is_empty() {
        true => a.len().cmp(&b.len()),
        false => a.cmp(b),
    }
}

/// So many entries next to a place are compared one by one before the block is searched.
const NEAR: usize = 8;

/// How many heads are compared without a branch, at most.
const WINDOW: usize = 128;

/// The index of the first head that is not below `target`, in heads that ascend; in others any
/// index. First the last head of each cache line is compared, then those of one line: loads that
/// wait for no comparison, so that the lines of a cold block come from memory together.
#[inline]
fn first_not_below(heads: &[[u8; HEAD_LEN]], target: u64) -> usize {
    let is_below = |head: &[u8; HEAD_LEN]| u64::from_le_bytes(*head) < target;
    let (mut from, mut rest) = (0, heads);
    while rest.len() > WINDOW {
        let middle = rest.len() / 2;
        let (low, high) = rest.split_at(middle);
        if low.last().is_some_and(is_below) {
            (from, rest) = (from + middle, high);
        } else {
            rest = low;
        }
    }
    let (lines, _) = rest.as_chunks::<LINE>();
    let below = lines.iter().map(|[.., last]| usize::from(is_below(last))).sum::<usize>() * LINE;
    let line = rest.get(below..).unwrap_or_default();
    let line = line.get(..LINE).unwrap_or(line);
    from + below + line.iter().map(|head| usize::from(is_below(head))).sum::<usize>()
}

/// The heads in a cache line.
const LINE: usize = 64 / HEAD_LEN;

impl<'a> Target<'a> {
    #[inline]
    fn new(suffix: &'a [u8], trailer: Trailer) -> Target<'a> {
        Target {
            head: head_of(suffix),
            head_len: suffix.len().min(HEAD_LEN),
            rest: suffix.get(HEAD_LEN..).unwrap_or_default(),
            trailer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockBuilder;
    use bytes::Bytes;
    use kv_core::Kind;
    use proptest::prelude::*;

    /// Keys that often share their heads.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        let short = prop::collection::vec(0u8..4, 0..4);
        prop_oneof![short.clone(), short.prop_map(|end| [&b"prefix and head"[..], &end].concat())]
    }

    proptest! {
        #[test]
        fn a_search_from_any_place_finds_what_a_search_of_the_whole_finds(
            keys in prop::collection::btree_set(key(), 1..60),
            key in key(),
            newest: bool,
        ) {
            let mut builder = BlockBuilder::default();
            for key in &keys {
                builder.add(key, Trailer::new(7, Kind::Put), b"value", false);
            }
            let mut bytes = Vec::new();
            builder.finish(&mut bytes).unwrap();
            let block = Block::parse(Bytes::from(bytes)).unwrap();
            let found = block.lower_bound(&key, Trailer::MAX);
            for from in 0..=found {
                prop_assert_eq!(block.lower_bound_from(from, &key), found);
            }
            let trailer = if newest { Trailer::MAX } else { Trailer::from_raw(0) };
            let found = block.lower_bound(&key, trailer);
            for end in found..=block.count() {
                prop_assert_eq!(block.lower_bound_before(end, &key, trailer), found);
            }
        }
    }
}
