//! A file system that writes down what is changed, so that it can be done again.
//!
//! [`TraceFs`] records every call that changes something, in the one order in which the inner file
//! system did them, together with notes that the program under test puts in between. [`Replayer`]
//! does the calls again on a [`MemFs`], one by one: after each of them a power cut can be tried,
//! so that a program runs once and all moments of its life are tested. Files go by the handle
//! through which they were written, so that what is renamed or removed while it is open is
//! written to as it was.

use crate::fs::{Clock, DirEntry, Fs, FsFile, FsLock, FsWindow, Job, Metadata, Mode, Thread};
use crate::mem::MemFs;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a program notes in the trace of its calls.
/// ```
/// use kv_vfs::{Fs, FsFileExt, MemFs, Note, TraceFs, TraceOp};
/// use std::{path::Path, sync::Arc};
/// let traced = TraceFs::new(Arc::new(MemFs::new()));
/// assert!(traced.is_empty());
/// let log = traced.create_new(Path::new("/log"))?;
/// // Writer 1 does its operation 7, and learns that it is durable.
/// traced.note(Note::Attempted, 1, 7);
/// log.write_all_at(b"seven", 0)?;
/// log.sync_data()?;
/// traced.note(Note::Durable, 1, 7);
///
/// let trace: Vec<TraceOp> = traced.trace();
/// let lines: Vec<String> = trace.iter().map(|op| op.to_string()).collect();
/// assert_eq!(lines[..2], ["create /log as 1", "# Attempted 7 by 1"]);
/// assert_eq!(lines[2..], ["write 1: 5 bytes at 0", "sync 1", "# Durable 7 by 1"]);
/// // Only around the calls does it matter when the power is cut.
/// assert_eq!((trace.iter().filter(|op| op.changes()).count(), traced.len()), (3, 5));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The writer is about to do its operation with this index.
    Attempted,
    /// The operation with this index has answered.
    Returned,
    /// Everything up to this index was acknowledged as durable.
    Durable,
    /// An open has shown the state with this index to a reader.
    Shown,
    /// The clock stands so many milliseconds after its beginning.
    Clock,
}

/// One recorded call, or a note. Handles are numbers that the trace gives, each only once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceOp {
    /// A file created and opened.
    Create(PathBuf, u64),
    /// An existing file opened.
    Open(PathBuf, Mode, u64),
    /// A handle dropped.
    Close(u64),
    /// A lock taken, which makes its file where there is none.
    Lock(PathBuf),
    /// Bytes written at an offset.
    Write(u64, u64, Arc<[u8]>),
    /// A length set.
    SetLen(u64, u64),
    /// Space reserved.
    Allocate(u64, u64),
    /// A file synced.
    Sync(u64),
    /// A name changed, from and to.
    Rename(PathBuf, PathBuf),
    /// A file's name removed.
    Remove(PathBuf),
    /// A second name given, from and to.
    HardLink(PathBuf, PathBuf),
    /// A directory made.
    CreateDir(PathBuf),
    /// A directory removed.
    RemoveDir(PathBuf),
    /// A directory synced.
    SyncDir(PathBuf),
    /// A sync of a file that failed for good: what it was to save is gone after a power cut.
    Lose(u64),
    /// A sync of a directory that failed for good.
    LoseNames(PathBuf),
    /// What writer number so noted, and the index.
    Note(Note, u32, u64),
}

impl TraceOp {
    /// Whether a power cut before it and one after it may leave different states.
    pub fn changes(&self) -> bool {
        !matches!(self, TraceOp::Open(..) | TraceOp::Close(_) | TraceOp::Note(..))
    }
}

impl fmt::Display for TraceOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceOp::Create(path, handle) => write!(f, "create {} as {handle}", path.display()),
            TraceOp::Open(path, mode, handle) => {
                write!(f, "open {} as {handle}, {mode:?}", path.display())
            }
            TraceOp::Close(handle) => write!(f, "close {handle}"),
            TraceOp::Lock(path) => write!(f, "lock {}", path.display()),
            TraceOp::Write(handle, offset, bytes) => {
                write!(f, "write {handle}: {} bytes at {offset}", bytes.len())
            }
            TraceOp::SetLen(handle, len) => write!(f, "set_len {handle}: {len}"),
            TraceOp::Allocate(handle, len) => write!(f, "allocate {handle}: {len}"),
            TraceOp::Sync(handle) => write!(f, "sync {handle}"),
            TraceOp::Rename(from, to) => write!(f, "rename {} {}", from.display(), to.display()),
            TraceOp::Remove(path) => write!(f, "remove {}", path.display()),
            TraceOp::HardLink(from, to) => write!(f, "link {} {}", from.display(), to.display()),
            TraceOp::CreateDir(path) => write!(f, "create_dir {}", path.display()),
            TraceOp::RemoveDir(path) => write!(f, "remove_dir {}", path.display()),
            TraceOp::SyncDir(path) => write!(f, "sync_dir {}", path.display()),
            TraceOp::Lose(handle) => write!(f, "lose {handle}"),
            TraceOp::LoseNames(path) => write!(f, "lose_names {}", path.display()),
            TraceOp::Note(note, writer, index) => write!(f, "# {note:?} {index} by {writer}"),
        }
    }
}

