//! The background threads: take a job, do it, note how it ended.
//!
//! A failure is noted and the job tried again, later each time. A panic turns the store
//! read-only: what the thread left half done is not known.

use crate::background::next::{Next, Situation, next};
use crate::background::{Retry, State};
use crate::compaction::run::Task;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Event;
use crate::health::Work;
use crate::write::buffer::WriteBuffer;
use kv_manifest::VersionEdit;
use kv_vfs::sync::MutexGuard;
use kv_vfs::testing::{bug, planted};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// How often an idle store looks for expired entries.
const IDLE_LOOK: Duration = Duration::from_secs(10);
/// A store is idle once nothing was written for so long.
const QUIET: Duration = Duration::from_secs(1);

/// How often it is looked whether writers still press, where a compaction waits for that to end.
const PRESSED_LOOK: Duration = Duration::from_millis(20);
/// How often it is looked whether writers need the memory that the last memtable left, and the part
/// of a memtable that they have written meanwhile if they do.
const POOL_LOOK: Duration = Duration::from_millis(250);
const POOL_PART: u64 = 16;

/// They do if so much of a memtable was written meanwhile.
const PRESSED_PART: u64 = 64;

/// A job that was taken, with what was reserved for it.
enum Job {
    Flush {
        buffer: Arc<WriteBuffer>,
        level: usize,
        ticket: u64,
    },
    PrepareSegment,
    Reclaim,
    Compact(Task),
    /// Hands events over that were met under a lock, or by a thread that is gone.
    Tell,
}

/// Starts the threads of a store that writes.
pub(crate) fn start(engine: &Arc<Engine>) -> Result<()> {
    if engine.writer.is_none() {
        return Ok(());
    }
    let mut threads = engine.threads.lock();
    for i in 0..engine.options.background_threads {
        let shared = Arc::clone(engine);
        let thread = engine
            .fs
            .spawn(&format!("kv-background-{i}"), Box::new(move || shared.work_behind()))
            .map_err(|e| Error::io("a background thread cannot be started", e))?;
        threads.push(thread);
    }
    Ok(())
}

impl Engine {
    /// What callers do goes first where processors are short; writers are slowed down before
    /// they outrun the work that is done here.
    fn work_behind(&self) {
        self.fs.give_way();
        self.work();
    }

    fn work(&self) {
        while let Ok(Some(job)) = self.guarded(|| Ok(self.wait_for_job())) {
            let outcome = self.guarded(|| self.run(&job));
            self.end(job, outcome);
            self.events.hand_over();
        }
    }

