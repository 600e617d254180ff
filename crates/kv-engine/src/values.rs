//! The open value files, by number, and the values that they hold.

use crate::error::{Error, ErrorKind, Result};
use bytes::Bytes;
use kv_core::ValuePointer;
use kv_manifest::{FileName, ValueMeta, Version};
use kv_sstable::{BlockCache, StoredValue, ValueFile};
use kv_vfs::{Fs, FsFile, Mode};
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A value of so many bytes or more is put into a value file when a table is written.
pub(crate) const LONG_VALUE: usize = 1024;

/// The value files of one store that are open.
pub(crate) struct ValueFiles {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    cache: Arc<BlockCache>,
    open: RwLock<BTreeMap<u64, Open>>,
    max_open: usize,
    clock: AtomicU64,
    closed: AtomicBool,
    /// Files with damage that stays where it is: nothing is moved out of them.
    unmovable: RwLock<BTreeSet<u64>>,
}

struct Open {
    file: Arc<ValueFile>,
    /// When it was last asked for, in opens since the start.
    used: AtomicU64,
}

impl ValueFiles {
    /// Of the store in `dir`; at most `max_open` files stay open.
    pub(crate) fn new(
        fs: Arc<dyn Fs>,
        dir: PathBuf,
        cache: Arc<BlockCache>,
        max_open: usize,
    ) -> ValueFiles {
        ValueFiles {
            fs,
            dir,
            cache,
            open: RwLock::default(),
            max_open: max_open.max(1),
            clock: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            unmovable: RwLock::default(),
        }
    }

    /// The value that an entry of kind [`kv_core::Kind::ValuePointer`] names, for a point read:
    /// it enters the cache.
    pub(crate) fn get(&self, stored: &[u8]) -> Result<Bytes> {
        let pointer = self.pointer(stored)?;
        if let Some(value) = self.cache.get(pointer.file, pointer.offset) {
            return Ok(value);
        }
        let value = self.file(pointer.file)?.read(&pointer)?;
        self.cache.insert(pointer.file, pointer.offset, value.clone());
        Ok(value)
    }

    /// The same for a scan, which leaves the cache as it is.
    pub(crate) fn scan(&self, stored: &[u8]) -> Result<Bytes> {
        let pointer = self.pointer(stored)?;
        match self.cache.get(pointer.file, pointer.offset) {
            Some(value) => Ok(value),
            None => Ok(self.file(pointer.file)?.read(&pointer)?),
        }
    }

    /// A value as it is stored, to be moved. `None` where it is damaged: then it stays where it
    /// is, where a read says what is wrong with it.
    pub(crate) fn take(&self, pointer: &ValuePointer) -> Result<Option<StoredValue>> {
        let read = self.file(pointer.file).and_then(|file| Ok(file.read_stored(pointer)?));
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::Corruption => {
                self.unmovable.write().insert(pointer.file);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The files with damage that stays where it is.
    pub(crate) fn unmovable(&self) -> Vec<u64> {
        self.unmovable.read().iter().copied().collect()
    }

    fn pointer(&self, stored: &[u8]) -> Result<ValuePointer> {
        let malformed = |_| {
            Error::corrupt("an entry holds no pointer to its value; run verify to find its table")
        };
        ValuePointer::decode(stored).map(|(_, pointer)| pointer).map_err(malformed)
    }

    /// The open file with that number; opened if need be.
    pub(crate) fn file(&self, number: u64) -> Result<Arc<ValueFile>> {
        let now = self.clock.load(Ordering::Relaxed);
        if let Some(open) = self.open.read().get(&number) {
            open.used.store(now, Ordering::Relaxed);
            return Ok(Arc::clone(&open.file));
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        self.keep(number, self.open_any(number)?)
    }

    fn keep(&self, number: u64, file: Arc<ValueFile>) -> Result<Arc<ValueFile>> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.write();
        while open.len() >= self.max_open {
            let used = |open: &Open| open.used.load(Ordering::Relaxed);
            let Some(oldest) = open.iter().min_by_key(|(_, o)| used(o)).map(|(n, _)| *n) else {
                break;
            };
            open.remove(&oldest);
        }
        let entry = open.entry(number).or_insert_with(|| Open { file, used: AtomicU64::new(now) });
        Ok(Arc::clone(&entry.file))
    }

    /// Opens the file anew, as it is now, past the handles that are open.
    pub(crate) fn open(&self, meta: &ValueMeta) -> Result<Arc<ValueFile>> {
        let (file, path) = self.open_file(meta.number)?;
        Ok(ValueFile::open(file, path, meta.number, meta.size)?)
    }

    /// The same for a file of which no more is known than its number.
    pub(crate) fn open_any(&self, number: u64) -> Result<Arc<ValueFile>> {
        let (file, path) = self.open_file(number)?;
        Ok(ValueFile::open_alone(file, path, number)?)
    }

    fn open_file(&self, number: u64) -> Result<(Arc<dyn FsFile>, PathBuf)> {
        let path = FileName::Values(number).path(&self.dir);
        let file = self.fs.open(&path, Mode::Read).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => Error::corrupt(format!(
                "{}: a table refers to this value file, and it is missing; restore it from a \
                 backup",
                path.display()
            )),
            std::io::ErrorKind::InvalidInput => {
                Error::corrupt(format!("{}: not a regular file", path.display()))
            }
            _ => Error::io(format!("{}: open failed", path.display()), e),
        })?;
        Ok((file, path))
    }

    /// Opens every value file of a version and keeps it open, whatever the limit on open files:
    /// for a reader beside a writer that may remove them. Those that are among `held` are open.
    pub(crate) fn hold_new(&self, version: &Version, held: &HashSet<u64>) -> Result<()> {
        for values in version.values().iter().filter(|v| !held.contains(&v.meta.number)) {
            let file = self.open(&values.meta)?;
            let used = AtomicU64::new(0);
            self.open.write().insert(values.meta.number, Open { file, used });
        }
        Ok(())
    }

    /// Whether the file with that number is open.
    pub(crate) fn has(&self, number: u64) -> bool {
        self.open.read().contains_key(&number)
    }

    /// Forgets a file that no version names any more, and its values.
    pub(crate) fn forget(&self, number: u64) {
        self.open.write().remove(&number);
        self.unmovable.write().remove(&number);
        self.cache.erase_table(number);
    }

    /// Closes every file; later reads answer `Closed`.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.open.write().clear();
    }
}
