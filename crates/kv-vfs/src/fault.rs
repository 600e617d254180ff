//! Faults on demand: a file system that fails where a test says so.

use crate::fs::{Clock, DirEntry, Fs, FsFile, FsLock, Job, Metadata, Mode, Thread};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named after the call")]
pub enum OpKind {
    Read,
    Write,
    SetLen,
    Allocate,
    Sync,
    Len,
    Create,
    Open,
    Rename,
    Remove,
    HardLink,
    List,
    Metadata,
    CreateDir,
    RemoveDir,
    SyncDir,
    Lock,
    FreeSpace,
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It does nothing and answers the error.
    Fail,
    /// It does its work and answers the error all the same.
    FailButDone,
    /// A write takes at most this many bytes and answers so; no error.
    Short(usize),
}

/// Which calls fail, and how.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Calls of this kind.
    pub op: OpKind,
    /// Only on paths that contain this text.
    pub path_contains: String,
    /// How many matching calls go well first.
    pub after: u64,
    /// How many calls fail then.
    pub times: u64,
    /// The error.
    pub error: io::ErrorKind,
    /// What happens besides.
    pub kind: FaultKind,
}

impl Fault {
    /// Every call of this kind fails with `error` from now on.
    pub fn new(op: OpKind, error: io::ErrorKind) -> Fault {
        let path_contains = String::new();
        Fault { op, path_contains, after: 0, times: u64::MAX, error, kind: FaultKind::Fail }
    }

    /// Only on paths that contain `text`.
    pub fn on(mut self, text: &str) -> Fault {
        self.path_contains = text.to_owned();
        self
    }

    /// Only after `count` matching calls.
    pub fn after(mut self, count: u64) -> Fault {
        self.after = count;
        self
    }

    /// Only `count` times.
    pub fn times(mut self, count: u64) -> Fault {
        self.times = count;
        self
    }

    /// With this effect.
    pub fn kind(mut self, kind: FaultKind) -> Fault {
        self.kind = kind;
        self
    }
}

/// A file system over another one, which fails where it is armed to. A clone is the same one.
///
/// ```
/// use kv_vfs::{Fault, FaultFs, Fs, MemFs, OpKind};
/// use std::{io, path::Path, sync::Arc};
/// let fs = FaultFs::new(Arc::new(MemFs::new()));
/// fs.arm(Fault::new(OpKind::Create, io::ErrorKind::StorageFull).times(1));
/// assert!(fs.create_new(Path::new("/a")).is_err());
/// assert!(fs.create_new(Path::new("/a")).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct FaultFs {
    inner: Arc<dyn Fs>,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    armed: Mutex<Vec<Fault>>,
    calls: Mutex<BTreeMap<OpKind, u64>>,
}

impl Faults {
    /// Counts a call; answers how it is to fail.
    fn meet(&self, op: OpKind, path: &Path) -> Option<(FaultKind, io::ErrorKind)> {
        *self.calls.lock().entry(op).or_insert(0) += 1;
        let mut armed = self.armed.lock();
        let path = path.to_string_lossy();
        for fault in armed.iter_mut() {
            if fault.op != op || !path.contains(&fault.path_contains) || fault.times == 0 {
                continue;
            }
            if fault.after > 0 {
                fault.after -= 1;
                continue;
            }
            fault.times = fault.times.saturating_sub(1);
            return Some((fault.kind, fault.error));
        }
        None
    }

    fn run<T>(
        &self,
        op: OpKind,
        path: &Path,
        call: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match self.meet(op, path) {
            Some((FaultKind::Fail, error)) => Err(error.into()),
            Some((FaultKind::FailButDone, error)) => {
                call()?;
                Err(error.into())
            }
            Some((FaultKind::Short(_), _)) | None => call(),
        }
    }
}

impl FaultFs {
    /// A file system over `inner` with no fault armed.
    pub fn new(inner: Arc<dyn Fs>) -> FaultFs {
        FaultFs { inner, faults: Arc::default() }
    }

    /// Arms a fault, beside those that are armed.
    pub fn arm(&self, fault: Fault) {
        self.faults.armed.lock().push(fault);
    }

    /// Disarms every fault.
    pub fn disarm(&self) {
        self.faults.armed.lock().clear();
    }

    /// How many calls of each kind there were.
    pub fn calls(&self) -> BTreeMap<OpKind, u64> {
        self.faults.calls.lock().clone()
    }

    fn wrap(&self, file: Arc<dyn FsFile>, path: &Path) -> Arc<dyn FsFile> {
        Arc::new(FaultFile { file, path: path.to_owned(), faults: Arc::clone(&self.faults) })
    }
}

impl Fs for FaultFs {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let file = self.faults.run(OpKind::Create, path, || self.inner.create_new(path))?;
        Ok(self.wrap(file, path))
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        let file = self.faults.run(OpKind::Open, path, || self.inner.open(path, mode))?;
        Ok(self.wrap(file, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.run(OpKind::Rename, to, || self.inner.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.faults.run(OpKind::Remove, path, || self.inner.remove(path))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.run(OpKind::HardLink, to, || self.inner.hard_link(from, to))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.faults.run(OpKind::List, dir, || self.inner.list(dir))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.faults.run(OpKind::Metadata, path, || self.inner.metadata(path))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.faults.run(OpKind::CreateDir, dir, || self.inner.create_dir(dir))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.faults.run(OpKind::RemoveDir, dir, || self.inner.remove_dir(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.faults.run(OpKind::SyncDir, dir, || self.inner.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        self.faults.run(OpKind::Lock, path, || self.inner.lock(path))
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.faults.run(OpKind::FreeSpace, dir, || self.inner.free_space(dir))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }

    fn spawn(&self, name: &str, job: Job) -> io::Result<Box<dyn Thread>> {
        self.inner.spawn(name, job)
    }
}

#[derive(Debug)]
struct FaultFile {
    file: Arc<dyn FsFile>,
    path: PathBuf,
    faults: Arc<Faults>,
}

impl FsFile for FaultFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.faults.run(OpKind::Read, &self.path, || self.file.read_at(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match self.faults.meet(OpKind::Write, &self.path) {
            None => self.file.write_at(bytes, offset),
            Some((FaultKind::Fail, error)) => Err(error.into()),
            Some((FaultKind::FailButDone, error)) => {
                self.file.write_at(bytes, offset)?;
                Err(error.into())
            }
            Some((FaultKind::Short(limit), _)) => {
                let part = bytes.get(..limit).unwrap_or(bytes);
                self.file.write_at(part, offset)
            }
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.run(OpKind::SetLen, &self.path, || self.file.set_len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.faults.run(OpKind::Allocate, &self.path, || self.file.allocate(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.run(OpKind::Sync, &self.path, || self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.faults.run(OpKind::Sync, &self.path, || self.file.sync_all())
    }

    fn len(&self) -> io::Result<u64> {
        self.faults.run(OpKind::Len, &self.path, || self.file.len())
    }
}
