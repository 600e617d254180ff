//! The window: what was committed lately, for as long as a transaction is open that may ask.
//!
//! INVARIANT: while the window is on, every commit whose sequence number is above `floor` is in it,
//! from the moment at which it got the number. A transaction whose snapshot is below the floor
//! cannot be judged, and is refused.
//!
//! It is a list of the keys in the order of their commits, cut into chunks. A commit adds its keys
//! at the end; a transaction reads what came behind its snapshot and asks its own sets about each
//! key. A sealed chunk never changes: it is read without any lock.

use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::snapshot::Moment;
use crate::transaction::keys::{Hashes, Keys, Ranges};
use kv_core::SeqNo;
use kv_sstable::{BlockCache, Pin};
use kv_vfs::sync::atomic::{AtomicBool, Ordering};
use kv_vfs::sync::{Mutex, MutexGuard};
use kv_vfs::testing::{bug, planted};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Keys at which a chunk is sealed: what a commit reads under the log's lock is at most about this.
const CHUNK_KEYS: usize = 256;
/// Bytes at which a chunk is sealed.
const CHUNK_BYTES: usize = 64 << 10;
/// A chunk that was sealed this long ago is let go.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(300);
/// How often a transaction reads the sealed chunks before it goes to the log.
const ROUNDS: usize = 8;

/// What was committed lately.
pub(crate) struct Window {
    /// Whether commits are noted. Set before the log's lock is taken and read under it.
    on: AtomicBool,
    /// The most bytes of sealed chunks.
    limit: usize,
    recent: Mutex<Recent>,
}

/// What the window's lock protects.
pub(crate) struct Recent {
    /// Open transactions by their snapshot. Without those below the floor.
    open: BTreeMap<SeqNo, usize>,
    /// Transactions that have no snapshot yet.
    arriving: usize,
    /// Every commit above it is here; `None` while that is not known.
    floor: Option<SeqNo>,
    sealed: VecDeque<Arc<Chunk>>,
    sealed_bytes: usize,
    /// It makes room for sealed chunks, so that they lie within the store's budget of memory.
    cache: Arc<BlockCache>,
    /// What was noted since the last chunk was sealed.
    commits: Vec<Commit>,
    keys: Keys,
}

/// The keys of some commits.
struct Chunk {
    commits: Vec<Commit>,
    keys: Arc<Keys>,
    sealed_at: Duration,
    /// `None` where half of the cache is set aside already.
    _pin: Option<Pin>,
}

/// Where the keys of one commit begin.
#[derive(Clone, Copy)]
struct Commit {
    seq: SeqNo,
    key: usize,
    range: usize,
}

/// What a transaction must find unchanged.
#[derive(Default)]
pub(crate) struct Check {
    /// Up to here nothing has changed; at first the snapshot.
    pub(crate) checked: Cell<SeqNo>,
    /// The first sequence number of the commit, once it has one; after a conflict the newest
    /// commit that it met: once that one is visible, another try does not meet it again.
    pub(crate) assigned: Cell<SeqNo>,
    /// The keys read and the keys written.
    pub(crate) points: Hashes,
    pub(crate) read: Keys,
    pub(crate) ranges: Ranges,
}

/// Why a transaction may not commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clash {
    /// Something that it read or wrote was changed.
    Changed,
    /// What happened since its snapshot is not known any more.
    TooOld,
}

impl Clash {
    pub(crate) fn error(self, limit: usize) -> Error {
        let message = match self {
            Clash::Changed => "another commit changed what this transaction read or wrote; \
                 nothing was written: run it again"
                .to_owned(),
            Clash::TooOld => format!(
                "the transaction is too old: commits are remembered for {} s and {} KiB of keys, \
                 and its snapshot lies before that; nothing was written: run it again, and make \
                 it shorter",
                MAX_AGE.as_secs(),
                limit / 1024
            ),
        };
        Error::new(ErrorKind::Conflict, message)
    }
}

impl Check {
    /// Whether a range delete from `start` to before `end` changes something; `written` are the
    /// transaction's own keys.
    fn is_hit_by_range(&self, start: &[u8], end: &[u8], written: &Keys) -> bool {
        let within = |key: &[u8]| start <= key && key < end;
        self.ranges.overlaps(start, end)
            || self.read.keys_from(0).any(within)
            || written.keys_from(0).any(within)
    }
}

/// Whether a commit behind `check.checked` changed something that the transaction needs.
fn clashes(commits: &[Commit], keys: &Keys, check: &Check, written: &Keys) -> bool {
    let at = commits.partition_point(|commit| commit.seq <= check.checked.get());
    let Some(first) = commits.get(at) else { return false };
    if keys.hashes_from(first.key).iter().any(|hash| check.points.contains(hash)) {
        return true;
    }
    if !check.ranges.is_empty()
        && !planted(bug::RANGE_READS_NOT_VALIDATED)
        && keys.keys_from(first.key).any(|key| check.ranges.contains(key))
    {
        return true;
    }
    let ranges = keys.ranges_from(first.range);
    ranges.iter().any(|(start, end)| check.is_hit_by_range(start, end, written))
}

