//! Walks a block in both directions with one reused key buffer.

use super::Block;
use bytes::Bytes;
use kv_core::Trailer;
use std::sync::OnceLock;

/// Stands on an entry of a block, or on none.
pub(crate) struct BlockCursor {
    block: Block,
    /// The entry, where `valid`.
    index: usize,
    valid: bool,
    /// Of the entry, where `valid`.
    trailer: Trailer,
    /// The key of the entry; begins with the block's prefix once a block is loaded.
    key: Vec<u8>,
    /// The block in a form of which values are slices, once one was asked for.
    shared: OnceLock<Bytes>,
}

impl Default for BlockCursor {
    fn default() -> BlockCursor {
        BlockCursor {
            block: Block::default(),
            index: 0,
            valid: false,
            trailer: Trailer::MAX,
            key: Vec::new(),
            shared: OnceLock::new(),
        }
    }
}

impl BlockCursor {
    /// Takes another block and stands on none of its entries.
    pub(crate) fn load(&mut self, block: Block) {
        self.key.clear();
        self.key.extend_from_slice(block.prefix());
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
            self.trailer = self.block.trailer(i);
            self.block.key_behind_prefix(i, &mut self.key);
        }
    }

    /// Goes one entry on; false, and on none, at the end of the block.
    #[inline]
    pub(crate) fn next(&mut self) -> bool {
        let i = self.index + 1;
        if i < self.block.count() && self.block.same_key(i) {
            self.index = i;
            self.trailer = self.block.trailer(i);
        } else {
            self.set(i);
        }
        self.valid
    }

    /// Goes one entry back; false, and on none, at the start of the block.
    #[inline]
    pub(crate) fn prev(&mut self) -> bool {
        match self.index.checked_sub(1) {
            Some(i) => self.set(i),
            None => self.valid = false,
        }
        self.valid
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
        &self.key
    }

    #[inline]
    pub(crate) fn trailer(&self) -> Trailer {
        self.trailer
    }

    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        self.block.value(self.index)
    }

    /// The value as a slice of the block's memory.
    pub(crate) fn value_bytes(&self) -> Bytes {
        let range = self.block.value_range(self.index);
        let shared = self.shared.get_or_init(|| Bytes::from_owner(self.block.data().clone()));
        if range.start <= range.end && range.end <= shared.len() {
            shared.slice(range)
        } else {
            Bytes::new()
        }
    }
}
