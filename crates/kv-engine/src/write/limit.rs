//! What writes hear of a limit on the disk: who is admitted, who waits for merges, who is refused.
//! The arithmetic is in `room`. A store without a limit pays for a comparison.

use crate::compaction::targets;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Event;
use crate::health::Work;
use crate::stats::latency::Operation;
use crate::write::buffer::WriteBuffer;
use crate::write::room::{self, Asked, Held, written};
use crate::write::stall::Cause;
use kv_vfs::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long a write waits for room at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// A store that is opened over its limit takes deletes of so large a part of it.
const CEILING_PART: u64 = 8;

/// A memtable that is filled by so large a part is flushed for the deletes in it.
const FLUSHED_PART: u64 = 8;

/// What was counted last, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// See [`room::taken`] and [`room::reserve`].
    taken: AtomicU64,
    reserve: AtomicU64,
    /// What deletes may fill: the limit, or somewhat more than there was when the store was opened.
    ceiling: AtomicU64,
    /// Records of the manifest.
    pub(crate) manifest: AtomicU64,
    /// Writes and ingests on their way, which nothing else counts yet.
    coming: AtomicU64,
}

/// Bytes on their way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Coming<'a> {
    space: &'a Space,
    bytes: u64,
}

impl Space {
    /// Nothing on its way yet.
    pub(crate) fn coming(&self) -> Coming<'_> {
        Coming { space: self, bytes: 0 }
    }
}

impl Coming<'_> {
    /// More bytes than before.
    fn grow_to(&mut self, bytes: u64) {
        self.space.coming.fetch_add(bytes.saturating_sub(self.bytes), Relaxed);
        self.bytes = self.bytes.max(bytes);
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.space.coming.fetch_sub(self.bytes, Relaxed);
    }
}

