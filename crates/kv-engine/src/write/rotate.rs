//! Room for writes: changing the memtable and the log together, and waiting or slowing down where
//! the background work is behind.

use crate::background::State;
use crate::compaction::{level0_runs, targets};
use crate::engine::{Engine, Writer};
use crate::error::{Error, Result};
use crate::events::Event;
use crate::health::Work;
use crate::read::view::View;
use crate::stats::latency::Operation;
use crate::write::buffer::WriteBuffer;
use crate::write::share;
use crate::write::stall::{Cause, Debt, Pace, delay, memory_delay, pace};
use kv_manifest::FileName;
use kv_vfs::testing::{Mark, bug, mark, planted};
use kv_wal::Segment;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A delay is slept off once it has grown to this: a sleep takes some 60 µs longer than it says, and
/// of many writes that owe a little few are to wait. RocksDB sleeps as long.
const SLEEP_QUANTUM: Duration = Duration::from_millis(1);
/// Writes of so many bytes sleep more often and shorter, for there are fewer of them.
const LONG_WRITE: u64 = 4 << 10;
const LONG_WRITE_QUANTUM: Duration = Duration::from_micros(200);

thread_local! {
    /// Nanoseconds of delay that this thread's writes have run up and not slept off.
    static OWED_NS: Cell<u64> = const { Cell::new(0) };
}

impl Engine {
    /// How far the background work is behind.
    pub(crate) fn debt(&self, view: &View) -> Debt {
        let version = &view.version;
        Debt {
            level0_runs: level0_runs(version).len(),
            level0_trigger: self.level0_trigger(),
            level0_bytes: version.size(0),
            base_bytes: version.size(targets(version, &self.policy()).base),
            sealed: view.sealed.len(),
            drain_rate: self.counters.drain_rate.load(Ordering::Relaxed),
            flush_rate: self.counters.flush_rate.load(Ordering::Relaxed),
        }
    }

    /// Sets what each written KiB costs from now on.
    pub(crate) fn set_pace(&self, view: &View) {
        self.share_memory(view);
        let delay = delay(&self.debt(view));
        let before = self.counters.delay_ns_per_kib.swap(delay, Ordering::Relaxed);
        if (before == 0) != (delay == 0) {
            self.events.note(|| Event::WritesDelayed { per_kib: Duration::from_nanos(delay) });
        }
    }

    /// Bytes at which the memtable in use is sealed while none waits.
    fn early(&self) -> usize {
        let limit = self.options.memtable_limit() as usize;
        if !share::applies(limit) {
            return limit;
        }
        share::early(limit, self.overlap.load(Ordering::Relaxed))
    }

    /// Runs on level 0 at which they are merged down: more where memtables are sealed early, so
    /// that as many bytes gather.
    pub(crate) fn level0_trigger(&self) -> usize {
        let limit = self.options.memtable_limit() as usize;
        share::runs(self.options.level0_runs, limit, self.early())
    }

    /// Sets how much the memtable in use takes.
    fn share_memory(&self, view: &View) {
        let limit = self.options.memtable_limit() as usize;
        if !share::applies(limit) {
            return;
        }
        if view.sealed.is_empty() {
            view.active.aim(self.early(), usize::MAX);
        } else if view.sealed.iter().any(|buffer| buffer.has_long_entries()) {
            view.active.aim(limit, usize::MAX);
        } else {
            let waiting: usize = view.sealed.iter().map(|buffer| buffer.table.memory()).sum();
            view.active.aim(limit, limit.saturating_sub(waiting));
        }
    }

    /// Notes how much was written while `flushed` was written out. Memtables of long entries do not
    /// share: they are written out as fast as the disk takes them, and small ones more slowly.
    pub(crate) fn note_overlap(&self, flushed: &WriteBuffer) {
        let bytes = flushed.table.memory();
        if bytes < self.options.memtable_limit() as usize / 4 {
            return;
        }
        let all: usize = self.view.load().buffers().map(|buffer| buffer.table.memory()).sum();
        let before = self.overlap.load(Ordering::Relaxed);
        let overlap = match flushed.has_long_entries() {
            true => 0,
            false => share::overlap(before, all.saturating_sub(bytes), bytes),
        };
        self.overlap.store(overlap, Ordering::Relaxed);
    }

    /// Sleeps off the delay of a write that has been committed; holds no lock.
    #[inline]
    pub(crate) fn pay_delay(&self, payload: &[&[u8]], buffer: &WriteBuffer) {
        let ns_per_kib = self.counters.delay_ns_per_kib.load(Ordering::Relaxed);
        if ns_per_kib > 0 || buffer.is_plenty() {
            self.owe(payload, buffer, ns_per_kib);
        }
    }

    #[cold]
    fn owe(&self, payload: &[&[u8]], buffer: &WriteBuffer, ns_per_kib: u64) {
        let for_memory = match buffer.is_plenty() && self.health.failing(Work::Flush).is_none() {
            true => {
                let slack = share::slack(self.options.memtable_limit() as usize);
                let flush_rate = self.counters.flush_rate.load(Ordering::Relaxed);
                memory_delay(buffer.excess(), slack, flush_rate)
            }
            false => 0,
        };
        let bytes: u64 = payload.iter().map(|part| part.len() as u64).sum();
        let ns = bytes.saturating_mul(ns_per_kib.max(for_memory)) / 1024;
        let owed = OWED_NS.get().saturating_add(ns);
        let sleep = Duration::from_nanos(owed);
        let quantum = if bytes < LONG_WRITE { SLEEP_QUANTUM } else { LONG_WRITE_QUANTUM };
        if sleep < quantum {
            OWED_NS.set(owed);
            return;
        }
        OWED_NS.set(0);
        self.clock.sleep(sleep.min(Duration::from_millis(100)));
        self.counters.delayed_ns.fetch_add(owed, Ordering::Relaxed);
    }

