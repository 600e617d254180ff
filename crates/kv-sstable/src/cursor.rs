//! Ordered access to a table: a cursor in the index, and one in the data block it points to.

use crate::block::{Block, BlockCursor};
use crate::error::{Error, Result};
use crate::fetch::Window;
use crate::handle::Handle;
use crate::seal::BlockType;
use crate::table::{Held, Partition, Table};
use bytes::Bytes;
use kv_core::{Cursor, Malformed, Trailer};
use std::sync::Arc;

/// How a cursor reads blocks.
///
/// ```
/// use kv_sstable::Access;
/// let (lookups, compaction) = (Access::Cached, Access::Scan { readahead: 1 << 20 });
/// # assert_ne!(lookups, compaction);
/// ```
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

/// Where in a table a key lies: its index partition, and the block behind it.
///
/// ```
/// # use kv_core::Trailer;
/// # use kv_sstable::{BlockPlace, TableCursor};
/// /// Looks into several tables at once: first every memory access is begun, then each is waited for.
/// fn seek_all(cursors: &mut [TableCursor], key: &[u8]) -> kv_sstable::Result<()> {
///     let aim = |cursor: &TableCursor| cursor.aim(key, Trailer::MAX);
///     let places: Vec<Option<BlockPlace>> = cursors.iter().map(aim).collect();
///     for (cursor, place) in cursors.iter_mut().zip(places) {
///         cursor.seek_aimed(key, Trailer::MAX, place)?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BlockPlace(usize, usize);

/// From so many entries before its end on, the block behind one that a seek found is fetched too.
const NEAR_END: usize = 12;

/// Walks the entries of a table in internal order, in both directions.
///
/// In steady state a move allocates nothing; between blocks it takes one from the cache or the
/// file.
///
/// ```
/// # use kv_core::{Cursor, Kind, Trailer};
/// # use kv_sstable::{Access, BlockCache, Table, TableBuilder, TableCursor, TableOptions};
/// # use kv_vfs::{Fs, MemFs};
/// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/7.sst"));
/// # let file = fs.create_new(&path)?;
/// # let mut builder = TableBuilder::new(file.clone(), path.clone(), 7, TableOptions::default());
/// # builder.add(b"apple", Trailer::new(1, Kind::Put), b"red")?;
/// # builder.add(b"pear", Trailer::new(2, Kind::Put), b"green")?;
/// # builder.finish()?;
/// # let table = Table::open_alone(file, path, 7, BlockCache::new(1 << 20))?;
/// let mut cursor: TableCursor = table.cursor(Access::Cached);
/// cursor.first()?;
/// assert_eq!((cursor.key(), cursor.value()), (&b"apple"[..], &b"red"[..]));
/// cursor.next()?;
/// assert_eq!(cursor.key(), b"pear");
///
/// cursor.turn_to(table); // or to another one
/// assert!(!cursor.valid());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TableCursor {
    table: Arc<Table>,
    /// Of a cursor that scans.
    window: Option<Window>,
    /// The top index, where the table does not hold it.
    top: Option<Box<Block>>,
    /// The loaded partition, where the table does not hold it.
    partition: Option<Box<Partition>>,
    /// Which partition is loaded, if any.
    partition_at: Option<usize>,
    /// Which block of the partition is loaded, if any.
    block_at: Option<usize>,
    /// Where in the file the loaded block begins, where that was asked for.
    block_offset: Option<u64>,
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
            block_offset: None,
            block: BlockCursor::default(),
            failure: None,
        }
    }
}

impl TableCursor {
    /// Goes over to another table, where it stands on no entry: cheaper than a new cursor.
    pub fn turn_to(&mut self, table: Arc<Table>) {
        self.table = table;
        if let Some(window) = &mut self.window {
            window.forget();
        }
        (self.top, self.partition) = (None, None);
        (self.partition_at, self.block_at) = (None, None);
        self.block.invalidate();
        self.failure = None;
    }

    /// Finds where a seek will have to look, as far as the index is in memory, and has the
    /// processor fetch it. Moves nothing.
    pub fn aim(&self, key: &[u8], trailer: Trailer) -> Option<BlockPlace> {
        if self.window.is_some() || self.within_block(key, trailer).is_some() {
            return None;
        }
        let p = self.table.held_top()?.lower_bound(key, trailer);
        let partition = self.table.held_partition(p)?;
        let b = partition.index.lower_bound(key, trailer);
        Table::prefetch_data(partition, b);
        Some(BlockPlace(p, b))
    }

