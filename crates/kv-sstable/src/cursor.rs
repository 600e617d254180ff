//! Ordered access to a table: a cursor in the index, and one in the data block it points to.

use crate::block::{Block, BlockCursor};
use crate::error::{Error, Result};
use crate::fetch::Window;
use crate::seal::BlockType;
use crate::table::{Held, Partition, Table};
use bytes::Bytes;
use kv_core::{Cursor, Trailer};
use std::sync::Arc;

/// How a cursor reads blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Through the cache: for lookups and short scans.
    Cached,
    /// Past the cache, in reads that double from 32 KiB to `readahead` bytes: for passes over
    /// much of the table, which would only push other blocks out of the cache.
    Scan {
        /// The most bytes that one read asks for, unless a block is longer.
        readahead: usize,
    },
}

/// Walks the entries of a table in internal order, in both directions.
///
/// In steady state a move allocates nothing; between blocks it takes one from the cache or the
/// file.
pub struct TableCursor {
    table: Arc<Table>,
    /// Of a cursor that scans.
    window: Option<Window>,
    top: Option<Block>,
    /// The loaded partition, where the table does not hold it.
    partition: Option<Partition>,
    /// Which partition is loaded, if any.
    partition_at: Option<usize>,
    /// Which block of the partition is loaded, if any.
    block_at: Option<usize>,
    /// Where in the file the loaded block begins.
    block_offset: u64,
    block: BlockCursor,
    /// What the last call failed with.
    failure: Option<Error>,
}

impl Table {
    /// A cursor that stands on no entry yet.
    pub fn cursor(self: &Arc<Table>, access: Access) -> TableCursor {
        TableCursor {
            table: self.clone(),
            window: match access {
                Access::Cached => None,
                Access::Scan { readahead } => Some(Window::new(readahead)),
            },
            top: None,
            partition: None,
            partition_at: None,
            block_at: None,
            block_offset: 0,
            block: BlockCursor::default(),
            failure: None,
        }
    }
}

impl TableCursor {
    /// Runs a positioning call: forgets an earlier failure, keeps its own.
    fn position(&mut self, call: impl FnOnce(&mut TableCursor) -> Result<()>) -> Result<()> {
        self.failure = None;
        self.attempt(call)
    }

    fn attempt(&mut self, call: impl FnOnce(&mut TableCursor) -> Result<()>) -> Result<()> {
        let outcome = call(self);
        if let Err(failure) = &outcome {
            self.failure = Some(failure.clone());
            self.block.invalidate();
        }
        outcome
    }

    /// The failure that a call on an invalid cursor repeats.
    #[cold]
    fn repeat_failure(&self) -> Result<()> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// Loads the top index if need be; answers how many partitions there are.
    fn load_top(&mut self) -> Result<usize> {
        if self.top.is_none() {
            self.top = Some(self.table.top()?.clone());
        }
        Ok(self.top.as_ref().map_or(0, Block::count))
    }

    /// Loads partition `p`, which exists; answers how many blocks it has.
    fn load_partition(&mut self, p: usize) -> Result<usize> {
        if self.partition_at != Some(p)
            && let Some(top) = &self.top
        {
            (self.partition_at, self.block_at) = (None, None);
            self.partition = match self.table.partition(top, p, self.window.is_none())? {
                Held::Pinned(_) => None,
                Held::Cached(partition) => Some(partition),
            };
            self.partition_at = Some(p);
        }
        let count = self.blocks();
        if count == 0 {
            return Err(self.corrupt("an index partition without entries"));
        }
        Ok(count)
    }

    /// The loaded partition.
    #[inline]
    fn loaded(&self) -> Option<&Partition> {
        match &self.partition {
            Some(partition) => Some(partition),
            None => self.table.held_partition(self.partition_at?),
        }
    }

    /// How many blocks the loaded partition has.
    fn blocks(&self) -> usize {
        self.loaded().map_or(0, |partition| partition.index.count())
    }

    /// Loads block `b` of the loaded partition, which has it; answers how many entries.
    fn load_block(&mut self, b: usize) -> Result<usize> {
        if self.block_at != Some(b) {
            self.block_at = None;
            let Some(partition) = self.loaded() else { return Ok(0) };
            let handle = self.table.data_handle(&partition.index, b)?;
            let cached = match self.window {
                None => Some(self.table.data(partition, b)?.into_buffer()),
                Some(_) => None,
            };
            let block = match (cached, &mut self.window) {
                (Some(buffer), _) => self.table.parsed(handle.offset, buffer)?,
                (None, None) => return Ok(0),
                (None, Some(window)) => {
                    let source = &self.table.source;
                    let limit = self.table.footer.index_offset;
                    let sealed = window.sealed(source, handle, limit)?;
                    source.checked(handle, source.unseal(handle, &sealed, BlockType::Data)?)?
                }
            };
            self.block.load(block);
            (self.block_at, self.block_offset) = (Some(b), handle.offset);
        }
        let count = self.block.block().count();
        if count == 0 {
            return Err(self.corrupt("a data block without entries"));
        }
        Ok(count)
    }

    /// Goes to the first block whose separator is at or behind the target; false where there is
    /// none. Answers where in it the target is, which may be its end.
    fn find(&mut self, key: &[u8], trailer: Trailer) -> Result<Option<usize>> {
        // A target between two entries of the loaded block needs no index.
        if self.block_at.is_some() {
            let i = self.block.block().lower_bound(key, trailer);
            if i > 0 && i < self.block.block().count() {
                return Ok(Some(i));
            }
        }
        let partitions = self.load_top()?;
        let p = self.top.as_ref().map_or(0, |top| top.lower_bound(key, trailer));
        if p >= partitions {
            return Ok(None);
        }
        let blocks = self.load_partition(p)?;
        let b = self.loaded().map_or(0, |partition| partition.index.lower_bound(key, trailer));
        if b >= blocks {
            return Err(self.corrupt("an index partition that ends before its separator"));
        }
        self.load_block(b)?;
        Ok(Some(self.block.block().lower_bound(key, trailer)))
    }

