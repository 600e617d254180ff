//! Reads a block.
//!
//! `parse` looks at the header only and makes sure that every column lies in the block, so it is
//! cheap enough for each access to a cached block. `check` walks the columns once, when the
//! block comes from the disk; behind it every accessor answers what the builder was given. On a
//! block that was not checked the accessors answer wrong bytes at worst: none panics.

mod search;

use super::{FIXED_KEYS, FIXED_VALUES, HEAD_LEN, HEADER_LEN, KINDS, KNOWN_FLAGS, SAME_KEYS, WIDE};
use crate::cache::Buffer;
use kv_core::{Kind, MAX_SEQ, Malformed, Trailer};
use std::ops::{Deref, Range};

/// A parsed block: the bytes, owned or borrowed, and where its columns begin. The default has no
/// entries.
///
/// One field for each of the header and one for each column: to compute a column's place anew
/// at each access would cost more than the access.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block<D = Buffer> {
    data: D,
    count: usize,
    flags: u8,
    seq_width: u8,
    kind: u8,
    suffix_len: usize,
    value_len: usize,
    seq_base: u64,
    seqs: usize,
    kinds: usize,
    same_keys: usize,
    head_lens: usize,
    rest_ends: usize,
    value_ends: usize,
    prefix: usize,
    rest: usize,
    values: usize,
}

/// The bytes before the columns, as `docs/format/sstable.md` lists them.
struct Header {
    count: usize,
    flags: u8,
    prefix_len: usize,
    seq_width: u8,
    kind: u8,
    suffix_len: usize,
    value_len: usize,
    seq_base: u64,
    values: usize,
    reserved: u32,
}

impl Header {
    #[inline]
    fn read(bytes: &[u8; HEADER_LEN]) -> Header {
        let [c0, c1, c2, c3, flags, prefix_len, seq_width, kind, rest @ ..] = *bytes;
        let [s0, s1, s2, s3, l0, l1, l2, l3, rest @ ..] = rest;
        let [b0, b1, b2, b3, b4, b5, b6, b7, v0, v1, v2, v3, reserved @ ..] = rest;
        Header {
            count: u32::from_le_bytes([c0, c1, c2, c3]) as usize,
            flags,
            prefix_len: usize::from(prefix_len),
            seq_width,
            kind,
            suffix_len: u32::from_le_bytes([s0, s1, s2, s3]) as usize,
            value_len: u32::from_le_bytes([l0, l1, l2, l3]) as usize,
            seq_base: u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
            values: u32::from_le_bytes([v0, v1, v2, v3]) as usize,
            reserved: u32::from_le_bytes(reserved),
        }
    }
}

impl<D: Deref<Target = [u8]>> Block<D> {
    /// Reads the header.
    #[inline]
    pub(crate) fn parse(data: D) -> Result<Block<D>, Malformed> {
        let bad = |what| Malformed { what, at: HEADER_LEN };
        let Some(header) = data.first_chunk() else {
            return Err(bad("a block without its header"));
        };
        let header = Header::read(header);
        let Header { count, flags, prefix_len, seq_width, kind, .. } = header;
        let Header { suffix_len, value_len, seq_base, values, .. } = header;
        if header.reserved != 0 || flags & !KNOWN_FLAGS != 0 {
            return Err(bad("block header of an unknown form"));
        }
        if !matches!(seq_width, 0 | 1 | 2 | 4 | 8) || seq_base > MAX_SEQ {
            return Err(bad("sequence numbers of an unknown form"));
        }
        if count > data.len() / HEAD_LEN || values > data.len() {
            return Err(bad("more entries declared than the block can hold"));
        }
        let has = |flag: u8| usize::from(flags & flag != 0);
        let lacks = |flag: u8| usize::from(flags & flag == 0);
        let end_width = if flags & WIDE != 0 { 4 } else { 2 };
        // `count` and every column's width are small against the address space: no overflow.
        let seqs = HEADER_LEN + count * HEAD_LEN;
        let kinds = seqs + count * usize::from(seq_width);
        let same_keys = kinds + has(KINDS) * count;
        let head_lens = same_keys + has(SAME_KEYS) * count.div_ceil(8);
        let rest_ends = head_lens + lacks(FIXED_KEYS) * count;
        let value_ends = rest_ends + lacks(FIXED_KEYS) * count * end_width;
        let prefix = value_ends + lacks(FIXED_VALUES) * count * end_width;
        let rest = prefix + prefix_len;
        if rest > values {
            return Err(bad("columns that do not fit the block"));
        }
        let adds_up = |flag, len: usize, region: usize| {
            flags & flag == 0 || count.checked_mul(len) == Some(region)
        };
        if !adds_up(FIXED_KEYS, suffix_len.saturating_sub(HEAD_LEN), values - rest)
            || !adds_up(FIXED_VALUES, value_len, data.len() - values)
        {
            return Err(bad("lengths in a block that do not add up"));
        }
        Ok(Block {
            count,
            flags,
            seq_width,
            kind,
            suffix_len,
            value_len,
            seq_base,
            seqs,
            kinds,
            same_keys,
            head_lens,
            rest_ends,
            value_ends,
            prefix,
            rest,
            values,
            data,
        })
    }

