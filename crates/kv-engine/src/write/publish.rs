//! Makes writes visible in the order of their sequence numbers.
//!
//! INVARIANT: `visible` only grows; every write with a sequence number up to it is in a memtable,
//! and as durable as it was asked to be. A write is announced when it is in its memtable, before
//! it waits for the log; whoever hears first that the log has come past it publishes for all that
//! are ready, so that the writers of one group wake up once.
//!
//! A write that is not to be synced, and that all older ones are visible before, is not listed:
//! nobody else can publish it, and nobody else can publish anything before it has. So a writer
//! that is alone takes no lock here.

use crate::options::Durability;
use kv_core::SeqNo;
use kv_vfs::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use kv_vfs::sync::{Condvar, Mutex};
use kv_vfs::testing::{bug, planted};
use kv_wal::Position;
use std::collections::BTreeMap;

/// Alone on its cache lines: every reader loads it, and writers lock what lies beside it.
#[repr(align(128))]
struct Apart(AtomicU64);

/// The newest sequence number that readers see.
pub(crate) struct Publisher {
    visible: Apart,
    /// How many writes are listed, and watchers. Changed under the lock.
    listed: AtomicUsize,
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
    /// Writers that wait for an older one, and watchers.
    sleepers: usize,
    /// Those who wait for a write that is not theirs. They count as listed, so that every
    /// publication looks for them.
    watchers: usize,
    /// No gap will be filled any more: a write failed for good.
    broken: bool,
}

struct Announced {
    last: SeqNo,
    position: Position,
    durability: Durability,
}

/// A write that was announced, for its publication.
#[must_use]
pub(crate) struct Ticket {
    last: SeqNo,
    position: Position,
    durability: Durability,
    listed: bool,
}

impl Waiting {
    fn listed(&self) -> usize {
        self.announced.len() + self.watchers
    }

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
            listed: AtomicUsize::new(0),
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
    ) -> Ticket {
        let listed = (durability == Durability::Sync || self.visible() + 1 != first)
            && !planted(bug::PUBLISHED_OVER_A_GAP);
        if listed {
            let mut waiting = self.waiting.lock();
            waiting.announced.insert(first, Announced { last, position, durability });
            self.listed.store(waiting.listed(), Ordering::Relaxed);
            drop(waiting);
            // Whoever publishes from now on without the lock sees that this one is listed, or
            // what it made visible is seen here.
            fence(Ordering::SeqCst);
        }
        Ticket { last, position, durability, listed }
    }

    /// Notes that the log has come to the write's position, publishes what is ready, and waits
    /// until the write is visible. Answers `false` where an older write failed, so that it never
    /// will be.
    pub(crate) fn publish(&self, ticket: Ticket) -> bool {
        let Ticket { last, durability, .. } = ticket;
        if !ticket.listed {
            self.visible.0.store(last, Ordering::Release);
            fence(Ordering::SeqCst);
            if self.listed.load(Ordering::Relaxed) == 0 {
                return true;
            }
        } else if durability == Durability::Sync && self.visible() >= last {
            // Another writer of the group was first.
            return true;
        }
        let mut waiting = self.waiting.lock();
        let reached = match durability {
            Durability::Sync => &mut waiting.synced,
            Durability::Os => &mut waiting.written,
        };
        *reached = (*reached).max(Some(ticket.position));
        self.publish_ready(&mut waiting, !ticket.listed);
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

    /// Waits until everything up to `seq` is visible. Answers `false` where a write before it
    /// failed, so that it never will be.
    pub(crate) fn wait_for(&self, seq: SeqNo) -> bool {
        if self.visible() >= seq {
            return true;
        }
        let mut waiting = self.waiting.lock();
        waiting.watchers += 1;
        self.listed.store(waiting.listed(), Ordering::Relaxed);
        // As in `announce`: who publishes without the lock sees the watcher, or is seen here.
        fence(Ordering::SeqCst);
        while self.visible() < seq && !waiting.broken {
            waiting.sleepers += 1;
            self.moved.wait(&mut waiting);
            waiting.sleepers -= 1;
        }
        waiting.watchers -= 1;
        self.listed.store(waiting.listed(), Ordering::Relaxed);
        self.visible() >= seq
    }

    /// Publishes what is ready, in order. `moved` says that something was made visible already.
    fn publish_ready(&self, waiting: &mut Waiting, moved: bool) {
        let before = self.visible();
        let mut newest = before;
        while let Some(next) = waiting.announced.get(&(newest + 1))
            && waiting.is_ready(next)
        {
            let first = newest + 1;
            newest = next.last;
            waiting.announced.remove(&first);
        }
        if newest > before {
            self.listed.store(waiting.listed(), Ordering::Relaxed);
            self.visible.0.store(newest, Ordering::Release);
        }
        let wakes = waiting.sleepers > 0 && !planted(bug::PUBLICATION_WAKES_NOBODY);
        if (moved || newest > before) && wakes {
            self.moved.notify_all();
        }
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
        let later = publisher.announce(2, 5, two, Durability::Os);
        let later = std::thread::spawn(move || other.publish(later));
        sleeping(&publisher);
        assert_eq!(publisher.visible(), 0);
        let first = publisher.announce(1, 1, one, Durability::Os);
        assert!(publisher.publish(first));
        assert!(later.join().unwrap());
        assert_eq!(publisher.visible(), 5);
    }

    #[test]
    fn one_sync_publishes_the_whole_group_and_no_more() {
        let [one, two, three] = positions();
        let publisher = Publisher::new(0);
        let _later = publisher.announce(6, 6, three, Durability::Sync);
        let second = publisher.announce(2, 5, two, Durability::Os);
        let first = publisher.announce(1, 1, one, Durability::Sync);
        assert!(publisher.publish(Ticket { position: two, ..first }));
        assert_eq!(publisher.visible(), 5);
        assert!(publisher.publish(second));
    }

    #[test]
    fn a_write_alone_does_not_publish_one_that_is_to_be_synced() {
        let [one, two, _] = positions();
        let publisher = Publisher::new(0);
        let alone = publisher.announce(1, 1, one, Durability::Os);
        let _synced = publisher.announce(2, 5, two, Durability::Sync);
        assert!(publisher.publish(Ticket { position: two, ..alone }));
        assert_eq!(publisher.visible(), 1);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test needs a second thread")]
    fn a_failed_write_lets_its_followers_go_unpublished() {
        let [_, two, _] = positions();
        let publisher = Arc::new(Publisher::new(0));
        let other = Arc::clone(&publisher);
        let later = publisher.announce(2, 5, two, Durability::Sync);
        let later = std::thread::spawn(move || other.publish(later));
        sleeping(&publisher);
        publisher.break_off();
        assert!(!later.join().unwrap());
        assert_eq!(publisher.visible(), 0);
    }
}