/// A file system that records the calls that change it. A clone records into the same trace.
///
/// ```
/// use kv_vfs::{Fs, FsFileExt, MemFs, Replayer, TraceFs};
/// use std::{path::Path, sync::Arc};
/// let traced = TraceFs::new(Arc::new(MemFs::new()));
/// let file = traced.create_new(Path::new("/a"))?;
/// file.write_all_at(b"hello", 0)?;
///
/// let mut replayer = Replayer::new(MemFs::new());
/// for op in traced.trace() {
///     replayer.apply(&op)?;
///     let _after_a_power_cut_here = replayer.fs().crash();
/// }
/// assert_eq!(replayer.fs().metadata(Path::new("/a"))?.len, 5);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TraceFs {
    inner: Arc<dyn Fs>,
    trace: Arc<Mutex<Recorder>>,
}

/// Held while a call is done, so that the trace has the order of the calls.
#[derive(Debug, Default)]
struct Recorder {
    ops: Vec<TraceOp>,
    handles: u64,
}

impl Recorder {
    fn handle(&mut self) -> u64 {
        self.handles += 1;
        self.handles
    }
}

impl TraceFs {
    /// Nothing is recorded yet.
    pub fn new(inner: Arc<dyn Fs>) -> TraceFs {
        TraceFs { inner, trace: Arc::default() }
    }

    /// What was recorded until now.
    pub fn trace(&self) -> Vec<TraceOp> {
        self.trace.lock().ops.clone()
    }

    /// How many calls and notes were recorded until now.
    pub fn len(&self) -> usize {
        self.trace.lock().ops.len()
    }

    /// Whether nothing was recorded yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a note between the calls.
    pub fn note(&self, note: Note, writer: u32, index: u64) {
        self.trace.lock().ops.push(TraceOp::Note(note, writer, index));
    }

    /// Does a call that changes something, and records it where it succeeds.
    fn record<T>(
        &self,
        call: impl FnOnce(&dyn Fs) -> io::Result<T>,
        op: impl FnOnce() -> TraceOp,
    ) -> io::Result<T> {
        let mut trace = self.trace.lock();
        let answer = call(&*self.inner)?;
        trace.ops.push(op());
        Ok(answer)
    }

    fn file(&self, inner: Arc<dyn FsFile>, handle: u64) -> Arc<dyn FsFile> {
        Arc::new(TraceFile { inner, handle, trace: Arc::clone(&self.trace) })
    }
}

