//! Blocks that are in the cache before anybody has read them: a builder leaves them there where
//! the blocks that they come from, or lie beside, were read.
//!
//! Promises: what enters the cache is byte for byte what a reader would make of the file, and it
//! leaves with a table that is not finished.

use crate::cache::{BlockCache, Buffer};
use crate::table::Table;
use crate::writer::TableBuilder;
use kv_core::Trailer;
use std::sync::Arc;

/// How a block that was just made enters the cache.
///
/// ```
/// let keep = kv_sstable::Keep { reads: 2, spare: true };
/// assert_eq!(keep, keep.clone());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// As one that was read so often lately (up to 3).
    pub reads: u8,
    /// Only where there is room for it: no other block gives way.
    pub spare: bool,
}

/// The blocks of one table that entered a cache.
#[derive(Debug, Default)]
pub(crate) struct Warmer {
    /// The cache, once a block is to enter it.
    cache: Option<Arc<BlockCache>>,
    table: u64,
    /// How the block in the making is to enter, if at all.
    keep: Option<Keep>,
}

impl Warmer {
    pub(crate) fn new(table: u64) -> Warmer {
        Warmer { cache: None, table, keep: None }
    }

    /// Takes the block in that was written at `offset`, if it is to be kept: its bytes are the
    /// concatenation of `parts`.
    #[inline]
    pub(crate) fn written(&mut self, offset: u64, parts: &[&[u8]; 2]) {
        if let Some(Keep { reads, spare }) = self.keep.take()
            && let Some(cache) = &self.cache
        {
            cache.admit_unread((self.table, offset), Buffer::concat(parts), reads, spare);
        }
    }

    /// The table is whole: what entered the cache stays.
    pub(crate) fn finished(mut self) {
        self.cache = None;
    }
}

impl Drop for Warmer {
    fn drop(&mut self) {
        if let Some(cache) = &self.cache {
            cache.erase_table(self.table);
        }
    }
}

impl TableBuilder {
    /// Whether the entry added last begins a block.
    ///
    /// ```
    /// # use kv_core::{Kind, Trailer, hash64};
    /// # use kv_sstable::{BlockCache, Keep, Table, TableBuilder, TableOptions};
    /// # use kv_vfs::{Fs, MemFs};
    /// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/7.sst"));
    /// # let file = fs.create_new(&path)?;
    /// # let mut builder = TableBuilder::new(file.clone(), path.clone(), 7, TableOptions::default());
    /// let cache = BlockCache::new(1 << 20);
    /// builder.add(b"apple", Trailer::new(1, Kind::Put), b"red")?;
    /// assert!(builder.begins_block());
    /// builder.keep_block(&cache, Keep { reads: 1, spare: false });
    /// builder.finish()?;
    /// assert!(cache.get(7, 0).is_some());
    ///
    /// let table = Table::open_alone(file, path, 7, cache)?;
    /// assert_eq!(table.reads_near(b"apple"), None); // the table's index was not asked for yet
    /// table.get(b"apple", hash64(b"apple"), 9)?;
    /// assert!(table.reads_near(b"apple").is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn begins_block(&self) -> bool {
        self.block.len() == 1
    }

    /// Has the block in the making enter `cache` when it is written. It must be the cache that the
    /// table will be opened with.
    pub fn keep_block(&mut self, cache: &Arc<BlockCache>, keep: Keep) {
        if self.warmer.cache.is_none() {
            self.warmer.cache = Some(Arc::clone(cache));
        }
        self.warmer.keep = Some(keep);
    }
}

impl Table {
    /// How often the block that would hold `key` was read lately (up to 3), beside the read that
    /// brought it into the cache. `None` where it is not there, or nobody has read it through this
    /// table. Loads nothing, and is no read.
    pub fn reads_near(&self, key: &[u8]) -> Option<u8> {
        let partition = self.held_partition(self.held_top()?.lower_bound(key, Trailer::MAX))?;
        Table::reads_of(partition, partition.index.lower_bound(key, Trailer::MAX))
    }
}
