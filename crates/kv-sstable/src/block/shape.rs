//! Which columns a block needs and how long it is, known while its entries arrive.

use super::{
    FIXED_KEYS, FIXED_VALUES, HEAD_LEN, HEADER_LEN, KINDS, MAX_PREFIX_LEN, SAME_KEYS, WIDE,
};
use kv_core::Trailer;

/// The most that an entry takes beside its key and value: a head with nothing in it, sequence number, kind,
/// length of the head, two wide ends, and a bit.
pub(super) const MOST_COLUMNS: usize = HEAD_LEN + 8 + 1 + 1 + 2 * 4 + 1;

/// What the entries of a block have in common so far.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) count: usize,
    /// All but whether the ends are wide.
    flags: u8,
    /// Of the first entry.
    kind: u8,
    key_len: usize,
    value_len: usize,
    /// Of all entries.
    shortest_key: usize,
    keys_len: usize,
    values_len: usize,
    seq_min: u64,
    seq_max: u64,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            count: 0,
            flags: FIXED_KEYS | FIXED_VALUES,
            kind: 0,
            key_len: 0,
            value_len: 0,
            shortest_key: 0,
            keys_len: 0,
            values_len: 0,
            seq_min: u64::MAX,
            seq_max: 0,
        }
    }
}

impl Shape {
    /// Takes in one more entry.
    #[inline]
    pub(super) fn add(&mut self, key_len: usize, trailer: Trailer, value_len: usize, same: bool) {
        let kind = trailer.raw() as u8;
        if self.count == 0 {
            (self.kind, self.key_len, self.value_len) = (kind, key_len, value_len);
            self.shortest_key = key_len;
        }
        self.count += 1;
        self.flags &= !(flag(FIXED_KEYS, key_len != self.key_len)
            | flag(FIXED_VALUES, value_len != self.value_len));
        self.flags |= flag(KINDS, kind != self.kind) | flag(SAME_KEYS, same);
        self.shortest_key = self.shortest_key.min(key_len);
        self.keys_len += key_len;
        self.values_len += value_len;
        self.seq_min = self.seq_min.min(trailer.seq());
        self.seq_max = self.seq_max.max(trailer.seq());
    }

    /// The bytes of the whole block where all keys share so many: never too few, and too many only
    /// where a key has no byte behind its head.
    #[inline]
    pub(super) fn block_len(&self, prefix_len: usize) -> usize {
        let prefix_len = prefix_len.min(MAX_PREFIX_LEN);
        let rest_len = self.most_rest(prefix_len);
        let flags = self.flags(rest_len);
        let has = |flag: u8| usize::from(flags & flag != 0);
        let ends = end_width(flags);
        let keys = (1 - has(FIXED_KEYS)) * (1 + ends);
        let values = (1 - has(FIXED_VALUES)) * ends;
        let columns = HEAD_LEN + self.seq_width() + has(KINDS) + keys + values;
        let same_keys = has(SAME_KEYS) * self.count.div_ceil(8);
        HEADER_LEN + self.count * columns + same_keys + prefix_len + rest_len + self.values_len
    }

    /// Enough for the block, and quickly reckoned.
    #[inline]
    pub(super) fn loose_len(&self) -> usize {
        HEADER_LEN + self.keys_len + self.values_len + self.count * MOST_COLUMNS
    }

    /// Enough for the block whatever prefix the keys share.
    #[inline]
    pub(super) fn most_block_len(&self) -> usize {
        self.block_len(0) + self.shortest_key.min(MAX_PREFIX_LEN)
    }

    /// The key bytes behind prefix and head, at most.
    #[inline]
    fn most_rest(&self, prefix_len: usize) -> usize {
        match self.fixed_key_len() {
            Some(len) => self.count * len.saturating_sub(prefix_len + HEAD_LEN),
            None => {
                let whole = self.shortest_key >= prefix_len + HEAD_LEN;
                let before = prefix_len + if whole { HEAD_LEN } else { 0 };
                self.keys_len.saturating_sub(self.count * before)
            }
        }
    }

    /// The block's flags, where all rests together have so many bytes.
    #[inline]
    pub(super) fn flags(&self, rest_len: usize) -> u8 {
        let fixed = FIXED_KEYS | FIXED_VALUES;
        let long = rest_len.max(self.values_len) > usize::from(u16::MAX);
        self.flags | flag(WIDE, long && self.flags & fixed != fixed)
    }

