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
    /// A write takes at most this many bytes and answers so; no error. Calls of other kinds go
    /// well.
    Short(usize),
}

/// The error that a failing call answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// One that Rust has a name for.
    Kind(io::ErrorKind),
    /// One by the number that the operating system gives it, such as that of an I/O error.
    Os(i32),
}

impl From<io::ErrorKind> for FaultError {
    fn from(kind: io::ErrorKind) -> Self {
        FaultError::Kind(kind)
    }
}

impl From<FaultError> for io::Error {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::Kind(kind) => kind.into(),
            FaultError::Os(number) => io::Error::from_raw_os_error(number),
        }
    }
}

/// Which calls fail, and how.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Calls of this kind.
    pub op: OpKind,
    /// Only on paths that contain this text; of two paths, either. An open file goes by the path
    /// under which it was opened.
    pub path_contains: String,
    /// How many matching calls go well first.
    pub after: u64,
    /// How many calls fail then.
    pub times: u64,
    /// The error.
    pub error: FaultError,
    /// What happens besides.
    pub kind: FaultKind,
}

impl Fault {
    /// Every call of this kind fails with `error` from now on.
    pub fn new(op: OpKind, error: impl Into<FaultError>) -> Fault {
        let (path_contains, error) = (String::new(), error.into());
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

/// An armed fault, as [`FaultFs::arm`] names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(usize);

#[derive(Debug, Default)]
struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// All that were ever armed, so that a number stays the name of one fault.
    faults: Vec<Armed>,
    calls: BTreeMap<OpKind, u64>,
}

#[derive(Debug)]
struct Armed {
    fault: Fault,
    /// Matching calls that went well, and that failed.
    passed: u64,
    fired: u64,
    armed: bool,
}

impl Armed {
    fn matches(&self, op: OpKind, paths: &[&Path]) -> bool {
        let named = |path: &&Path| path.to_string_lossy().contains(&self.fault.path_contains);
        self.armed
            && self.fault.op == op
            && self.fired < self.fault.times
            && paths.iter().any(named)
    }
}

impl Faults {
    /// Counts a call; answers how it is to fail.
    fn meet(&self, op: OpKind, paths: &[&Path]) -> Option<(FaultKind, FaultError)> {
        let mut state = self.state.lock();
        *state.calls.entry(op).or_insert(0) += 1;
        for armed in state.faults.iter_mut().filter(|armed| armed.matches(op, paths)) {
            if armed.passed < armed.fault.after {
                armed.passed += 1;
                continue;
            }
            armed.fired += 1;
            return Some((armed.fault.kind, armed.fault.error));
        }
        None
    }

    fn run<T>(
        &self,
        op: OpKind,
        paths: &[&Path],
        call: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match self.meet(op, paths) {
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

    /// Arms a fault, beside those that are armed. Where several match, the first one armed whose
    /// turn it is decides.
    pub fn arm(&self, fault: Fault) -> FaultId {
        let mut state = self.faults.state.lock();
        state.faults.push(Armed { fault, passed: 0, fired: 0, armed: true });
        FaultId(state.faults.len() - 1)
    }

    /// How often a fault made a call fail, disarmed or not.
    pub fn fired(&self, id: FaultId) -> u64 {
        self.faults.state.lock().faults.get(id.0).map_or(0, |armed| armed.fired)
    }

    /// Disarms one fault.
    pub fn disarm_one(&self, id: FaultId) {
        if let Some(armed) = self.faults.state.lock().faults.get_mut(id.0) {
            armed.armed = false;
        }
    }

    /// Disarms every fault.
    pub fn disarm(&self) {
        self.faults.state.lock().faults.iter_mut().for_each(|armed| armed.armed = false);
    }

    /// How many calls of each kind there were.
    pub fn calls(&self) -> BTreeMap<OpKind, u64> {
        self.faults.state.lock().calls.clone()
    }

    fn wrap(&self, file: Arc<dyn FsFile>, path: &Path) -> Arc<dyn FsFile> {
        Arc::new(FaultFile { file, path: path.to_owned(), faults: Arc::clone(&self.faults) })
    }
}

impl Fs for FaultFs {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let file = self.faults.run(OpKind::Create, &[path], || self.inner.create_new(path))?;
        Ok(self.wrap(file, path))
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        let file = self.faults.run(OpKind::Open, &[path], || self.inner.open(path, mode))?;
        Ok(self.wrap(file, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.run(OpKind::Rename, &[from, to], || self.inner.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.faults.run(OpKind::Remove, &[path], || self.inner.remove(path))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.faults.run(OpKind::HardLink, &[from, to], || self.inner.hard_link(from, to))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.faults.run(OpKind::List, &[dir], || self.inner.list(dir))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.faults.run(OpKind::Metadata, &[path], || self.inner.metadata(path))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.faults.run(OpKind::CreateDir, &[dir], || self.inner.create_dir(dir))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.faults.run(OpKind::RemoveDir, &[dir], || self.inner.remove_dir(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.faults.run(OpKind::SyncDir, &[dir], || self.inner.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        self.faults.run(OpKind::Lock, &[path], || self.inner.lock(path))
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.faults.run(OpKind::FreeSpace, &[dir], || self.inner.free_space(dir))
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
        self.faults.run(OpKind::Read, &[&self.path], || self.file.read_at(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match self.faults.meet(OpKind::Write, &[&self.path]) {
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
        self.faults.run(OpKind::SetLen, &[&self.path], || self.file.set_len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.faults.run(OpKind::Allocate, &[&self.path], || self.file.allocate(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.run(OpKind::Sync, &[&self.path], || self.file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.faults.run(OpKind::Sync, &[&self.path], || self.file.sync_all())
    }

    fn len(&self) -> io::Result<u64> {
        self.faults.run(OpKind::Len, &[&self.path], || self.file.len())
    }
}
