//! Builds a table from entries in order. The layout is drawn in `docs/format/sstable.md`.
//!
//! Entries are appended to the current block's buffers; when the next one would make it longer
//! than a block may be, the block is laid out, compressed, sealed and written, and its separator
//! goes to the index. What stands behind the data blocks is written by `finish`.

use crate::block::BlockBuilder;
use crate::codec::{self, Codec, Compression};
use crate::error::{Error, Result};
use crate::filter::FilterBuilder;
use crate::handle::Handle;
use crate::index::{IndexBuilder, LAST_TRAILER, separator};
use crate::properties::Properties;
use crate::seal::{BlockType, RAW_LEN, seal};
use crate::sink::Sink;
use crate::warm::Warmer;
use kv_core::{Kind, RangeTombstones, Trailer, hash64};
use kv_vfs::FsFile;
use std::cmp::Ordering;
use std::path::PathBuf;
use std::sync::Arc;

/// The longest key that a table holds.
pub const MAX_KEY_LEN: usize = 65_545;
/// The longest value that a table holds, the expiry in front of it included.
pub const MAX_VALUE_LEN: usize = (1 << 30) + 8;
/// The biggest block size; a bigger one in the options counts as this.
const MAX_BLOCK_SIZE: usize = 1 << 30;
/// Compression that saves less than one part in this many is not worth undoing at each read.
pub(crate) const LEAST_SAVING: usize = 8;
/// Buffers above this are given back after an unusually big block.
const KEEP_CAPACITY: usize = 4 << 20;

/// How a table is laid out.
///
/// ```
/// use kv_sstable::{Compression, TableOptions};
/// let options = TableOptions { block_size: 16 << 10, bloom_bits: 0.0, ..TableOptions::default() };
/// assert_eq!(options.compression, Compression::Lz4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TableOptions {
    /// The uncompressed bytes of a block; a longer entry gets a block of its own.
    pub block_size: usize,
    /// Filter bits per key; 0 for no filter.
    pub bloom_bits: f64,
    /// How data blocks are compressed.
    pub compression: Compression,
}

impl Default for TableOptions {
    fn default() -> TableOptions {
        TableOptions { block_size: 4096, bloom_bits: 10.0, compression: Compression::default() }
    }
}

/// What follows a data block.
pub(crate) enum Next<'a> {
    /// An older version of its last key.
    SameKey,
    /// Another key.
    Key(&'a [u8]),
    /// The index.
    Nothing,
}

/// Writes one table. Entries come in strictly ascending internal order.
///
/// An entry that is refused leaves the table as it was; after an i/o error the builder is of no
/// more use.
///
/// ```
/// # use kv_core::{Kind, RangeTombstone, RangeTombstones, Trailer};
/// # use kv_sstable::{TableBuilder, TableOptions};
/// # use kv_vfs::{Fs, MemFs};
/// # let path = std::path::PathBuf::from("/7.sst");
/// # let file = MemFs::new().create_new(&path)?;
/// let mut builder = TableBuilder::new(file, path, 7, TableOptions::default());
/// assert!(builder.is_empty());
/// builder.add(b"apple", Trailer::new(2, Kind::Put), b"red")?;
/// builder.add(b"apple", Trailer::new(1, Kind::Put), b"green")?; // older versions come behind
/// assert!(builder.add(b"apple", Trailer::new(3, Kind::Put), b"blue").is_err());
/// let gone = RangeTombstone { start: "b".into(), end: "d".into(), seq: 3 };
/// builder.add_range_tombstones(&RangeTombstones::new([gone]));
/// assert_eq!(builder.entries(), 2);
/// assert!(builder.bytes_written() < builder.estimated_size()); // no block is full yet
/// builder.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TableBuilder {
    pub(crate) sink: Sink,
    pub(crate) number: u64,
    pub(crate) options: TableOptions,
    codec: Option<Box<dyn Codec>>,
    pub(crate) block: BlockBuilder,
    pub(crate) warmer: Warmer,
    pub(crate) index: IndexBuilder,
    pub(crate) filter: Option<FilterBuilder>,
    pub(crate) tombstones: RangeTombstones,
    pub(crate) properties: Properties,
    /// Bytes of the keys and values of entries that are no tombstones.
    pub(crate) live_bytes: u64,
    keys: u64,
    pub(crate) last_key: Vec<u8>,
    last_trailer: Trailer,
    scratch: Scratch,
}

/// Memory that is used for each block anew.
#[derive(Default)]
struct Scratch {
    columns: Vec<u8>,
    packed: Vec<u8>,
    separator: Vec<u8>,
}

impl TableBuilder {
    /// Writes to `file`, which must be empty; `number` goes into every checksum, so that the
    /// table can only be opened under it.
    pub fn new(
        file: Arc<dyn FsFile>,
        path: PathBuf,
        number: u64,
        options: TableOptions,
    ) -> TableBuilder {
        let block_size = options.block_size.clamp(1, MAX_BLOCK_SIZE);
        TableBuilder {
            sink: Sink::new(file, path),
            number,
            options: TableOptions { block_size, ..options },
            codec: options.compression.codec(),
            block: BlockBuilder::default(),
            warmer: Warmer::new(number),
            index: IndexBuilder::default(),
            filter: (options.bloom_bits > 0.0).then(|| FilterBuilder::new(options.bloom_bits)),
            tombstones: RangeTombstones::default(),
            properties: Properties::new(),
            live_bytes: 0,
            keys: 0,
            last_key: Vec::new(),
            last_trailer: Trailer::MAX,
            scratch: Scratch::default(),
        }
    }