    /// Makes the memtable `full` give way to one with room for a write of `bound` bytes, after
    /// the background work has caught up far enough.
    pub(crate) fn make_room(
        &self,
        writer: &Writer,
        full: &Arc<WriteBuffer>,
        bound: usize,
    ) -> Result<()> {
        self.wait_for_background(full, false)?;
        self.rotate(writer, full, bound)
    }

    /// Waits while writes are to stop; answers an error where waiting cannot help. A flush adds to
    /// level 0 what is in memory anyway, and does not wait for that.
    pub(crate) fn wait_for_background(
        &self,
        full: &Arc<WriteBuffer>,
        for_flush: bool,
    ) -> Result<()> {
        let started = self.clock.monotonic();
        let told = self.tell_of_stall(full, for_flush);
        let mut stopped: Option<Cause> = None;
        let outcome = self.background.wait_with(|state| {
            if let Err(error) = self.health.check_write() {
                return Some(Err(error));
            }
            let view = self.view.load();
            let Some(cause) = self.stop_cause(&view, full, for_flush) else {
                return Some(Ok(()));
            };
            if let Some(error) = self.why_waiting_is_vain(state, &view, cause) {
                return Some(Err(error));
            }
            stopped = Some(cause);
            None
        });
        if let Some(cause) = stopped {
            let (entered, left) = match cause {
                Cause::Memtables => (Mark::MemtableStopEntered, Mark::MemtableStopLeft),
                Cause::Level0 | Cause::Space => (Mark::Level0StopEntered, Mark::Level0StopLeft),
            };
            mark(entered);
            if outcome.is_ok() {
                mark(left);
            }
            let took = self.clock.monotonic().saturating_sub(started);
            self.counters.stopped(cause, took);
            self.latencies.took(Operation::Stall, took, 1);
        }
        if let Some(cause) = told {
            let took = self.clock.monotonic().saturating_sub(started);
            self.events.tell(|| Event::StallEnded { cause, took });
        }
        outcome
    }

    /// Why a writer stops for the memtable `full`, if it does.
    fn stop_cause(&self, view: &View, full: &Arc<WriteBuffer>, for_flush: bool) -> Option<Cause> {
        let Pace::Stop(cause) = pace(&self.debt(view)) else { return None };
        let stops = Arc::ptr_eq(&view.active, full) && !(for_flush && cause == Cause::Level0);
        stops.then_some(cause)
    }

    /// Tells the listener that a writer is about to wait, if it is.
    fn tell_of_stall(&self, full: &Arc<WriteBuffer>, for_flush: bool) -> Option<Cause> {
        let cause = self.stop_cause(&self.view.load(), full, for_flush)?;
        self.events.tell(|| Event::StallStarted { cause });
        Some(cause)
    }

    /// The failure of the work that a stopped writer waits for.
    fn why_waiting_is_vain(&self, state: &State, view: &View, cause: Cause) -> Option<Error> {
        match cause {
            Cause::Memtables => self.health.failing(Work::Flush),
            Cause::Level0 | Cause::Space => self.health.failing(Work::Compaction).or_else(|| {
                let damaged = view.version.level(0).iter().any(|f| state.busy.is_aside(f.number));
                damaged.then(|| {
                    Error::corrupt("a damaged table blocks the merge of level 0; run verify")
                })
            }),
        }
    }

    /// Seals the memtable `full`, unless someone else has, and begins a new one with a new log
    /// segment. Both change under the log's lock, so a segment holds exactly the writes of its
    /// memtable.
    pub(crate) fn rotate(
        &self,
        writer: &Writer,
        full: &Arc<WriteBuffer>,
        bound: usize,
    ) -> Result<()> {
        let mut next = writer.next_segment.lock();
        if !Arc::ptr_eq(&self.view.load().active, full) {
            return Ok(());
        }
        let segment = match next.take() {
            Some(segment) => segment,
            None => self.create_segment()?,
        };
        let active = self.buffer_behind(full, segment.number(), bound);
        let rolled = writer.log.roll(segment, |next_seq| {
            full.seal(next_seq - 1);
            self.view.change(|old| old.rotated(Arc::clone(&active)));
        });
        drop(next);
        rolled.map_err(|error| self.log_refused(error))?;
        self.measure();
        let (number, closed_bytes) = (active.log, full.logged());
        self.events.tell(|| Event::LogRotated { number, closed_bytes });
        Ok(())
    }

    /// The memtable that follows `full`, with log segment `log`.
    pub(crate) fn buffer_behind(
        &self,
        full: &WriteBuffer,
        log: u64,
        bound: usize,
    ) -> Arc<WriteBuffer> {
        let limit = self.options.memtable_limit() as usize;
        let segment_limit = self.options.segment_limit();
        let like = full.table.common_prefix();
        let active = WriteBuffer::new(log, limit, bound, segment_limit, like, &full.pool);
        if full.table.has_cursors() {
            active.table.expect_cursors();
        }
        active
    }

    /// Creates the file of a log segment and makes its name durable.
    pub(crate) fn create_segment(&self) -> Result<Segment> {
        let mut number = self.new_file_number()?;
        if planted(bug::LOG_NUMBERED_BY_CLOCK) {
            number = self.now_ms().saturating_mul(1000).saturating_add(number % 1000);
        }
        let path = FileName::Log(number).path(&self.dir);
        self.named(Segment::create(&*self.fs, &path, number).map_err(Error::from))
    }
}
