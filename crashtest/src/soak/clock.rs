//! The real file system, with a time of day that a workload moves.

use kv_vfs::{Clock, DirEntry, Fs, FsFile, FsLock, Job, Metadata, Mode, StdClock, StdFs, Thread};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Where the time of day begins: some moment in 2020.
const BEGIN: Duration = Duration::from_secs(1_577_836_800);

/// Waits are real; only the time of day, which entries expire by, is set.
#[derive(Debug, Default)]
pub(super) struct Day {
    real: StdClock,
    passed_ms: AtomicU64,
}

impl Day {
    pub(super) fn set(&self, passed_ms: u64) {
        self.passed_ms.store(passed_ms, Ordering::Relaxed);
    }
}

impl Clock for Day {
    fn monotonic(&self) -> Duration {
        self.real.monotonic()
    }

    fn wall(&self) -> SystemTime {
        let passed = Duration::from_millis(self.passed_ms.load(Ordering::Relaxed));
        SystemTime::UNIX_EPOCH + BEGIN + passed
    }

    fn sleep(&self, duration: Duration) {
        self.real.sleep(duration);
    }
}

#[derive(Debug)]
pub(super) struct DayFs {
    inner: StdFs,
    day: Arc<Day>,
}

impl DayFs {
    pub(super) fn new(day: Arc<Day>) -> DayFs {
        DayFs { inner: StdFs::new(), day }
    }
}

impl Fs for DayFs {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.day) as Arc<dyn Clock>
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.inner.create_new(path)
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        self.inner.open(path, mode)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.hard_link(from, to)
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
        self.inner.create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        self.inner.lock(path)
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        self.inner.free_space(dir)
    }

    fn spawn(&self, name: &str, job: Job) -> io::Result<Box<dyn Thread>> {
        self.inner.spawn(name, job)
    }

    fn give_way(&self) {
        self.inner.give_way();
    }
}