    /// Walks the columns that vary: ends that ascend and add up, kinds that exist, heads with
    /// nothing behind a short key. Whether the keys ascend is left to `verify`: a search in keys
    /// that do not ends all the same.
    pub(crate) fn check(&self) -> Result<(), Malformed> {
        let bad = |what| Err(Malformed { what, at: 0 });
        if self.flags & FIXED_KEYS == 0
            && !self.ends_ascend(self.rest_ends, self.values - self.rest)
            || self.flags & FIXED_VALUES == 0
                && !self.ends_ascend(self.value_ends, self.data.len() - self.values)
        {
            return bad("lengths in a block that do not ascend");
        }
        if self.flags & FIXED_KEYS == 0 || self.suffix_len < HEAD_LEN {
            for i in 0..self.count {
                let len = self.head_len(i);
                let whole = len == HEAD_LEN;
                let padded = len < HEAD_LEN
                    && self.rest_range(i).is_empty()
                    && self.head(i) & (u64::MAX >> (8 * len)) == 0;
                if !whole && !padded {
                    return bad("a short key in a block with bytes behind its end");
                }
            }
        }
        let kinds = if self.flags & KINDS == 0 { self.count.min(1) } else { self.count };
        if (0..kinds).any(|i| self.trailer(i).kind().is_none()) {
            return bad("an entry of unknown kind");
        }
        let deltas = if self.seq_width == 0 { 0 } else { self.count };
        if (0..deltas).any(|i| self.seq_delta(i) > MAX_SEQ - self.seq_base) {
            return bad("a sequence number over 56 bits");
        }
        Ok(())
    }

    fn ends_ascend(&self, column: usize, total: usize) -> bool {
        let mut last = 0;
        (0..self.count).all(|i| {
            let end = self.end(column, i);
            let ascends = last <= end;
            last = end;
            ascends
        }) && last == total
    }

    /// How many entries.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The bytes that all keys begin with.
    #[inline]
    pub(crate) fn prefix(&self) -> &[u8] {
        self.data.get(self.prefix..self.rest).unwrap_or_default()
    }

    /// The key bytes behind the prefix, at most eight, as a big-endian number.
    #[inline]
    pub(crate) fn head(&self, i: usize) -> u64 {
        u64::from_le_bytes(self.array(HEADER_LEN + i * HEAD_LEN))
    }

    /// How many bytes of the head belong to the key.
    #[inline]
    pub(crate) fn head_len(&self, i: usize) -> usize {
        if self.flags & FIXED_KEYS != 0 {
            return self.suffix_len.min(HEAD_LEN);
        }
        let [len] = self.array(self.head_lens + i);
        usize::from(len)
    }

    /// The key bytes behind the head.
    #[inline]
    pub(crate) fn rest(&self, i: usize) -> &[u8] {
        let range = self.rest_range(i);
        if range.is_empty() {
            return &[];
        }
        self.data.get(range).unwrap_or_default()
    }

    #[inline]
    fn rest_range(&self, i: usize) -> Range<usize> {
        if self.flags & FIXED_KEYS != 0 {
            let len = self.suffix_len.saturating_sub(HEAD_LEN);
            let from = self.rest + i * len;
            return from..from + len;
        }
        self.rest + self.end_before(self.rest_ends, i)..self.rest + self.end(self.rest_ends, i)
    }

    /// Where the value lies in [`Block::data`].
    #[inline]
    pub(crate) fn value_range(&self, i: usize) -> Range<usize> {
        if self.flags & FIXED_VALUES != 0 {
            let from = self.values + i * self.value_len;
            return from..from + self.value_len;
        }
        let from = self.end_before(self.value_ends, i);
        self.values + from..self.values + self.end(self.value_ends, i)
    }

    /// The value of an entry.
    #[inline]
    pub(crate) fn value(&self, i: usize) -> &[u8] {
        self.data.get(self.value_range(i)).unwrap_or_default()
    }

