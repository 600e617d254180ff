//! How long operations take: histograms, always on.
//!
//! To read the clock twice costs 50 ns, a seventh of a put. So of operations that may be that short one in
//! [`EVERY`] is timed, by a count of each thread's own, and counts for all of them; what waits for a disk
//! is timed each time.

use kv_vfs::Clock;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Of so many short operations of a thread one is timed.
pub(crate) const EVERY: u32 = 64;

/// A power of two is cut into so many buckets (as a power of two).
const FINE: u32 = 3;
/// Times from 2^40 ns on, 18 minutes, share the last bucket.
const LONGEST: u32 = 40;
const BUCKETS: usize = ((LONGEST - FINE + 1) << FINE) as usize;

thread_local! {
    /// How many short operations this thread has begun since one was timed.
    static BEGUN: Cell<u32> = const { Cell::new(0) };
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A point read.
    Get,
    /// A put, a delete, a batch or a commit, with the waiting for its sync and its turn.
    Write,
    /// A cursor's way to a key.
    Seek,
    /// A wait of a writer for background work.
    Stall,
    Flush,
    Compaction,
}

impl Operation {
    pub(crate) const ALL: [Operation; 6] = [
        Operation::Get,
        Operation::Write,
        Operation::Seek,
        Operation::Stall,
        Operation::Flush,
        Operation::Compaction,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Operation::Get => "get",
            Operation::Write => "write",
            Operation::Seek => "seek",
            Operation::Stall => "stall",
            Operation::Flush => "flush",
            Operation::Compaction => "compaction",
        }
    }
}

/// A histogram for each operation, and the clock that they are timed by.
pub(crate) struct Latencies {
    clock: Arc<dyn Clock>,
    of: [Histogram; Operation::ALL.len()],
}

/// When an operation began that is timed, and how many it counts for.
#[derive(Clone, Copy)]
pub(crate) struct Begun(Option<(Duration, u32)>);

impl Latencies {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Latencies {
        Latencies { clock, of: std::array::from_fn(|_| Histogram::default()) }
    }

    /// The beginning of an operation that may be short.
    #[inline]
    pub(crate) fn begin(&self) -> Begun {
        let begun = BEGUN.get() + 1;
        if begun < EVERY {
            BEGUN.set(begun);
            return Begun(None);
        }
        BEGUN.set(0);
        Begun(Some((self.clock.monotonic(), EVERY)))
    }

    /// The beginning of an operation that waits for a disk.
    pub(crate) fn begin_long(&self) -> Begun {
        Begun(Some((self.clock.monotonic(), 1)))
    }

    /// The end of an operation.
    #[inline]
    pub(crate) fn end(&self, operation: Operation, begun: Begun) {
        if let Begun(Some((since, count))) = begun {
            self.took(operation, self.clock.monotonic().saturating_sub(since), count);
        }
    }

    /// Notes `count` operations that took so long each.
    #[cold]
    pub(crate) fn took(&self, operation: Operation, took: Duration, count: u32) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let place = Operation::ALL.iter().position(|one| *one == operation);
        if let Some(histogram) = place.and_then(|place| self.of.get(place)) {
            histogram.add(ns, count);
        }
    }

    pub(crate) fn read(&self) -> Vec<(Operation, Times)> {
        Operation::ALL.iter().zip(&self.of).map(|(of, times)| (*of, times.read())).collect()
    }
}

/// Counts by length, each bucket an eighth of a power of two wide, so that what is read from one is
/// at most an eighth too long.
struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
    longest_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_ns: AtomicU64::new(0),
            longest_ns: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    fn add(&self, ns: u64, count: u32) {
        let count = u64::from(count);
        if let Some(bucket) = self.buckets.get(bucket(ns)) {
            bucket.fetch_add(count, Relaxed);
        }
        self.sum_ns.fetch_add(ns.saturating_mul(count), Relaxed);
        self.longest_ns.fetch_max(ns, Relaxed);
    }

    fn read(&self) -> Times {
        Times {
            buckets: self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect(),
            sum_ns: self.sum_ns.load(Relaxed),
            longest_ns: self.longest_ns.load(Relaxed),
        }
    }
}

