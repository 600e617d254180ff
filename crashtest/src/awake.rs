//! Time by which the harness tells a hang from a machine that is busy.
//!
//! A clock that goes on while this process is stopped, or waits for a processor, makes a hang of
//! every trial that was under way. This one is moved on by a thread of the process, by at most
//! [`STEP`] at a time, however long the thread had to wait to be woken.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often the clock is moved on.
const TICK: Duration = Duration::from_millis(20);
/// The most that it is moved on at once.
const STEP: Duration = Duration::from_millis(60);

static LIVED_MS: AtomicU64 = AtomicU64::new(0);
static STARTED: Once = Once::new();

/// How long this process has been awake since the clock was first asked.
pub(crate) fn awake() -> Duration {
    STARTED.call_once(|| {
        thread::spawn(|| {
            let mut last = Instant::now();
            loop {
                thread::sleep(TICK);
                let now = Instant::now();
                let passed = now.saturating_duration_since(last).min(STEP);
                LIVED_MS.fetch_add(passed.as_millis() as u64, Ordering::Relaxed);
                last = now;
            }
        });
    });
    Duration::from_millis(LIVED_MS.load(Ordering::Relaxed))
}

/// How long this process has been awake since then.
pub(crate) fn awake_since(then: Duration) -> Duration {
    awake().saturating_sub(then)
}

/// The processor time that this thread has used, which no other work on the machine changes.
pub(crate) fn used() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_on_and_work_is_counted() {
        let (then, before) = (awake(), used());
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(200) {
            std::hint::spin_loop();
        }
        assert!(used() > before);
        while awake_since(then) == Duration::ZERO {
            thread::sleep(TICK);
        }
        assert!(awake_since(then) < begun.elapsed() * 2);
    }
}
