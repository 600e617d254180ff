//! An open table: its sections, the cache in front of them, and what is kept in memory.
//!
//! Opening reads nothing. The top index and the filter are read at first use and then kept, if
//! the cache grants their bytes; else they go through the cache like blocks.

use crate::block::Block;
use crate::cache::{BlockCache, Buffer, Pin, Seen, Slots};
use crate::error::{Error, Result};
use crate::fetch::Source;
use crate::filter::{Filter, filter_may_contain};
use crate::footer::{FOOTER_LEN, Footer, NoFooter};
use crate::handle::Handle;
use crate::index::handle_at;
use crate::properties::Properties;
use crate::range_tombstones;
use crate::seal::BlockType;
use bytes::Bytes;
use kv_core::{RangeTombstones, Trailer};
use kv_vfs::FsFile;
use kv_vfs::testing::{bug, planted};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// An immutable sorted table. Every call may be made from several threads at once.
///
/// ```
/// # use kv_core::{Kind, Trailer, hash64};
/// # use kv_sstable::{BlockCache, Table, TableBuilder, TableOptions};
/// # use kv_vfs::{Fs, MemFs};
/// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/7.sst"));
/// # let file = fs.create_new(&path)?;
/// # let mut builder = TableBuilder::new(file.clone(), path.clone(), 7, TableOptions::default());
/// # builder.add(b"apple", Trailer::new(1, Kind::Put), b"red")?;
/// # let summary = builder.finish()?;
/// # let cache = BlockCache::new(1 << 20);
/// // With what its builder answered nothing is read; without, the footer.
/// let table = Table::open(file.clone(), path.clone(), 7, summary.size, &summary.footer, cache)?;
/// let alone = Table::open_alone(file, path, 7, BlockCache::new(1 << 20))?;
/// assert_eq!((table.number(), table.size()), (alone.number(), alone.size()));
/// assert_eq!((table.path(), table.entries()), (alone.path(), 1));
///
/// table.prefetch(hash64(b"apple"));
/// assert!(table.may_contain(hash64(b"apple"))?);
/// assert!(table.range_tombstones()?.is_empty());
/// assert_eq!(table.properties()?.first_key, "apple");
/// // A table this small is of one part, with nothing before its first block.
/// assert_eq!((table.approximate_offset(b"apple")?, table.split_keys(4)?.len()), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Table {
    pub(crate) source: Source,
    pub(crate) footer: Footer,
    pub(crate) size: u64,
    cache: Arc<BlockCache>,
    top: OnceLock<Pinned<Block>>,
    filter: OnceLock<Pinned<Filter>>,
    /// The index partitions that are held, by their place in the top index.
    partitions: OnceLock<Box<[OnceLock<Pinned<Partition>>]>>,
    tombstones: OnceLock<Arc<RangeTombstones>>,
}

/// An index partition, and a slot for each data block behind it.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) index: Block,
    /// None where the partition may not stay in memory.
    slots: Option<Arc<Slots>>,
}

/// A block's bytes: out of its slot, or with a reference of their own.
pub(crate) enum Bytewise {
    Seen(Seen),
    Owned(Buffer),
}

impl Bytewise {
    #[inline]
    pub(crate) fn buffer(&self) -> Option<&Buffer> {
        match self {
            Bytewise::Seen(seen) => seen.buffer(),
            Bytewise::Owned(buffer) => Some(buffer),
        }
    }

    /// A reference of the caller's own.
    pub(crate) fn into_buffer(self) -> Buffer {
        match self {
            Bytewise::Seen(seen) => seen.buffer().cloned().unwrap_or_default(),
            Bytewise::Owned(buffer) => buffer,
        }
    }
}

/// Something that stays in memory as long as the table, and the cache's grant for it.
#[derive(Debug)]
struct Pinned<T> {
    value: T,
    _grant: Pin,
}

/// Something out of the table's memory or out of the cache.
pub(crate) enum Held<'a, T> {
    Pinned(&'a T),
    Cached(T),
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Held::Pinned(value) => value,
            Held::Cached(value) => value,
        }
    }
}

