//! Clocks: the real one, and one that tests move.

use crate::fs::Clock;
use parking_lot::Mutex;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

/// The clock of the operating system. All of them in a process count monotonic time from the
/// same moment.
/// ```
/// use kv_vfs::{Clock, StdClock};
/// use std::time::Duration;
/// let clock = StdClock::new();
/// let before = clock.monotonic();
/// clock.sleep(Duration::from_millis(1));
/// assert!(clock.monotonic() >= before + Duration::from_millis(1));
/// ```
#[derive(Clone, Debug, Default)]
pub struct StdClock {}

impl StdClock {
    /// The clock of this process.
    pub fn new() -> StdClock {
        StdClock {}
    }
}

#[expect(clippy::disallowed_methods, reason = "the seam itself")]
impl Clock for StdClock {
    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) {
        #[cfg(not(shuttle))]
        std::thread::sleep(duration);
        #[cfg(shuttle)]
        {
            let _ = duration;
            crate::sync::step();
        }
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
///
/// // The time of day may be set back; the monotonic clock never goes back.
/// clock.set_wall(before);
/// assert_eq!((clock.wall(), clock.monotonic()), (before, Duration::from_secs(60)));
/// ```
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<(Duration, SystemTime)>,
}

impl ManualClock {
    /// A clock that begins on the first of January 2020, so that every run sees the same time.
    pub fn new() -> ManualClock {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800);
        ManualClock { now: Mutex::new((Duration::ZERO, wall)) }
    }

    /// Moves both clocks on; each stays within what it can tell.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock();
        now.0 = now.0.saturating_add(by);
        now.1 = now.1.checked_add(by).unwrap_or(now.1);
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
        crate::sync::step();
    }
}
