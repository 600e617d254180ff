//! Below the store: a memory file system and a clock that only the run moves.

use super::op::Failing;
use kv_vfs::{Clock, Fault, FaultError, FaultFs, FaultKind, Fs, MemFs, OpKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the store is.
pub(super) const DIR: &str = "/parent/db";

/// Time of day as the run sets it; the monotonic clock is the real one, and sleeping only lets
/// another thread run, so that no delay moves the time of day.
#[derive(Debug)]
pub(super) struct RunClock {
    start: Instant,
    wall_ms: AtomicU64,
}

impl RunClock {
    /// The first of January 2020.
    pub(super) const START_MS: u64 = 1_577_836_800_000;

    pub(super) fn new() -> RunClock {
        RunClock { start: Instant::now(), wall_ms: AtomicU64::new(RunClock::START_MS) }
    }

    pub(super) fn set(&self, wall_ms: u64) {
        self.wall_ms.store(wall_ms, Ordering::SeqCst);
    }
}

impl Clock for RunClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.wall_ms.load(Ordering::SeqCst))
    }

    fn sleep(&self, _: Duration) {
        std::thread::yield_now();
    }
}

/// The disk and the clock of one run.
pub(super) struct World {
    pub(super) fs: Arc<MemFs>,
    pub(super) clock: Arc<RunClock>,
    faults: Arc<FaultFs>,
}

impl World {
    pub(super) fn new() -> World {
        let clock = Arc::new(RunClock::new());
        let fs = MemFs::with_clock(Arc::clone(&clock) as Arc<dyn Clock>);
        World::on(fs, clock)
    }

    fn on(fs: MemFs, clock: Arc<RunClock>) -> World {
        let fs = Arc::new(fs);
        let faults = Arc::new(FaultFs::new(Arc::clone(&fs) as Arc<dyn Fs>));
        World { fs, clock, faults }
    }

    /// The same clock over another disk.
    pub(super) fn replaced(&self, fs: MemFs) -> World {
        World::on(fs, Arc::clone(&self.clock))
    }

    /// What the store works on.
    pub(super) fn seam(&self) -> Arc<dyn Fs> {
        Arc::clone(&self.faults) as Arc<dyn Fs>
    }

    /// Lets a call on the log or the manifest fail once, after some that go well.
    pub(super) fn break_once(&self, at: Failing, after: u8) {
        let (op, file, kind) = match at {
            Failing::LogWrite => (OpKind::Write, ".log", FaultKind::Fail),
            Failing::LogSync => (OpKind::Sync, ".log", FaultKind::Fail),
            Failing::LogSyncDone => (OpKind::Sync, ".log", FaultKind::FailButDone),
            Failing::ManifestSync => (OpKind::Sync, "MANIFEST", FaultKind::Fail),
            Failing::ManifestSyncDone => (OpKind::Sync, "MANIFEST", FaultKind::FailButDone),
        };
        let fault = Fault::new(op, FaultError::EIO).on(file).after(u64::from(after)).times(1);
        self.faults.arm(fault.kind(kind));
    }

    /// No call fails any more.
    pub(super) fn mend(&self) {
        self.faults.disarm();
    }

    pub(super) fn dir() -> &'static Path {
        Path::new(DIR)
    }
}
