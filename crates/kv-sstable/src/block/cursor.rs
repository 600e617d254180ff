//! Walks a block in both directions with one reused key buffer.

use super::{Block, HEAD_LEN};
use crate::cache::prefetch;
use bytes::Bytes;
use kv_core::Trailer;
use std::ops::Range;
use std::sync::OnceLock;

/// How many lines of values are fetched ahead of a walk: behind them the processor goes on alone.
const VALUE_LINES: usize = 8;

/// So many values ahead of a walk the next lines are fetched.
const VALUES_AHEAD: usize = 6;

/// Room for most keys, so that the buffer does not grow while the first of them are read.
const KEY_ROOM: usize = 64;

/// Stands on an entry of a block, or on none.
pub(crate) struct BlockCursor {
    block: Block,
    /// The entry, where `valid`.
    index: usize,
    valid: bool,
    /// Begins with the key of the entry; with the block's prefix once a block is loaded, and
    /// room for a head behind it.
    key: Vec<u8>,
    key_len: usize,
    /// Where the value of the entry lies in the block.
    value: Range<usize>,
    /// The block in a form of which values are slices, once one was asked for.
    shared: OnceLock<Bytes>,
}

impl Default for BlockCursor {
    fn default() -> BlockCursor {
        BlockCursor {
            block: Block::default(),
            index: 0,
            valid: false,
            key: Vec::new(),
            key_len: 0,
            value: 0..0,
            shared: OnceLock::new(),
        }
    }
}

impl BlockCursor {
    /// Takes another block and stands on none of its entries.
    pub(crate) fn load(&mut self, block: Block) {
        self.key.clear();
        self.key.reserve(KEY_ROOM);
        self.key.extend_from_slice(block.prefix());
        self.key.extend_from_slice(&[0; HEAD_LEN]);
        self.block = block;
        self.valid = false;
        self.shared = OnceLock::new();
    }

    pub(crate) fn block(&self) -> &Block {
        &self.block
    }

    /// Stands on entry `i`, or on none where there is no such entry.
    #[inline]
    pub(crate) fn set(&mut self, i: usize) {
        self.valid = i < self.block.count();
        if self.valid {
            self.index = i;
            self.key_len = self.block.write_key(i, &mut self.key);
            self.value = self.block.value_range(i);
        }
    }

    /// Has the processor fetch the value that lies some entries on, if all are as long as this one.
    #[inline]
    fn prefetch_value_ahead(&self) {
        let distance = self.value.end.saturating_sub(self.value.start) * VALUES_AHEAD;
        let ahead = self.value.start.saturating_add(distance);
        prefetch(self.block.data(), ahead);
        prefetch(self.block.data(), ahead + 64);
    }

    /// Goes one entry on; false, and on none, at the end of the block.
    #[inline]
    pub(crate) fn next(&mut self) -> bool {
        let i = self.index + 1;
        if i < self.block.count() && self.block.same_key(i) {
            self.index = i;
            self.value = self.block.value_range(i);
        } else {
            self.set(i);
        }
        self.prefetch_value_ahead();
        self.valid
    }

    /// Goes one entry on, whatever its key.
    #[inline]
    pub(crate) fn step_ahead(&mut self) {
        self.set(self.index + 1);
        self.prefetch_value_ahead();
    }

    /// Goes one entry back; false, and on none, at the start of the block.
    #[inline]
    pub(crate) fn prev(&mut self) -> bool {
        match self.index.checked_sub(1) {
            Some(i) => self.set(i),
            None => self.valid = false,
        }
        let distance = (self.value.end.saturating_sub(self.value.start)) * VALUES_AHEAD;
        let behind = self.value.start.saturating_sub(distance);
        prefetch(self.block.data(), behind);
        prefetch(self.block.data(), behind + 64);
        self.valid
    }

    /// Has the processor fetch the values that follow in either direction: they lie side by side.
    #[inline]
    pub(crate) fn prefetch_values(&self, backward: bool) {
        let range = &self.value;
        for line in 0..VALUE_LINES {
            let at = match backward {
                false => range.start.saturating_add(line * 64),
                true => range.end.saturating_sub(line * 64 + 1),
            };
            prefetch(self.block.data(), at);
        }
    }

    pub(crate) fn invalidate(&mut self) {
        self.valid = false;
    }

    #[inline]
    pub(crate) fn valid(&self) -> bool {
        self.valid
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        self.key.get(..self.key_len).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn trailer(&self) -> Trailer {
        self.block.trailer(self.index)
    }

    /// How many entries follow in the block that are plain (see [`Block::is_plain`]) and have a
    /// key below `end`.
    pub(crate) fn plain_ahead(&self, end: Option<&[u8]>) -> usize {
        if !self.valid || !self.block.is_plain() {
            return 0;
        }
        let next = self.index + 1;
        let to = end.map_or(self.block.count(), |end| self.block.lower_bound_from(next, end));
        to.saturating_sub(next)
    }

    /// How many entries from this one backward are plain, are the only ones of their keys in the
    /// table, and have a key of at least `start` and behind `above`.
    pub(crate) fn plain_behind(&self, start: Option<&[u8]>, above: Option<&[u8]>) -> usize {
        if !self.valid || !self.block.is_plain() {
            return 0;
        }
        let end = self.index + 1;
        let first =
            start.map_or(0, |start| self.block.lower_bound_before(end, start, Trailer::MAX));
        let last = Trailer::from_raw(0);
        let behind = above.map_or(0, |key| self.block.lower_bound_before(end, key, last));
        // The block before may end with newer versions of the first key.
        end.saturating_sub(first.max(behind).max(1))
    }

    /// Whether the entry before this one is there, and has another key.
    #[inline]
    pub(crate) fn is_newest(&self) -> bool {
        self.valid && self.index > 0 && !self.block.same_key(self.index)
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.block.data().get(self.value.clone()).unwrap_or_default()
    }

    /// The value as a slice of the block's memory.
    pub(crate) fn value_bytes(&self) -> Bytes {
        let range = self.value.clone();
        let shared = self.shared.get_or_init(|| Bytes::from_owner(self.block.data().clone()));
        if range.start <= range.end && range.end <= shared.len() {
            shared.slice(range)
        } else {
            Bytes::new()
        }
    }
}
