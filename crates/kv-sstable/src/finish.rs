//! Writes what stands behind the data blocks, and sums up.

use crate::block::BlockBuilder;
use crate::codec;
use crate::error::Result;
use crate::footer::Footer;
use crate::handle::Handle;
use crate::index::Partition;
use crate::range_tombstones;
use crate::seal::BlockType;
use crate::writer::{Next, TableBuilder, append_sealed};
use bytes::Bytes;
use kv_vfs::testing::{bug, planted};

/// What a finished table is to whoever keeps track of tables.
///
/// ```
/// # use kv_core::{Kind, Trailer};
/// # use kv_sstable::{TableBuilder, TableOptions, TableSummary};
/// # use kv_vfs::{Fs, MemFs};
/// # let path = std::path::PathBuf::from("/7.sst");
/// # let file = MemFs::new().create_new(&path)?;
/// # let mut builder = TableBuilder::new(file, path, 7, TableOptions::default());
/// builder.add(b"apple", Trailer::new(1, Kind::Put), b"red")?;
/// builder.add(b"pear", Trailer::new(2, Kind::Delete), b"")?;
/// let summary: TableSummary = builder.finish()?;
/// assert_eq!((summary.entries, summary.tombstones, summary.max_seq), (2, 1, 2));
/// assert_eq!((&summary.smallest[..], &summary.largest[..]), (&b"apple"[..], &b"pear"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSummary {
    /// The length of the file.
    pub size: u64,
    /// Entries; range tombstones are not counted.
    pub entries: u64,
    /// Point tombstones.
    pub tombstones: u64,
    /// Range tombstones, as fragments and sequence numbers.
    pub range_tombstones: u64,
    /// The smallest key, bounds of range tombstones included; empty where there is none.
    pub smallest: Bytes,
    /// The largest key, bounds of range tombstones included; empty where there is none.
    pub largest: Bytes,
    /// Whether `largest` is the end of a range tombstone, which is the first key behind it.
    pub largest_exclusive: bool,
    /// The smallest sequence number; `u64::MAX` in an empty table.
    pub min_seq: u64,
    /// The largest sequence number; 0 in an empty table.
    pub max_seq: u64,
    /// The smallest expiry in milliseconds; `u64::MAX` where no entry expires.
    pub min_expiry: u64,
    /// The largest expiry in milliseconds; 0 where no entry expires. Entries without an expiry
    /// are not in it: the table as a whole expires only if `expiring == entries`.
    pub max_expiry: u64,
    /// Entries that expire.
    pub expiring: u64,
    /// Bytes of all keys and values.
    pub raw_bytes: u64,
    /// About how many bytes the point tombstones will free: each an entry of average size.
    pub shadow_bytes: u64,
    /// XXH3-64 of the whole file.
    pub checksum: u64,
    /// The file's last bytes: with them the table is opened without reading.
    pub footer: Bytes,
    /// The codec of the data blocks that are compressed.
    pub compression: u8,
}

impl TableBuilder {
    /// Writes the rest of the table and makes the file durable; its name in the directory is up
    /// to the caller.
    pub fn finish(mut self) -> Result<TableSummary> {
        self.write_block(Next::Nothing)?;
        let warmer = std::mem::take(&mut self.warmer);
        self.properties.last_key = Bytes::copy_from_slice(&self.last_key);
        let mut footer = Footer {
            compression: self.options.compression.id(),
            file_number: self.number,
            entries: self.properties.entries,
            index_offset: self.sink.position(),
            ..Footer::default()
        };
        let top = self.write_index()?;
        (footer.top_index_offset, footer.top_index_len) = (top.offset, top.len);
        if let Some(filter) = self.filter.take().filter(|_| footer.entries > 0) {
            footer.filter_len = self.append(&filter.finish(), BlockType::Filter)?.len;
        }
        if !self.tombstones.is_empty() {
            let block = range_tombstones::encode(&self.tombstones);
            let block = block.ok_or_else(|| self.too_long())?;
            footer.range_tombstones_len = self.append(&block, BlockType::RangeTombstones)?.len;
            for tombstone in self.tombstones.iter() {
                self.properties.count_range_tombstone(tombstone.seq);
            }
        }
        let properties = self.properties.encode();
        footer.properties_len = self.append(&properties, BlockType::Properties)?.len;
        let footer = footer.encode();
        self.sink.append(&footer)?;
        let summary = self.sum_up(Bytes::copy_from_slice(&footer))?;
        warmer.finished();
        Ok(summary)
    }

    /// Writes the partitions and the top index; answers the place of the latter.
    fn write_index(&mut self) -> Result<Handle> {
        let index = std::mem::take(&mut self.index);
        let partitions = index.finish().ok_or_else(|| self.too_long())?;
        self.properties.index_partitions = partitions.len() as u64;
        let mut top = BlockBuilder::default();
        let mut previous: Option<Vec<u8>> = None;
        for Partition { payload, last: (key, trailer) } in partitions {
            let handle = self.append(&payload, BlockType::Index)?;
            top.add(&key, trailer, &handle.encode(), previous.as_ref() == Some(&key));
            previous = Some(key);
        }
        let mut payload = Vec::new();
        top.finish(&mut payload).ok_or_else(|| self.too_long())?;
        self.append(&payload, BlockType::TopIndex)
    }

    fn append(&mut self, payload: &[u8], block: BlockType) -> Result<Handle> {
        append_sealed(&mut self.sink, self.number, &[payload, &[]], codec::NONE, block)
    }

    fn sum_up(self, footer: Bytes) -> Result<TableSummary> {
        let counts = self.properties;
        let fragments = self.tombstones.fragments();
        let start = fragments.first().map(|fragment| fragment.start.clone());
        let end = fragments.last().map(|fragment| fragment.end.clone());
        let has_entries = counts.entries > 0;
        let bounds = has_entries && planted(bug::TABLE_BOUNDS_WITHOUT_RANGES);
        let (start, end) = if bounds { (None, None) } else { (start, end) };
        let first = has_entries.then(|| counts.first_key.clone());
        let last = has_entries.then(|| counts.last_key.clone());
        let largest_exclusive = end > last;
        let live = counts.entries - counts.tombstones;
        Ok(TableSummary {
            size: self.sink.position(),
            entries: counts.entries,
            tombstones: counts.tombstones,
            range_tombstones: counts.range_tombstones,
            smallest: first.into_iter().chain(start).min().unwrap_or_default(),
            largest: last.into_iter().chain(end).max().unwrap_or_default(),
            largest_exclusive,
            min_seq: counts.min_seq,
            max_seq: counts.max_seq,
            min_expiry: counts.min_expiry,
            max_expiry: counts.max_expiry,
            expiring: counts.expiring,
            raw_bytes: counts.key_bytes + counts.value_bytes,
            shadow_bytes: (self.live_bytes / live.max(1)).saturating_mul(counts.tombstones),
            checksum: self.sink.finish()?,
            footer,
            compression: self.options.compression.id(),
        })
    }
}