impl Fs for TraceFs {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let mut trace = self.trace.lock();
        let inner = self.inner.create_new(path)?;
        let handle = trace.handle();
        trace.ops.push(TraceOp::Create(path.to_owned(), handle));
        Ok(self.file(inner, handle))
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        let mut trace = self.trace.lock();
        let inner = self.inner.open(path, mode)?;
        let handle = trace.handle();
        trace.ops.push(TraceOp::Open(path.to_owned(), mode, handle));
        Ok(self.file(inner, handle))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.record(|fs| fs.rename(from, to), || TraceOp::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.record(|fs| fs.remove(path), || TraceOp::Remove(path.to_owned()))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let op = || TraceOp::HardLink(from.to_owned(), to.to_owned());
        self.record(|fs| fs.hard_link(from, to), op)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner.canonical(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.inner.metadata(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.record(|fs| fs.create_dir(dir), || TraceOp::CreateDir(dir.to_owned()))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.record(|fs| fs.remove_dir(dir), || TraceOp::RemoveDir(dir.to_owned()))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.record(|fs| fs.sync_dir(dir), || TraceOp::SyncDir(dir.to_owned()))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        self.record(|fs| fs.lock(path), || TraceOp::Lock(path.to_owned()))
    }

    fn lose_unsynced_names(&self, dir: &Path) -> io::Result<()> {
        self.record(|fs| fs.lose_unsynced_names(dir), || TraceOp::LoseNames(dir.to_owned()))
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.inner.free_space(dir)
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }

    fn spawn(&self, name: &str, job: Job) -> io::Result<Box<dyn Thread>> {
        self.inner.spawn(name, job)
    }

    fn give_way(&self) {
        self.inner.give_way();
    }
}

#[derive(Debug)]
struct TraceFile {
    inner: Arc<dyn FsFile>,
    handle: u64,
    trace: Arc<Mutex<Recorder>>,
}

impl TraceFile {
    fn record<T>(
        &self,
        call: impl FnOnce(&dyn FsFile) -> io::Result<T>,
        op: impl FnOnce(&T) -> TraceOp,
    ) -> io::Result<T> {
        let mut trace = self.trace.lock();
        let answer = call(&*self.inner)?;
        trace.ops.push(op(&answer));
        Ok(answer)
    }
}

impl FsFile for TraceFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.record(
            |file| file.write_at(bytes, offset),
            |written| {
                let bytes = bytes.get(..*written).unwrap_or(bytes);
                TraceOp::Write(self.handle, offset, bytes.into())
            },
        )
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.record(|file| file.set_len(len), |()| TraceOp::SetLen(self.handle, len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.record(|file| file.allocate(len), |()| TraceOp::Allocate(self.handle, len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.record(|file| file.sync_data(), |()| TraceOp::Sync(self.handle))
    }

    fn sync_all(&self) -> io::Result<()> {
        self.record(|file| file.sync_all(), |()| TraceOp::Sync(self.handle))
    }

    fn lose_unsynced(&self) -> io::Result<()> {
        self.record(|file| file.lose_unsynced(), |()| TraceOp::Lose(self.handle))
    }

    fn window(&self, part: Range<u64>) -> Option<Box<dyn FsWindow>> {
        let inner = self.inner.window(part)?;
        let trace = Arc::clone(&self.trace);
        Some(Box::new(TraceWindow { inner, handle: self.handle, trace }))
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}

/// A copy into it is recorded as the write that it is.
#[derive(Debug)]
struct TraceWindow {
    inner: Box<dyn FsWindow>,
    handle: u64,
    trace: Arc<Mutex<Recorder>>,
}

impl FsWindow for TraceWindow {
    fn copy(&mut self, bytes: &[u8], offset: u64) -> bool {
        let mut trace = self.trace.lock();
        let copied = self.inner.copy(bytes, offset);
        if copied {
            trace.ops.push(TraceOp::Write(self.handle, offset, bytes.into()));
        }
        copied
    }
}

impl Drop for TraceFile {
    fn drop(&mut self) {
        self.trace.lock().ops.push(TraceOp::Close(self.handle));
    }
}

/// Does the calls of a trace again, on a file system as it was when the trace began.
#[derive(Debug)]
pub struct Replayer {
    fs: MemFs,
    handles: HashMap<u64, Arc<dyn FsFile>>,
}

impl Replayer {
    /// Begins with `fs`, which the replay changes.
    pub fn new(fs: MemFs) -> Replayer {
        Replayer { fs, handles: HashMap::new() }
    }

    /// The file system after the calls until now.
    pub fn fs(&self) -> &MemFs {
        &self.fs
    }

    /// Does one call. Notes do nothing. An error says that the trace does not belong to the
    /// file system with which the replay began.
    pub fn apply(&mut self, op: &TraceOp) -> io::Result<()> {
        match op {
            TraceOp::Create(path, handle) => {
                self.handles.insert(*handle, self.fs.create_new(path)?);
            }
            TraceOp::Open(path, mode, handle) => {
                self.handles.insert(*handle, self.fs.open(path, *mode)?);
            }
            TraceOp::Close(handle) => {
                self.handles.remove(handle);
            }
            TraceOp::Lock(path) => drop(self.fs.lock(path)?),
            TraceOp::Write(handle, offset, bytes) => {
                let written = self.file(*handle)?.write_at(bytes, *offset)?;
                if written < bytes.len() {
                    return Err(io::ErrorKind::WriteZero.into());
                }
            }
            TraceOp::SetLen(handle, len) => self.file(*handle)?.set_len(*len)?,
            TraceOp::Allocate(handle, len) => self.file(*handle)?.allocate(*len)?,
            TraceOp::Sync(handle) => self.file(*handle)?.sync_data()?,
            TraceOp::Rename(from, to) => self.fs.rename(from, to)?,
            TraceOp::Remove(path) => self.fs.remove(path)?,
            TraceOp::HardLink(from, to) => self.fs.hard_link(from, to)?,
            TraceOp::CreateDir(path) => self.fs.create_dir(path)?,
            TraceOp::RemoveDir(path) => self.fs.remove_dir(path)?,
            TraceOp::SyncDir(path) => self.fs.sync_dir(path)?,
            TraceOp::Lose(handle) => self.file(*handle)?.lose_unsynced()?,
            TraceOp::LoseNames(path) => self.fs.lose_unsynced_names(path)?,
            TraceOp::Note(..) => {}
        }
        Ok(())
    }

    fn file(&self, handle: u64) -> io::Result<&dyn FsFile> {
        let file = self.handles.get(&handle);
        file.map(|file| &**file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
