//! Reads what is readable of a damaged table, from front to back.
//!
//! Where index and footer can be read, they tell where blocks lie. Where they cannot, blocks are
//! found by their checksums: blocks follow each other without a gap, and a block's checksum
//! covers its file and its place, so that bytes which pass are what was written there.
//!
//! Only what was read can be damaged. Where the operating system refuses a read, the reading ends
//! with its error, because the refusal may pass.

mod noting;
pub(crate) mod scan;

use crate::block::Block;
use crate::cache::Buffer;
use crate::error::{Error, Result};
use crate::fetch::Source;
use crate::footer::{FOOTER_LEN, Footer};
use crate::handle::Handle;
use crate::index::handle_at;
use crate::properties::Properties;
use crate::range_tombstones;
use crate::seal::BlockType;
use bytes::Bytes;
use kv_core::{InternalKey, RangeTombstones, Trailer, compare_internal};
use kv_vfs::FsFile;
use noting::{Noting, reason};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

/// A part of a table that is damaged.
///
/// ```
/// # use kv_sstable::{Lost, Salvage};
/// fn tell(salvage: &Salvage) {
///     for Lost { offset, end, reason, .. } in salvage.lost() {
///         println!("bytes {offset} to {end} of {}: {reason}", salvage.size());
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where it begins.
    pub offset: u64,
    /// Where it ends.
    pub end: u64,
    /// What is wrong.
    pub reason: String,
    /// Whether entries or range tombstones went with it.
    pub data: bool,
    /// What was lost lies between these keys, if that is known.
    pub keys: Option<(Bytes, Bytes)>,
}

/// A damaged table while it is read. It stands on an entry after [`Salvage::next`] has answered
/// true; entries come in internal order.
///
/// ```
/// # use kv_core::{Kind, Trailer};
/// # use kv_sstable::{Salvage, TableBuilder, TableOptions};
/// # use kv_vfs::{Fs, FsFileExt, MemFs};
/// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/7.sst"));
/// # let file = fs.create_new(&path)?;
/// # let mut builder = TableBuilder::new(file.clone(), path.clone(), 7, TableOptions::default());
/// # builder.add(b"apple", Trailer::new(1, Kind::Put), b"red")?;
/// # let summary = builder.finish()?;
/// // Neither its index nor its footer can be read:
/// file.set_len(summary.size / 2)?;
/// assert!(!Salvage::own_footer(file.clone(), path.clone(), 7, summary.size / 2)?);
///
/// let mut salvage = Salvage::open(file, path, 7, None)?;
/// assert!(!salvage.is_foreign());
/// while salvage.next()? {
///     assert_eq!((salvage.key(), salvage.value()), (&b"apple"[..], &b"red"[..]));
///     assert_eq!(salvage.trailer(), Trailer::new(1, Kind::Put));
/// }
/// assert_eq!((salvage.read(), salvage.entries()), (1, None));
/// assert!(!salvage.lost().is_empty());
/// // Its range tombstones, had there been any, would be lost too.
/// assert!(salvage.range_tombstones().is_empty() && salvage.properties().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// long: what was found of the table, what is planned, and the place of the reading, each by itself.
#[derive(Debug)]
pub struct Salvage {
    source: Source,
    /// The file of `source`.
    noting: Arc<Noting>,
    /// Another table lies in the place of this one.
    foreign: bool,
    size: u64,
    footer: Option<Footer>,
    top: Option<Block>,
    /// The next entry of the top index.
    partition: usize,
    /// Data blocks to read next, with the keys around each, where they are known.
    queue: VecDeque<Planned>,
    /// Where the next data block begins.
    data_end: u64,
    /// The last separator passed.
    separator: Bytes,
    tombstones: RangeTombstones,
    properties: Option<Properties>,
    block: Block,
    entry: usize,
    key: Vec<u8>,
    last: Option<(Vec<u8>, Trailer)>,
    read: u64,
    lost: Vec<Lost>,
}

#[derive(Debug)]
struct Planned {
    handle: Handle,
    keys: Option<(Bytes, Bytes)>,
}

