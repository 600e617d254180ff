//! Tables in the making: entries in, complete and synced tables out, cut where one is large
//! enough. Flush, compaction and recovery share it. Long values go into value files on the way.

mod values;
mod warming;

pub(crate) use values::Moving;
pub(crate) use warming::Warming;

use crate::error::{Error, ErrorKind, Result};
use crate::limiter::Limiter;
use crate::options::Options;
use bytes::Bytes;
use kv_core::{Kind, RangeTombstones, Trailer, split_expiry};
use kv_manifest::{FileMeta, FileName, LEVELS, ValueMeta, VersionEdit};
use kv_sstable::{Compression, TableBuilder, TableOptions, TableSummary};
use kv_vfs::testing::{bug, planted};
use kv_vfs::{Fs, FsFile};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use values::ValueOutput;

/// The bytes of an expiry in front of an expiring value.
const EXPIRY_LEN: usize = 8;

/// More filter bits above the last level, where a table is asked in vain more often.
const UPPER_LEVEL_BITS: f64 = 4.0;
const LEVEL0_BITS: f64 = 6.0;

/// What making a table needs.
pub(crate) struct TableMaker<'a> {
    pub(crate) fs: &'a Arc<dyn Fs>,
    pub(crate) dir: &'a Path,
    pub(crate) options: &'a Options,
    pub(crate) limiter: &'a Limiter,
    pub(crate) numbers: &'a AtomicU64,
    /// A value of so many bytes or more goes into a value file.
    pub(crate) long_value: usize,
    /// What is left in the cache, if anything.
    pub(crate) warming: Option<&'a Warming>,
}

/// How the tables of a level are built.
pub(crate) fn table_options(options: &Options, level: usize) -> TableOptions {
    let last = level + 1 == LEVELS;
    let more = match level {
        0 => LEVEL0_BITS,
        _ if last => 0.0,
        _ => UPPER_LEVEL_BITS,
    };
    TableOptions {
        block_size: options.block_size as usize,
        bloom_bits: if options.bloom_bits > 0.0 { options.bloom_bits + more } else { 0.0 },
        compression: if last { options.compression } else { Compression::None },
    }
}

impl TableMaker<'_> {
    /// Makes the names of finished tables durable.
    pub(crate) fn sync_dir(&self) -> Result<()> {
        if planted(bug::DIRECTORY_SYNCS_STOP) && self.numbers.load(Ordering::Relaxed) > 12 {
            return Ok(());
        }
        self.fs
            .sync_dir(self.dir)
            .map_err(|e| Error::io(format!("{}: sync failed", self.dir.display()), e))
    }

    /// Makes tables for each slice of the same work on a thread of its own, the first on this one.
    /// Where one fails, nothing of the others stays.
    pub(crate) fn in_slices<T: Sync>(
        &self,
        name: &str,
        slices: &[T],
        work: impl Fn(&T) -> Result<Made> + Sync,
    ) -> Result<Made> {
        let mut all = Made::default();
        let mut failure = None;
        for made in kv_vfs::side_by_side(name, slices, work) {
            let unfinished =
                || Error::new(ErrorKind::Io, format!("a thread {name} did not finish"));
            match made.ok_or_else(unfinished).flatten() {
                Ok(made) => all.extend(made),
                Err(error) => failure = Some(error),
            }
        }
        let Some(error) = failure else { return Ok(all) };
        for name in all.names() {
            if let FileName::Table(number) = name {
                self.forget(number);
            }
            let _ = self.fs.remove(&name.path(self.dir));
        }
        Err(error)
    }

    /// Takes the blocks of a table that comes to nothing out of the cache.
    fn forget(&self, number: u64) {
        if let Some(warming) = self.warming {
            warming.cache().erase_table(number);
        }
    }

    fn builder(&self, level: usize) -> Result<(TableBuilder, u64, PathBuf)> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let path = FileName::Table(number).path(self.dir);
        let file = self.create(&path)?;
        let options = table_options(self.options, level);
        Ok((TableBuilder::new(file, path.clone(), number, options), number, path))
    }

    /// Makes a file whose writing is held to the limit.
    fn create(&self, path: &Path) -> Result<Arc<dyn FsFile>> {
        let file = self
            .fs
            .create_new(path)
            .map_err(|e| Error::io(format!("{}: cannot be created", path.display()), e))?;
        Ok(self.limiter.over(file, self.fs.clock()))
    }
}

/// What a flush, a recovery or a merge made. The files are synced, their names may not be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Made {
    pub(crate) tables: Vec<Arc<FileMeta>>,
    /// The value files that only these tables refer to.
    pub(crate) values: Vec<ValueMeta>,
}

impl Made {
    /// Takes what another part of the same work made.
    pub(crate) fn extend(&mut self, other: Made) {
        self.tables.extend(other.tables);
        self.values.extend(other.values);
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> impl Iterator<Item = FileName> {
        let tables = self.tables.iter().map(|table| FileName::Table(table.number));
        tables.chain(self.values.iter().map(|values| FileName::Values(values.number)))
    }

    /// Whether nothing was made.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let tables: u64 = self.tables.iter().map(|table| table.size).sum();
        tables + self.value_bytes()
    }

    /// Bytes of the value files.
    pub(crate) fn value_bytes(&self) -> u64 {
        self.values.iter().map(|values| values.size).sum()
    }

    /// The edit that adds the tables to a level, and the value files.
    pub(crate) fn added(&self, level: usize) -> VersionEdit {
        VersionEdit {
            added: self.tables.iter().map(|table| (level, Arc::clone(table))).collect(),
            values_added: self.values.clone(),
            ..VersionEdit::default()
        }
    }
}

