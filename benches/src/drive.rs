//! Threads that do one operation after the other, each through a session of its own.

use crate::Random;
use crate::keys::KeyBuf;
use crate::latency::{Laps, Latency};
use crate::seen::Seen;
use crate::store::{Direction, Session, Store};
use crate::values::Values;
use anyhow::{Context, Result};
use std::ops::Range;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Hears how far the work is.
pub trait Watch: Sync {
    /// A workload begins, of so many operations.
    fn begin(&self, name: &str, operations: u64);
    /// So many more are done. Called from every thread, a few times a second.
    fn advance(&self, operations: u64);
    /// The workload is done.
    fn end(&self);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Watch for Silent {
    fn begin(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64) {}
    fn end(&self) {}
}

/// What all threads of a workload share.
pub(crate) struct Plan<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) watch: &'a dyn Watch,
    pub(crate) values: &'a Values,
    pub(crate) key: &'a KeyBuf,
    pub(crate) threads: usize,
    /// Calls of the operation, shared out among the threads.
    pub(crate) calls: u64,
    /// Operations that one call is.
    pub(crate) per_call: u64,
    pub(crate) limit: Option<Duration>,
    pub(crate) seed: u64,
}

/// What a thread works with.
pub(crate) struct Worker<'a> {
    pub(crate) session: Box<dyn Session + 'a>,
    pub(crate) key: KeyBuf,
    /// A second key, for ranges.
    pub(crate) end: KeyBuf,
    pub(crate) values: &'a Values,
    pub(crate) random: Random,
    pub(crate) tally: Tally,
}

/// What a thread, or all of them, did and saw.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub(crate) seen: Seen,
    /// Reads of a key that found one.
    pub(crate) found: u64,
    /// Reads that found what is not there, or not what is.
    pub(crate) surprises: u64,
    /// Bytes of keys and values written.
    pub(crate) written: u64,
}

impl Tally {
    pub(crate) fn new(values: &Values) -> Tally {
        Tally { seen: Seen::new(values.expected()), found: 0, surprises: 0, written: 0 }
    }

    pub(crate) fn merge(&mut self, other: &Tally) {
        self.seen.merge(&other.seen);
        self.found += other.found;
        self.surprises += other.surprises;
        self.written += other.written;
    }
}

impl Worker<'_> {
    #[inline]
    pub(crate) fn put(&mut self, n: u64) -> Result<()> {
        let key = self.key.set(n);
        let value = self.values.of(key);
        self.tally.written += (key.len() + value.len()) as u64;
        self.session.put(key, value)
    }

    #[inline]
    pub(crate) fn delete(&mut self, n: u64) -> Result<()> {
        let key = self.key.set(n);
        self.tally.written += key.len() as u64;
        self.session.delete(key)
    }

    /// Reads key number `n`, which should be there or not.
    #[inline]
    pub(crate) fn get(&mut self, n: u64, expected: bool) -> Result<()> {
        let found = self.session.get(self.key.set(n), &mut self.tally.seen)?;
        self.tally.found += u64::from(found);
        self.tally.surprises += u64::from(found != expected);
        Ok(())
    }

    /// Reads a key behind number `n` that was never there.
    #[inline]
    pub(crate) fn get_missing(&mut self, n: u64) -> Result<()> {
        let found = self.session.get(self.key.set_missing(n), &mut self.tally.seen)?;
        self.tally.found += u64::from(found);
        self.tally.surprises += u64::from(found);
        Ok(())
    }

    /// Reads `limit` entries from key number `n` on, and should find a number in `expected`.
    #[inline]
    pub(crate) fn scan(&mut self, n: u64, limit: u64, expected: Range<u64>) -> Result<()> {
        let from = self.key.set(n);
        let seen = &mut self.tally.seen;
        let count = self.session.scan(Some(from), Direction::Forward, limit, seen)?;
        self.tally.found += count;
        self.tally.surprises += u64::from(!expected.contains(&count));
        Ok(())
    }
}

/// How a workload went.
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) latency: Latency,
    pub(crate) took: Duration,
    /// The calls that each thread made.
    pub(crate) done: Vec<Range<u64>>,
    pub(crate) operations: u64,
}

