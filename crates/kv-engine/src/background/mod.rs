//! Work beside the callers: who waits for it, which jobs run, and what is done next.

pub(crate) mod next;
mod reclaim;
pub(crate) mod worker;

use crate::compaction::Busy;
use crate::health::Work;
use kv_manifest::{FileName, Version};
use kv_vfs::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use kv_vfs::sync::{Condvar, Mutex, MutexGuard};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Shared by all threads of a store.
#[derive(Default)]
pub(crate) struct Background {
    pub(crate) state: Mutex<State>,
    /// Signalled whenever something changed that a worker or a waiting caller may wait for: a
    /// memtable was sealed or drained, a job ended, a snapshot went, the store failed or closes.
    changed: Condvar,
    /// How many dead files wait to be removed, and their bytes.
    dead: AtomicUsize,
    dead_bytes: AtomicU64,
    /// A write was refused for the limit on the disk, or waits for it, and none was taken since.
    full: AtomicBool,
    /// Bytes that merges under way may write.
    promised: AtomicU64,
}

/// Which work is under way. Guarded by one lock, so that no two workers take the same job.
#[derive(Default)]
pub(crate) struct State {
    /// Tables and key ranges that running flushes and compactions have taken.
    pub(crate) busy: Busy,
    /// Whether a memtable is being written out.
    pub(crate) flushing: bool,
    /// Whether a log segment is being made.
    pub(crate) preparing: bool,
    /// Tickets of the compactions that background threads carry out.
    pub(crate) compactions: Vec<u64>,
    /// Jobs under way.
    pub(crate) running: usize,
    /// No new job begins.
    pub(crate) stopping: bool,
    /// When work that failed is tried again.
    pub(crate) flush_retry: Retry,
    pub(crate) prepare_retry: Retry,
    pub(crate) compaction_retry: Retry,
    /// Dead tables are being removed.
    pub(crate) reclaiming: bool,
    /// Tables and value files that the current version does not name: name and size.
    pub(crate) dead: Vec<(FileName, u64)>,
    /// Memtables are filled one after the other.
    pub(crate) pressed: bool,
    /// Bytes written when it was last looked whether writers press on, and whether a thread is
    /// waiting to look.
    pub(crate) bytes_seen: u64,
    pub(crate) looking: bool,
    /// A thread waits to look at the memory that memtables left.
    pub(crate) keeping: bool,
    /// A compaction was not chosen only because writers press.
    pub(crate) put_off: bool,
    /// Operations written at the last look, since when it was no more, and whether that is long
    /// enough for the store to be idle.
    pub(crate) writes_seen: u64,
    pub(crate) quiet_since: Duration,
    pub(crate) idle: bool,
    /// With the limit on the disk reached, nothing was found that would win space back.
    pub(crate) vain: bool,
    /// Every version that someone may still read.
    pub(crate) versions: Vec<Weak<Version>>,
}

/// How work of one kind is tried again.
#[derive(Debug, Default)]
pub(crate) struct Retry {
    /// Not before this moment of the monotonic clock.
    pub(crate) at: Option<Duration>,
    /// How often in a row it has failed.
    pub(crate) failures: u32,
}

/// A caller's work that a close waits for: [`Background::begin`].
pub(crate) struct Working<'a>(&'a Background);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.state.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

impl State {
    /// Jobs under way or put off: not 0 while there is something to do.
    pub(crate) fn unfinished(&self) -> usize {
        self.running + usize::from(self.put_off)
    }

    pub(crate) fn retry(&mut self, work: Work) -> &mut Retry {
        match work {
            Work::Flush => &mut self.flush_retry,
            Work::Compaction => &mut self.compaction_retry,
        }
    }
}

impl Background {
    /// Wakes everybody who waits, to look again.
    pub(crate) fn wake_all(&self) {
        // Taking the lock orders the change that the caller made before a waiter's next look.
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// Waits until `ready` answers something; it sees and may change the state, and is
    /// asked again after every change.
    pub(crate) fn wait_with<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut state = self.state.lock();
        loop {
            if let Some(answer) = ready(&mut state) {
                return answer;
            }
            self.changed.wait(&mut state);
        }
    }

    /// Waits for a change, at most for `limit`; answers whether that passed without one.
    pub(crate) fn wait_for(&self, state: &mut MutexGuard<'_, State>, limit: Duration) -> bool {
        self.changed.wait_for(state, limit).timed_out()
    }

    /// Whether any job is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.state.lock().running > 0
    }

    /// Has it looked again what would win space back.
    pub(crate) fn look_again(&self) {
        self.state.lock().vain = false;
        self.changed.notify_all();
    }

    /// Notes that nothing would win space back, and tells those who wait for it.
    pub(crate) fn note_vain(&self, state: &mut State) {
        if !state.vain {
            state.vain = true;
            self.changed.notify_all();
        }
    }

    /// Starts no more jobs, and waits for those under way.
    pub(crate) fn stop(&self) {
        self.state.lock().stopping = true;
        self.changed.notify_all();
        self.wait_with(|state| (state.running == 0).then_some(()));
    }

    /// Counts the caller among the jobs under way, so that a close waits for it, until the answer
    /// is dropped. `None` where the store closes.
    pub(crate) fn begin(&self) -> Option<Working<'_>> {
        let mut state = self.state.lock();
        (!state.stopping).then(|| {
            state.running += 1;
            Working(self)
        })
    }

    /// Notes that `version` will be read from now on.
    pub(crate) fn register(&self, version: &Arc<Version>) {
        let mut state = self.state.lock();
        state.vain = false;
        state.versions.retain(|held| held.strong_count() > 0);
        state.versions.push(Arc::downgrade(version));
    }

    /// Notes files (name and size) that the current version does not name any more.
    pub(crate) fn retire(&self, dead: Vec<(FileName, u64)>) {
        let mut state = self.state.lock();
        state.dead.extend(dead);
        self.count_dead(&state);
    }

    fn count_dead(&self, state: &State) {
        self.dead.store(state.dead.len(), Ordering::Relaxed);
        let bytes = state.dead.iter().map(|(_, size)| size).sum();
        self.dead_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Takes out the dead files that nobody reads.
    fn take_unread(&self) -> Vec<(FileName, u64)> {
        let mut state = self.state.lock();
        let gone = state.take_unread();
        self.count_dead(&state);
        gone
    }

    /// Dead files that readers still hold.
    pub(crate) fn dead_tables(&self) -> usize {
        self.dead.load(Ordering::Relaxed)
    }

    /// Bytes of dead files that are still on disk.
    pub(crate) fn dead_bytes(&self) -> u64 {
        self.dead_bytes.load(Ordering::Relaxed)
    }

    /// Notes whether the limit on the disk refuses writes; answers what it did before.
    pub(crate) fn note_full(&self, full: bool) -> bool {
        let before = self.full.load(Ordering::Relaxed);
        if before != full {
            self.full.store(full, Ordering::Relaxed);
        }
        before
    }

    /// Whether the limit on the disk refuses writes.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Bytes that merges under way may write.
    pub(crate) fn promised(&self) -> u64 {
        self.promised.load(Ordering::Relaxed)
    }

    /// Counts what merges under way may write, after one began or ended.
    pub(crate) fn count_promised(&self, state: &State) {
        self.promised.store(state.busy.promised(), Ordering::Relaxed);
    }

    /// Notes that a reader let a view go, which may have held dead tables. Takes no lock, because
    /// a view may end wherever one is looked at; a waiter that misses this looks again anyway.
    pub(crate) fn reader_left(&self) {
        if self.dead_tables() > 0 {
            self.changed.notify_all();
        }
    }
}