impl Salvage {
    /// Looks at the table `number`. `known` is the footer and the length that the manifest holds,
    /// if it can be read. An error is one of the operating system; all damage is listed in
    /// [`Salvage::lost`].
    pub fn open(
        file: Arc<dyn FsFile>,
        path: PathBuf,
        number: u64,
        known: Option<(&[u8], u64)>,
    ) -> Result<Salvage> {
        let size = file.len().map_err(|e| Error::io(&path, 0, e))?;
        let noting = Arc::new(Noting::new(file));
        let mut salvage = Salvage {
            source: Source { file: Arc::clone(&noting) as Arc<dyn FsFile>, path, number },
            noting,
            foreign: false,
            size,
            footer: None,
            top: None,
            partition: 0,
            queue: VecDeque::new(),
            data_end: 0,
            separator: Bytes::new(),
            tombstones: RangeTombstones::default(),
            properties: None,
            block: Block::default(),
            entry: 0,
            key: Vec::new(),
            last: None,
            read: 0,
            lost: Vec::new(),
        };
        salvage.foreign = salvage.find_foreign(known);
        salvage.footer = if salvage.foreign { None } else { salvage.find_footer(known) };
        match salvage.footer {
            _ if salvage.foreign => {
                salvage.lose(0, size, "another table lies in the place of this one", true);
            }
            Some(footer) => salvage.read_by_footer(&footer),
            None => salvage.read_by_checksums(),
        }
        salvage.was_read()?;
        Ok(salvage)
    }

    /// Whether the file of `size` bytes ends with the footer of the table `number`.
    pub fn own_footer(
        file: Arc<dyn FsFile>,
        path: PathBuf,
        number: u64,
        size: u64,
    ) -> Result<bool> {
        let noting = Arc::new(Noting::new(file));
        let source = Source { file: Arc::clone(&noting) as Arc<dyn FsFile>, path, number };
        let found = own_footer(&source, size).is_some();
        noting.error(&source.path).map_or(Ok(found), Err)
    }

    /// Whether another table lies in the place of this one: nothing of it is read.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// The first refusal of the operating system, if there was one.
    fn was_read(&self) -> Result<()> {
        self.noting.error(&self.source.path).map_or(Ok(()), Err)
    }

    /// The damage found so far; all of it once the last entry was read.
    pub fn lost(&self) -> &[Lost] {
        &self.lost
    }

    /// The range tombstones; none where their block is lost.
    pub fn range_tombstones(&self) -> &RangeTombstones {
        &self.tombstones
    }

    /// What the table held, if its properties can be read.
    pub fn properties(&self) -> Option<&Properties> {
        self.properties.as_ref()
    }

    /// How many entries the table held, if that is known.
    pub fn entries(&self) -> Option<u64> {
        let footer = self.footer.map(|footer| footer.entries);
        footer.or(self.properties.as_ref().map(|properties| properties.entries))
    }

    /// How many entries were read so far.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// The file's length.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The key of the entry.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The sequence number and kind of the entry.
    pub fn trailer(&self) -> Trailer {
        self.block.trailer(self.entry)
    }

    /// The value of the entry, as stored.
    pub fn value(&self) -> &[u8] {
        self.block.value(self.entry)
    }

    /// Goes to the next entry that can be read; false where there is none. An error is one of
    /// the operating system, and the entries before it count for nothing.
    #[expect(clippy::should_implement_trait, reason = "the entry is borrowed, not answered")]
    pub fn next(&mut self) -> Result<bool> {
        if self.entry + 1 < self.block.count() {
            self.stand_on(self.entry + 1);
            return Ok(true);
        }
        self.last = match self.block.count() {
            0 => self.last.take(),
            _ => Some((self.key.clone(), self.trailer())),
        };
        self.block = Block::default();
        let block = self.next_block();
        self.was_read()?;
        if let Some(block) = block {
            self.block = block;
            self.stand_on(0);
            return Ok(true);
        }
        Ok(false)
    }

    fn stand_on(&mut self, entry: usize) {
        self.entry = entry;
        self.read += 1;
        self.key.clear();
        self.key.extend_from_slice(self.block.prefix());
        self.block.key_behind_prefix(entry, &mut self.key);
    }

    fn lose(&mut self, offset: u64, end: u64, reason: impl ToString, data: bool) {
        // The end that is missing was told of as a whole.
        let within = |lost: &Lost| lost.offset == self.size && end <= lost.end;
        if !data && offset > self.size && self.lost.iter().any(within) {
            return;
        }
        self.lost.push(Lost { offset, end, reason: reason.to_string(), data, keys: None });
    }

    /// Whether the file is a sound table of this number, but not the one that the manifest knows.
    fn find_foreign(&self, known: Option<(&[u8], u64)>) -> bool {
        let known = known.and_then(|(bytes, size)| Footer::decode(bytes, size).ok());
        let own = own_footer(&self.source, self.size);
        known.zip(own).is_some_and(|(known, own)| known != own)
    }