impl Table {
    /// Opens the table whose footer is known; reads nothing but the file's length, which must be
    /// `size`. Damage further in is found when it is read.
    ///
    /// `number` must be the one that the table was built with. It names the table in the cache,
    /// too: no other file with that number may use the same cache.
    pub fn open(
        file: Arc<dyn FsFile>,
        path: PathBuf,
        number: u64,
        size: u64,
        footer: &[u8],
        cache: Arc<BlockCache>,
    ) -> Result<Arc<Table>> {
        let len = file.len().map_err(|e| Error::io(&path, 0, e))?;
        if len != size {
            return Err(Error::corrupt(&path, len.min(size), "the file has another length"));
        }
        let at = size.saturating_sub(FOOTER_LEN as u64);
        let footer = Footer::decode(footer, size).map_err(|refused| match refused {
            NoFooter::Damaged(malformed) => Error::malformed(&path, at, malformed),
            NoFooter::Newer(format) => Error::IncompatibleFormat { path: path.clone(), format },
        })?;
        if footer.file_number != number {
            return Err(Error::corrupt(&path, at, "the table was written under another number"));
        }
        let source = Source { file, path, number };
        Ok(Arc::new(Table {
            source,
            footer,
            size,
            cache,
            top: OnceLock::new(),
            filter: OnceLock::new(),
            partitions: OnceLock::new(),
            tombstones: OnceLock::new(),
        }))
    }