    #[inline]
    pub(super) fn seq_base(&self) -> u64 {
        self.seq_min.min(self.seq_max)
    }

    #[inline]
    pub(super) fn seq_width(&self) -> usize {
        match self.seq_max - self.seq_base() {
            0 => 0,
            1..=0xFF => 1,
            0x100..=0xFFFF => 2,
            0x1_0000..=0xFFFF_FFFF => 4,
            _ => 8,
        }
    }

    /// The kind of all entries, or 0.
    pub(super) fn kind(&self) -> u8 {
        if self.flags & KINDS != 0 { 0 } else { self.kind }
    }

    /// The length of every key, if it is the same.
    pub(super) fn fixed_key_len(&self) -> Option<usize> {
        (self.flags & FIXED_KEYS != 0).then_some(self.key_len)
    }

    /// The length of every value, if it is the same.
    pub(super) fn fixed_value_len(&self) -> Option<usize> {
        (self.flags & FIXED_VALUES != 0).then_some(self.value_len)
    }
}

/// The flag, where it is to be set.
#[inline]
fn flag(flag: u8, set: bool) -> u8 {
    flag * u8::from(set)
}

/// The bytes of an end.
#[inline]
pub(super) fn end_width(flags: u8) -> usize {
    if flags & WIDE != 0 { 4 } else { 2 }
}

#[cfg(test)]
mod tests {
    use crate::block::{Block, BlockBuilder};
    use kv_core::{Kind, Trailer};
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<(Vec<u8>, Trailer, Vec<u8>)>> {
        let key =
            (prop::bool::ANY, prop::collection::vec(0u8..4, 0..14)).prop_map(|(long, end)| {
                if long { [&b"a prefix of twenty b"[..], &end].concat() } else { end }
            });
        let seq = prop_oneof![0u64..3, 0u64..70_000, 0u64..1 << 50];
        let kind = prop_oneof![9 => Just(Kind::Put), 1 => Just(Kind::Delete)];
        let value = prop_oneof![
            9 => prop::collection::vec(any::<u8>(), 0..20),
            1 => prop::collection::vec(any::<u8>(), 66_000)
        ];
        let trailer = (seq, kind).prop_map(|(seq, kind)| Trailer::new(seq, kind));
        prop::collection::vec((key, trailer, value), 1..60).prop_map(|mut entries| {
            entries.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
            entries
        })
    }

    /// The blocks that a limit cuts entries into: their lengths, and how many entries each has.
    fn cut(entries: &[(Vec<u8>, Trailer, Vec<u8>)], limit: usize) -> Vec<(usize, usize)> {
        let (mut builder, mut blocks, mut last) = (BlockBuilder::default(), Vec::new(), None);
        let mut end = |builder: &mut BlockBuilder| {
            let mut out = Vec::new();
            builder.finish(&mut out).unwrap();
            blocks.push((out.len(), Block::parse(&out[..]).unwrap().count()));
            builder.clear();
        };
        for (key, trailer, value) in entries {
            let same = last == Some(key);
            if !builder.add_within(limit, key, *trailer, value, same) {
                end(&mut builder);
                assert!(builder.add_within(limit, key, *trailer, value, same));
            }
            last = Some(key);
        }
        end(&mut builder);
        blocks
    }

    proptest! {
        #[test]
        fn no_block_of_several_entries_passes_the_limit(entries in entries(), limit in 40usize..900) {
            for (len, count) in cut(&entries, limit) {
                prop_assert!(len <= limit || count == 1, "{len} bytes in {count} entries");
            }
        }
    }

    #[test]
    fn blocks_of_one_shape_are_filled() {
        for (key_len, value_len) in [(16, 100), (16, 8), (24, 150), (60, 100), (7, 10)] {
            let entries: Vec<_> = (0..2000u64)
                .map(|n| {
                    let mut key = vec![b'k'; key_len];
                    key[key_len - 7..].copy_from_slice(&n.to_be_bytes()[1..]);
                    (key, Trailer::new(n * 7919 % 2000, Kind::Put), vec![1; value_len])
                })
                .collect();
            let mut blocks = cut(&entries, 4064);
            blocks.pop();
            let entry = 8 + 2 + value_len + key_len.saturating_sub(8);
            for (len, _) in blocks {
                assert!(len + entry > 4064, "{len} bytes with keys of {key_len}");
            }
        }
    }
}