impl Chunk {
    fn last(&self) -> SeqNo {
        self.commits.last().map_or(0, |commit| commit.seq)
    }

    fn memory(&self) -> usize {
        self.keys.memory() + size_of::<Commit>() * self.commits.len()
    }

    fn clashes(&self, check: &Check, written: &Keys) -> bool {
        clashes(&self.commits, &self.keys, check, written)
    }
}

impl Recent {
    fn new(cache: Arc<BlockCache>) -> Recent {
        Recent {
            open: BTreeMap::new(),
            arriving: 0,
            floor: None,
            sealed: VecDeque::new(),
            sealed_bytes: 0,
            cache,
            commits: Vec::new(),
            keys: Keys::default(),
        }
    }

    fn is_on(&self) -> bool {
        self.arriving > 0 || !self.open.is_empty()
    }

    /// Judges a transaction by what is here, under the lock.
    pub(crate) fn judge(&self, check: &Check, written: &Keys) -> Result<(), Clash> {
        if self.floor.is_none_or(|floor| check.checked.get() < floor) {
            return Err(Clash::TooOld);
        }
        let behind = |chunk: &&Arc<Chunk>| chunk.last() > check.checked.get();
        let sealed = self.sealed.iter().rev().take_while(behind);
        let clash = clashes(&self.commits, &self.keys, check, written) || { sealed }
            .any(|chunk| chunk.clashes(check, written));
        if clash { Err(Clash::Changed) } else { Ok(()) }
    }

    /// Adds a commit of one key.
    pub(crate) fn note_one(&mut self, seq: SeqNo, hash: u64, key: &[u8]) {
        self.begin(seq);
        self.keys.push(hash, key);
    }

    /// Adds a commit of many keys.
    pub(crate) fn note_all(&mut self, seq: SeqNo, keys: &Arc<Keys>, now: impl Fn() -> Duration) {
        if keys.count().0 < CHUNK_KEYS && keys.memory() < CHUNK_BYTES {
            self.begin(seq);
            self.keys.extend(keys);
            return;
        }
        // It is a chunk of its own, without a copy.
        self.seal(now());
        let commits = vec![Commit { seq, key: 0, range: 0 }];
        self.push(commits, Arc::clone(keys), now());
    }

    fn begin(&mut self, seq: SeqNo) {
        let (key, range) = self.keys.count();
        self.commits.push(Commit { seq, key, range });
    }

    /// Seals the newest chunk once it is full, and lets chunks go.
    pub(crate) fn tidy(&mut self, limit: usize, now: impl Fn() -> Duration) {
        let full = self.keys.count().0 >= CHUNK_KEYS
            || self.commits.len() >= CHUNK_KEYS
            || self.keys.memory() >= CHUNK_BYTES;
        if full {
            self.seal(now());
        }
        if full || self.sealed_bytes > limit {
            self.trim(limit, Some(now()));
        }
    }

    fn seal(&mut self, now: Duration) {
        if self.commits.is_empty() {
            return;
        }
        let (commits, keys) = (std::mem::take(&mut self.commits), std::mem::take(&mut self.keys));
        self.push(commits, Arc::new(keys), now);
    }

    fn push(&mut self, commits: Vec<Commit>, keys: Arc<Keys>, sealed_at: Duration) {
        let mut chunk = Chunk { commits, keys, sealed_at, _pin: None };
        let memory = chunk.memory();
        chunk._pin = self.cache.pin(memory);
        self.sealed_bytes += memory;
        self.sealed.push_back(Arc::new(chunk));
    }

    /// Lets chunks go that no open transaction needs, that are too many, or too old.
    fn trim(&mut self, limit: usize, now: Option<Duration>) {
        let oldest = self.open.keys().next().copied();
        while let Some(front) = self.sealed.front() {
            let needed = oldest.is_none_or(|oldest| front.last() > oldest);
            let aged = now.is_some_and(|now| now.saturating_sub(front.sealed_at) > MAX_AGE);
            if needed && !aged && self.sealed_bytes <= limit {
                break;
            }
            self.sealed_bytes -= front.memory();
            self.floor = self.floor.max(Some(front.last()));
            self.sealed.pop_front();
        }
        // Those can never commit: nothing is noted for them.
        let floor = self.floor.unwrap_or(0);
        while let Some(first) = self.open.first_entry()
            && *first.key() < floor
        {
            first.remove();
        }
    }

