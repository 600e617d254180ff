//! Reads all of a table and checks everything that can be checked, past the cache.

use crate::block::Block;
use crate::error::{Error, Result};
use crate::fetch::Window;
use crate::filter::Filter;
use crate::footer::FOOTER_LEN;
use crate::handle::Handle;
use crate::properties::Properties;
use crate::seal::BlockType;
use crate::table::Table;
use bytes::Bytes;
use kv_core::{Hasher64, InternalKey, Trailer, compare_internal, hash64};
use std::borrow::Cow;

/// After so many findings a table needs no further proof.
const MAX_FINDINGS: usize = 1000;
/// How much is read at once.
const READ_LEN: usize = 1 << 20;

impl Table {
    /// Checks every block's checksum, that the blocks cover the file without a gap, the order of
    /// all entries, that the index agrees with them, that the filter lets every key through and
    /// that the counts are right. Answers all damage that it finds, up to 1000 findings; nothing
    /// where the table is whole.
    ///
    /// ```
    /// # use kv_core::{Kind, Trailer};
    /// # use kv_sstable::{BlockCache, Table, TableBuilder, TableOptions};
    /// # use kv_vfs::{Fs, MemFs};
    /// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/7.sst"));
    /// # let file = fs.create_new(&path)?;
    /// # let mut builder = TableBuilder::new(file.clone(), path.clone(), 7, TableOptions::default());
    /// # builder.add(b"apple", Trailer::new(1, Kind::Put), b"red")?;
    /// # let summary = builder.finish()?;
    /// # let table = Table::open_alone(file, path, 7, BlockCache::new(1 << 20))?;
    /// assert!(table.verify().is_empty());
    /// assert_eq!(table.checksum_of_file()?, summary.checksum);
    /// assert_eq!(table.bytes_of_file(summary.size - 48, 1 << 20)?.len(), 48);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(&self) -> Vec<Error> {
        let mut verifier = Verifier {
            table: self,
            findings: Vec::new(),
            filter: None,
            index_window: Window::new(READ_LEN),
            data_window: Window::new(READ_LEN),
            data_end: Some(0),
            index_end: self.footer.index_offset,
            last: None,
            key: Vec::new(),
            counted: Properties::new(),
        };
        verifier.run();
        verifier.findings
    }
}

impl Table {
    /// Bytes of the file as it is now, read past the cache; fewer than `len` at its end.
    pub fn bytes_of_file(&self, offset: u64, len: usize) -> Result<Bytes> {
        let left = self.size.saturating_sub(offset);
        self.source.read(offset, usize::try_from(left).map_or(len, |left| left.min(len)))
    }

    /// XXH3-64 of the whole file as it is now, read past the cache: what the builder's
    /// [`TableSummary`](crate::TableSummary) said when the table was written.
    pub fn checksum_of_file(&self) -> Result<u64> {
        let mut hasher = Hasher64::default();
        let mut offset = 0;
        while offset < self.size {
            let len = usize::try_from(self.size - offset).map_or(READ_LEN, |len| len.min(READ_LEN));
            hasher.update(&self.source.read(offset, len)?);
            offset += len as u64;
        }
        Ok(hasher.finish())
    }
}

struct Verifier<'a> {
    table: &'a Table,
    findings: Vec<Error>,
    filter: Option<Filter>,
    index_window: Window,
    data_window: Window,
    /// Where the next data block must begin; unknown behind a partition that cannot be read.
    data_end: Option<u64>,
    /// Where the next index partition must begin.
    index_end: u64,
    /// The last entry or separator: what follows is greater.
    last: Option<(Vec<u8>, Trailer)>,
    key: Vec<u8>,
    counted: Properties,
}

