// long: appends, writes and syncs keep the invariants below together, under one lock.

//! The log that many threads append to: one lock, one write for all that is buffered, one sync
//! for all that is written. Where the file has a window (`ahead`), a record that need not be
//! durable is written by the append itself, by copying it there.
//!
//! What holds at every moment, under the lock:
//!
//! 1. Records get their place, their sequence numbers and their bytes in one critical section, so
//!    the order of the log is the order of the sequence numbers.
//! 2. `sync.done <= write.done <= end`. The buffer holds what lies between what the write that is
//!    on (or was last) takes along and `end`; all of it belongs to the current segment. A copy
//!    takes all of the buffer, under the lock, while no write is on and nobody waits for one: so
//!    nothing is ever in the file before what comes before it, and no waiter is passed over.
//! 3. Older segments are made durable before newer ones, so whatever is durable is a prefix.
//! 4. After a failed write or sync nothing is written, synced or appended again: the file's
//!    contents are unknown, and a sync that succeeds later would prove nothing.
//!
//! The lock is never held across a write, a sync or the opening of a window, which is part of a
//! round of writing; only across a copy and, where the window's space was not ahead of need, the
//! reservation of space. `admit` and `under_lock` run while it is held and must not call the log.

use crate::ahead;
use crate::answers::{Appended, LogStats, Position};
use crate::error::{Error, Result};
use crate::frame::{HEADER_LEN, Predecessor, RecordKind, START_LEN};
use crate::segment::{Segment, payload_len};
use crate::state::{Closed, Current, State};
use crate::turn::{Calls, Turn};
use kv_vfs::FsFileExt;
use kv_vfs::sync::atomic::{AtomicU64, Ordering};
use kv_vfs::sync::{Mutex, MutexGuard};
use kv_vfs::testing::{Mark, bug, mark, planted};
use std::collections::VecDeque;

/// How often a writer looks whether a write has ended before it goes to sleep: some 3 µs.
const LOOKS: usize = 64;

/// How often a sync that is about to begin lets other threads run, for those to come that the last
/// one released: some 20 µs where nobody comes, less than a fifth of what the sync takes. Where many
/// come a look takes longer, because they run meanwhile.
const GATHER_LOOKS: usize = 40;

/// How a log treats its files.
///
/// ```
/// let options = kv_wal::LogOptions { allocation_chunk: 1 << 20, ..Default::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// The biggest step by which space is reserved. The first is small and each next one twice as
    /// big, so that a small log stays small.
    pub allocation_chunk: u64,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { allocation_chunk: 4 << 20 }
    }
}

/// A write-ahead log; share it with an `Arc`.
///
/// A record is appended in three steps, of which a writer takes as many as it needs:
/// [`append`](Log::append) gives it its place, [`write_to`](Log::write_to) puts it into the
/// kernel's hands (it survives the process), [`sync_to`](Log::sync_to) makes it durable.
///
/// ```
/// # use kv_vfs::MemFs;
/// # use kv_wal::{Error, Log, LogOptions, Segment};
/// let segment = Segment::create(&MemFs::new(), "/1.log".as_ref(), 1)?;
/// let log = Log::start(segment, None, 1, LogOptions::default())?;
/// let (one, ()) = log.append(1, &[b"one"], |_| Ok::<_, Error>(()))?;
/// log.write_to(one.position)?; // survives the process
/// log.sync_to(one.position)?; // survives power loss
/// assert_eq!((log.next_seq(), log.synced()), (2, log.end()));
/// assert_eq!((log.stats().appends, log.stats().syncs), (1, 1));
/// assert_eq!((log.segment_number(), log.segment_len()), (1, log.stats().bytes));
/// log.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Log {
    state: Mutex<State>,
    /// How many rounds of writing have ended: who waits for one looks here for a moment.
    rounds: AtomicU64,
    options: LogOptions,
}

impl Log {
    /// Starts a log in an empty segment. Its start record goes into the buffer, so it reaches the
    /// file with the first write.
    ///
    /// `predecessor` is the end of an older log that this one continues (`Replay::end_of_last`),
    /// or `None`. The first sync through the new log vouches for the older segments as well:
    /// before it, they are to be made durable, or no longer needed.
    pub fn start(
        segment: Segment,
        predecessor: Option<Predecessor>,
        next_seq: u64,
        options: LogOptions,
    ) -> Result<Log> {
        let mut state = State {
            current: Current::new(segment, 0, &options)?,
            closed: VecDeque::new(),
            next_seq,
            buffer: Vec::new(),
            records: 0,
            spare: Vec::new(),
            write: Turn::default(),
            sync: Turn::default(),
            released: 0,
            finished: false,
            failure: None,
            stats: LogStats::default(),
        };
        let payload = Predecessor::encode(predecessor.as_ref());
        state.frame(RecordKind::Start, &[&payload], START_LEN as u32);
        Ok(Log { state: Mutex::new(state), rounds: AtomicU64::new(0), options })
    }

