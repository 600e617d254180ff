//! Building tables in memory and looking at them.

use bytes::Bytes;
use kv_core::{Cursor, InternalKey, RangeTombstones, Trailer, compare_internal};
use kv_sstable::{BlockCache, Compression, Error, Table, TableBuilder, TableOptions, TableSummary};
use kv_vfs::{Fs, FsFile, FsFileExt, MemFs};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The number of every test table.
pub(crate) const NUMBER: u64 = 7;

/// A key, its trailer and its value.
pub(crate) type Entry = (Vec<u8>, Trailer, Vec<u8>);

/// Every way to compress that this build has.
pub(crate) fn compressions() -> Vec<Compression> {
    vec![
        Compression::None,
        Compression::Lz4,
        Compression::Snappy,
        #[cfg(feature = "zstd")]
        Compression::Zstd(1),
    ]
}

/// Internal order; of equal entries the first stays.
pub(crate) fn sort(entries: &mut Vec<Entry>) {
    entries.sort_by(|a, b| {
        let key = |e: &Entry| (e.0.clone(), std::cmp::Reverse(e.1));
        key(a).cmp(&key(b))
    });
    entries.dedup_by(|a, b| a.0 == b.0 && a.1 == b.1);
}

/// Whether an entry sorts before a target.
pub(crate) fn is_before(entry: &Entry, key: &[u8], trailer: Trailer) -> bool {
    let a = InternalKey { key: &entry.0, trailer: entry.1 };
    compare_internal(a, InternalKey { key, trailer }).is_lt()
}

pub(crate) struct Built {
    pub(crate) file: Arc<dyn FsFile>,
    pub(crate) path: PathBuf,
    pub(crate) summary: TableSummary,
}

pub(crate) fn new_file() -> (Arc<dyn FsFile>, PathBuf) {
    let path = PathBuf::from("/000007.sst");
    (MemFs::new().create_new(&path).unwrap(), path)
}

pub(crate) fn build(
    entries: &[Entry],
    tombstones: Option<&RangeTombstones>,
    options: TableOptions,
) -> Built {
    let (file, path) = new_file();
    let mut builder = TableBuilder::new(file.clone(), path.clone(), NUMBER, options);
    for (key, trailer, value) in entries {
        builder.add(key, *trailer, value).unwrap();
    }
    if let Some(set) = tombstones {
        builder.add_range_tombstones(set);
    }
    let summary = builder.finish().unwrap();
    Built { file, path, summary }
}

impl Built {
    pub(crate) fn open(&self, cache: Arc<BlockCache>) -> Arc<Table> {
        let (file, path) = (self.file.clone(), self.path.clone());
        Table::open(file, path, NUMBER, self.summary.size, &self.summary.footer, cache).unwrap()
    }

    /// All bytes of the file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.file.len().unwrap() as usize];
        self.file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }
}

/// A file with these bytes.
pub(crate) fn file_with(bytes: &[u8]) -> Arc<dyn FsFile> {
    let (file, _) = new_file();
    file.write_all_at(bytes, 0).unwrap();
    file
}

/// What a cursor stands on.
pub(crate) fn here<C: Cursor>(cursor: &C) -> Option<Entry> {
    cursor.valid().then(|| (cursor.key().to_vec(), cursor.trailer(), cursor.value().to_vec()))
}

/// All entries from front to back.
pub(crate) fn forward<C: Cursor<Error = Error>>(cursor: &mut C) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    cursor.first()?;
    while let Some(entry) = here(cursor) {
        entries.push(entry);
        cursor.next()?;
    }
    Ok(entries)
}

/// All entries from back to front.
pub(crate) fn backward<C: Cursor<Error = Error>>(cursor: &mut C) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    cursor.last()?;
    while let Some(entry) = here(cursor) {
        entries.push(entry);
        cursor.prev()?;
    }
    Ok(entries)
}

/// The newest version of `key` that `snapshot` sees, by the definition.
pub(crate) fn expected(entries: &[Entry], key: &[u8], snapshot: u64) -> Option<(Trailer, Bytes)> {
    entries
        .iter()
        .find(|(k, trailer, _)| k == key && trailer.seq() <= snapshot)
        .map(|(_, trailer, value)| (*trailer, Bytes::copy_from_slice(value)))
}

/// A file that counts its reads and fails them on demand.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: Arc<dyn FsFile>,
    reads: AtomicUsize,
    most: AtomicUsize,
    /// Reads that still succeed.
    left: AtomicUsize,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn FsFile>) -> Arc<Watched> {
        Arc::new(Watched {
            inner,
            reads: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            left: AtomicUsize::new(usize::MAX),
        })
    }

    pub(crate) fn fail(&self, fail: bool) {
        self.fail_after(if fail { 0 } else { usize::MAX });
    }

    pub(crate) fn fail_after(&self, reads: usize) {
        self.left.store(reads, Relaxed);
    }

    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Relaxed)
    }

    /// The most bytes that one read asked for.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Relaxed)
    }
}

impl FsFile for Watched {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let take = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Relaxed, Relaxed, take).is_err() {
            return Err(io::Error::other("a failing disk"));
        }
        self.reads.fetch_add(1, Relaxed);
        self.most.fetch_max(buffer.len(), Relaxed);
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.inner.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.inner.allocate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.inner.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}
