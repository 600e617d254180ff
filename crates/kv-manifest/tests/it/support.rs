//! Databases to test with.

use bytes::Bytes;
use kv_manifest::{FileMeta, FileName, Manifest, State, VersionEdit};
use kv_vfs::{Fs, FsFile, FsFileExt, FsLock, MemFs, Mode, OverFs};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) const DB_ID: u128 = 0x0123_4567_89AB_CDEF;

pub(crate) fn dir() -> &'static Path {
    Path::new("/db")
}

/// An empty directory, which no power cut takes.
pub(crate) fn disk() -> MemFs {
    let fs = MemFs::new();
    fs.create_dir(dir()).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs
}

/// A table of a range of keys of its own.
pub(crate) fn table(number: u64) -> Arc<FileMeta> {
    Arc::new(FileMeta {
        number,
        size: 1000,
        entries: 10,
        smallest: Bytes::from(format!("{number:06}")),
        largest: Bytes::from(format!("{number:06}~")),
        min_seq: 1,
        max_seq: 1,
        footer: Bytes::from_static(&[7; 64]),
        ..FileMeta::default()
    })
}

/// The edit that makes `n` the last sequence number and adds table `100 + n`.
pub(crate) fn step(n: u64) -> VersionEdit {
    VersionEdit {
        added: vec![(6, table(100 + n))],
        last_seq: Some(n),
        logs_added: vec![1000 + n],
        log_floor: Some(999 + n),
        ..VersionEdit::default()
    }
}

/// Opens for writing as an engine does: reads, numbers above all names, copies forward.
pub(crate) fn open(fs: &Arc<dyn Fs>) -> kv_manifest::Result<Manifest> {
    let mut state = Manifest::read(&**fs, dir())?.unwrap_or_else(|| State::new(DB_ID));
    for entry in fs.list(dir()).unwrap() {
        if let Some(number) = FileName::parse(&entry.name).and_then(FileName::number) {
            state.saw_number(number);
        }
    }
    let number = state.next_file;
    Manifest::create(Arc::clone(fs), dir(), state, number)
}

pub(crate) fn shared(fs: &MemFs) -> Arc<dyn Fs> {
    Arc::new(fs.clone())
}

/// All that a reader can tell of a state.
pub(crate) fn describe(state: &State) -> String {
    let files: Vec<_> = state.version.files().collect();
    format!(
        "{files:?} {} {} {:?} {:?} {} {}",
        state.last_seq, state.log_floor, state.logs, state.settings, state.db_id, state.epoch
    )
}

pub(crate) fn names(fs: &dyn Fs) -> Vec<String> {
    fs.list(dir()).unwrap().into_iter().map(|entry| entry.name).collect()
}

pub(crate) fn bytes_of(fs: &dyn Fs, name: FileName) -> Vec<u8> {
    let file = fs.open(&name.path(dir()), Mode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Puts other bytes into a file.
pub(crate) fn replace(fs: &dyn Fs, name: FileName, bytes: &[u8]) {
    let path = name.path(dir());
    if fs.metadata(&path).is_ok() {
        fs.remove(&path).unwrap();
    }
    fs.create_new(&path).unwrap().write_all_at(bytes, 0).unwrap();
}

type Hook = Arc<dyn Fn(&MemFs) + Send + Sync>;

/// A file system that calls a hook before everything that changes it, and takes long writes in
/// pieces.
#[derive(Clone)]
pub(crate) struct Watched {
    inner: MemFs,
    hook: Hook,
    piece: usize,
    /// Whether this changes anything from now on: reading must not.
    frozen: Arc<AtomicBool>,
}

impl Watched {
    pub(crate) fn new(inner: MemFs, piece: usize, hook: Hook) -> Watched {
        Watched { inner, hook, piece, frozen: Arc::default() }
    }

    pub(crate) fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    fn before_change(&self) {
        assert!(!self.frozen.load(Ordering::Relaxed), "a change while reading");
        (self.hook)(&self.inner);
    }

    fn watch(&self, file: Arc<dyn FsFile>) -> Arc<dyn FsFile> {
        Arc::new(WatchedFile { file, fs: self.clone() })
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

impl OverFs for Watched {
    fn below(&self) -> &dyn Fs {
        &self.inner
    }
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.before_change();
        Ok(self.watch(self.inner.create_new(path)?))
    }
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        Ok(self.watch(self.inner.open(path, mode)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before_change();
        self.inner.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.before_change();
        self.inner.remove(path)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.before_change();
        self.inner.hard_link(from, to)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.before_change();
        self.inner.create_dir(dir)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.before_change();
        self.inner.remove_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.before_change();
        self.inner.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        self.before_change();
        self.inner.lock(path)
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn FsFile>,
    fs: Watched,
}

impl FsFile for WatchedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.fs.before_change();
        self.file.write_at(&bytes[..bytes.len().min(self.fs.piece)], offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fs.before_change();
        self.file.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.fs.before_change();
        self.file.allocate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.fs.before_change();
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.fs.before_change();
        self.file.sync_all()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