    /// The footer of the manifest, else the one in the file.
    fn find_footer(&mut self, known: Option<(&[u8], u64)>) -> Option<Footer> {
        let number = self.source.number;
        if let Some((bytes, size)) = known
            && let Ok(footer) = Footer::decode(bytes, size)
            && footer.file_number == number
        {
            if self.size < size {
                // What is missing may reach below the index, and then entries are.
                let data = self.size < footer.index_offset;
                self.lose(self.size, size, "the file ends before it should", data);
            } else if self.size > size {
                self.lose(size, self.size, "the file is longer than it should be", false);
            }
            return Some(footer);
        }
        own_footer(&self.source, self.size)
    }

    fn read_by_footer(&mut self, footer: &Footer) {
        match self.columnar(footer.top_index(), BlockType::TopIndex) {
            Ok(top) => self.top = Some(top),
            Err(error) => {
                let at = footer.top_index();
                self.lose(at.offset, end_of(at), reason(&error), false);
                self.scan_data(footer.index_offset);
            }
        }
        if let Some(handle) = footer.range_tombstones() {
            self.read_tombstones(handle);
        }
        if let Some(handle) = footer.properties() {
            self.read_properties(handle);
        }
        if let Some(handle) = footer.filter()
            && let Err(error) = self.payload(handle, BlockType::Filter)
        {
            self.lose(handle.offset, end_of(handle), reason(&error), false);
        }
    }

    /// Finds every block of the file without an index.
    fn read_by_checksums(&mut self) {
        let found = scan::blocks(&self.source, 0, self.size);
        for &(handle, kind) in &found.blocks {
            match kind {
                BlockType::Data => self.queue.push_back(Planned { handle, keys: None }),
                BlockType::RangeTombstones => self.read_tombstones(handle),
                BlockType::Properties => self.read_properties(handle),
                BlockType::Index | BlockType::TopIndex | BlockType::Filter => {}
            }
        }
        match found.gaps.last() {
            Some((at, end)) if self.is_footer(*at, *end) => {
                self.lose(*at, *end, "the footer cannot be read", false);
            }
            _ => self.lose(self.size, self.size, "the file ends without its footer", false),
        }
        self.take_gaps(&found);
        // They are the last block: behind them nothing but the footer is missing.
        if self.properties.is_none() {
            let reason = "the properties are not there, so how much the table held is not known";
            self.lose(self.size, self.size, reason, true);
        }
    }

    fn take_gaps(&mut self, found: &scan::Scanned) {
        if found.given_up
            && let Some((offset, end)) = found.gaps.last()
        {
            let reason = "too much here looks like blocks and is none: the search was given up";
            self.lose(*offset, *end, reason, true);
        }
        for (offset, end) in &found.gaps {
            // The footer was looked at before.
            if !self.is_footer(*offset, *end) {
                self.lose(*offset, *end, "no block here passes its checksum", true);
            }
        }
    }

    /// Whether these are the bytes of the footer. Where the properties before it are not there, the
    /// file may as well have been cut in the middle of a block.
    fn is_footer(&self, offset: u64, end: u64) -> bool {
        end - offset == FOOTER_LEN as u64 && end == self.size && self.properties.is_some()
    }

    fn read_tombstones(&mut self, handle: Handle) {
        let read = self.columnar(handle, BlockType::RangeTombstones).and_then(|block| {
            range_tombstones::decode(&block)
                .map_err(|malformed| Error::malformed(&self.source.path, handle.offset, malformed))
        });
        match read {
            Ok(tombstones) => self.tombstones = tombstones,
            Err(error) => {
                let reason = format!("range tombstones: {}", reason(&error));
                self.lose(handle.offset, end_of(handle), reason, true);
            }
        }
    }

    fn read_properties(&mut self, handle: Handle) {
        let read = self.payload(handle, BlockType::Properties).and_then(|payload| {
            Properties::decode(&payload)
                .map_err(|malformed| Error::malformed(&self.source.path, handle.offset, malformed))
        });
        match read {
            Ok(properties) => self.properties = Some(properties),
            Err(error) => self.lose(handle.offset, end_of(handle), reason(&error), false),
        }
    }

    fn columnar(&self, handle: Handle, kind: BlockType) -> Result<Block> {
        self.source.checked(handle, self.payload(handle, kind)?)
    }

    fn payload(&self, handle: Handle, kind: BlockType) -> Result<Buffer> {
        if end_of(handle) > self.size {
            return Err(self.source.corrupt(handle.offset, "the file ends before it should"));
        }
        self.source.payload(handle, kind)
    }

