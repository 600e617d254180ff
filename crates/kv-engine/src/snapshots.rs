//! Which moments readers hold on to, so that compaction keeps the versions they see.

use crate::snapshot::Moment;
use crate::write::publish::Publisher;
use kv_core::SeqNo;
use kv_vfs::sync::Mutex;
use kv_vfs::testing::{bug, planted};
use std::collections::BTreeMap;

/// The live snapshots of one store.
#[derive(Default)]
pub(crate) struct Snapshots {
    /// Sequence number and clock of each live snapshot, with how many hold it.
    live: Mutex<BTreeMap<(SeqNo, u64), usize>>,
}

/// What compaction must preserve, taken in one moment.
pub(crate) struct Kept {
    /// Sequence numbers of the live snapshots, ascending, without repeats. The newest visible
    /// number stands at the end: every later snapshot sees at least that much.
    pub(crate) seqs: Vec<SeqNo>,
    /// The oldest clock that a live snapshot reads with; entries that expire later stay.
    pub(crate) oldest_clock_ms: u64,
}

impl Kept {
    /// Below this number only the newest version of a key is seen by anyone.
    pub(crate) fn oldest(&self) -> SeqNo {
        self.seqs.first().copied().unwrap_or(0)
    }
}

impl Snapshots {
    /// Takes a snapshot of what is visible now. Number and clock are read under the lock, so that a
    /// compaction that begins at the same time either sees the snapshot or began before it.
    pub(crate) fn acquire(&self, publisher: &Publisher, now: impl FnOnce() -> u64) -> Moment {
        let mut live = self.live.lock();
        let moment = Moment { seq: publisher.visible(), now_ms: now() };
        *live.entry((moment.seq, moment.now_ms)).or_insert(0) += 1;
        moment
    }

    /// Holds a snapshot a second time.
    pub(crate) fn share(&self, seq: SeqNo, now_ms: u64) {
        *self.live.lock().entry((seq, now_ms)).or_insert(0) += 1;
    }

    /// Lets a snapshot go; answers whether it was the oldest.
    pub(crate) fn release(&self, seq: SeqNo, now_ms: u64) -> bool {
        let mut live = self.live.lock();
        let oldest = live.keys().next() == Some(&(seq, now_ms));
        if let Some(count) = live.get_mut(&(seq, now_ms)) {
            *count -= 1;
            if *count == 0 {
                live.remove(&(seq, now_ms));
                return oldest;
            }
        }
        false
    }

    /// What a flush or compaction that begins now must preserve.
    pub(crate) fn kept(&self, publisher: &Publisher, now: impl FnOnce() -> u64) -> Kept {
        let live = self.live.lock();
        let now_ms = now();
        let mut seqs: Vec<SeqNo> = live.keys().map(|(seq, _)| *seq).collect();
        if planted(bug::SNAPSHOTS_NOT_KEPT) {
            seqs.clear();
        }
        seqs.push(publisher.visible());
        seqs.dedup();
        let oldest_clock_ms = live.keys().map(|(_, clock)| *clock).fold(now_ms, u64::min);
        Kept { seqs, oldest_clock_ms }
    }

    /// How many different moments are held.
    pub(crate) fn len(&self) -> usize {
        self.live.lock().len()
    }
}