    /// Does background work; a panic in it becomes a store that refuses writes.
    pub(crate) fn guarded<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            let cause = Error::new(ErrorKind::Io, "background work panicked");
            Err(self.writes_failed(&cause))
        })
    }

    /// The next job, or `None` when the store closes.
    fn wait_for_job(&self) -> Option<Job> {
        let mut state = self.background.state.lock();
        loop {
            if state.stopping {
                return None;
            }
            if let Some(job) = self.take_job(&mut state) {
                state.running += 1;
                return Some(job);
            }
            let now = self.clock.monotonic();
            let retries = [state.flush_retry.at, state.prepare_retry.at, state.compaction_retry.at];
            let next_retry = retries.into_iter().flatten().filter(|at| *at > now).min();
            let look = if self.is_idle(&state) { IDLE_LOOK } else { QUIET };
            let wait = match self.health.fatal() {
                None => next_retry.map_or(look, |at| at - now),
                Some(_) => IDLE_LOOK,
            };
            if state.put_off && !state.looking && wait > PRESSED_LOOK {
                self.look_for_pressure(&mut state);
                continue;
            }
            if !state.keeping && wait > POOL_LOOK && self.view.load().active.pool.memory() > 0 {
                self.look_at_pool(&mut state);
                continue;
            }
            if self.background.wait_for(&mut state, wait) {
                self.look_for_quiet(&mut state);
            }
        }
    }

    /// Sees for how long nothing was written.
    fn look_for_quiet(&self, state: &mut State) {
        let now = self.clock.monotonic();
        let writes = self.counters.writes.load(Ordering::Relaxed);
        if writes != state.writes_seen {
            (state.writes_seen, state.quiet_since) = (writes, now);
        }
        state.idle = now.saturating_sub(state.quiet_since) >= QUIET;
    }

    /// Whether nothing was written for a while, up to now.
    pub(crate) fn is_idle(&self, state: &State) -> bool {
        state.idle && self.counters.writes.load(Ordering::Relaxed) == state.writes_seen
    }

    /// Waits a moment and gives the memory of memtables that are gone back to the system, if writers
    /// go so slowly that getting it again costs them nothing.
    fn look_at_pool(&self, state: &mut MutexGuard<'_, State>) {
        let before = self.counters.write_bytes.load(Ordering::Relaxed);
        state.keeping = true;
        if self.background.wait_for(state, POOL_LOOK) {
            let grown = self.counters.write_bytes.load(Ordering::Relaxed).saturating_sub(before);
            if grown < self.options.memtable_limit() / POOL_PART {
                self.view.load().active.pool.release();
            }
        }
        state.keeping = false;
    }

    /// Waits a moment and sees whether writers still press. Only one thread does: a second one would
    /// see what came since the first one's look.
    fn look_for_pressure(&self, state: &mut MutexGuard<'_, State>) {
        state.looking = true;
        if self.background.wait_for(state, PRESSED_LOOK) {
            let bytes = self.counters.write_bytes.load(Ordering::Relaxed);
            let grown = bytes.saturating_sub(state.bytes_seen);
            state.pressed = grown >= self.options.memtable_limit() / PRESSED_PART;
            state.bytes_seen = bytes;
        }
        state.looking = false;
    }

    fn take_job(&self, state: &mut State) -> Option<Job> {
        if self.events.are_waiting() {
            return Some(Job::Tell);
        }
        state.put_off = false;
        match next(&self.situation(state)) {
            Next::Wait => None,
            Next::Reclaim => {
                state.reclaiming = true;
                Some(Job::Reclaim)
            }
            Next::PrepareSegment => {
                state.preparing = true;
                Some(Job::PrepareSegment)
            }
            Next::Flush => {
                let buffer = Arc::clone(self.view.load().sealed.last()?);
                let (level, ticket) = self.reserve_flush(state, &buffer);
                state.flushing = true;
                state.pressed = true;
                state.bytes_seen = self.counters.write_bytes.load(Ordering::Relaxed);
                Some(Job::Flush { buffer, level, ticket })
            }
            Next::Compact => {
                let task = self.pick_compaction(state)?;
                state.compactions.push(task.ticket);
                Some(Job::Compact(task))
            }
        }
    }

    pub(super) fn situation(&self, state: &mut State) -> Situation {
        let view = self.view.load();
        let Some(writer) = &self.writer else {
            return Situation { stopping: true, ..Situation::default() };
        };
        let now = self.clock.monotonic();
        let waits = |retry: &Retry| retry.at.is_some_and(|at| now < at);
        let threads = self.options.background_threads;
        let segment = writer.log.segment_len();
        let half_full = view.active.is_half_full() || 2 * segment > self.options.segment_limit();
        Situation {
            stopping: state.stopping || self.health.fatal().is_some(),
            flush_waits: waits(&state.flush_retry),
            prepare_waits: waits(&state.prepare_retry),
            compaction_waits: waits(&state.compaction_retry),
            dead_tables: !state.reclaiming && state.has_unread(),
            flushable: view.sealed.last().is_some_and(|buffer| !buffer.has_writers())
                && !(planted(bug::NO_FLUSH_AFTER_RECOVERY) && self.has_recovered()),
            flushing: state.flushing,
            segment_wanted: half_full
                && writer.next_segment.try_lock().is_some_and(|next| next.is_none()),
            preparing: state.preparing,
            compacting: state.compactions.len(),
            max_compacting: if threads > 1 { threads - 1 } else { 1 },
        }
    }

    /// Whether the open found something in the logs.
    fn has_recovered(&self) -> bool {
        self.counters.recovered_batches.load(Ordering::Relaxed) > 0
    }

    fn run(&self, job: &Job) -> Result<()> {
        match job {
            Job::Flush { buffer, level, .. } => self.run_flush(buffer, *level),
            Job::PrepareSegment => self.prepare_segment(),
            Job::Reclaim => {
                self.reclaim_in_spare_time();
                Ok(())
            }
            Job::Compact(task) => self.run_compaction(task),
            Job::Tell => {
                self.events.hand_over();
                Ok(())
            }
        }
    }

    /// Gives back what the job had reserved, and notes how it ended.
    fn end(&self, job: Job, outcome: Result<()>) {
        let mut state = self.background.state.lock();
        state.running -= 1;
        let work = match job {
            Job::Flush { ticket, .. } => {
                state.flushing = false;
                state.busy.release(ticket);
                Some(Work::Flush)
            }
            Job::PrepareSegment => {
                // It is done ahead of need and says nothing of flushes; a writer that needs the
                // segment makes it itself, and hears why that fails. It is tried again by itself
                // too: on a full disk it fails until a flush has let a log go.
                state.preparing = false;
                None
            }
            Job::Reclaim => {
                state.reclaiming = false;
                drop(state);
                return self.background.wake_all();
            }
            Job::Tell => {
                drop(state);
                return self.background.wake_all();
            }
            Job::Compact(task) => {
                state.compactions.retain(|ticket| *ticket != task.ticket);
                self.end_compaction(&mut state, &task, outcome.as_ref().err());
                Some(Work::Compaction)
            }
        };
        self.plan_retry(&mut state, work, outcome.err());
        drop(state);
        self.background.wake_all();
    }

    /// Notes how work ended, and when it is tried again. `None`: the making of a log segment.
    fn plan_retry(&self, state: &mut State, work: Option<Work>, failure: Option<Error>) {
        let retry = match work {
            Some(work) => state.retry(work),
            None => &mut state.prepare_retry,
        };
        let failed_before = retry.failures > 0;
        let mut retry_in = Duration::ZERO;
        match failure {
            None => *retry = Retry::default(),
            Some(_) => {
                retry_in = FIRST_RETRY.saturating_mul(1 << retry.failures.min(10)).min(LAST_RETRY);
                retry.failures += 1;
                retry.at = Some(self.clock.monotonic() + retry_in);
                self.counters.background_errors.fetch_add(1, Ordering::Relaxed);
            }
        }
        let failures = retry.failures;
        let Some(work) = work else { return };
        match failure.clone() {
            Some(error) => {
                self.events.note(|| Event::WorkFailed { work, error, failures, retry_in });
            }
            None if failed_before => self.events.note(|| Event::WorkRecovered { work }),
            None => {}
        }
        self.health.note(work, failure);
    }

    /// Makes the next log segment, and lets the manifest name it, so that its loss is noticed.
    fn prepare_segment(&self) -> Result<()> {
        let writer = self.writer()?;
        let mut next = writer.next_segment.lock();
        if next.is_none() {
            let segment = self.create_segment()?;
            let number = segment.number();
            let logs_added = vec![number];
            let installed =
                self.install(VersionEdit { logs_added, ..VersionEdit::default() }, None);
            if installed.is_err() && self.health.fatal().is_none() {
                self.remove_logs(std::iter::once(number));
            }
            installed?;
            *next = Some(segment);
        }
        Ok(())
    }
}
