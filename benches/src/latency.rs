//! How long operations took.

use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// Operations below this are timed one in [`STRIDE`]; above twice this, each.
const FAST: Duration = Duration::from_micros(1);
const STRIDE: u32 = 16;
/// After how many operations, and how long, a thread decides that anew and tells of its progress.
const WINDOW: u32 = 4096;
const WINDOW_TIME: Duration = Duration::from_millis(100);

/// The distribution of the times that operations took, in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    histogram: Option<Histogram<u64>>,
    longest: Duration,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency::new()
    }
}

impl Latency {
    /// Nothing yet.
    pub(crate) fn new() -> Latency {
        // Up to an hour; the bounds are right, so there is a histogram.
        let histogram = Histogram::new_with_bounds(1, 3_600_000_000_000, 3).ok();
        Latency { histogram, longest: Duration::ZERO }
    }

    /// Adds one time, for `weight` operations.
    pub(crate) fn record(&mut self, took: Duration, weight: u32) {
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record_n(took.as_nanos() as u64, u64::from(weight));
        }
        self.longest = self.longest.max(took);
    }

    /// Adds another thread's.
    pub(crate) fn merge(&mut self, other: &Latency) {
        if let (Some(histogram), Some(other)) = (&mut self.histogram, &other.histogram) {
            // Both have the same bounds.
            let _ = histogram.add(other);
        }
        self.longest = self.longest.max(other.longest);
    }

    /// The time that a share of the operations (0 to 1) stayed within; none where none was timed.
    pub(crate) fn quantile(&self, share: f64) -> Option<u64> {
        let histogram = self.histogram.as_ref()?;
        // A histogram rounds up by up to a thousandth; no operation took longer than the longest.
        let longest = self.longest.as_nanos() as u64;
        (!histogram.is_empty()).then(|| histogram.value_at_quantile(share).min(longest))
    }

    /// The longest time between two looks at the clock. Where not each operation is timed, that
    /// spans those that were not, too: no pause is missed.
    pub(crate) fn longest(&self) -> Option<u64> {
        self.quantile(1.0).map(|_| self.longest.as_nanos() as u64)
    }
}

/// The clock of one thread that does one operation after the other.
///
/// Where operations take over a microsecond each one is timed, from the end of the one before it,
/// with one look at the clock; below, one of 16 is, with two looks, and counts for 16.
pub(crate) struct Laps {
    latency: Latency,
    last: Instant,
    stride: u32,
    left: u32,
    window: u32,
    window_start: Instant,
}

impl Laps {
    pub(crate) fn start() -> Laps {
        let now = Instant::now();
        Laps {
            latency: Latency::new(),
            last: now,
            stride: 1,
            left: 1,
            window: 0,
            window_start: now,
        }
    }

    /// Before an operation; answers whether it is timed.
    #[inline]
    pub(crate) fn before(&mut self) -> bool {
        self.left -= 1;
        if self.left > 0 {
            return false;
        }
        if self.stride > 1 {
            let now = Instant::now();
            self.latency.longest = self.latency.longest.max(now - self.last);
            self.last = now;
        }
        true
    }

    /// After an operation that is timed. Answers at the end of a window how many operations it had.
    #[inline]
    pub(crate) fn after(&mut self) -> Option<u32> {
        let now = Instant::now();
        self.latency.record(now - self.last, self.stride);
        self.last = now;
        self.left = self.stride;
        self.window += self.stride;
        let over = self.window >= WINDOW || now - self.window_start > WINDOW_TIME;
        over.then(|| self.turn())
    }

    fn turn(&mut self) -> u32 {
        let window = self.window;
        let mean = (self.last - self.window_start) / window.max(1);
        if mean < FAST {
            self.stride = STRIDE;
        } else if mean > 2 * FAST {
            self.stride = 1;
        }
        self.left = self.stride;
        self.window = 0;
        self.window_start = self.last;
        window
    }

    /// When the clock was last looked at.
    pub(crate) fn last(&self) -> Instant {
        self.last
    }

    pub(crate) fn finish(self) -> Latency {
        self.latency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_all_threads() {
        let (mut one, mut two) = (Latency::new(), Latency::new());
        assert_eq!((one.quantile(0.5), one.longest()), (None, None));
        for i in 1..=500 {
            one.record(Duration::from_nanos(i), 1);
            two.record(Duration::from_nanos(500 + i), 1);
        }
        one.merge(&two);
        let near = |share, wanted: u64| {
            let found = one.quantile(share).unwrap();
            assert!(found.abs_diff(wanted) <= wanted / 500 + 1, "{share}: {found}");
        };
        near(0.5, 500);
        near(0.99, 990);
        near(0.999, 999);
        assert_eq!(one.longest(), Some(1000));
        one.record(Duration::from_nanos(123_456_789), 1);
        assert_eq!(one.quantile(1.0), one.longest());
    }

    #[test]
    fn fast_operations_are_sampled_and_a_pause_between_two_samples_is_seen() {
        let mut laps = Laps::start();
        let (mut timed, mut windows) = (0, 0);
        for i in 0..200_000u32 {
            if i == 150_001 {
                std::thread::sleep(Duration::from_millis(3));
            }
            if laps.before() {
                timed += 1;
                windows += u64::from(laps.after().unwrap_or(0));
            }
        }
        assert!(timed < 100_000, "{timed}");
        assert!(windows > 150_000, "{windows}");
        let latency = laps.finish();
        assert!(latency.longest().unwrap() >= 3_000_000);
        let recorded = latency.histogram.unwrap().len();
        assert!(recorded.abs_diff(200_000) <= 16, "{recorded}");
    }

    #[test]
    fn slow_operations_are_timed_each() {
        let mut laps = Laps::start();
        let mut timed = 0;
        for _ in 0..50 {
            let is_timed = laps.before();
            std::thread::sleep(Duration::from_micros(50));
            if is_timed {
                timed += 1;
                laps.after();
            }
        }
        assert_eq!(timed, 50);
        assert!(laps.finish().quantile(0.01).unwrap() >= 50_000);
    }
}