/// The tables of one flush, or of one slice of a compaction.
pub(crate) struct Outputs<'a> {
    maker: &'a TableMaker<'a>,
    level: usize,
    /// Range tombstones that stay; each table gets the part over its own keys.
    tombstones: RangeTombstones,
    /// The table that entries go to, with its number.
    current: Option<(TableBuilder, u64)>,
    /// Takes the long values.
    values: ValueOutput<'a>,
    /// Where the keys of the current table begin; `None` is no bound.
    lower: Option<Bytes>,
    /// Where the keys of the last table end; `None` is no bound.
    upper: Option<Bytes>,
    done: Vec<Arc<FileMeta>>,
    /// Files made so far, to be removed where the work fails.
    paths: Vec<PathBuf>,
}

impl<'a> Outputs<'a> {
    /// Tables for `level`, over keys in `[lower, upper)`.
    pub(crate) fn new(
        maker: &'a TableMaker<'a>,
        level: usize,
        tombstones: RangeTombstones,
        lower: Option<Bytes>,
        upper: Option<Bytes>,
    ) -> Outputs<'a> {
        Outputs {
            maker,
            level,
            tombstones,
            current: None,
            values: ValueOutput::new(maker),
            lower,
            upper,
            done: Vec::new(),
            paths: Vec::new(),
        }
    }

    /// Moves the values that lie in one of the files of `moving` into new ones.
    pub(crate) fn moving(mut self, moving: &'a Moving) -> Outputs<'a> {
        self.values.moving = Some(moving);
        self
    }

    fn begin(&mut self) -> Result<()> {
        let (builder, number, path) = self.maker.builder(self.level)?;
        self.paths.push(path);
        self.current = Some((builder, number));
        Ok(())
    }

    /// Appends an entry to the current table.
    pub(crate) fn add(&mut self, key: &[u8], trailer: Trailer, value: &[u8]) -> Result<()> {
        if self.current.is_none() {
            self.begin()?;
        }
        let Some((builder, _)) = &mut self.current else { return Ok(()) };
        let apart = Trailer::new(trailer.seq(), Kind::ValuePointer);
        match trailer.kind() {
            Some(Kind::Put) if value.len() >= self.maker.long_value => {
                builder.add(key, apart, self.values.put(None, value)?)?;
            }
            Some(Kind::PutExpiring)
                if value.len() >= self.maker.long_value.saturating_add(EXPIRY_LEN)
                    && let Some((expiry, value)) = split_expiry(value) =>
            {
                builder.add(key, apart, self.values.put(Some(expiry), value)?)?;
            }
            Some(Kind::ValuePointer) => {
                let moved = self.values.refer(value)?;
                builder.add(key, trailer, moved.unwrap_or(value))?;
            }
            _ => builder.add(key, trailer, value)?,
        }
        if let Some(warming) = self.maker.warming
            && builder.begins_block()
            && let Some(keep) = warming.keep(key)
        {
            builder.keep_block(warming.cache(), keep);
        }
        Ok(())
    }

    /// The size of the current table so far.
    pub(crate) fn current_size(&self) -> u64 {
        self.current.as_ref().map_or(0, |(builder, _)| builder.estimated_size())
    }

    /// Bytes of all files so far.
    pub(crate) fn bytes(&self) -> u64 {
        let done: u64 = self.done.iter().map(|table| table.size).sum();
        done + self.current_size() + self.values.bytes()
    }

    /// Ends the current table before the key `next`, which is not in it.
    pub(crate) fn cut(&mut self, next: &[u8]) -> Result<()> {
        let upper = Bytes::copy_from_slice(next);
        self.end_table(Some(&upper))?;
        self.lower = Some(upper);
        Ok(())
    }

    fn end_table(&mut self, upper: Option<&Bytes>) -> Result<()> {
        let lower = self.lower.clone().unwrap_or_default();
        let tombstones = self.tombstones.clip(&lower, upper.map(Bytes::as_ref));
        if self.current.is_none() && !tombstones.is_empty() {
            self.begin()?;
        }
        let Some((mut builder, number)) = self.current.take() else { return Ok(()) };
        if !tombstones.is_empty() {
            builder.add_range_tombstones(&tombstones);
        }
        let summary = builder.finish()?;
        let values = self.values.take_refs();
        self.done.push(Arc::new(FileMeta { values, ..file_meta(number, summary) }));
        Ok(())
    }

    /// Ends the last table. The tables are synced, their names are not yet.
    pub(crate) fn finish(mut self) -> Result<Made> {
        let upper = self.upper.take();
        self.end_table(upper.as_ref())?;
        let values = self.values.finish()?;
        self.paths.clear();
        Ok(Made { tables: std::mem::take(&mut self.done), values })
    }
}

impl Drop for Outputs<'_> {
    /// Removes what was not finished.
    fn drop(&mut self) {
        self.current = None;
        self.done.iter().for_each(|table| self.maker.forget(table.number));
        for path in self.paths.drain(..) {
            let _ = self.maker.fs.remove(&path);
        }
    }
}

/// What the manifest keeps of a finished table.
fn file_meta(number: u64, summary: TableSummary) -> FileMeta {
    FileMeta {
        number,
        size: summary.size,
        entries: summary.entries,
        tombstones: summary.tombstones,
        range_tombstones: summary.range_tombstones,
        smallest: summary.smallest,
        largest: summary.largest,
        largest_exclusive: summary.largest_exclusive,
        min_seq: summary.min_seq,
        max_seq: summary.max_seq,
        min_expiry: summary.min_expiry,
        max_expiry: summary.max_expiry,
        expiring: summary.expiring,
        raw_bytes: summary.raw_bytes,
        shadow_bytes: summary.shadow_bytes,
        checksum: summary.checksum,
        footer: summary.footer,
        compression: summary.compression,
        ..FileMeta::default()
    }
}
