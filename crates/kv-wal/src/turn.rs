//! Work that one thread at a time does for all: who does it, who waits, who is woken.
//!
//! Threads want a position to be reached. Whoever finds nobody at work does a *round*: it brings
//! everything up to the round's target. The others wait for this round, if its target suffices
//! them, or else for the next. At a round's end one of the next round's waiters is woken, to do
//! that, and then its own. Nobody is woken for nothing, and no wake-up is lost: a thread that is
//! woken to do a round and finds another at it already waits for that one.

use kv_vfs::sync::{Condvar, MutexGuard};

/// The state of the work; lives under the mutex that the waiters give up while they wait.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// How far the work has come.
    pub(crate) done: u64,
    running: bool,
    target: u64,
    /// The queue, 0 or 1, of the round that is on, or else comes next; the one after has the other.
    round: usize,
    waiting: [usize; 2],
}

impl Turn {
    /// Whether a round is on.
    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    /// How many threads wait for the round that is on.
    pub(crate) fn followers(&self) -> usize {
        self.waiting[self.round]
    }

    /// Begins a round; none is on.
    pub(crate) fn begin(&mut self, target: u64) {
        debug_assert!(!self.running, "one round at a time");
        self.running = true;
        self.target = target;
    }
}

/// Where threads wait; lives beside the mutex.
#[derive(Debug, Default)]
pub(crate) struct Queues([Condvar; 2]);

impl Queues {
    /// Waits for the end of the first round that reaches `position`, or for being woken to do the
    /// next one; the caller looks again. A round is on.
    pub(crate) fn wait<S>(
        &self,
        state: &mut MutexGuard<'_, S>,
        turn: impl Fn(&mut S) -> &mut Turn,
        position: u64,
    ) {
        let this = turn(state);
        let queue = if position <= this.target { this.round } else { this.round ^ 1 };
        this.waiting[queue] += 1;
        self.0[queue].wait(state);
        turn(state).waiting[queue] -= 1;
    }

    /// Ends the round that is on.
    pub(crate) fn end(&self, turn: &mut Turn) {
        let (this, next) = (turn.round, turn.round ^ 1);
        turn.running = false;
        turn.round = next;
        // The next round's thread first: it begins while the others still wake up one by one.
        if turn.waiting[next] > 0 {
            self.0[next].notify_one();
        }
        if turn.waiting[this] > 0 {
            self.0[this].notify_all();
        }
    }

    /// Wakes everyone, because nothing will ever be reached again.
    pub(crate) fn give_up(&self) {
        for queue in &self.0 {
            queue.notify_all();
        }
    }
}
