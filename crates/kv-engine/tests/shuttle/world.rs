//! A store on a memory file system whose every operation lets another thread run, and the ways to
//! run a scenario.

use kv_engine::{Db, Options};
use kv_vfs::sync::{let_limits_pass, step};
use kv_vfs::{Clock, DirEntry, FaultFs, Fs, FsFile, FsLock, ManualClock, MemFs, Mode, OverFs};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) const DIR: &str = "/db";

/// The engine's frames are deeper than the checker's own tests.
const STACK: usize = 1 << 20;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Scenarios run one after the other: whether limits pass is one setting for all.
static ONE: Mutex<()> = Mutex::new(());

/// Runs a scenario under both schedulers.
pub(crate) fn check(scenario: fn()) {
    explore(scenario, false);
}

/// [`check`], with waits whose limits pass.
pub(crate) fn check_with_time(scenario: fn()) {
    explore(scenario, true);
}

fn explore(scenario: fn(), limits_pass: bool) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let_limits_pass(limits_pass);
    let schedules = number("KV_SCHEDULES", 60) as usize;
    let seed = number("KV_SEED", 1);
    run(RandomScheduler::new_from_seed(seed, schedules), scenario);
    run(PctScheduler::new_from_seed(seed, 3, schedules), scenario);
}

fn run(scheduler: impl Scheduler + 'static, scenario: fn()) {
    let mut config = Config::new();
    config.stack_size = STACK;
    Runner::new(scheduler, config).run(scenario);
}

/// One disk and the store on it.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) memory: MemFs,
    pub(crate) faults: Arc<FaultFs>,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    pub(crate) fn new() -> World {
        let clock = Arc::new(ManualClock::new());
        World::on(MemFs::with_clock(Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    fn on(memory: MemFs, clock: Arc<ManualClock>) -> World {
        let faults = Arc::new(FaultFs::new(Arc::new(memory.clone())));
        World { memory, faults, clock }
    }

    /// What a power cut leaves now.
    pub(crate) fn after_power_cut(&self) -> World {
        World::on(self.memory.crash(), Arc::clone(&self.clock))
    }

    pub(crate) fn options(&self) -> Options {
        Options::default()
            .file_system(Arc::new(Stepping(Arc::clone(&self.faults) as Arc<dyn Fs>)))
            .write_buffer(4 << 10)
            .memory_budget(128 << 10)
            .table_size(2 << 10)
            .block_size(512)
            .level0_runs(1)
            .wal_limit(16 << 10)
            .background_threads(1)
            .sync_on_write(false)
    }

    pub(crate) fn open(&self) -> Db {
        Db::open(DIR, self.options()).unwrap()
    }
}

/// A value that a handful of fill a memtable.
pub(crate) fn big(n: u8) -> Vec<u8> {
    vec![n; 900]
}

/// Another thread may run before every operation that changes something.
#[derive(Debug)]
struct Stepping<T: ?Sized>(Arc<T>);

impl Stepping<dyn Fs> {
    fn file(file: Arc<dyn FsFile>) -> Arc<dyn FsFile> {
        Arc::new(Stepping(file))
    }
}

impl OverFs for Stepping<dyn Fs> {
    fn below(&self) -> &dyn Fs {
        &*self.0
    }
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        step();
        self.0.create_new(path).map(Stepping::file)
    }
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        step();
        self.0.open(path, mode).map(Stepping::file)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        step();
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        step();
        self.0.remove(path)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        step();
        self.0.hard_link(from, to)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        step();
        self.0.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        step();
        self.0.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        step();
        self.0.lock(path)
    }
}

impl FsFile for Stepping<dyn FsFile> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        step();
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        step();
        self.0.write_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        step();
        let synced = self.0.sync_data();
        step();
        synced
    }
    fn sync_all(&self) -> io::Result<()> {
        step();
        self.0.sync_all()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

/// Lets time pass while others run.
pub(crate) fn pass(clock: &ManualClock, millis: u64) {
    clock.advance(Duration::from_millis(millis));
    step();
}
