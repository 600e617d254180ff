//! Makes writes visible in the order of their sequence numbers.
//!
//! INVARIANT: `visible` only grows; every write with a sequence number up to it is in a memtable,
//! and as durable as it was asked to be. A write is announced when it is in its memtable, before
//! it waits for the log; whoever hears first that the log has come past it publishes for all that
//! are ready, so that the writers of one group wake up once.

use crate::options::Durability;
use kv_core::SeqNo;
use kv_vfs::sync::atomic::{AtomicU64, Ordering};
use kv_vfs::sync::{Condvar, Mutex};
use kv_wal::Position;
use std::collections::BTreeMap;

/// Alone on its cache lines: every reader loads it, and writers lock what lies beside it.
#[repr(align(128))]
struct Apart(AtomicU64);

/// The newest sequence number that readers see.
pub(crate) struct Publisher {
    visible: Apart,
    waiting: Mutex<Waiting>,
    moved: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// Writes that are in their memtable and not visible, by first sequence number.
    announced: BTreeMap<SeqNo, Announced>,
    /// How far the log has come: in the kernel's hands, and durable.
    written: Option<Position>,
    synced: Option<Position>,
    /// Writers that wait for an older one.
    sleepers: usize,
    /// No gap will be filled any more: a write failed for good.
    broken: bool,
}

struct Announced {
    last: SeqNo,
    position: Position,
    durability: Durability,
}

impl Waiting {
    fn is_ready(&self, write: &Announced) -> bool {
        let reached = match write.durability {
            Durability::Sync => self.synced,
            Durability::Os => self.written.max(self.synced),
        };
        reached >= Some(write.position)
    }
}

impl Publisher {
    pub(crate) fn new(visible: SeqNo) -> Publisher {
        Publisher {
            visible: Apart(AtomicU64::new(visible)),
            waiting: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    /// The newest sequence number that readers see.
    #[inline]
    pub(crate) fn visible(&self) -> SeqNo {
        self.visible.0.load(Ordering::Acquire)
    }

    /// Notes that the write with these sequence numbers is in its memtable, and becomes visible
    /// once the log has come to `position` with this durability.
    pub(crate) fn announce(
        &self,
        first: SeqNo,
        last: SeqNo,
        position: Position,
        durability: Durability,
    ) {
        let write = Announced { last, position, durability };
        self.waiting.lock().announced.insert(first, write);
    }

    /// Notes that the log has come to `position`, publishes what is ready, and waits until `last`
    /// is visible. Answers `false` where an older write failed, so that it never will be.
    pub(crate) fn publish(&self, last: SeqNo, position: Position, durability: Durability) -> bool {
        // Another writer of the group was first.
        if durability == Durability::Sync && self.visible() >= last {
            return true;
        }
        let mut waiting = self.waiting.lock();
        let reached = match durability {
            Durability::Sync => &mut waiting.synced,
            Durability::Os => &mut waiting.written,
        };
        *reached = (*reached).max(Some(position));
        let mut newest = self.visible();
        while let Some(next) = waiting.announced.get(&(newest + 1))
            && waiting.is_ready(next)
        {
            let first = newest + 1;
            newest = next.last;
            waiting.announced.remove(&first);
        }
        if newest > self.visible() {
            self.visible.0.store(newest, Ordering::Release);
            if waiting.sleepers > 0 {
                self.moved.notify_all();
            }
        }
        while self.visible() < last {
            if waiting.broken {
                return false;
            }
            waiting.sleepers += 1;
            self.moved.wait(&mut waiting);
            waiting.sleepers -= 1;
        }
        true
    }

    /// Lets everybody go who waits for a write that failed.
    pub(crate) fn break_off(&self) {
        self.waiting.lock().broken = true;
        self.moved.notify_all();
    }
}

#[cfg(loom)]
#[cfg(test)]
mod model;

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use kv_vfs::{Fs, MemFs};
    use kv_wal::{Error, Log, LogOptions, Segment};
    use std::path::Path;
    use std::sync::Arc;

    /// The places behind three writes of a log.
    fn positions() -> [Position; 3] {
        let fs = MemFs::new();
        fs.create_dir(Path::new("/log")).unwrap();
        let segment = Segment::create(&fs, Path::new("/log/1"), 1).unwrap();
        let log = Log::start(segment, None, 1, LogOptions::default()).unwrap();
        [1, 4, 1]
            .map(|count| log.append(count, &[b"x"], |_| Ok::<_, Error>(())).unwrap().0.position)
    }

    fn sleeping(publisher: &Publisher) {
        while publisher.waiting.lock().sleepers == 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test needs a second thread")]
    fn a_gap_holds_back_what_follows_until_it_is_filled() {
        let [one, two, _] = positions();
        let publisher = Arc::new(Publisher::new(0));
        let other = Arc::clone(&publisher);
        publisher.announce(2, 5, two, Durability::Os);
        let later = std::thread::spawn(move || other.publish(5, two, Durability::Os));
        sleeping(&publisher);
        assert_eq!(publisher.visible(), 0);
        publisher.announce(1, 1, one, Durability::Os);
        assert!(publisher.publish(1, one, Durability::Os));
        assert!(later.join().unwrap());
        assert_eq!(publisher.visible(), 5);
    }

    #[test]
    fn one_sync_publishes_the_whole_group_and_no_more() {
        let [one, two, three] = positions();
        let publisher = Publisher::new(0);
        publisher.announce(2, 5, two, Durability::Sync);
        publisher.announce(1, 1, one, Durability::Os);
        publisher.announce(6, 6, three, Durability::Sync);
        assert!(publisher.publish(5, two, Durability::Sync));
        assert_eq!(publisher.visible(), 5);
    }

    #[test]
    fn a_write_alone_does_not_publish_one_that_is_to_be_synced() {
        let [one, two, _] = positions();
        let publisher = Publisher::new(0);
        publisher.announce(1, 1, one, Durability::Os);
        publisher.announce(2, 5, two, Durability::Sync);
        assert!(publisher.publish(1, two, Durability::Os));
        assert_eq!(publisher.visible(), 1);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test needs a second thread")]
    fn a_failed_write_lets_its_followers_go_unpublished() {
        let [_, two, _] = positions();
        let publisher = Arc::new(Publisher::new(0));
        let other = Arc::clone(&publisher);
        publisher.announce(2, 5, two, Durability::Sync);
        let later = std::thread::spawn(move || other.publish(5, two, Durability::Sync));
        sleeping(&publisher);
        publisher.break_off();
        assert!(!later.join().unwrap());
        assert_eq!(publisher.visible(), 0);
    }
}
