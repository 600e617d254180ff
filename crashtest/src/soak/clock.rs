//! The real file system, with a time of day that a workload moves.

use kv_vfs::{Clock, Fs, OverFs, StdClock, StdFs};
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

impl OverFs for DayFs {
    fn below(&self) -> &dyn Fs {
        &self.inner
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.day) as Arc<dyn Clock>
    }
}
