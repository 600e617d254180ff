//! A file system whose power is cut at a chosen operation: the program runs on, unaware, and what
//! the cut left of the disk in that moment is kept aside.

use kv_vfs::{Fs, FsFile, MemFs, Mode, OverFs, PendingOp};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Which operations that were not synced survive.
pub(crate) type Survivors = Box<dyn FnMut(&PendingOp) -> bool + Send>;

/// How many [`survivors`] there are.
pub(crate) const SURVIVORS: u64 = 3;

/// Of what was not synced there survives nothing, all, or every second operation.
pub(crate) fn survivors(which: u64) -> Survivors {
    let mut n = 0_u64;
    Box::new(move |_| {
        n += 1;
        [false, true, n.is_multiple_of(2)][which as usize]
    })
}

/// Counts every operation that changes the disk, and cuts the power before the chosen one.
#[derive(Clone, Debug)]
pub(crate) struct CuttingFs {
    disk: MemFs,
    state: Arc<Mutex<State>>,
}

struct State {
    at: u64,
    operations: u64,
    survivors: Survivors,
    acknowledged: usize,
    cut: Option<(MemFs, usize)>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("at", &self.at).finish_non_exhaustive()
    }
}

impl CuttingFs {
    /// Cuts before operation `at` on `disk`.
    pub(crate) fn new(disk: MemFs, at: u64, survivors: Survivors) -> CuttingFs {
        let state = State { at, operations: 0, survivors, acknowledged: 0, cut: None };
        CuttingFs { disk, state: Arc::new(Mutex::new(state)) }
    }

    /// Counts only.
    pub(crate) fn counting(disk: MemFs) -> CuttingFs {
        CuttingFs::new(disk, u64::MAX, Box::new(|_| true))
    }

    /// Cuts before the operation that comes behind so many from now on.
    pub(crate) fn cut_after(&self, operations: u64, survivors: Survivors) {
        let mut state = self.state.lock().unwrap();
        state.at = state.operations + operations;
        state.survivors = survivors;
    }

    pub(crate) fn operations(&self) -> u64 {
        self.state.lock().unwrap().operations
    }

    /// Notes that `count` steps are promised to survive from now on.
    pub(crate) fn acknowledge(&self, count: usize) {
        self.state.lock().unwrap().acknowledged = count;
    }

    /// The disk after the cut, and how many steps were promised by then.
    pub(crate) fn cut(&self) -> Option<(MemFs, usize)> {
        self.state.lock().unwrap().cut.clone()
    }

    fn step(&self) {
        let mut guard = self.state.lock().unwrap();
        let state = &mut *guard;
        if state.operations == state.at {
            let left = self.disk.crash_with(&mut *state.survivors);
            state.cut = Some((left, state.acknowledged));
        }
        state.operations += 1;
    }

    fn wrap(&self, file: Arc<dyn FsFile>) -> Arc<dyn FsFile> {
        Arc::new(CuttingFile { file, fs: self.clone() })
    }
}

impl OverFs for CuttingFs {
    fn below(&self) -> &dyn Fs {
        &self.disk
    }
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.step();
        Ok(self.wrap(self.disk.create_new(path)?))
    }
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        Ok(self.wrap(self.disk.open(path, mode)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step();
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step();
        self.disk.remove(path)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step();
        self.disk.hard_link(from, to)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.step();
        self.disk.create_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step();
        self.disk.sync_dir(dir)
    }
}

#[derive(Debug)]
struct CuttingFile {
    file: Arc<dyn FsFile>,
    fs: CuttingFs,
}

impl FsFile for CuttingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.fs.step();
        self.file.write_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fs.step();
        self.file.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.fs.step();
        self.file.allocate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.fs.step();
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.fs.step();
        self.file.sync_all()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