    /// The sequence number and kind of an entry.
    #[inline]
    pub(crate) fn trailer(&self, i: usize) -> Trailer {
        let mut kind = self.kind;
        if self.flags & KINDS != 0 {
            [kind] = self.array(self.kinds + i);
        }
        let seq = self.seq_base.wrapping_add(self.seq_delta(i)) & MAX_SEQ;
        Trailer::from_raw(seq << 8 | u64::from(kind))
    }

    #[inline]
    fn seq_delta(&self, i: usize) -> u64 {
        match self.seq_width {
            0 => 0,
            1 => u64::from(u8::from_le_bytes(self.array(self.seqs + i))),
            2 => u64::from(u16::from_le_bytes(self.array(self.seqs + i * 2))),
            4 => u64::from(u32::from_le_bytes(self.array(self.seqs + i * 4))),
            _ => u64::from_le_bytes(self.array(self.seqs + i * 8)),
        }
    }

    /// Whether an entry has the key of the one before it.
    #[inline]
    pub(crate) fn same_key(&self, i: usize) -> bool {
        if self.flags & SAME_KEYS == 0 {
            return false;
        }
        let [byte] = self.array(self.same_keys + i / 8);
        byte >> (i % 8) & 1 != 0
    }

    /// Writes the key of an entry to `out`, which must begin with the block's prefix already.
    #[inline]
    pub(crate) fn key_behind_prefix(&self, i: usize, out: &mut Vec<u8>) {
        out.truncate(self.rest - self.prefix);
        let head = self.head(i).to_be_bytes();
        let head_len = self.head_len(i);
        if head_len == HEAD_LEN {
            out.extend_from_slice(&head);
            out.extend_from_slice(self.rest(i));
        } else {
            out.extend_from_slice(head.get(..head_len).unwrap_or_default());
        }
    }

    /// Writes the key of an entry to `out` and answers its length. `out` begins with the block's
    /// prefix and has room for a head behind it; bytes behind the key mean nothing.
    #[inline]
    pub(crate) fn write_key(&self, i: usize, out: &mut Vec<u8>) -> usize {
        let prefix_len = self.rest - self.prefix;
        if let Some(to) = out.get_mut(prefix_len..).and_then(|room| room.first_chunk_mut()) {
            *to = self.head(i).to_be_bytes();
        }
        if self.flags & FIXED_KEYS != 0 && self.suffix_len <= HEAD_LEN {
            return prefix_len + self.suffix_len;
        }
        self.write_rest(i, out)
    }

    /// [`Block::write_key`] behind the head.
    #[inline(never)]
    fn write_rest(&self, i: usize, out: &mut Vec<u8>) -> usize {
        let prefix_len = self.rest - self.prefix;
        let rest = self.rest(i);
        if rest.is_empty() {
            return prefix_len + self.head_len(i);
        }
        out.truncate(prefix_len + HEAD_LEN);
        out.extend_from_slice(rest);
        out.len()
    }

    /// Whether every entry is the only one of its key here, and a put.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.flags & (KINDS | SAME_KEYS) == 0 && self.kind == Kind::Put as u8
    }

    /// The key of an entry.
    pub(crate) fn key(&self, i: usize) -> Vec<u8> {
        let mut key = self.prefix().to_vec();
        self.key_behind_prefix(i, &mut key);
        key
    }

    /// How the block is laid out, in words: for people.
    pub(crate) fn shape(&self) -> String {
        let fixed = |flag, len: usize| match self.flags & flag {
            0 => "varied".to_string(),
            _ => len.to_string(),
        };
        let (keys, values) =
            (fixed(FIXED_KEYS, self.suffix_len), fixed(FIXED_VALUES, self.value_len));
        let wide = if self.flags & WIDE != 0 { ", wide ends" } else { "" };
        format!(
            "prefix {}, suffixes {keys}, values {values}, seqs {} + {} bytes{wide}",
            self.rest - self.prefix,
            self.seq_base,
            self.seq_width,
        )
    }

    /// The block as it was built, uncompressed.
    pub(crate) fn data(&self) -> &D {
        &self.data
    }

    /// The block's bytes alone.
    pub(crate) fn into_data(self) -> D {
        self.data
    }

    #[inline]
    fn end(&self, column: usize, i: usize) -> usize {
        if self.flags & WIDE != 0 {
            u32::from_le_bytes(self.array(column + i * 4)) as usize
        } else {
            usize::from(u16::from_le_bytes(self.array(column + i * 2)))
        }
    }

    #[inline]
    fn end_before(&self, column: usize, i: usize) -> usize {
        if i == 0 { 0 } else { self.end(column, i - 1) }
    }

    #[inline]
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.data.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; N])
    }
}