    /// The next data block that can be read.
    fn next_block(&mut self) -> Option<Block> {
        loop {
            while let Some(planned) = self.queue.pop_front() {
                let end = end_of(planned.handle);
                match self.columnar(planned.handle, BlockType::Data) {
                    Ok(block) if self.follows(&block) => return Some(block),
                    Ok(_) => {
                        let reason = "entries that do not follow those before";
                        self.lose(planned.handle.offset, end, reason, true);
                    }
                    Err(error) => {
                        self.lose(planned.handle.offset, end, reason(&error), true);
                    }
                }
                if let Some(lost) = self.lost.last_mut() {
                    lost.keys = planned.keys;
                }
            }
            if !self.plan() {
                return None;
            }
        }
    }

    /// Whether a block's entries lie behind what was read.
    fn follows(&self, block: &Block) -> bool {
        if block.count() == 0 {
            return false;
        }
        let first = block.key(0);
        let here = InternalKey { key: &first, trailer: block.trailer(0) };
        self.last.as_ref().is_none_or(|(key, trailer)| {
            compare_internal(InternalKey { key, trailer: *trailer }, here).is_lt()
        })
    }

    /// Plans the blocks of the next partition; false where there is none.
    fn plan(&mut self) -> bool {
        let (Some(footer), Some(top)) = (self.footer, self.top.clone()) else { return false };
        if self.partition > top.count() {
            return false;
        }
        let from = self.partition;
        let mut next = from;
        let mut partition = None;
        while next < top.count() && partition.is_none() {
            match self.partition_at(&top, next) {
                Ok(block) => partition = Some(block),
                Err((offset, end, reason)) => self.lose(offset, end, reason, false),
            }
            next += 1;
        }
        match &partition {
            Some(block) => {
                self.partition = next;
                for planned in self.planned(block, footer.index_offset) {
                    // Blocks follow each other without a gap. What index entries that cannot be
                    // read stand for lies between their neighbours.
                    self.scan_data(planned.handle.offset);
                    self.data_end = end_of(planned.handle);
                    self.queue.push_back(planned);
                }
            }
            None => {
                self.partition = top.count() + 1;
                self.scan_data(footer.index_offset);
            }
        }
        true
    }

    fn partition_at(
        &self,
        top: &Block,
        i: usize,
    ) -> std::result::Result<Block, (u64, u64, String)> {
        let footer = self.footer.unwrap_or_default();
        let lies = footer.index_offset..footer.top_index_offset;
        let handle = handle_at(top, i).ok().filter(|handle| {
            lies.contains(&handle.offset) && handle.end().is_some_and(|end| end <= lies.end)
        });
        let Some(handle) = handle else {
            return Err((lies.start, lies.end, "an index entry that points nowhere".to_owned()));
        };
        self.columnar(handle, BlockType::Index)
            .map_err(|error| (handle.offset, end_of(handle), reason(&error)))
    }

    /// The data blocks of a partition: each behind the one before, and all before `data_end`.
    fn planned(&mut self, partition: &Block, data_end: u64) -> Vec<Planned> {
        let mut planned = Vec::new();
        let mut from = self.data_end;
        for i in 0..partition.count() {
            let before = self.separator.clone();
            self.separator = Bytes::from(partition.key(i));
            let handle = handle_at(partition, i).ok().filter(|handle| {
                handle.offset >= from && handle.end().is_some_and(|end| end <= data_end)
            });
            if let Some(handle) = handle {
                from = end_of(handle);
                planned.push(Planned { handle, keys: Some((before, self.separator.clone())) });
            }
        }
        planned
    }

    /// Plans the data blocks up to a place that no index tells of.
    fn scan_data(&mut self, to: u64) {
        let (from, to) = (self.data_end, to.min(self.size));
        if from >= to {
            return;
        }
        let found = scan::blocks(&self.source, from, to);
        self.take_gaps(&found);
        let data = found.blocks.into_iter().filter(|(_, kind)| *kind == BlockType::Data);
        self.queue.extend(data.map(|(handle, _)| Planned { handle, keys: None }));
    }
}

/// The footer that lies in the file.
fn own_footer(source: &Source, size: u64) -> Option<Footer> {
    let at = size.checked_sub(FOOTER_LEN as u64)?;
    let bytes = source.read(at, FOOTER_LEN).ok()?;
    Footer::decode(&bytes, size).ok().filter(|footer| footer.file_number == source.number)
}

fn end_of(handle: Handle) -> u64 {
    handle.end().unwrap_or(u64::MAX)
}
