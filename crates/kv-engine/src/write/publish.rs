//! Makes writes visible in the order of their sequence numbers.
//!
//! INVARIANT: `visible` only grows, and every write with a sequence number up to it is in a
//! memtable. A write that finishes before an older one leaves its range here; whoever fills the
//! gap publishes for all that wait behind it.

use kv_core::SeqNo;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// The newest sequence number that readers see.
pub(crate) struct Publisher {
    visible: AtomicU64,
    waiting: Mutex<Waiting>,
    moved: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// Finished writes behind a gap: first sequence number to last.
    finished: BTreeMap<SeqNo, SeqNo>,
    /// No gap will be filled any more: a write failed for good.
    broken: bool,
}

impl Publisher {
    pub(crate) fn new(visible: SeqNo) -> Publisher {
        Publisher {
            visible: AtomicU64::new(visible),
            waiting: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    /// The newest sequence number that readers see.
    #[inline]
    pub(crate) fn visible(&self) -> SeqNo {
        self.visible.load(Ordering::Acquire)
    }

    /// Publishes the write with these sequence numbers and waits until it is visible. Answers
    /// `false` where an older write failed, so that this one never will be.
    pub(crate) fn publish(&self, first: SeqNo, last: SeqNo) -> bool {
        let mut waiting = self.waiting.lock();
        if self.visible() + 1 != first {
            waiting.finished.insert(first, last);
            while self.visible() < last {
                if waiting.broken {
                    return false;
                }
                self.moved.wait(&mut waiting);
            }
            return true;
        }
        let mut newest = last;
        while let Some(next) = waiting.finished.remove(&(newest + 1)) {
            newest = next;
        }
        self.visible.store(newest, Ordering::Release);
        if newest != last {
            self.moved.notify_all();
        }
        true
    }

    /// Lets everybody go who waits for a write that failed.
    pub(crate) fn break_off(&self) {
        self.waiting.lock().broken = true;
        self.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test needs a second thread")]
    fn a_gap_holds_back_what_follows_until_it_is_filled() {
        let publisher = std::sync::Arc::new(Publisher::new(0));
        let other = std::sync::Arc::clone(&publisher);
        let later = std::thread::spawn(move || other.publish(2, 5));
        while publisher.waiting.lock().finished.is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(publisher.visible(), 0);
        assert!(publisher.publish(1, 1));
        assert!(later.join().unwrap());
        assert_eq!(publisher.visible(), 5);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test needs a second thread")]
    fn a_failed_write_lets_its_followers_go_unpublished() {
        let publisher = std::sync::Arc::new(Publisher::new(0));
        let other = std::sync::Arc::clone(&publisher);
        let later = std::thread::spawn(move || other.publish(2, 5));
        while publisher.waiting.lock().finished.is_empty() {
            std::thread::yield_now();
        }
        publisher.break_off();
        assert!(!later.join().unwrap());
        assert_eq!(publisher.visible(), 0);
    }
}