impl Engine {
    /// Whether there is a limit on the disk.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.options.disk_limit != u64::MAX
    }

    /// Admits a write of so many bytes, if there is room for it or there is after merges under
    /// way. The answer is held until the memtable counts the write.
    pub(crate) fn admit_bytes(&self, payload: &[&[u8]], deletes: bool) -> Result<Coming<'_>> {
        let mut coming = self.space.coming();
        coming.grow_to(payload.iter().map(|part| part.len() as u64).sum());
        if !self.has_space(deletes) {
            self.make_space(deletes)?;
        } else if !deletes {
            self.background.note_full(false);
        }
        Ok(coming)
    }

    /// Admits an ingest whose files come to so many bytes. It does not wait: who holds much
    /// that is not counted is in the way of others.
    pub(crate) fn admit_ingest(&self, coming: &mut Coming<'_>, bytes: u64) -> Result<()> {
        if !self.is_limited() {
            return Ok(());
        }
        coming.grow_to(bytes);
        if self.has_space(false) || (self.give_space_up() && self.has_space(false)) {
            return Ok(());
        }
        self.win_space_back(false);
        Err(self.no_space())
    }

    /// What the limit is asked.
    fn asked(&self) -> Asked {
        let active = &self.view.load().active;
        let coming = self.space.coming.load(Relaxed);
        Asked {
            taken: self.space.taken.load(Relaxed),
            reserve: self.space.reserve.load(Relaxed).max(self.background.promised()),
            logged: active.logged().saturating_add(coming),
            unflushed: self.flushed_size(active, coming),
        }
    }

    /// The most that the flush of a memtable writes, with so many bytes more.
    fn flushed_size(&self, buffer: &WriteBuffer, more: u64) -> u64 {
        let memory = if buffer.is_empty() { 0 } else { buffer.table.memory() as u64 };
        let bytes = memory.max(buffer.logged()).saturating_add(more);
        written(bytes, self.options.table_limit())
    }

    fn has_space(&self, deletes: bool) -> bool {
        room::fits(self.options.disk_limit, &self.asked(), deletes)
    }

    /// The bytes that another merge may write; `None` where there is no limit.
    pub(crate) fn merge_room(&self) -> Option<u64> {
        let limit = self.options.disk_limit;
        self.is_limited().then(|| room::room(limit, &self.asked(), self.background.promised()))
    }

    /// Waits for room as long as work is under way that may make some.
    #[cold]
    fn make_space(&self, deletes: bool) -> Result<()> {
        if self.give_space_up() && self.has_space(deletes) {
            return Ok(());
        }
        let cause = Cause::Space;
        let started = self.clock.monotonic();
        self.events.tell(|| Event::StallStarted { cause });
        let outcome = self.wait_for_space(deletes, started);
        let took = self.clock.monotonic().saturating_sub(started);
        self.counters.stopped(cause, took);
        self.latencies.took(Operation::Stall, took, 1);
        self.events.tell(|| Event::StallEnded { cause, took });
        outcome
    }

    fn wait_for_space(&self, deletes: bool, started: Duration) -> Result<()> {
        self.background.look_again();
        loop {
            self.win_space_back(deletes);
            let mut state = self.background.state.lock();
            self.health.check_write()?;
            if self.has_space(deletes) {
                return Ok(());
            }
            let failing = [Work::Flush, Work::Compaction].map(|work| self.health.failing(work));
            let waits = self.clock.monotonic().saturating_sub(started) < PATIENCE;
            let under_way = state.running > 0 || !state.vain || self.has_sealed();
            let hopes = waits && under_way && failing.iter().all(Option::is_none);
            if !hopes || self.background.wait_for(&mut state, PATIENCE) {
                break;
            }
        }
        if deletes && room::fits_barely(self.space.ceiling.load(Relaxed), &self.asked()) {
            return Ok(());
        }
        Err(self.no_space())
    }

    pub(crate) fn has_sealed(&self) -> bool {
        !self.view.load().sealed.is_empty()
    }

    /// What is kept for consumers of changes gives way to what is written; answers whether
    /// anything did.
    fn give_space_up(&self) -> bool {
        let gave = self.give_held_up();
        if gave {
            self.count_disk();
        }
        gave
    }

    /// Has merges take what is dead, and lets them see what is deleted in the memtable in use,
    /// unless something is under way that makes room. For `deletes` only once they are some: else
    /// each of many would be flushed by itself.
    fn win_space_back(&self, deletes: bool) {
        if !self.background.note_full(true) {
            self.background.wake_all();
        }
        let view = self.view.load_full();
        let few = view.version.level(0).len() < 2 * self.options.level0_runs;
        let Ok(writer) = self.writer() else { return };
        let least = if deletes { self.options.memtable_limit() / FLUSHED_PART } else { 0 };
        let some = !view.active.is_empty() && view.active.table.memory() as u64 >= least;
        if view.sealed.is_empty() && few && some && !self.background.is_busy() {
            // What it fails of, a write that is taken will hear.
            let _ = self.rotate(writer, &view.active, 0);
            self.background.look_again();
        }
    }

    /// Why nothing more is written.
    pub(crate) fn no_space(&self) -> Error {
        let limit = self.options.disk_limit;
        let used = self.disk_bytes.load(Relaxed).saturating_add(self.view.load().active.logged());
        let held = match self.background.dead_bytes() {
            0 => String::new(),
            dead => format!("; {dead} bytes wait for iterators and snapshots to end"),
        };
        Error::new(
            ErrorKind::NoSpace,
            format!(
                "the store holds {used} bytes, and its disk_limit of {limit} leaves no more beside \
                 what merges need{held}; delete data and try again, or raise the limit"
            ),
        )
    }

    /// Counts what the limit is about: `files` are the bytes of all files but logs that are needed.
    pub(crate) fn count_space(&self, files: u64) {
        let view = self.view.load();
        let version = &view.version;
        let live = |file: &kv_manifest::LiveValues| file.live;
        let held = Held {
            files,
            logs: view.sealed.iter().map(|buffer| buffer.logged()).sum(),
            unflushed: view.sealed.iter().map(|buffer| self.flushed_size(buffer, 0)).sum(),
            manifest: self.space.manifest.load(Relaxed),
            log_step: self.options.log_options().allocation_chunk,
            tables: version.total_size(),
            level0: version.size(0),
            base: version.size(targets(version, &self.policy()).base),
            values: version.values().iter().map(live).sum(),
            largest_values: version.values().iter().map(live).max().unwrap_or(0),
            table_size: self.options.table_limit(),
        };
        self.space.taken.store(room::taken(self.options.disk_limit, &held), Relaxed);
        self.space.reserve.store(room::reserve(&held), Relaxed);
    }

    /// Notes what is there when the store is opened: more than a limit that was a higher one may still
    /// be deleted.
    pub(crate) fn note_space_at_open(&self) {
        let (limit, taken) = (self.options.disk_limit, self.space.taken.load(Relaxed));
        let ceiling = taken.saturating_add(limit / CEILING_PART).max(limit);
        self.space.ceiling.store(ceiling, Relaxed);
    }
}
