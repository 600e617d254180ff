//! Clocks: the real one, and one that tests move.

use crate::fs::Clock;
use parking_lot::Mutex;
use std::time::{Duration, Instant, SystemTime};

/// The clock of the operating system.
#[derive(Clone, Debug)]
pub struct StdClock {
    start: Instant,
}

impl StdClock {
    /// A clock whose monotonic time begins now.
    pub fn new() -> StdClock {
        StdClock { start: Instant::now() }
    }
}

impl Default for StdClock {
    fn default() -> Self {
        StdClock::new()
    }
}

impl Clock for StdClock {
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A clock that stands still until it is moved. Sleeping moves it.
///
/// ```
/// use kv_vfs::{Clock, ManualClock};
/// use std::time::Duration;
/// let clock = ManualClock::new();
/// let before = clock.wall();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.wall().duration_since(before).unwrap(), Duration::from_secs(60));
/// ```
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<(Duration, SystemTime)>,
}

impl ManualClock {
    /// A clock that begins at the real time of day.
    pub fn new() -> ManualClock {
        ManualClock { now: Mutex::new((Duration::ZERO, SystemTime::now())) }
    }

    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock();
        now.0 += by;
        now.1 += by;
    }

    /// Sets the time of day, forward or back; the monotonic clock stays.
    pub fn set_wall(&self, to: SystemTime) {
        self.now.lock().1 = to;
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        ManualClock::new()
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Duration {
        self.now.lock().0
    }

    fn wall(&self) -> SystemTime {
        self.now.lock().1
    }

    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}
