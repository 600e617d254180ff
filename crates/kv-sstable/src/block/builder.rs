//! Collects entries and lays them out in columns.
//!
//! Keys and values are appended once while entries arrive; everything that needs to know all
//! entries (the shared prefix, the widths, which columns are needed) is decided in `finish`.

use super::shape::{MOST_COLUMNS, Shape, end_width};
use super::{
    FIXED_KEYS, FIXED_VALUES, HEAD_LEN, HEADER_LEN, KINDS, MAX_PREFIX_LEN, SAME_KEYS,
    common_prefix_len, head_of,
};
use kv_core::Trailer;

/// Buffers above this are given back after an unusually big block.
const KEEP_CAPACITY: usize = 4 << 20;

#[derive(Clone, Copy)]
struct Entry {
    trailer: Trailer,
    key_end: usize,
    value_end: usize,
}

/// Builds one block after another, with the same memory.
#[derive(Default)]
pub(crate) struct BlockBuilder {
    entries: Vec<Entry>,
    keys: Vec<u8>,
    values: Vec<u8>,
    /// Indexes of the entries that have the key of the one before.
    same: Vec<usize>,
    shape: Shape,
}

/// How `finish` lays this block out.
struct Plan {
    flags: u8,
    prefix_len: usize,
    suffix_len: usize,
    value_len: usize,
    rest_len: usize,
    seq_base: u64,
    seq_width: usize,
    kind: u8,
    end_width: usize,
}

impl BlockBuilder {
    /// Appends an entry, which must come behind all others; `same_key` tells that its key is
    /// that of the entry before it.
    #[inline]
    pub(crate) fn add(&mut self, key: &[u8], trailer: Trailer, value: &[u8], same_key: bool) {
        let same_key = same_key && !self.entries.is_empty();
        self.shape.add(key.len(), trailer, value.len(), same_key);
        if same_key {
            self.same.push(self.entries.len());
        }
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(value);
        self.entries.push(Entry {
            trailer,
            key_end: self.keys.len(),
            value_end: self.values.len(),
        });
    }

    /// [`BlockBuilder::add`], unless the block would be longer than `limit`: false then, and it
    /// stays as it was. An empty block takes an entry of any length.
    #[inline]
    pub(crate) fn add_within(
        &mut self,
        limit: usize,
        key: &[u8],
        trailer: Trailer,
        value: &[u8],
        same_key: bool,
    ) -> bool {
        let more = key.len() + value.len() + MOST_COLUMNS;
        if self.shape.loose_len() + more > limit && !self.is_empty() {
            let mut longer = self.shape;
            longer.add(key.len(), trailer, value.len(), same_key);
            if longer.most_block_len() > limit
                && longer.block_len(common_prefix_len(self.first_key(), key)) > limit
            {
                return false;
            }
        }
        self.add(key, trailer, value, same_key);
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How long the block would be at most.
    #[inline]
    pub(crate) fn estimate(&self) -> usize {
        self.shape.loose_len()
    }

    /// The values in order: what follows the bytes of [`BlockBuilder::finish_columns`].
    pub(crate) fn values(&self) -> &[u8] {
        &self.values
    }

    /// Forgets the entries and keeps the memory, unless it is much.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.same.clear();
        self.shape = Shape::default();
        for buffer in [&mut self.keys, &mut self.values] {
            buffer.clear();
            buffer.shrink_to(KEEP_CAPACITY);
        }
    }

    /// Writes the whole block to `out`; `None` where it is too long for the format.
    pub(crate) fn finish(&self, out: &mut Vec<u8>) -> Option<()> {
        self.finish_columns(out)?;
        out.extend_from_slice(&self.values);
        Some(())
    }

    /// Writes the block without its values to `out`; `None` where the block is too long for the
    /// format.
    pub(crate) fn finish_columns(&self, out: &mut Vec<u8>) -> Option<()> {
        out.clear();
        let plan = self.plan();
        let at = out.len();
        self.put_header(&plan, out)?;
        for key in self.iter_keys() {
            let head = head_of(key.get(plan.prefix_len..).unwrap_or_default());
            out.extend_from_slice(&head.to_le_bytes());
        }
        if plan.seq_width > 0 {
            for entry in &self.entries {
                let delta = (entry.trailer.seq() - plan.seq_base).to_le_bytes();
                out.extend_from_slice(delta.get(..plan.seq_width).unwrap_or_default());
            }
        }
        if plan.flags & KINDS != 0 {
            out.extend(self.entries.iter().map(|entry| entry.trailer.raw() as u8));
        }
        if plan.flags & SAME_KEYS != 0 {
            self.put_same_keys(out);
        }
        if plan.flags & FIXED_KEYS == 0 {
            self.put_key_lengths(&plan, out);
        }
        if plan.flags & FIXED_VALUES == 0 {
            for entry in &self.entries {
                put_end(out, entry.value_end, plan.end_width);
            }
        }
        self.put_prefix_and_rest(&plan, out);
        let values_at = u32::try_from(out.len() - at).ok()?;
        u32::try_from(out.len() - at + self.values.len()).ok()?;
        let slot = out.get_mut(at + 24..)?.first_chunk_mut()?;
        *slot = values_at.to_le_bytes();
        Some(())
    }