/// The bucket of a time.
fn bucket(ns: u64) -> usize {
    let ns = ns.min((1 << LONGEST) - 1);
    let power = (ns | 1).ilog2().max(FINE);
    // The highest bits of the time, without the first where that is given by the power.
    let shift = power - FINE;
    let fine = (ns >> shift) as usize;
    ((shift as usize) << FINE) + fine
}

/// The end of a bucket: all times in it are shorter.
fn end_of(bucket: usize) -> u64 {
    let (power, fine) = (bucket >> FINE, (bucket & ((1 << FINE) - 1)) as u64);
    match power {
        0 => fine + 1,
        // Its times have the power's bit, which is the lowest bit of `power` counted from 1.
        _ => ((1 << FINE) + fine + 1) << (power - 1),
    }
}

/// One reading of a histogram.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    buckets: Vec<u64>,
    pub(crate) sum_ns: u64,
    pub(crate) longest_ns: u64,
}

impl Times {
    /// How many operations there were.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The time within which that share of the operations ended, as the end of its bucket; 0 where there
    /// were none.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        found.map_or(0, |bucket| end_of(bucket).min(self.longest_ns))
    }

    /// How many took less than `ns`, which must be the end of a bucket.
    pub(crate) fn below(&self, ns: u64) -> u64 {
        let counts = self.buckets.iter().enumerate();
        counts.filter(|(bucket, _)| end_of(*bucket) <= ns).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_vfs::ManualClock;

    #[test]
    fn every_time_lies_in_the_bucket_before_its_end() {
        let mut before = 0;
        for bucket_of in 0..BUCKETS {
            let end = end_of(bucket_of);
            assert!(end > before, "bucket {bucket_of} is empty");
            assert_eq!(bucket(before), bucket_of, "its first time, {before}");
            assert_eq!(bucket(end - 1), bucket_of, "its last time, {}", end - 1);
            assert!(end - before <= 1 + before / 8, "{before}..{end} is wide");
            before = end;
        }
        assert_eq!(before, 1 << LONGEST);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_the_times_that_were_noted() {
        let latencies = Latencies::new(Arc::new(ManualClock::new()));
        for ns in 1..=1000 {
            latencies.took(Operation::Get, Duration::from_nanos(ns * 1000), 1);
        }
        let (_, times) = latencies.read().swap_remove(0);
        assert_eq!((times.count(), times.longest_ns), (1000, 1_000_000));
        for (share, exact) in [(0.5, 500_000), (0.99, 990_000), (0.999, 999_000), (1.0, 1_000_000)]
        {
            let found = times.quantile(share);
            assert!(
                exact <= found + 1 && found <= exact * 9 / 8 + 1,
                "{share}: {found} for {exact}"
            );
        }
        assert_eq!(times.below(1 << 19), 524);
        assert_eq!(Times::default().quantile(0.5), 0);
    }

    #[test]
    fn one_of_many_short_operations_counts_for_all_and_long_ones_for_themselves() {
        let clock = Arc::new(ManualClock::new());
        let latencies = Latencies::new(Arc::clone(&clock) as Arc<dyn Clock>);
        for _ in 0..10 * EVERY {
            let begun = latencies.begin();
            clock.advance(Duration::from_nanos(700));
            latencies.end(Operation::Get, begun);
        }
        let begun = latencies.begin_long();
        clock.advance(Duration::from_millis(2));
        latencies.end(Operation::Write, begun);
        let all = latencies.read();
        let of = |operation| all.iter().find(|(of, _)| *of == operation).unwrap().1.clone();
        assert_eq!(of(Operation::Get).count(), u64::from(10 * EVERY));
        assert_eq!(of(Operation::Get).longest_ns, 700);
        assert_eq!((of(Operation::Write).count(), of(Operation::Write).sum_ns), (1, 2_000_000));
    }
}