struct Part {
    tally: Tally,
    latency: Latency,
    start: Instant,
    end: Instant,
    done: Range<u64>,
}

/// The calls of thread `i`: equal parts, and the first ones take what is left over.
fn share(calls: u64, threads: usize, i: usize) -> Range<u64> {
    let (threads, i) = (threads as u64, i as u64);
    let at = |i: u64| calls / threads * i + (calls % threads).min(i);
    at(i)..at(i + 1)
}

/// Calls `operation` with each number below the plan's count of calls, and measures. It ends at the
/// plan's limit, or with the first error.
pub(crate) fn drive<F>(plan: &Plan<'_>, operation: F) -> Result<Outcome>
where
    F: Fn(&mut Worker<'_>, u64) -> Result<()> + Sync,
{
    let barrier = Barrier::new(plan.threads);
    let stop = AtomicBool::new(false);
    let parts: Vec<Result<Part>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads)
            .map(|i| {
                let (barrier, stop, operation) = (&barrier, &stop, &operation);
                scope.spawn(move || {
                    let part = work(plan, i, barrier, stop, operation);
                    if part.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    part
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().ok().context("a thread panicked").flatten())
            .collect()
    });
    let parts = parts.into_iter().collect::<Result<Vec<Part>>>()?;
    // From the first thread's own start: this one may have been woken late.
    let start = parts.iter().map(|part| part.start).min().context("no thread")?;
    let mut outcome = Outcome {
        tally: Tally::new(plan.values),
        latency: Latency::new(),
        took: Duration::ZERO,
        done: Vec::new(),
        operations: 0,
    };
    for part in parts {
        outcome.tally.merge(&part.tally);
        outcome.latency.merge(&part.latency);
        outcome.took = outcome.took.max(part.end.saturating_duration_since(start));
        outcome.operations += (part.done.end - part.done.start) * plan.per_call;
        outcome.done.push(part.done);
    }
    Ok(outcome)
}

fn work<F>(
    plan: &Plan<'_>,
    i: usize,
    barrier: &Barrier,
    stop: &AtomicBool,
    operation: &F,
) -> Result<Part>
where
    F: Fn(&mut Worker<'_>, u64) -> Result<()>,
{
    let session = plan.store.session();
    let key = plan.key.clone();
    let tally = Tally::new(plan.values);
    // Also where the session failed: the others wait here.
    barrier.wait();
    let mut worker = Worker {
        session: session?,
        end: key.clone(),
        key,
        values: plan.values,
        random: random_of(plan.seed, i),
        tally,
    };
    let mut laps = Laps::start();
    let start = laps.last();
    let deadline = plan.limit.map(|limit| laps.last() + limit);
    let calls = share(plan.calls, plan.threads, i);
    let mut at = calls.start;
    while at < calls.end {
        let is_timed = laps.before();
        operation(&mut worker, at)?;
        at += 1;
        if !is_timed {
            continue;
        }
        if let Some(window) = laps.after() {
            plan.watch.advance(u64::from(window) * plan.per_call);
        }
        if deadline.is_some_and(|deadline| laps.last() > deadline) || stop.load(Ordering::Relaxed) {
            break;
        }
    }
    let end = Instant::now();
    let (tally, latency) = (worker.tally, laps.finish());
    Ok(Part { tally, latency, start, end, done: calls.start..at })
}

/// The random numbers of thread `i`.
pub(crate) fn random_of(seed: u64, i: usize) -> Random {
    Random::new(crate::values::mix(seed ^ crate::values::mix(i as u64 + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_all_calls() {
        for (calls, threads) in [(10, 1), (10, 3), (2, 5), (0, 2), (1_000_003, 7)] {
            let mut at = 0;
            for i in 0..threads {
                let share = share(calls, threads, i);
                assert_eq!(share.start, at);
                assert!(share.end - share.start <= calls / threads as u64 + 1);
                at = share.end;
            }
            assert_eq!(at, calls);
        }
    }

    #[test]
    fn threads_draw_different_numbers_and_the_same_each_time() {
        assert_eq!(random_of(1, 0).draw(), random_of(1, 0).draw());
        assert_ne!(random_of(1, 0).draw(), random_of(1, 1).draw());
        assert_ne!(random_of(1, 0).draw(), random_of(2, 0).draw());
    }
}