    /// [`Cursor::seek`] to where [`TableCursor::aim`] with the same target found the place.
    pub fn seek_aimed(
        &mut self,
        key: &[u8],
        trailer: Trailer,
        place: Option<BlockPlace>,
    ) -> Result<()> {
        self.position(|cursor| {
            match cursor.find(key, trailer, place)? {
                None => cursor.block.invalidate(),
                Some(i) if i < cursor.block.block().count() => {
                    cursor.block.set(i);
                    cursor.prefetch_ahead(i);
                }
                // The target lies between the block's last entry and its separator.
                Some(_) => cursor.enter_next_block()?,
            }
            Ok(())
        })
    }

    /// Has the processor fetch what a walk from entry `i` of the loaded block will read.
    #[inline]
    fn prefetch_ahead(&self, i: usize) {
        self.block.prefetch_values(false);
        if self.block.block().count() - i <= NEAR_END {
            self.prefetch_block(1);
        }
    }

    /// Has the processor fetch the first lines of the block so many behind the loaded one.
    fn prefetch_block(&self, distance: isize) {
        if let (Some(b), Some(partition)) = (self.block_at, self.loaded())
            && let Some(b) = b.checked_add_signed(distance)
        {
            Table::prefetch_data(partition, b);
        }
    }

    /// Where in the loaded block a target lies that is between two of its entries.
    fn within_block(&self, key: &[u8], trailer: Trailer) -> Option<usize> {
        self.block_at?;
        let block = self.block.block();
        Some(block.lower_bound(key, trailer)).filter(|&i| i > 0 && i < block.count())
    }

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
        if self.top_index().is_none() {
            self.top = match self.table.top()? {
                Held::Pinned(_) => None,
                Held::Cached(top) => Some(Box::new(top)),
            };
        }
        Ok(self.top_index().map_or(0, Block::count))
    }

    /// The loaded top index.
    #[inline]
    fn top_index(&self) -> Option<&Block> {
        self.table.held_top().or(self.top.as_deref())
    }

    /// Loads partition `p`, which exists; answers how many blocks it has.
    fn load_partition(&mut self, p: usize) -> Result<usize> {
        if self.partition_at != Some(p) {
            (self.partition_at, self.block_at) = (None, None);
            let Some(top) = self.top_index() else { return Ok(0) };
            match self.table.partition(top, p, self.window.is_none())? {
                Held::Pinned(_) => self.partition = None,
                Held::Cached(partition) => match &mut self.partition {
                    Some(place) => **place = partition,
                    None => self.partition = Some(Box::new(partition)),
                },
            }
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
            let (block, offset) = match self.window {
                None => {
                    let buffer = self.table.data(partition, b)?.into_buffer();
                    (Block::parse(buffer).map_err(|bad| self.malformed(b, bad))?, None)
                }
                Some(_) => {
                    let handle = self.table.data_handle(&partition.index, b)?;
                    (self.scanned(handle)?, Some(handle.offset))
                }
            };
            self.block.load(block);
            (self.block_at, self.block_offset) = (Some(b), offset);
        }
        let count = self.block.block().count();
        if count == 0 {
            return Err(self.corrupt("a data block without entries"));
        }
        Ok(count)
    }

    /// The block at `handle`, out of what a scan has read ahead.
    fn scanned(&mut self, handle: Handle) -> Result<Block> {
        let Some(window) = &mut self.window else { return Ok(Block::default()) };
        let source = &self.table.source;
        let sealed = window.sealed(source, handle, self.table.footer.index_offset)?;
        source.checked(handle, source.unseal(handle, sealed, BlockType::Data)?)
    }

    #[cold]
    fn malformed(&self, b: usize, bad: Malformed) -> Error {
        let handle = self.loaded().map(|partition| self.table.data_handle(&partition.index, b));
        match handle {
            Some(Ok(handle)) => Error::malformed(self.table.path(), handle.offset, bad),
            Some(Err(error)) => error,
            None => self.corrupt("a block without an index"),
        }
    }

    /// Where in the file the loaded block begins. Not looked up before it is needed: a seek that
    /// stays in its block has no use for it.
    fn offset(&mut self) -> Result<u64> {
        if let Some(offset) = self.block_offset {
            return Ok(offset);
        }
        let (Some(partition), Some(b)) = (self.loaded(), self.block_at) else { return Ok(0) };
        let offset = self.table.data_handle(&partition.index, b)?.offset;
        self.block_offset = Some(offset);
        Ok(offset)
    }

    /// Goes to the first block whose separator is at or behind the target; false where there is
    /// none. Answers where in it the target is, which may be its end.
    fn find(
        &mut self,
        key: &[u8],
        trailer: Trailer,
        place: Option<BlockPlace>,
    ) -> Result<Option<usize>> {
        // A target between two entries of the loaded block needs no index.
        if place.is_none()
            && let Some(i) = self.within_block(key, trailer)
        {
            return Ok(Some(i));
        }
        let partitions = self.load_top()?;
        let p = match (place, self.top_index()) {
            (Some(BlockPlace(p, _)), _) => p,
            (None, top) => top.map_or(0, |top| top.lower_bound(key, trailer)),
        };
        if p >= partitions {
            return Ok(None);
        }
        let blocks = self.load_partition(p)?;
        let b = match (place, self.loaded()) {
            (Some(BlockPlace(_, b)), _) => b,
            (None, loaded) => loaded.map_or(0, |loaded| loaded.index.lower_bound(key, trailer)),
        };
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
        let before = self.offset()?;
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
        if self.offset()? <= before {
            return Err(self.corrupt("an index that points back to an earlier block"));
        }
        self.block.set(0);
        self.block.prefetch_values(false);
        self.prefetch_block(1);
        Ok(())
    }

    /// Goes to the last entry before the loaded block.
    #[cold]
    fn enter_previous_block(&mut self) -> Result<()> {
        self.block.invalidate();
        let behind = self.offset()?;
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
        if self.offset()? >= behind {
            return Err(self.corrupt("an index that points back to a later block"));
        }
        self.block.prefetch_values(true);
        self.prefetch_block(-1);
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
    ///
    /// ```
    /// # use kv_core::{Cursor, Kind, Trailer};
    /// # use kv_sstable::{Access, BlockCache, Table, TableBuilder, TableOptions};
    /// # use kv_vfs::{Fs, MemFs};
    /// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/7.sst"));
    /// # let file = fs.create_new(&path)?;
    /// # let mut builder = TableBuilder::new(file.clone(), path.clone(), 7, TableOptions::default());
    /// # builder.add(b"apple", Trailer::new(1, Kind::Put), b"red")?;
    /// # builder.add(b"fig", Trailer::new(2, Kind::Put), b"blue")?;
    /// # builder.add(b"pear", Trailer::new(3, Kind::Put), b"green")?;
    /// # builder.finish()?;
    /// # let table = Table::open_alone(file, path, 7, BlockCache::new(1 << 20))?;
    /// # let mut cursor = table.cursor(Access::Cached);
    /// cursor.first()?;
    /// assert_eq!(cursor.plain_ahead(Some(b"pear")), 1); // the fig
    /// cursor.step_ahead();
    /// assert!(cursor.is_newest());
    /// cursor.step_ahead();
    /// assert_eq!(cursor.plain_behind(Some(b"b"), None), 2); // pear and fig
    /// cursor.step_back();
    /// assert_eq!(cursor.key(), b"fig");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn plain_ahead(&self, end: Option<&[u8]>) -> usize {
        self.block.plain_ahead(end)
    }

    /// The same backward, beginning with the present entry: keys of at least `start` and greater
    /// than `above`. All but the first are reached by [`TableCursor::step_back`].
    pub fn plain_behind(&self, start: Option<&[u8]>, above: Option<&[u8]>) -> usize {
        self.block.plain_behind(start, above)
    }

    /// Whether the entry is surely the newest of its key in the table: the first entry of a block is
    /// none of which that can be told.
    #[inline]
    pub fn is_newest(&self) -> bool {
        self.block.is_newest()
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
        self.seek_aimed(key, trailer, None)
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        self.position(|cursor| match cursor.find(key, Trailer::MAX, None)? {
            None => cursor.move_to_last(),
            Some(0) => cursor.enter_previous_block(),
            Some(i) => {
                cursor.block.set(i - 1);
                cursor.block.prefetch_values(true);
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