    fn move_to_first(&mut self) -> Result<()> {
        self.block.invalidate();
        if self.load_top()? > 0 {
            self.load_partition(0)?;
            self.load_block(0)?;
            self.block.set(0);
        }
        Ok(())
    }

    fn move_to_last(&mut self) -> Result<()> {
        self.block.invalidate();
        if let Some(p) = self.load_top()?.checked_sub(1) {
            self.move_to_end_of(p)?;
        }
        Ok(())
    }

    fn move_to_end_of(&mut self, p: usize) -> Result<()> {
        let blocks = self.load_partition(p)?;
        let entries = self.load_block(blocks - 1)?;
        self.block.set(entries - 1);
        Ok(())
    }

    /// Goes to the first entry behind the loaded block. Blocks lie in the file in their order; an
    /// index that points back, which only a forged one does, could make a scan endless.
    #[cold]
    fn enter_next_block(&mut self) -> Result<()> {
        self.block.invalidate();
        let before = self.block_offset;
        let (Some(p), Some(b)) = (self.partition_at, self.block_at) else {
            return Ok(());
        };
        if b + 1 < self.blocks() {
            self.load_block(b + 1)?;
        } else if p + 1 < self.load_top()? {
            self.load_partition(p + 1)?;
            self.load_block(0)?;
        } else {
            return Ok(());
        }
        if self.block_offset <= before {
            return Err(self.corrupt("an index that points back to an earlier block"));
        }
        self.block.set(0);
        Ok(())
    }

    /// Goes to the last entry before the loaded block.
    #[cold]
    fn enter_previous_block(&mut self) -> Result<()> {
        self.block.invalidate();
        let behind = self.block_offset;
        let (Some(p), Some(b)) = (self.partition_at, self.block_at) else {
            return Ok(());
        };
        if let Some(b) = b.checked_sub(1) {
            let entries = self.load_block(b)?;
            self.block.set(entries - 1);
        } else if let Some(p) = p.checked_sub(1) {
            self.move_to_end_of(p)?;
        } else {
            return Ok(());
        }
        if self.block_offset >= behind {
            return Err(self.corrupt("an index that points back to a later block"));
        }
        Ok(())
    }

    fn corrupt(&self, reason: &'static str) -> Error {
        self.table.source.corrupt(self.table.footer.index_offset, reason)
    }
}

/// Steps within a block, for a reader that asked first how many there are.
impl TableCursor {
    /// How many of the next entries are puts, each the only entry of its key in the table, with a
    /// key below `end`, and can be reached by [`TableCursor::step_ahead`].
    pub fn plain_ahead(&self, end: Option<&[u8]>) -> usize {
        self.block.plain_ahead(end)
    }

    /// The same backward, beginning with the present entry: keys of at least `start` and greater
    /// than `above`. All but the first are reached by [`TableCursor::step_back`].
    pub fn plain_behind(&self, start: Option<&[u8]>, above: Option<&[u8]>) -> usize {
        self.block.plain_behind(start, above)
    }

    /// Goes one entry on in the block. Where there is none it stands nowhere, without having
    /// looked for another block.
    #[inline]
    pub fn step_ahead(&mut self) {
        self.block.step_ahead();
    }

    /// Goes one entry back in the block, as [`TableCursor::step_ahead`] goes on.
    #[inline]
    pub fn step_back(&mut self) {
        self.block.prev();
    }
}

impl Cursor for TableCursor {
    type Error = Error;

    fn first(&mut self) -> Result<()> {
        self.position(TableCursor::move_to_first)
    }

    fn last(&mut self) -> Result<()> {
        self.position(TableCursor::move_to_last)
    }

    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        self.position(|cursor| {
            match cursor.find(key, trailer)? {
                None => cursor.block.invalidate(),
                Some(i) if i < cursor.block.block().count() => cursor.block.set(i),
                // The target lies between the block's last entry and its separator.
                Some(_) => cursor.enter_next_block()?,
            }
            Ok(())
        })
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        self.position(|cursor| match cursor.find(key, Trailer::MAX)? {
            None => cursor.move_to_last(),
            Some(0) => cursor.enter_previous_block(),
            Some(i) => {
                cursor.block.set(i - 1);
                Ok(())
            }
        })
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        if !self.block.valid() {
            return self.repeat_failure();
        }
        if self.block.next() { Ok(()) } else { self.attempt(TableCursor::enter_next_block) }
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        if !self.block.valid() {
            return self.repeat_failure();
        }
        if self.block.prev() { Ok(()) } else { self.attempt(TableCursor::enter_previous_block) }
    }

    #[inline]
    fn valid(&self) -> bool {
        self.block.valid()
    }

    #[inline]
    fn key(&self) -> &[u8] {
        assert!(self.block.valid(), "a cursor that stands on no entry has no key");
        self.block.key()
    }

    #[inline]
    fn trailer(&self) -> Trailer {
        assert!(self.block.valid(), "a cursor that stands on no entry has no trailer");
        self.block.trailer()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        assert!(self.block.valid(), "a cursor that stands on no entry has no value");
        self.block.value()
    }

    fn value_bytes(&self) -> Bytes {
        assert!(self.block.valid(), "a cursor that stands on no entry has no value");
        self.block.value_bytes()
    }
}