    /// Appends an entry. It must come behind the one before it, and be of a kind that stands
    /// for itself: a range tombstone goes to [`TableBuilder::add_range_tombstones`].
    pub fn add(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) -> Result<()> {
        let same_key = self.keys > 0
            && match self.last_key.as_slice().cmp(key) {
                Ordering::Less => false,
                Ordering::Equal if trailer < self.last_trailer => true,
                _ => return Err(Error::Order { path: self.sink.path().to_path_buf() }),
            };
        if key.len() > MAX_KEY_LEN || value.len() > MAX_VALUE_LEN {
            return Err(Error::refused(self.sink.path(), "its key or value is too long"));
        }
        self.properties
            .count(key, trailer, value)
            .map_err(|reason| Error::refused(self.sink.path(), reason))?;
        if trailer.kind() != Some(Kind::Delete) {
            self.live_bytes += (key.len() + value.len()) as u64;
        }
        if !self.block.add_within(self.options.block_size, key, trailer, value, same_key) {
            self.write_block(if same_key { Next::SameKey } else { Next::Key(key) })?;
            self.block.add(key, trailer, value, same_key);
        }
        if !same_key {
            self.keys += 1;
            if let Some(filter) = &mut self.filter {
                filter.add(hash64(key));
            }
            self.last_key.clear();
            self.last_key.extend_from_slice(key);
        }
        self.last_trailer = trailer;
        Ok(())
    }

    /// Takes the table's range tombstones; the last call counts.
    pub fn add_range_tombstones(&mut self, set: &RangeTombstones) {
        self.tombstones = set.clone();
    }

    /// About how long the file would be if it were finished now.
    pub fn estimated_size(&self) -> u64 {
        let filter = if self.filter.is_some() {
            (self.keys as f64 * self.options.bloom_bits / 8.0) as u64
        } else {
            0
        };
        self.sink.position() + (self.block.estimate() + self.index.estimate()) as u64 + filter
    }

    /// How many entries were added.
    pub fn entries(&self) -> u64 {
        self.properties.entries
    }

    /// Whether the table would hold neither an entry nor a range tombstone.
    pub fn is_empty(&self) -> bool {
        self.properties.entries == 0 && self.tombstones.is_empty()
    }

    /// Bytes of finished blocks so far.
    pub fn bytes_written(&self) -> u64 {
        self.sink.position()
    }

    /// Writes the current block and indexes it.
    pub(crate) fn write_block(&mut self, next: Next<'_>) -> Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let handle = self.write_data_block()?;
        self.properties.data_blocks += 1;
        self.block.clear();
        let indexed = match next {
            Next::SameKey => self.index.add(&self.last_key, self.last_trailer, handle),
            Next::Nothing => self.index.add(&self.last_key, LAST_TRAILER, handle),
            Next::Key(next) => {
                separator(&self.last_key, next, &mut self.scratch.separator);
                self.index.add(&self.scratch.separator, LAST_TRAILER, handle)
            }
        };
        indexed.ok_or_else(|| self.too_long())
    }

    fn write_data_block(&mut self) -> Result<Handle> {
        self.block.finish_columns(&mut self.scratch.columns).ok_or_else(|| self.too_long())?;
        let raw_len = self.scratch.columns.len() + self.block.values().len();
        let codec = self.pack(raw_len);
        let handle = if codec == codec::NONE {
            let parts = [self.scratch.columns.as_slice(), self.block.values()];
            append_sealed(&mut self.sink, self.number, &parts, codec, BlockType::Data)
        } else {
            let parts = [self.scratch.packed.as_slice(), &[]];
            append_sealed(&mut self.sink, self.number, &parts, codec, BlockType::Data)
        };
        if let Ok(handle) = &handle {
            self.warmer.written(handle.offset, &[&self.scratch.columns, self.block.values()]);
        }
        self.scratch.columns.shrink_to(KEEP_CAPACITY);
        self.scratch.packed.shrink_to(KEEP_CAPACITY);
        handle
    }

    /// Compresses the block into `packed`; answers the codec under which it is to be stored.
    fn pack(&mut self, raw_len: usize) -> u8 {
        let (Some(codec), Ok(stored_len)) = (&mut self.codec, u32::try_from(raw_len)) else {
            return codec::NONE;
        };
        let columns_len = self.scratch.columns.len();
        self.scratch.columns.extend_from_slice(self.block.values());
        self.scratch.packed.clear();
        self.scratch.packed.extend_from_slice(&stored_len.to_le_bytes());
        let packed = codec.compress(&self.scratch.columns, &mut self.scratch.packed);
        self.scratch.columns.truncate(columns_len);
        let saves = self.scratch.packed.len() <= raw_len - raw_len / LEAST_SAVING;
        let expands =
            self.scratch.packed.len().saturating_sub(RAW_LEN).saturating_mul(codec.max_expansion());
        if packed.is_some() && saves && raw_len <= expands {
            self.options.compression.id()
        } else {
            codec::NONE
        }
    }

    pub(crate) fn too_long(&self) -> Error {
        Error::refused(self.sink.path(), "a block would be longer than the format allows")
    }
}

/// Writes the payload that is the concatenation of `parts`, and its trailer.
pub(crate) fn append_sealed(
    sink: &mut Sink,
    number: u64,
    parts: &[&[u8]; 2],
    codec: u8,
    block: BlockType,
) -> Result<Handle> {
    let offset = sink.position();
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let len = u32::try_from(len)
        .map_err(|_| Error::refused(sink.path(), "a section would be longer than 4 GiB"))?;
    let trailer = seal(number, offset, parts, codec, block);
    for part in parts.iter().copied().chain([trailer.as_slice()]) {
        sink.append(part)?;
    }
    Ok(Handle { offset, len })
}