    /// Appends a record with the concatenation of `payload`, which takes `count` sequence numbers.
    ///
    /// Space for it is reserved first, so a full disk is [`Error::NoSpace`] with nothing appended,
    /// and the same append may succeed later. Then `admit` is asked, with the first sequence
    /// number and under the log's lock; if it refuses, nothing is appended either. Appending is in
    /// memory: only [`write_to`](Log::write_to) takes the record out of the process.
    #[inline]
    pub fn append<T, E: From<Error>>(
        &self,
        count: u64,
        payload: &[&[u8]],
        admit: impl FnOnce(u64) -> std::result::Result<T, E>,
    ) -> std::result::Result<(Appended, T), E> {
        self.append_to::<false, T, E>(count, payload, admit)
    }

    /// [`Log::append`] for a record that is to be written and need not be durable: it is written
    /// at once where that takes no system call, and [`Appended::written`] says so.
    ///
    /// ```
    /// # use kv_vfs::MemFs;
    /// # use kv_wal::{Error, Log, LogOptions, Segment};
    /// # let segment = Segment::create(&MemFs::new(), "/1.log".as_ref(), 1)?;
    /// # let log = Log::start(segment, None, 1, LogOptions::default())?;
    /// let (one, ()) = log.append_and_copy(1, &[b"one"], |_| Ok::<_, Error>(()))?;
    /// if !one.written {
    ///     log.write_to(one.position)?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn append_and_copy<T, E: From<Error>>(
        &self,
        count: u64,
        payload: &[&[u8]],
        admit: impl FnOnce(u64) -> std::result::Result<T, E>,
    ) -> std::result::Result<(Appended, T), E> {
        self.append_to::<true, T, E>(count, payload, admit)
    }

    #[inline]
    fn append_to<const COPY: bool, T, E: From<Error>>(
        &self,
        count: u64,
        payload: &[&[u8]],
        admit: impl FnOnce(u64) -> std::result::Result<T, E>,
    ) -> std::result::Result<(Appended, T), E> {
        let mut state = self.state.lock();
        state.check_open()?;
        let first_seq = state.next_seq;
        let Some(next_seq) = first_seq.checked_add(count) else {
            return Err(Error::Exhausted { path: state.current.segment.path().into() }.into());
        };
        let len = state.reserve(payload)?;
        let admitted = admit(first_seq)?;
        state.frame(RecordKind::Data, payload, len);
        state.next_seq = next_seq;
        state.stats.appends += 1;
        let written = COPY && state.write.is_idle() && state.copy_out();
        let position = Position(state.end());
        Ok((Appended { first_seq, position, written }, admitted))
    }

    /// Returns once everything before `position` has been written to its file.
    pub fn write_to(&self, position: Position) -> Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        while state.write.done < position.0.min(state.end()) {
            state.check()?;
            if !state.write.is_running() {
                let calls = self.write_round(&mut state, true);
                let reached = state.write.done >= position.0.min(state.end());
                let outcome = state.after_round(reached);
                drop(state);
                calls.make();
                if reached || outcome.is_err() {
                    return outcome;
                }
                state = self.state.lock();
                continue;
            }
            let rounds = self.rounds.load(Ordering::Relaxed);
            drop(state);
            if !self.ends_soon(rounds) {
                state = self.state.lock();
                if !state.write.is_running() || self.rounds.load(Ordering::Relaxed) != rounds {
                    continue;
                }
                let seat = state.write.sit(position.0);
                drop(state);
                if seat.wait() {
                    return Ok(());
                }
            }
            state = self.state.lock();
        }
        Ok(())
    }

    /// Whether the round of writing that is on ends within a few microseconds: a write takes less
    /// than it takes to fall asleep and be woken.
    #[inline]
    fn ends_soon(&self, rounds: u64) -> bool {
        let looks = if cfg!(any(loom, shuttle)) { 0 } else { LOOKS };
        (0..looks).any(|_| {
            std::hint::spin_loop();
            self.rounds.load(Ordering::Relaxed) != rounds
        })
    }

    /// Returns once everything before `position` is durable, writing what is still buffered.
    pub fn sync_to(&self, position: Position) -> Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        while state.sync.done < position.0.min(state.end()) {
            state.check()?;
            if !state.sync.is_running() {
                let calls = self.sync_group(&mut state);
                let reached = state.sync.done >= position.0.min(state.end());
                let outcome = state.after_round(reached);
                drop(state);
                calls.make();
                if reached || outcome.is_err() {
                    return outcome;
                }
                state = self.state.lock();
                continue;
            }
            let seat = state.sync.sit(position.0);
            drop(state);
            if seat.wait() {
                return Ok(());
            }
            state = self.state.lock();
        }
        Ok(())
    }

    /// The place behind everything appended.
    pub fn end(&self) -> Position {
        Position(self.state.lock().end())
    }

    /// The place before which everything is durable.
    pub fn synced(&self) -> Position {
        Position(self.state.lock().sync.done)
    }

    /// Bytes appended to the current segment.
    pub fn segment_len(&self) -> u64 {
        self.state.lock().current.framer.offset()
    }

    /// The number of the current segment.
    pub fn segment_number(&self) -> u64 {
        self.state.lock().current.segment.number()
    }

    /// The sequence number that the next append gets.
    pub fn next_seq(&self) -> u64 {
        self.state.lock().next_seq
    }

    /// The failed write or sync after which the log takes nothing more.
    ///
    /// ```
    /// # use kv_vfs::{Fault, FaultError, FaultFs, MemFs, OpKind};
    /// # use kv_wal::{Error, Log, LogOptions, Segment};
    /// # let fs = FaultFs::new(std::sync::Arc::new(MemFs::new()));
    /// # let segment = Segment::create(&fs, "/1.log".as_ref(), 1)?;
    /// # let log = Log::start(segment, None, 1, LogOptions::default())?;
    /// assert!(log.failure().is_none());
    /// # fs.arm(Fault::new(OpKind::Sync, FaultError::EIO).times(1));
    /// // The disk fails once:
    /// assert!(log.sync_to(log.end()).is_err());
    /// assert!(matches!(log.failure(), Some(Error::Poisoned { op: "sync", .. })));
    /// assert!(log.append(1, &[b"one"], |_| Ok::<_, Error>(())).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failure(&self) -> Option<Error> {
        self.state.lock().failure.clone()
    }

    /// What the log has done.
    pub fn stats(&self) -> LogStats {
        self.state.lock().stats
    }

    /// Calls `under_lock` with the sequence number of the next append, which no append gets before
    /// it returns.
    ///
    /// ```
    /// # use kv_vfs::MemFs;
    /// # use kv_wal::{Log, LogOptions, Segment};
    /// # let segment = Segment::create(&MemFs::new(), "/1.log".as_ref(), 1)?;
    /// # let log = Log::start(segment, None, 7, LogOptions::default())?;
    /// assert_eq!(log.hold(|next| next)?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn hold<T>(&self, under_lock: impl FnOnce(u64) -> T) -> Result<T> {
        let mut state = self.state.lock();
        state.check_open()?;
        Ok(under_lock(state.next_seq))
    }

    /// Goes on in the segment `next`. `under_lock` runs at the very change, with the sequence
    /// number of the next append: what was appended before lies in the old segment, what comes
    /// later in the new one. The old segment is written out, and it is made durable by the next
    /// sync, before anything of the new one.
    ///
    /// Where no space can be reserved in `next`, that is the error, and the log stays as it was.
    ///
    /// ```
    /// # use kv_vfs::MemFs;
    /// # use kv_wal::{Error, Log, LogOptions, Segment};
    /// # let fs = MemFs::new();
    /// # let segment = |n: u64| Segment::create(&fs, format!("/{n}.log").as_ref(), n);
    /// let log = Log::start(segment(1)?, None, 1, LogOptions::default())?;
    /// log.append(2, &[b"two at once"], |_| Ok::<_, Error>(()))?;
    /// let first_of_2 = log.roll(segment(2)?, |next_seq| next_seq)?;
    /// assert_eq!((log.segment_number(), first_of_2), (2, 3));
    ///
    /// // The numbers up to 9 are somebody else's.
    /// log.roll_ahead(segment(3)?, |next_seq| ((), next_seq + 7))?;
    /// // A segment that begins with a record, which gets number 10.
    /// log.roll_with(segment(4)?, &[b"first"], |next_seq| ((), next_seq))?;
    /// assert_eq!(log.next_seq(), 11);
    ///
    /// log.release_until(2); // what they held is durable elsewhere
    /// log.sync_closed()?; // of the older ones only the third is left
    /// assert_eq!(log.stats().syncs, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn roll<T>(&self, next: Segment, under_lock: impl FnOnce(u64) -> T) -> Result<T> {
        self.roll_ahead(next, |next_seq| (under_lock(next_seq), next_seq))
    }

    /// [`Log::roll`], where `held` also says which sequence number the next append gets: a greater
    /// one leaves out those between, which no record will have.
    pub fn roll_ahead<T>(&self, next: Segment, held: impl FnOnce(u64) -> (T, u64)) -> Result<T> {
        self.roll_with(next, &[], held)
    }

    /// [`Log::roll_ahead`] with a first record in the new segment: it has the concatenation of
    /// `record` and the sequence number that `held` answers. Nothing comes between. An empty one is none.
    pub fn roll_with<T>(
        &self,
        next: Segment,
        record: &[&[u8]],
        held: impl FnOnce(u64) -> (T, u64),
    ) -> Result<T> {
        let mut next = Current::new(next, 0, &self.options)?;
        let start = (HEADER_LEN + START_LEN) as u64;
        let len = payload_len(next.segment.path(), start, record)?;
        if len > 0 {
            let end = start + HEADER_LEN as u64 + u64::from(len);
            next.space.reserve(next.segment.file(), next.segment.path(), end)?;
        }
        let mut state = self.state.lock();
        state.check_open()?;
        while state.write.is_running() {
            let end = state.end();
            let seat = state.write.sit(end);
            MutexGuard::unlocked(&mut state, || seat.wait());
            if let Err(error) = state.check_open() {
                // It may have been woken to do a round that others wait for: they look again.
                state.write.give_up();
                return Err(error);
            }
        }
        let last_seq = state.next_seq.saturating_sub(1);
        let (answer, next_seq) = held(state.next_seq);
        state.next_seq = next_seq.max(state.next_seq);
        let end = state.end();
        let old = std::mem::replace(&mut state.current, Current { base: end, ..next });
        let predecessor = Predecessor {
            number: old.segment.number(),
            length: old.framer.offset(),
            last_seq,
            checksum: old.framer.checksum(),
        };
        if state.sync.done < end && !planted(bug::CLOSED_LOG_NOT_SYNCED) {
            state.closed.push_back(Closed { segment: old.segment.clone(), end });
        }
        state.write.begin(end);
        let buffer = state.take_buffer();
        let payload = Predecessor::encode(Some(&predecessor));
        state.frame(RecordKind::Start, &[&payload], START_LEN as u32);
        if len > 0 {
            state.frame(RecordKind::Data, record, len);
            state.next_seq += 1;
        }
        let offset = predecessor.length - buffer.len() as u64;
        let calls = self.write_out(&mut state, &old.segment, buffer, offset, end);
        let outcome = state.check();
        drop(state);
        calls.make();
        outcome.map(|()| answer)
    }

    /// Makes the segments before the current one durable; records appended later say so.
    pub fn sync_closed(&self) -> Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        let base = state.current.base;
        self.reach_synced(&mut state, base, |_| base)
    }

    /// Lets go of the older segments up to `number`, whose records are durable elsewhere: their
    /// files are closed, and no sync waits for them.
    pub fn release_until(&self, number: u64) {
        self.state.lock().closed.retain(|closed| closed.segment.number() > number);
    }

    /// Closes the log in order: makes everything durable and puts an end record behind it, which
    /// is proof against any later loss. Nothing can be appended from then on.
    pub fn finish(&self) -> Result<()> {
        let mut state = self.state.lock();
        state.check()?;
        let end = state.end();
        if state.finished {
            return self.reach_synced(&mut state, end, State::end);
        }
        state.finished = true;
        self.reach_synced(&mut state, end, State::end)?;
        // Each reservation keeps room for this record.
        state.frame(RecordKind::End, &[], 0);
        let end = state.end();
        self.reach_synced(&mut state, end, State::end)
    }

    fn reach_written(&self, state: &mut MutexGuard<'_, State>, position: u64) -> Result<()> {
        let position = position.min(state.end());
        while state.write.done < position {
            state.check()?;
            if state.write.is_running() {
                let seat = state.write.sit(position);
                MutexGuard::unlocked(state, || seat.wait());
            } else {
                let calls = self.write_round(state, false);
                calls.make();
                if planted(bug::ERROR_KEPT_FROM_GROUP) {
                    state.check()?;
                }
            }
        }
        Ok(())
    }

    /// Writes all that is buffered; none is being written. A failure is left in the state.
    ///
    /// Where the window has come to its end and more is to be copied, `open` asks for the next.
    /// Without it a sync comes next: where all before is synced, zeros are written behind, for the
    /// syncs that follow.
    fn write_round(&self, state: &mut MutexGuard<'_, State>, open: bool) -> Calls {
        let all_synced = state.write.done == state.sync.done;
        state.write.gather();
        let mut copied = state.copy_out();
        if !copied && open && ahead::open(state) {
            if state.failure.is_some() {
                return state.write.end();
            }
            copied = state.copy_out();
        }
        let end = state.end();
        state.write.aim(end);
        if copied {
            self.rounds.fetch_add(1, Ordering::Relaxed);
            return state.write.end();
        }
        let segment = state.current.segment.clone();
        let buffer = state.take_buffer();
        let offset = end - state.current.base - buffer.len() as u64;
        if !open && all_synced {
            let zeros = state.current.space.zeros_behind(offset..offset + buffer.len() as u64);
            if !zeros.is_empty()
                && let Err(e) = MutexGuard::unlocked(state, || segment.write_zeros(zeros))
            {
                self.fail(state, Error::poisoned(segment.path(), "write", e));
                return state.write.end();
            }
        }
        self.write_out(state, &segment, buffer, offset, end)
    }

    /// Does the write of a round that has been begun, and ends the round.
    fn write_out(
        &self,
        state: &mut MutexGuard<'_, State>,
        segment: &Segment,
        buffer: Vec<u8>,
        offset: u64,
        target: u64,
    ) -> Calls {
        let outcome = MutexGuard::unlocked(state, || segment.file().write_all_at(&buffer, offset));
        match outcome {
            Ok(()) => state.write.done = target,
            Err(e) => self.fail(state, Error::poisoned(segment.path(), "write", e)),
        }
        state.keep_buffer(buffer);
        self.rounds.fetch_add(1, Ordering::Relaxed);
        state.write.end()
    }

    /// `target` says, when a round begins, how far it is to go; at least to `position`.
    fn reach_synced(
        &self,
        state: &mut MutexGuard<'_, State>,
        position: u64,
        target: impl Fn(&State) -> u64,
    ) -> Result<()> {
        let position = position.min(state.end());
        while state.sync.done < position {
            state.check()?;
            if state.sync.is_running() {
                let seat = state.sync.sit(position);
                MutexGuard::unlocked(state, || seat.wait());
            } else {
                let target = target(state);
                let calls = self.sync_round(state, target);
                calls.make();
                if planted(bug::ERROR_KEPT_FROM_GROUP) {
                    state.check()?;
                }
            }
        }
        Ok(())
    }

    /// Writes and syncs everything before `target`; nothing is being synced. A failure is left in
    /// the state.
    fn sync_round(&self, state: &mut MutexGuard<'_, State>, target: u64) -> Calls {
        state.sync.begin(target);
        self.sync_files(state, target);
        state.sync.end()
    }

    /// [`Log::sync_round`] for all that is there, after those whom the last round let go have had
    /// a moment to come again: they would else miss this round and make the next, and each sync
    /// would be for half of the writers.
    fn sync_group(&self, state: &mut MutexGuard<'_, State>) -> Calls {
        let expected = state.sync.followers() + state.released;
        state.sync.gather();
        if state.released > 0 && !cfg!(any(loom, shuttle)) {
            for _ in 0..GATHER_LOOKS {
                if state.sync.followers() >= expected || state.failure.is_some() {
                    break;
                }
                MutexGuard::unlocked(state, std::thread::yield_now);
            }
        }
        let target = state.end();
        state.sync.aim(target);
        self.sync_files(state, target);
        state.released = state.sync.followers();
        state.sync.end()
    }

    /// Writes and syncs everything before `target`, oldest file first.
    fn sync_files(&self, state: &mut MutexGuard<'_, State>, target: u64) {
        if self.reach_written(state, target).is_err() {
            return;
        }
        while let Some((segment, reached)) = state.next_unsynced(target) {
            match MutexGuard::unlocked(state, || segment.sync()) {
                Ok(()) => state.synced(reached),
                Err(e) => {
                    if state.sync.followers() >= 3 {
                        mark(Mark::FailedSyncOfGroup);
                    }
                    return self.fail(state, Error::poisoned(segment.path(), "sync", e));
                }
            }
            if state.failure.is_some() {
                return;
            }
        }
    }

    fn fail(&self, state: &mut MutexGuard<'_, State>, failure: Error) {
        state.failure.get_or_insert(failure);
        if planted(bug::ERROR_KEPT_FROM_GROUP) {
            let end = state.end();
            (state.write.done, state.sync.done) = (end, end);
        }
        state.write.give_up();
        state.sync.give_up();
    }
}
