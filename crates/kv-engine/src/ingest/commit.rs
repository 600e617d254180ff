//! The commit of an ingest: everything older to tables, one edit of the manifest, and a log that
//! goes on behind the tables' sequence number.
//!
//! Writers wait from [`Engine::shut_out`] on, where the memtable takes no more and the lock for
//! changing it is held. By then it holds little: it was written out before.

use super::Built;
use crate::changes::ingest_mark;
use crate::compaction::flush_level;
use crate::engine::{Engine, Writer};
use crate::error::{Error, Result};
use crate::events::Event;
use crate::flush::{flush_buffer, span};
use crate::options::Durability;
use crate::output::Made;
use crate::space::Space;
use crate::write::buffer::WriteBuffer;
use kv_core::SeqNo;
use kv_manifest::{KeySpan, VersionEdit};
use kv_vfs::sync::MutexGuard;
use kv_vfs::testing::{bug, planted};
use kv_wal::Segment;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Arena bytes that a memtable may hold to be written out while writers wait, and how often it is
/// written out before they do.
const LITTLE: usize = 256 << 10;
const ROUNDS: usize = 4;

/// What the commit found when it shut the writers out.
struct Shut {
    /// The memtable that takes no more.
    buffer: Arc<WriteBuffer>,
    /// What it had reserved.
    reserved: usize,
    /// The sequence number behind the last write.
    next_seq: SeqNo,
}

/// What is ready to be named by the manifest.
struct Ready {
    /// What the memtable held.
    flushed: Made,
    /// Where the ingested tables go, and the ticket for their keys there.
    level: usize,
    ticket: u64,
}

impl Engine {
    /// Commits the tables; `false` where the log has come past their sequence number.
    pub(super) fn commit_ingest(&self, space: &Space, built: &Built) -> Result<bool> {
        let _working = self.working()?;
        let writer = self.writer()?;
        let mut next = self.hold_memtable(writer)?;
        if next.is_none() {
            *next = Some(self.create_segment()?);
        }
        let Some(shut) = self.shut_out(writer, space, built)? else { return Ok(false) };
        let ready = match self.prepare(&shut, built) {
            Ok(ready) => ready,
            Err(error) => {
                self.let_in(writer, &shut);
                return Err(error);
            }
        };
        let outcome = match next.take() {
            Some(segment) => self.commit_shut(writer, (&shut, &ready), segment, built),
            None => Err(Error::closed()),
        };
        self.background.state.lock().busy.release(ready.ticket);
        if outcome.is_err() && self.health.fatal().is_none() {
            self.discard(&ready.flushed);
        }
        drop(next);
        self.background.wake_all();
        self.events.hand_over();
        outcome.map(|()| true)
    }