impl Verifier<'_> {
    fn run(&mut self) {
        let outcome = self.footer();
        self.note(outcome);
        match self.load_filter() {
            Ok(filter) => self.filter = filter,
            Err(e) => self.findings.push(e),
        }
        match self.table.read_block(self.table.footer.top_index(), BlockType::TopIndex) {
            Ok(top) => self.top_index(&top),
            Err(e) => self.findings.push(e),
        }
        let outcome = self.tombstones();
        self.note(outcome);
        let outcome = self.properties();
        self.note(outcome);
        self.findings.truncate(MAX_FINDINGS);
    }

    fn note(&mut self, outcome: Result<()>) {
        self.findings.extend(outcome.err());
    }

    fn damaged(&mut self, offset: u64, reason: &'static str) {
        let finding = self.table.source.corrupt(offset, reason);
        self.findings.push(finding);
    }

    fn is_enough(&self) -> bool {
        self.findings.len() >= MAX_FINDINGS
    }

    fn footer(&self) -> Result<()> {
        let at = self.table.size - FOOTER_LEN as u64;
        if self.table.source.read(at, FOOTER_LEN)? != self.table.footer.encode().as_slice() {
            return Err(self
                .table
                .source
                .corrupt(at, "another footer than the table was opened by"));
        }
        Ok(())
    }

    fn load_filter(&self) -> Result<Option<Filter>> {
        let Some(handle) = self.table.footer.filter() else {
            return Ok(None);
        };
        let payload = self.table.source.payload(handle, BlockType::Filter)?;
        let filter = Filter::load(&payload)
            .ok_or_else(|| self.table.source.corrupt(handle.offset, "a malformed filter"))?;
        Ok(Some(filter))
    }

    fn top_index(&mut self, top: &Block) {
        let limit = self.table.footer.top_index_offset;
        for i in 0..top.count() {
            if self.is_enough() {
                return;
            }
            if let Err(e) = self.partition(top, i, limit) {
                self.findings.push(e);
                self.data_end = None;
            }
            self.pass_separator(top, i, self.table.footer.top_index_offset);
        }
        self.counted.index_partitions = top.count() as u64;
        if self.findings.is_empty()
            && (self.data_end, self.index_end) != (Some(self.table.footer.index_offset), limit)
        {
            self.damaged(self.index_end, "blocks that do not cover the file");
        }
    }

    fn partition(&mut self, top: &Block, i: usize, limit: u64) -> Result<()> {
        let handle = self.table.partition_handle(top, i)?;
        let begins = std::mem::replace(&mut self.index_end, end_of(handle));
        if handle.offset != begins {
            self.damaged(handle.offset, "an index partition that does not follow the one before");
        }
        let sealed = read(&mut self.index_window, self.table, handle, limit)?;
        let source = &self.table.source;
        let partition =
            source.checked(handle, source.unseal(handle, &sealed, BlockType::Index)?)?;
        if partition.count() == 0 {
            return Err(source.corrupt(handle.offset, "an index partition without entries"));
        }
        for block in 0..partition.count() {
            if self.is_enough() {
                return Ok(());
            }
            let outcome = self.data_block(&partition, block);
            self.note(outcome);
            self.pass_separator(&partition, block, handle.offset);
        }
        Ok(())
    }

    /// Checks that a separator is not before what was passed so far, and passes it.
    fn pass_separator(&mut self, index: &Block, i: usize, offset: u64) {
        let (key, trailer) = (index.key(i), index.trailer(i));
        let here = InternalKey { key: &key, trailer };
        let passed =
            self.last.as_ref().map(|(key, trailer)| InternalKey { key, trailer: *trailer });
        if passed.is_some_and(|passed| compare_internal(passed, here).is_gt()) {
            self.damaged(offset, "a separator before the block that it ends");
        }
        self.last = Some((key, trailer));
    }

    fn data_block(&mut self, partition: &Block, i: usize) -> Result<()> {
        let handle = self.table.data_handle(partition, i)?;
        let begins = self.data_end.replace(end_of(handle));
        if begins.is_some_and(|begins| begins != handle.offset) {
            self.damaged(handle.offset, "a data block that does not follow the one before");
        }
        let limit = self.table.footer.index_offset;
        let sealed = read(&mut self.data_window, self.table, handle, limit)?;
        let source = &self.table.source;
        let block = source.checked(handle, source.unseal(handle, &sealed, BlockType::Data)?)?;
        if block.count() == 0 {
            return Err(source.corrupt(handle.offset, "a data block without entries"));
        }
        self.counted.data_blocks += 1;
        for entry in 0..block.count() {
            self.entry(&block, entry, handle.offset);
            if self.is_enough() {
                break;
            }
        }
        Ok(())
    }

    fn entry(&mut self, block: &Block, i: usize, offset: u64) {
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        key.extend_from_slice(block.prefix());
        block.key_behind_prefix(i, &mut key);
        let (trailer, value) = (block.trailer(i), block.value(i));
        let here = InternalKey { key: &key, trailer };
        let last = self.last.take();
        let passed = last.as_ref().map(|(key, trailer)| InternalKey { key, trailer: *trailer });
        if passed.is_some_and(|passed| compare_internal(passed, here).is_ge()) {
            self.damaged(offset, "entries that are not in ascending order");
        }
        if block.same_key(i) != (i > 0 && block.key_equals(i - 1, &key)) {
            self.damaged(offset, "an entry with a wrong same-key bit");
        }
        if self.filter.as_ref().is_some_and(|filter| !filter.may_contain(hash64(&key))) {
            self.damaged(offset, "a key that the filter denies");
        }
        if let Err(reason) = self.counted.count(&key, trailer, value) {
            self.damaged(offset, reason);
        }
        self.key = last.map_or_else(Vec::new, |(key, _)| key);
        self.last = Some((key, trailer));
    }

    fn tombstones(&mut self) -> Result<()> {
        for tombstone in self.table.read_range_tombstones()?.iter() {
            self.counted.count_range_tombstone(tombstone.seq);
        }
        Ok(())
    }

    /// Compares the counts, if everything could be counted.
    fn properties(&mut self) -> Result<()> {
        let stored = self.table.properties()?;
        if !self.findings.is_empty() {
            return Ok(());
        }
        if let Some((key, _)) = self.last.take().filter(|_| self.counted.entries > 0) {
            self.counted.last_key = Bytes::from(key);
        }
        if stored != self.counted || stored.entries != self.table.footer.entries {
            let offset = self.table.footer.properties().map_or(0, |handle| handle.offset);
            return Err(self
                .table
                .source
                .corrupt(offset, "counts that are not those of the table"));
        }
        Ok(())
    }
}

/// Where the block behind this one must begin.
fn end_of(handle: Handle) -> u64 {
    handle.end().unwrap_or(u64::MAX)
}

/// Reads a sealed block: with what follows, or, should that fail, by itself, so that only what
/// cannot be read is reported.
fn read<'a>(
    window: &'a mut Window,
    table: &Table,
    handle: Handle,
    limit: u64,
) -> Result<Cow<'a, [u8]>> {
    match window.sealed(&table.source, handle, limit) {
        Ok(sealed) => Ok(Cow::Borrowed(sealed)),
        Err(_) => table.source.sealed(handle).map(|sealed| Cow::Owned(sealed.into())),
    }
}