    fn iter_keys(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        self.entries.iter().map(move |entry| {
            let key = self.keys.get(from..entry.key_end).unwrap_or_default();
            from = entry.key_end;
            key
        })
    }

    fn plan(&self) -> Plan {
        let shape = &self.shape;
        let prefix_len = self.prefix_len();
        let rest_len = self
            .iter_keys()
            .map(|key| (key.len() - prefix_len).saturating_sub(HEAD_LEN))
            .sum::<usize>();
        let flags = shape.flags(rest_len);
        Plan {
            flags,
            prefix_len,
            suffix_len: shape.fixed_key_len().map_or(0, |len| len.saturating_sub(prefix_len)),
            value_len: shape.fixed_value_len().unwrap_or(0),
            rest_len,
            seq_base: shape.seq_base(),
            seq_width: shape.seq_width(),
            kind: shape.kind(),
            end_width: end_width(flags),
        }
    }

    fn first_key(&self) -> &[u8] {
        let end = self.entries.first().map_or(0, |entry| entry.key_end);
        self.keys.get(..end).unwrap_or_default()
    }

    /// The keys are sorted, so what the first and the last share, all share.
    fn prefix_len(&self) -> usize {
        let last_from = self
            .entries
            .len()
            .checked_sub(2)
            .and_then(|i| self.entries.get(i))
            .map_or(0, |e| e.key_end);
        let last = self.keys.get(last_from..).unwrap_or_default();
        common_prefix_len(self.first_key(), last).min(MAX_PREFIX_LEN)
    }

    fn put_header(&self, plan: &Plan, out: &mut Vec<u8>) -> Option<()> {
        let n = self.entries.len();
        let columns = n * (HEAD_LEN + plan.seq_width + 3 + 2 * plan.end_width);
        out.reserve(HEADER_LEN + columns + plan.prefix_len + plan.rest_len + self.values.len());
        out.extend_from_slice(&u32::try_from(n).ok()?.to_le_bytes());
        out.push(plan.flags);
        out.push(plan.prefix_len as u8);
        out.push(plan.seq_width as u8);
        out.push(plan.kind);
        out.extend_from_slice(&u32::try_from(plan.suffix_len).ok()?.to_le_bytes());
        out.extend_from_slice(&u32::try_from(plan.value_len).ok()?.to_le_bytes());
        out.extend_from_slice(&plan.seq_base.to_le_bytes());
        // Where the values begin is known when everything before them is written.
        out.extend_from_slice(&[0; 8]);
        Some(())
    }

    fn put_same_keys(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.resize(at + self.entries.len().div_ceil(8), 0);
        for &i in &self.same {
            if let Some(byte) = out.get_mut(at + i / 8) {
                *byte |= 1 << (i % 8);
            }
        }
    }

    fn put_key_lengths(&self, plan: &Plan, out: &mut Vec<u8>) {
        let suffix_lens = || self.iter_keys().map(|key| key.len() - plan.prefix_len);
        out.extend(suffix_lens().map(|len| len.min(HEAD_LEN) as u8));
        let mut end = 0;
        for len in suffix_lens() {
            end += len.saturating_sub(HEAD_LEN);
            put_end(out, end, plan.end_width);
        }
    }

    fn put_prefix_and_rest(&self, plan: &Plan, out: &mut Vec<u8>) {
        out.extend_from_slice(self.keys.get(..plan.prefix_len).unwrap_or_default());
        if plan.rest_len == 0 {
            return;
        }
        for key in self.iter_keys() {
            out.extend_from_slice(key.get(plan.prefix_len + HEAD_LEN..).unwrap_or_default());
        }
    }
}

#[inline]
fn put_end(out: &mut Vec<u8>, end: usize, width: usize) {
    if width == 2 {
        out.extend_from_slice(&(end as u16).to_le_bytes());
    } else {
        out.extend_from_slice(&(end as u32).to_le_bytes());
    }
}
