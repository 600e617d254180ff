//! The file system that fails, and the bookkeeping of what fails when.

use super::coverage::{CallSite, Coverage, Covered};
use super::{Fault, FaultError, FaultKind, OpKind};
use crate::fs::{Clock, DirEntry, Fs, FsFile, FsLock, Job, Metadata, Mode, Thread};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
/// ```
/// use kv_vfs::{Fault, FaultFs, FaultId, Fs, MemFs, OpKind};
/// use std::{io, path::Path, sync::Arc};
/// let (root, fs) = (Path::new("/"), FaultFs::new(Arc::new(MemFs::new())));
/// let full: FaultId = fs.arm(Fault::new(OpKind::Create, io::ErrorKind::StorageFull));
/// let lazy: FaultId = fs.arm(Fault::new(OpKind::SyncDir, io::ErrorKind::Other));
/// assert!(fs.create_new(Path::new("/a")).is_err());
/// assert_eq!((fs.fired(full), fs.fired(lazy)), (1, 0));
///
/// fs.disarm_one(full);
/// assert!(fs.create_new(Path::new("/a")).is_ok());
/// assert!(fs.sync_dir(root).is_err());
/// fs.disarm();
/// assert!(fs.sync_dir(root).is_ok());
/// // What each one did stays known.
/// assert_eq!((fs.fired(full), fs.fired(lazy)), (1, 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(usize);

/// A call that a fault struck.
/// ```
/// use kv_vfs::{Fault, FaultFs, FaultKind, Fs, MemFs, OpKind, Struck};
/// use std::{path::Path, sync::Arc};
/// let (path, fs) = (Path::new("/a"), FaultFs::new(Arc::new(MemFs::new())));
/// fs.arm(Fault::nth(0));
/// fs.record();
/// assert!(fs.create_new(path).is_err());
/// fs.create_new(path)?;
/// fs.remove(path)?;
///
/// // One call was struck, of the three that the program made in three places.
/// let struck: Vec<Struck> = fs.struck(0);
/// assert_eq!((struck.len(), struck[0].op, struck[0].kind), (1, OpKind::Create, FaultKind::Fail));
/// assert_eq!(struck[0].path, path);
/// let sequence = fs.sequence();
/// assert_eq!(sequence[0], (struck[0].site, OpKind::Create));
/// assert_eq!((sequence.len(), fs.coverage().len()), (3, 3));
/// assert_eq!(fs.calls()[&OpKind::Create], 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Struck {
    /// What it does.
    pub op: OpKind,
    /// Where it was made.
    pub site: CallSite,
    /// On what; of two paths, the first.
    pub path: PathBuf,
    /// How it failed.
    pub kind: FaultKind,
}

#[derive(Debug, Default)]
struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// All that were ever armed, so that a number stays the name of one fault.
    faults: Vec<Armed>,
    calls: BTreeMap<OpKind, u64>,
    coverage: Coverage,
    struck: Vec<Struck>,
    /// Every call, where someone asked for it.
    sequence: Option<Vec<(CallSite, OpKind)>>,
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
    fn matches(&self, op: OpKind, site: CallSite, paths: &[&Path]) -> bool {
        if !self.armed || self.fired >= self.fault.times {
            return false;
        }
        if self.fired > 0 && self.fault.then.contains(&op) {
            return true;
        }
        let text = &self.fault.path_contains;
        let named = |path: &&Path| path.to_string_lossy().contains(text);
        self.fault.op.is_none_or(|only| only == op)
            && self.fault.site.is_none_or(|only| only == site)
            && (text.is_empty() || paths.iter().any(named))
    }
}

impl Faults {
    /// Counts a call; answers how it is to fail.
    #[track_caller]
    fn meet(&self, op: OpKind, paths: &[&Path]) -> Option<(FaultKind, FaultError)> {
        let location = Location::caller();
        let site = CallSite::from(location);
        let mut state = self.state.lock();
        let State { faults, calls, coverage, sequence, struck } = &mut *state;
        *calls.entry(op).or_insert(0) += 1;
        if let Some(sequence) = sequence {
            sequence.push((site, op));
        }
        let mut fault = None;
        for armed in faults.iter_mut().filter(|armed| armed.matches(op, site, paths)) {
            if armed.passed < armed.fault.after {
                armed.passed += 1;
                continue;
            }
            armed.fired += 1;
            fault = Some((armed.fault.kind, armed.fault.error));
            break;
        }
        coverage.count(location, op, fault);
        if let Some((kind, _)) = fault {
            let path = paths.first().map_or_else(PathBuf::new, |path| path.to_path_buf());
            struck.push(Struck { op, site, path, kind });
        }
        fault
    }