    /// Forgets everything; nobody is left who may ask.
    fn turn_off(&mut self) {
        self.floor = None;
        self.sealed.clear();
        self.sealed_bytes = 0;
        self.commits.clear();
        self.keys.clear();
    }
}

impl Window {
    /// A window that keeps up to `limit` bytes, for which `cache` makes room.
    pub(crate) fn new(limit: usize, cache: Arc<BlockCache>) -> Window {
        let recent = Mutex::new(Recent::new(cache));
        Window { on: AtomicBool::new(false), limit, recent }
    }

    /// How many transactions are open that may commit, and the bytes that are kept for them.
    pub(crate) fn held(&self) -> (usize, usize) {
        let recent = self.recent.lock();
        (recent.open.values().sum(), recent.sealed_bytes + recent.keys.memory())
    }

    /// The most bytes that it keeps.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether commits are to be noted. It counts where it is asked under the log's lock.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// The window, locked, while it is on.
    pub(crate) fn recent(&self) -> Option<MutexGuard<'_, Recent>> {
        Some(self.recent.lock()).filter(|recent| recent.is_on())
    }

    /// Judges a transaction by the sealed chunks, without a lock, so that little is left to do
    /// under the log's.
    pub(crate) fn judge_sealed(&self, check: &Check, written: &Keys) -> Result<(), Clash> {
        for _ in 0..ROUNDS {
            let chunks: Vec<Arc<Chunk>> = {
                let recent = self.recent.lock();
                if recent.floor.is_none_or(|floor| check.checked.get() < floor) {
                    return Err(Clash::TooOld);
                }
                let behind = |chunk: &&Arc<Chunk>| chunk.last() > check.checked.get();
                recent.sealed.iter().rev().take_while(behind).cloned().collect()
            };
            let Some(newest) = chunks.first() else { break };
            if chunks.iter().any(|chunk| chunk.clashes(check, written)) {
                check.assigned.set(newest.last());
                return Err(Clash::Changed);
            }
            check.checked.set(newest.last());
        }
        Ok(())
    }

    /// Ends a transaction with this snapshot.
    fn leave(&self, snapshot: SeqNo) {
        let mut recent = self.recent.lock();
        if let Some(count) = recent.open.get_mut(&snapshot) {
            *count -= 1;
            if *count == 0 {
                recent.open.remove(&snapshot);
            }
        }
        if recent.is_on() {
            recent.trim(self.limit, None);
        }
        self.turn_off_if_alone(&mut recent);
    }

    /// Stops noting commits where no transaction is left that may commit.
    pub(crate) fn turn_off_if_alone(&self, recent: &mut Recent) {
        if !recent.is_on() {
            self.on.store(false, Ordering::Relaxed);
            recent.turn_off();
        }
    }
}

impl Engine {
    /// Begins a transaction: every commit behind the moment will be in the window.
    ///
    /// A commit that got its number before the window was on is not in it. So the window's floor
    /// is the last number given when the log's lock was free once after it was turned on, and the
    /// snapshot waits until everything up to the floor is visible.
    pub(crate) fn begin_transaction(&self) -> Moment {
        let take = || self.snapshots.acquire(&self.publisher, || self.now_ms());
        let Some(writer) = &self.writer else { return take() };
        let window = &self.window;
        let mut recent = window.recent.lock();
        recent.arriving += 1;
        loop {
            let Some(floor) = recent.floor else {
                window.on.store(true, Ordering::Relaxed);
                drop(recent);
                let last = match planted(bug::WINDOW_MISSES_WHAT_IS_ON_ITS_WAY) {
                    true => self.publisher.visible(),
                    false => writer.log.next_seq().saturating_sub(1),
                };
                recent = window.recent.lock();
                recent.floor.get_or_insert(last);
                continue;
            };
            if self.publisher.visible() >= floor {
                break;
            }
            drop(recent);
            let reached = self.publisher.wait_for(floor);
            recent = window.recent.lock();
            if !reached {
                break;
            }
        }
        let moment = take();
        recent.arriving -= 1;
        *recent.open.entry(moment.seq).or_insert(0) += 1;
        if planted(bug::WINDOW_TRIMMED_EARLY) {
            // As if the youngest transaction were the oldest.
            let floor = recent.floor;
            recent.turn_off();
            recent.floor = floor;
        }
        moment
    }

    /// Ends a transaction that was begun at `moment`, whether it committed or not.
    pub(crate) fn end_transaction(&self, moment: Moment) {
        if self.writer.is_some() {
            self.window.leave(moment.seq);
        }
        if self.snapshots.release(moment.seq, moment.now_ms) {
            // What it held back may now be compacted away.
            self.background.wake_all();
        }
    }
}
