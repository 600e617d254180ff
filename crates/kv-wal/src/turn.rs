//! Work that one thread at a time does for all: who does it, who waits, who is woken.
//!
//! Threads want a position to be reached. Whoever finds nobody at work does a *round*: it brings
//! everything up to the round's target. The others take a seat and wait for this round, if its
//! target suffices them, or else for the next. At a round's end one of those who wait for the next
//! is called to do it, and then each of its own. Nobody is called for nothing, and no call is lost:
//! a thread that is called to do a round and finds another at it already waits for that one.
//!
//! A thread that is called because its position is reached goes its way without the lock: else
//! all of a group would queue for it, and run one by one.

use kv_vfs::sync::{Condvar, Mutex};
use std::sync::Arc;

/// The state of the work; lives under a lock.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// How far the work has come.
    pub(crate) done: u64,
    running: bool,
    target: u64,
    /// Who waits for the round that is on, or else comes next, and who for the one after.
    seated: [Vec<(u64, Arc<Seat>)>; 2],
    /// Seats for later use, of which some may still be in use.
    spare: Vec<Arc<Seat>>,
}

/// Where one thread waits.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    call: Mutex<Call>,
    called: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Call {
    #[default]
    None,
    /// The position is reached.
    Reached,
    /// Look again: do the next round, or hear of a failure.
    Look,
}

impl Seat {
    /// Waits to be called; answers whether the position is reached. Otherwise the caller looks
    /// again.
    pub(crate) fn wait(&self) -> bool {
        let mut call = self.call.lock();
        while *call == Call::None {
            self.called.wait(&mut call);
        }
        *call == Call::Reached
    }

    fn call(&self, what: Call) {
        *self.call.lock() = what;
        self.called.notify_one();
    }
}

/// Who is to be called at a round's end; it costs nothing to make the calls without the lock.
#[must_use]
pub(crate) struct Calls(Vec<(Arc<Seat>, Call)>);

impl Calls {
    pub(crate) fn make(self) {
        for (seat, what) in self.0 {
            seat.call(what);
        }
    }
}

impl Turn {
    /// Whether a round is on.
    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    /// Whether no round is on, and nobody waits to do one.
    pub(crate) fn is_idle(&self) -> bool {
        !self.running && self.seated.iter().all(Vec::is_empty)
    }

    /// Begins a round whose target is not known yet: who comes now belongs to it.
    pub(crate) fn gather(&mut self) {
        self.begin(u64::MAX);
    }

    /// Sets the target of a round that was begun by [`Turn::gather`].
    pub(crate) fn aim(&mut self, target: u64) {
        self.target = target;
    }

    /// How many threads wait for the round that is on, or else for the next.
    pub(crate) fn followers(&self) -> usize {
        self.seated[0].len()
    }

    /// Begins a round; none is on.
    pub(crate) fn begin(&mut self, target: u64) {
        debug_assert!(!self.running, "one round at a time");
        self.running = true;
        self.target = target;
    }

    /// Takes a seat until the end of the first round that reaches `position`, or until it is time
    /// to do the next one. A round is on. The seat is to be waited on without the lock.
    pub(crate) fn sit(&mut self, position: u64) -> Arc<Seat> {
        let free = self.spare.iter_mut().position(|seat| Arc::get_mut(seat).is_some());
        let seat = match free {
            Some(free) => self.spare.swap_remove(free),
            None => Arc::default(),
        };
        *seat.call.lock() = Call::None;
        self.seated[usize::from(position > self.target)].push((position, Arc::clone(&seat)));
        seat
    }

    /// Ends the round that is on.
    pub(crate) fn end(&mut self) -> Calls {
        self.running = false;
        self.seated.swap(0, 1);
        let Turn { done, seated: [next, this], spare, .. } = self;
        let mut calls = Vec::with_capacity(this.len() + usize::from(!next.is_empty()));
        // The next round's thread first: it begins while the others still wake up.
        if let Some((_, seat)) = next.pop() {
            calls.push((seat, Call::Look));
        }
        for (position, seat) in this.drain(..) {
            calls.push((seat, if position <= *done { Call::Reached } else { Call::Look }));
        }
        spare.extend(calls.iter().map(|(seat, _)| Arc::clone(seat)));
        Calls(calls)
    }

    /// Calls everyone, because nothing will ever be reached again.
    pub(crate) fn give_up(&mut self) {
        for (_, seat) in self.seated.iter_mut().flat_map(|seats| seats.drain(..)) {
            seat.call(Call::Look);
        }
    }
}