    /// Waits until nothing but the active memtable is in memory, and that is small. While the
    /// answer lives it stays the active one.
    fn hold_memtable<'a>(&self, writer: &'a Writer) -> Result<MutexGuard<'a, Option<Segment>>> {
        let mut round = 0;
        loop {
            let active = Arc::clone(&self.view.load().active);
            self.wait_for_background(&active, false)?;
            if round < ROUNDS && active.table.memory() > LITTLE {
                self.rotate(writer, &active, 0)?;
            }
            round += 1;
            self.wait_flushed(u64::MAX)?;
            let next = writer.next_segment.lock();
            if self.view.load().sealed.is_empty() {
                return Ok(next);
            }
        }
    }

    /// Lets no write into the memtable any more: whoever comes waits for the lock that the caller
    /// holds. `None` where writes have come past the tables' sequence number.
    fn shut_out(&self, writer: &Writer, space: &Space, built: &Built) -> Result<Option<Shut>> {
        let buffer = Arc::clone(&self.view.load().active);
        writer
            .log
            .hold(|next_seq| {
                self.health.check_write()?;
                if !space.is_default() {
                    space.check()?;
                }
                if next_seq > built.seq {
                    return Ok(None);
                }
                let reserved = buffer.shut(next_seq - 1);
                Ok(Some(Shut { buffer, reserved, next_seq }))
            })
            .map_err(|e| self.log_refused(e))?
    }

    /// Takes back [`Engine::shut_out`].
    fn let_in(&self, writer: &Writer, shut: &Shut) {
        // A log that has failed admits nobody either way.
        let _ = writer.log.hold(|_| shut.buffer.reopen(shut.reserved));
    }

    /// Writes out what the memtable holds, makes the names of all tables durable, and chooses the
    /// level.
    fn prepare(&self, shut: &Shut, built: &Built) -> Result<Ready> {
        let buffer = &shut.buffer;
        self.background.wait_with(|state| {
            if let Err(error) = self.health.check_write() {
                return Some(Err(error));
            }
            if state.stopping {
                return Some(Err(Error::closed()));
            }
            (!buffer.has_writers()).then_some(Ok(()))
        })?;
        let maker = self.maker()?;
        let kept = self.snapshots.kept(&self.publisher, || self.now_ms());
        let flushed = match buffer.is_empty() {
            _ if planted(bug::INGEST_LEAVES_MEMTABLE) => Made::default(),
            true => Made::default(),
            false => flush_buffer(&maker, buffer, 0, false, &kept)?,
        };
        if !planted(bug::INGEST_NAMES_NOT_SYNCED)
            && let Err(error) = self.named(maker.sync_dir())
        {
            self.discard(&flushed);
            return Err(error);
        }
        let keys = KeySpan::closed(built.first.clone(), built.last.clone());
        let older = span(buffer).map(|(first, last)| KeySpan::closed(first, last));
        let mut state = self.background.state.lock();
        let version = Arc::clone(&self.view.load().version);
        let level = match older.is_some_and(|older| older.overlaps(&keys)) {
            true => 0,
            false => flush_level(&version, &keys, &state.busy),
        };
        let ticket = state.busy.reserve_range(level, keys);
        Ok(Ready { flushed, level, ticket })
    }

    /// Makes the log go on behind the tables' sequence number in `segment`, names the tables, and
    /// makes them visible. Whatever comes of it, writers go on afterwards.
    fn commit_shut(
        &self,
        writer: &Writer,
        (shut, ready): (&Shut, &Ready),
        segment: Segment,
        built: &Built,
    ) -> Result<()> {
        let log = segment.number();
        let buffer = &shut.buffer;
        let active = self.buffer_behind(buffer, log, 0);
        let end = [built.last.as_ref(), &[0]].concat();
        // The log says so too, for those who read the changes from it.
        let mark = ingest_mark(&built.first, &built.last);
        let rolled = writer.log.roll_with(segment, &[mark.as_bytes()], |_| {
            self.note_range(built.seq, &built.first, &end);
            ((), built.seq)
        });
        if let Err(error) = rolled {
            self.let_in(writer, shut);
            return Err(self.log_refused(error));
        }
        let closed_bytes = buffer.logged();
        self.events.note(|| Event::LogRotated { number: log, closed_bytes });
        let position = writer.log.end();
        // Nothing is pending behind a durable ingest, not even the beginning of its log.
        writer.log.sync_to(position).map_err(|e| self.writes_failed(&Error::from(e)))?;
        let flushed = ready.flushed.added(0);
        let added = built.made.added(ready.level);
        let edit = VersionEdit {
            added: [flushed.added, added.added].concat(),
            values_added: [flushed.values_added, added.values_added].concat(),
            last_seq: Some(built.seq),
            log_floor: Some(log),
            logs_added: vec![log],
            ..VersionEdit::default()
        };
        let installed = self.install_as(edit, |old, version| old.ingested(version, &active));
        match &installed {
            Ok(_) => {
                writer.log.release_until(buffer.log);
                self.release_log(buffer.log, buffer.last_seq(), self.has_consumers());
                self.counters.flush_bytes.fetch_add(ready.flushed.bytes(), Ordering::Relaxed);
                self.note_made(&ready.flushed, 0);
                self.note_made(&built.made, ready.level);
            }
            // The memtable is what it would be after a rotation.
            Err(_) => self.view.change(|old| old.rotated(Arc::clone(&active))),
        }
        // The numbers are given either way: what comes later must not wait for them.
        let ticket = self.publisher.announce(shut.next_seq, built.seq, position, Durability::Os);
        let visible = self.publisher.publish(ticket);
        installed?;
        if visible { Ok(()) } else { Err(self.broken_off()) }
    }
}
