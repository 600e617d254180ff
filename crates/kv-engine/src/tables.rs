//! The open tables, by file number, and the block cache that they share.
//!
//! A version holds no open table: whoever reads asks here, and the least used handles are closed
//! when there are too many.

use crate::error::{Error, ErrorKind, Result};
use crate::values::ValueFiles;
use kv_manifest::{FileMeta, FileName, Version};
use kv_sstable::{BlockCache, Table};
use kv_vfs::testing::{bug, planted};
use kv_vfs::{Fs, Mode};
use parking_lot::RwLock;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const MAX_SHARDS: usize = 16;
/// A shard holds at least this many, so that a few open files are shared by all tables.
const MIN_PER_SHARD: usize = 16;

/// The open tables of one store.
pub(crate) struct Tables {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    cache: Arc<BlockCache>,
    values: Arc<ValueFiles>,
    shards: Vec<Shard>,
    per_shard: usize,
    map: bool,
    clock: AtomicU64,
    closed: AtomicBool,
}

type Shard = RwLock<HashMap<u64, Open, BuildHasherDefault<Spread>>>;

/// Spreads file numbers, which are ours and ascend: nobody chooses them.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0.rotate_left(8) ^ u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

struct Open {
    table: Arc<Table>,
    /// When it was last asked for, in opens since the start.
    used: AtomicU64,
}

impl Tables {
    pub(crate) fn new(
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        cache_bytes: usize,
        max_open: usize,
        map: bool,
    ) -> Tables {
        let shards = (max_open / MIN_PER_SHARD).clamp(1, MAX_SHARDS);
        let cache = BlockCache::new(cache_bytes);
        let (of_values, cached) = (Arc::clone(&fs), Arc::clone(&cache));
        let values = ValueFiles::new(of_values, dir.clone(), cached, max_open);
        Tables {
            fs,
            dir,
            cache,
            values: Arc::new(values),
            shards: (0..shards).map(|_| RwLock::default()).collect(),
            per_shard: max_open / shards,
            map,
            clock: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        }
    }

    pub(crate) fn cache(&self) -> &Arc<BlockCache> {
        &self.cache
    }

    /// The value files that the tables refer to.
    pub(crate) fn values(&self) -> &Arc<ValueFiles> {
        &self.values
    }

    fn shard(&self, number: u64) -> Result<&Shard> {
        let index = number as usize % self.shards.len().max(1);
        self.shards.get(index).ok_or_else(Error::closed)
    }

    /// The table with this metadata, opened if need be. Opening reads nothing: what the footer
    /// says is in the manifest.
    pub(crate) fn get(&self, meta: &FileMeta) -> Result<Arc<Table>> {
        let shard = self.shard(meta.number)?;
        let now = self.clock.load(Ordering::Relaxed);
        if let Some(open) = shard.read().get(&meta.number) {
            if open.used.load(Ordering::Relaxed) != now {
                open.used.store(now, Ordering::Relaxed);
            }
            return Ok(Arc::clone(&open.table));
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        let table = self.open(meta)?;
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut open = shard.write();
        while open.len() >= self.per_shard {
            let Some(oldest) =
                open.iter().min_by_key(|(_, o)| o.used.load(Ordering::Relaxed)).map(|(n, _)| *n)
            else {
                break;
            };
            open.remove(&oldest);
        }
        let entry =
            open.entry(meta.number).or_insert_with(|| Open { table, used: AtomicU64::new(now) });
        Ok(Arc::clone(&entry.table))
    }

    /// Opens every file of a version and keeps it open, whatever the limit on open files: for a
    /// reader beside a writer that may remove them.
    pub(crate) fn hold_all(&self, version: &Version) -> Result<()> {
        self.hold_new(version, &HashSet::new())
    }

    /// [`Tables::hold_all`] for the files whose numbers are not among `held`.
    pub(crate) fn hold_new(&self, version: &Version, held: &HashSet<u64>) -> Result<()> {
        for (_, meta) in version.files().filter(|(_, meta)| !held.contains(&meta.number)) {
            let table = self.open(meta)?;
            let used = AtomicU64::new(0);
            self.shard(meta.number)?.write().insert(meta.number, Open { table, used });
        }
        self.values.hold_new(version, held)
    }

    /// The table of that number, if it is open.
    pub(crate) fn held(&self, number: u64) -> Option<Arc<Table>> {
        Some(Arc::clone(&self.shard(number).ok()?.read().get(&number)?.table))
    }

    /// Whether a table or a value file of that number is open.
    pub(crate) fn has(&self, number: u64) -> bool {
        let table = self.shard(number).is_ok_and(|shard| shard.read().contains_key(&number));
        table || self.values.has(number)
    }

    /// Opens the file anew, as it is now, past the handles that are open.
    pub(crate) fn open(&self, meta: &FileMeta) -> Result<Arc<Table>> {
        let path = FileName::Table(meta.number).path(&self.dir);
        let opened = match self.map || planted(bug::TABLES_MAPPED_UNASKED) {
            true => self.fs.map(&path),
            false => self.fs.open(&path, Mode::Read),
        };
        let file = opened.map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::corrupt(format!(
                "{}: the manifest names this table, and it is missing; restore it from a backup",
                path.display()
            )),
            std::io::ErrorKind::InvalidInput => {
                Error::corrupt(format!("{}: not a regular file", path.display()))
            }
            _ => Error::io(format!("{}: open failed", path.display()), e),
        })?;
        let cache = Arc::clone(&self.cache);
        Ok(Table::open(file, path, meta.number, meta.size, &meta.footer, cache)?)
    }

    /// Forgets a table that no version names any more, and its blocks.
    pub(crate) fn forget(&self, number: u64) {
        if let Ok(shard) = self.shard(number) {
            shard.write().remove(&number);
        }
        self.cache.erase_table(number);
    }

    /// How many tables are open.
    pub(crate) fn open_count(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Closes every file; later reads answer `Closed`.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.values.close();
        for shard in &self.shards {
            shard.write().clear();
        }
    }
}

impl crate::read::level::OpenTable for Tables {
    fn open(&self, meta: &FileMeta) -> Result<Arc<Table>> {
        self.get(meta)
    }
}

/// A table that the engine wants to look at as damage, not as a failed call.
pub(crate) fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corruption | ErrorKind::IncompatibleFormat)
}