    #[track_caller]
    fn run<T>(
        &self,
        op: OpKind,
        paths: &[&Path],
        call: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match self.meet(op, paths) {
            Some((FaultKind::Fail | FaultKind::LostReadable, error)) => Err(error.into()),
            Some((FaultKind::FailButDone, error)) => {
                call()?;
                Err(error.into())
            }
            Some((FaultKind::Short(_) | FaultKind::FlipBit(_), _)) | None => call(),
        }
    }

    /// A sync: `lose` is what one does that fails for good.
    #[track_caller]
    fn sync(
        &self,
        op: OpKind,
        path: &Path,
        call: impl FnOnce() -> io::Result<()>,
        lose: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        match self.meet(op, &[path]) {
            Some((FaultKind::Fail, error)) => Err(error.into()),
            Some((FaultKind::LostReadable, error)) => match lose() {
                Err(cannot) if cannot.kind() != io::ErrorKind::Unsupported => Err(cannot),
                Ok(()) | Err(_) => Err(error.into()),
            },
            Some((FaultKind::FailButDone, error)) => {
                call()?;
                Err(error.into())
            }
            Some((FaultKind::Short(_) | FaultKind::FlipBit(_), _)) | None => call(),
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

    /// Begins to note every call, for [`FaultFs::sequence`].
    pub fn record(&self) {
        self.faults.state.lock().sequence.get_or_insert_default();
    }

    /// Every call since [`FaultFs::record`]: where it was made, and what it does.
    pub fn sequence(&self) -> Vec<(CallSite, OpKind)> {
        self.faults.state.lock().sequence.clone().unwrap_or_default()
    }

    /// The calls that faults struck, after the first `known` of them.
    pub fn struck(&self, known: usize) -> Vec<Struck> {
        self.faults.state.lock().struck.get(known..).unwrap_or_default().to_vec()
    }

    /// Where calls were made, how often, and which faults they met, in the order of the places.
    pub fn coverage(&self) -> Vec<Covered> {
        self.faults.state.lock().coverage.table()
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

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner.canonical(path)
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
        let lose = || self.inner.lose_unsynced_names(dir);
        self.faults.sync(OpKind::SyncDir, dir, || self.inner.sync_dir(dir), lose)
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

    fn give_way(&self) {
        self.inner.give_way();
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
        match self.faults.meet(OpKind::Read, &[&self.path]) {
            None => self.file.read_at(buffer, offset),
            Some((FaultKind::Fail | FaultKind::LostReadable, error)) => Err(error.into()),
            Some((FaultKind::FailButDone, error)) => {
                self.file.read_at(buffer, offset)?;
                Err(error.into())
            }
            Some((FaultKind::Short(limit), _)) => {
                let part = limit.clamp(1, buffer.len().max(1)).min(buffer.len());
                self.file.read_at(&mut buffer[..part], offset)
            }
            Some((FaultKind::FlipBit(pick), _)) => {
                let read = self.file.read_at(buffer, offset)?;
                if let Some(place) = (pick / 8).checked_rem(read as u64)
                    && let Some(byte) = buffer.get_mut(place as usize)
                {
                    *byte ^= 1 << (pick % 8);
                }
                Ok(read)
            }
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        match self.faults.meet(OpKind::Write, &[&self.path]) {
            None | Some((FaultKind::FlipBit(_), _)) => self.file.write_at(bytes, offset),
            Some((FaultKind::Fail | FaultKind::LostReadable, error)) => Err(error.into()),
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
        let lose = || self.file.lose_unsynced();
        self.faults.sync(OpKind::Sync, &self.path, || self.file.sync_data(), lose)
    }

    fn sync_all(&self) -> io::Result<()> {
        let lose = || self.file.lose_unsynced();
        self.faults.sync(OpKind::Sync, &self.path, || self.file.sync_all(), lose)
    }

    fn len(&self) -> io::Result<u64> {
        self.faults.run(OpKind::Len, &[&self.path], || self.file.len())
    }
}