    /// Opens a table by its file alone: reads the footer first.
    pub fn open_alone(
        file: Arc<dyn FsFile>,
        path: PathBuf,
        number: u64,
        cache: Arc<BlockCache>,
    ) -> Result<Arc<Table>> {
        let size = file.len().map_err(|e| Error::io(&path, 0, e))?;
        let at = size
            .checked_sub(FOOTER_LEN as u64)
            .ok_or_else(|| Error::corrupt(&path, 0, "the file is too short to be a table"))?;
        let source = Source { file: file.clone(), path: path.clone(), number };
        let footer = source.read(at, FOOTER_LEN)?;
        Table::open(file, path, number, size, &footer, cache)
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The file's number.
    pub fn number(&self) -> u64 {
        self.source.number
    }

    /// The file's length.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many entries the table holds; range tombstones are not counted.
    pub fn entries(&self) -> u64 {
        self.footer.entries
    }

    /// Whether a key with this hash may be in the table; always true without a filter.
    pub fn may_contain(&self, hash: u64) -> Result<bool> {
        let Some(handle) = self.footer.filter() else {
            return Ok(true);
        };
        if let Some(pinned) = self.filter.get() {
            return Ok(pinned.value.may_contain(hash));
        }
        self.load_filter(handle, hash)
    }

    /// Has the processor fetch what [`Table::may_contain`] will ask, where it is in memory.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if let Some(pinned) = self.filter.get() {
            pinned.value.prefetch(hash);
        }
    }

    /// Asks a filter that is not pinned, and pins it if there is room.
    #[cold]
    fn load_filter(&self, handle: Handle, hash: u64) -> Result<bool> {
        let malformed = || self.source.corrupt(handle.offset, "a malformed filter");
        let cached = self.cache.find(self.source.number, handle.offset);
        let in_cache = cached.is_some();
        let encoded = match cached {
            Some(encoded) => encoded,
            None => self.source.payload(handle, BlockType::Filter)?,
        };
        if !in_cache {
            let filter = Filter::load(&encoded).ok_or_else(malformed)?;
            if let Some(grant) = self.cache.pin(filter.memory()) {
                let pinned = Pinned { value: filter, _grant: grant };
                return Ok(self.filter.get_or_init(|| pinned).value.may_contain(hash));
            }
            self.keep(handle, &encoded);
        }
        filter_may_contain(&encoded, hash).ok_or_else(malformed)
    }

    /// The table's range tombstones: read once, then kept.
    pub fn range_tombstones(&self) -> Result<Arc<RangeTombstones>> {
        if let Some(set) = self.tombstones.get() {
            return Ok(set.clone());
        }
        let read = self.read_range_tombstones();
        let set = match planted(bug::TOMBSTONE_DAMAGE_IGNORED) {
            true => Arc::new(read.unwrap_or_default()),
            false => Arc::new(read?),
        };
        Ok(self.tombstones.get_or_init(|| set).clone())
    }

    pub(crate) fn read_range_tombstones(&self) -> Result<RangeTombstones> {
        let Some(handle) = self.footer.range_tombstones() else {
            return Ok(RangeTombstones::default());
        };
        let block = self.read_block(handle, BlockType::RangeTombstones)?;
        range_tombstones::decode(&block)
            .map_err(|malformed| Error::malformed(&self.source.path, handle.offset, malformed))
    }

    /// What the table holds, in numbers: read anew at each call.
    pub fn properties(&self) -> Result<Properties> {
        let handle = self.footer.properties().ok_or_else(|| {
            self.source.corrupt(self.footer.top_index_offset, "a table without properties")
        })?;
        let payload = self.source.payload(handle, BlockType::Properties)?;
        Properties::decode(&payload)
            .map_err(|malformed| Error::malformed(&self.source.path, handle.offset, malformed))
    }

    /// About how many bytes of the file lie before `key`.
    pub fn approximate_offset(&self, key: &[u8]) -> Result<u64> {
        let top = self.top()?;
        let i = top.lower_bound(key, Trailer::MAX);
        if i >= top.count() {
            return Ok(self.footer.index_offset);
        }
        let partition = self.partition(&top, i, true)?;
        let i = partition.index.lower_bound(key, Trailer::MAX);
        if i >= partition.index.count() {
            return Ok(self.footer.index_offset);
        }
        Ok(self.data_handle(&partition.index, i)?.offset)
    }

    /// Up to `n` keys that cut the table into parts of about equal size, in ascending order. A
    /// small table has fewer: it is cut between index partitions only.
    pub fn split_keys(&self, n: usize) -> Result<Vec<Bytes>> {
        let top = self.top()?;
        let parts = n.saturating_add(1);
        // The last partition's separator is the table's end, which cuts nothing off.
        let cuts = top.count().saturating_sub(1);
        let mut keys: Vec<Bytes> = Vec::new();
        for cut in 1..parts.min(top.count()) {
            let i = (top.count() * cut / parts.min(top.count())).saturating_sub(1);
            if i < cuts {
                keys.push(Bytes::from(top.key(i)));
            }
        }
        keys.dedup();
        Ok(keys)
    }

    /// The top index, if the table holds it.
    #[inline]
    pub(crate) fn held_top(&self) -> Option<&Block> {
        Some(&self.top.get()?.value)
    }

    pub(crate) fn top(&self) -> Result<Held<'_, Block>> {
        if let Some(held) = self.held_top() {
            return Ok(Held::Pinned(held));
        }
        let block = self.block(self.footer.top_index(), BlockType::TopIndex, false)?;
        Ok(match self.cache.pin(block.data().len()) {
            Some(grant) => {
                Held::Pinned(&self.top.get_or_init(|| Pinned { value: block, _grant: grant }).value)
            }
            None => {
                self.keep(self.footer.top_index(), block.data());
                Held::Cached(block)
            }
        })
    }

    /// The index partition behind entry `i` of the top index. `keep`: it may stay in memory, held
    /// by the table while there is room for that, else in the cache.
    pub(crate) fn partition(
        &self,
        top: &Block,
        i: usize,
        keep: bool,
    ) -> Result<Held<'_, Partition>> {
        if let Some(held) = self.held_partition(i) {
            return Ok(Held::Pinned(held));
        }
        self.load_partition(top, i, keep)
    }

    /// The index partition, if the table holds it.
    #[inline]
    pub(crate) fn held_partition(&self, i: usize) -> Option<&Partition> {
        Some(&self.partitions.get()?.get(i)?.get()?.value)
    }

    #[cold]
    fn load_partition(&self, top: &Block, i: usize, keep: bool) -> Result<Held<'_, Partition>> {
        let handle = self.partition_handle(top, i)?;
        let index = self.block(handle, BlockType::Index, false)?;
        if !keep {
            return Ok(Held::Cached(Partition { index, slots: None }));
        }
        let places =
            self.partitions.get_or_init(|| (0..top.count()).map(|_| OnceLock::new()).collect());
        let memory = index.data().len() + Slots::memory(index.count());
        match (places.get(i), self.cache.pin(memory)) {
            (Some(place), Some(grant)) => {
                let slots = Some(Arc::new(Slots::new(index.count())));
                let value = Partition { index, slots };
                let pinned = place.get_or_init(|| Pinned { value, _grant: grant });
                Ok(Held::Pinned(&pinned.value))
            }
            _ => {
                self.keep(handle, index.data());
                Ok(Held::Cached(Partition { index, slots: None }))
            }
        }
    }

    /// The place of the partition behind entry `i` of the top index.
    pub(crate) fn partition_handle(&self, top: &Block, i: usize) -> Result<Handle> {
        self.handle(top, i, self.footer.index_offset..self.footer.top_index_offset)
    }

    /// The place of the data block behind entry `i` of a partition.
    pub(crate) fn data_handle(&self, partition: &Block, i: usize) -> Result<Handle> {
        self.handle(partition, i, 0..self.footer.index_offset)
    }

    fn handle(&self, index: &Block, i: usize, region: Range<u64>) -> Result<Handle> {
        handle_at(index, i)
            .ok()
            .filter(|h| region.start <= h.offset && h.end().is_some_and(|end| end <= region.end))
            .ok_or_else(|| self.source.corrupt(region.end, "an index entry that points nowhere"))
    }

    /// A columnar block out of the cache or the file. `keep`: it may enter the cache.
    pub(crate) fn block(&self, handle: Handle, block: BlockType, keep: bool) -> Result<Block> {
        if let Some(bytes) = self.cache.find(self.source.number, handle.offset) {
            return self.parsed(handle.offset, bytes);
        }
        let read = self.read_block(handle, block)?;
        if keep {
            self.keep(handle, read.data());
        }
        Ok(read)
    }

    /// The bytes of the data block behind entry `i` of a partition; they enter the cache.
    #[inline]
    pub(crate) fn data(&self, partition: &Partition, i: usize) -> Result<Bytewise> {
        if let Some(slots) = &partition.slots
            && let Some(seen) = self.cache.look(slots, i)
        {
            return Ok(Bytewise::Seen(seen));
        }
        Ok(Bytewise::Owned(self.load_data(partition, i)?))
    }

    #[cold]
    fn load_data(&self, partition: &Partition, i: usize) -> Result<Buffer> {
        let handle = self.data_handle(&partition.index, i)?;
        let (table, offset) = (self.source.number, handle.offset);
        let Some(slots) = &partition.slots else {
            let block = self.block(handle, BlockType::Data, true)?;
            return Ok(block.into_data());
        };
        if let Some(found) = self.cache.attach(table, offset, slots, i) {
            return Ok(found);
        }
        let read = self.read_block(handle, BlockType::Data)?.into_data();
        self.cache.admit_to(table, offset, read.clone(), slots, i);
        Ok(read)
    }

    /// Has the processor fetch the first lines of the data block behind entry `i` of a partition,
    /// if the partition leads to it.
    #[inline]
    pub(crate) fn prefetch_data(partition: &Partition, i: usize) {
        if let Some(seen) = partition.slots.as_ref().and_then(|slots| slots.look(i))
            && let Some(buffer) = seen.buffer()
        {
            buffer.prefetch();
        }
    }

    /// How often the data block behind entry `i` of a partition was read lately, if the partition
    /// leads to it.
    pub(crate) fn reads_of(partition: &Partition, i: usize) -> Option<u8> {
        partition.slots.as_ref()?.look(i)?.buffer()?.reads()
    }

    /// A block of which the bytes were checked when they were read.
    #[inline]
    pub(crate) fn parsed<D: Deref<Target = [u8]>>(
        &self,
        offset: u64,
        bytes: D,
    ) -> Result<Block<D>> {
        Block::parse(bytes).map_err(|bad| Error::malformed(&self.source.path, offset, bad))
    }

    /// A columnar block out of the file.
    pub(crate) fn read_block(&self, handle: Handle, block: BlockType) -> Result<Block> {
        self.source.checked(handle, self.source.payload(handle, block)?)
    }

    fn keep(&self, handle: Handle, bytes: &Buffer) {
        self.cache.admit(self.source.number, handle.offset, bytes.clone());
    }
}
