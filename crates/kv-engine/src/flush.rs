//! From a sealed memtable to tables, and the edit that lets its log go.

use crate::compaction::retain::{Retention, Verdict, retain_tombstones};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::events::Event;
use crate::health::Work;
use crate::options::Options;
use crate::output::{Made, Outputs, TableMaker};
use crate::snapshots::Kept;
use crate::stats::latency::Operation;
use crate::values::LONG_VALUE;
use crate::write::buffer::WriteBuffer;
use bytes::Bytes;
use kv_core::{MAX_SEQ, RangeTombstones, SeqNo};
use kv_manifest::{LEVELS, VersionEdit};
use kv_memtable::Sorted;
use kv_vfs::testing::{Mark, bug, mark, planted};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The keys that a memtable spans: first key, and last key or tombstone end.
pub(crate) fn span(buffer: &WriteBuffer) -> Option<(Bytes, Bytes)> {
    let span = buffer.table.key_span();
    let span = span.map(|(a, b)| (Bytes::copy_from_slice(a), Bytes::copy_from_slice(b)));
    let deleted = buffer.table.range_tombstone_span();
    match (span, deleted) {
        (Some((first, last)), Some((start, end))) => Some((first.min(start), last.max(end))),
        (span, deleted) => span.or(deleted),
    }
}

/// A flush makes several tables side by side where each of them has so much of a memtable: this
/// part of a table's usual size.
const LEAST_SLICE: u64 = 2;

/// Writes a memtable out as tables for `level`. `bottom` says that nothing older lies below, so
/// that tombstones and old versions need not be kept. The tables are synced, their names not.
pub(crate) fn flush_buffer(
    maker: &TableMaker<'_>,
    buffer: &WriteBuffer,
    level: usize,
    bottom: bool,
    kept: &Kept,
) -> Result<Made> {
    flush_upto(maker, buffer, level, bottom, kept, MAX_SEQ)
}

/// [`flush_buffer`] without what has a greater sequence number than `upto`.
pub(crate) fn flush_upto(
    maker: &TableMaker<'_>,
    buffer: &WriteBuffer,
    level: usize,
    bottom: bool,
    kept: &Kept,
    upto: SeqNo,
) -> Result<Made> {
    let mut tombstones = buffer.table.range_tombstones_seen_by(&kept.seqs);
    if upto < MAX_SEQ {
        tombstones = RangeTombstones::new(tombstones.iter().filter(|t| t.seq <= upto));
    }
    let part = Part { maker, level, bottom, kept, upto, tombstones: &tombstones };
    let slices = slices(buffer, maker.options);
    if slices.len() > 1 {
        mark(Mark::FlushInSlices);
    }
    maker.in_slices("kv-flush", &slices, |slice| flush_slice(&part, slice))
}

/// What the slices of a flush have in common.
struct Part<'a> {
    maker: &'a TableMaker<'a>,
    level: usize,
    bottom: bool,
    kept: &'a Kept,
    upto: SeqNo,
    tombstones: &'a RangeTombstones,
}

/// The entries of a memtable with keys in `[lower, upper)`; `None` is no bound.
struct Slice {
    lower: Option<Bytes>,
    upper: Option<Bytes>,
    entries: Sorted,
}

/// A large memtable in as many slices as there are background threads: its memory is given back,
/// and writers who wait for that go on, so much sooner.
fn slices(buffer: &WriteBuffer, options: &Options) -> Vec<Slice> {
    let entries = buffer.table.sorted();
    let most = buffer.table.memory() as u64 / (options.table_limit() / LEAST_SLICE).max(1);
    // Those who fill the next memtable meanwhile need a processor too. Long entries they only copy.
    let writers = buffer.is_shared() && !buffer.has_long_entries();
    let threads =
        options.background_threads - usize::from(writers && options.background_threads > 1);
    let wanted = most.clamp(1, threads as u64);
    if wanted == 1 || buffer.table.is_empty() {
        return vec![Slice { lower: None, upper: None, entries }];
    }
    let mut slices: Vec<Slice> = Vec::new();
    for entries in entries.split(wanted as usize) {
        let lower = slices.last_mut().and_then(|before| {
            before.upper = entries.first_key().map(Bytes::copy_from_slice);
            before.upper.clone()
        });
        slices.push(Slice { lower, upper: None, entries });
    }
    slices
}

fn flush_slice(part: &Part<'_>, slice: &Slice) -> Result<Made> {
    let Part { maker, level, bottom, kept, upto, tombstones } = *part;
    let Slice { lower, upper, entries } = slice;
    let tombstones = tombstones.clip(lower.as_deref().unwrap_or_default(), upper.as_deref());
    let retained = retain_tombstones(&tombstones, &kept.seqs, bottom);
    let mut retention = Retention::new(&kept.seqs, tombstones, kept.oldest_clock_ms);
    let mut outputs = Outputs::new(maker, level, retained, lower.clone(), upper.clone());
    let mut entries = entries.clone();
    let mut last_key: Vec<u8> = Vec::new();
    while let Some((key, trailer, value)) = entries.next() {
        if trailer.seq() > upto {
            continue;
        }
        // A level below 0 holds tables of the usual size; no key is split over two.
        if level > 0 {
            if outputs.current_size() >= maker.options.table_limit() && key != last_key {
                outputs.cut(key)?;
            }
            last_key.clear();
            last_key.extend_from_slice(key);
        }
        match retention.keep(key, trailer, value, bottom) {
            Verdict::Drop => {}
            Verdict::Keep(trailer) => outputs.add(key, trailer, value)?,
            Verdict::Tombstone(trailer) => outputs.add(key, trailer, &[])?,
        }
    }
    outputs.finish()
}

impl Engine {
    /// What making a table needs.
    pub(crate) fn maker(&self) -> Result<TableMaker<'_>> {
        Ok(TableMaker {
            fs: &self.fs,
            dir: &self.dir,
            options: &self.options,
            limiter: &self.limiter,
            numbers: &self.writer()?.next_file,
            long_value: LONG_VALUE,
            warming: None,
        })
    }

    /// Writes the oldest sealed memtable out. `level` was chosen, and its keys on that level
    /// reserved, when the job was taken.
    ///
    /// Order: tables and their names durable, then the edit, then publication, then the logs go.
    pub(crate) fn run_flush(&self, buffer: &Arc<WriteBuffer>, level: usize) -> Result<()> {
        let started = self.clock.monotonic();
        if let Some(reason) = self.health.fatal() {
            return Err(reason.clone());
        }
        let (bytes, entries) = (buffer.table.memory() as u64, buffer.table.len() as u64);
        self.events.tell(|| Event::FlushStarted { bytes, entries });
        // Merges wait for it, not it for them.
        let limiter = self.limiter.first();
        let warming = self.warming_beside();
        let maker = TableMaker { limiter: &limiter, warming: Some(&warming), ..self.maker()? };
        if self.view.load().sealed.len() > 1 {
            mark(Mark::FlushOfTwo);
        }
        if level > 0 {
            mark(Mark::FlushBelowLevel0);
        }
        let kept = self.snapshots.kept(&self.publisher, || self.now_ms());
        let bottom = level + 1 == LEVELS;
        let made = match buffer.is_empty() {
            true => Ok(Made::default()),
            false => flush_buffer(&maker, buffer, level, bottom, &kept),
        };
        let full = made.as_ref().is_err_and(|error| error.kind() == ErrorKind::NoSpace);
        if full && planted(bug::LOG_REMOVED_WHEN_FULL) {
            self.remove_logs(std::iter::once(buffer.log));
        }
        if full {
            mark(Mark::NoSpaceInTable);
        }
        let made = made?;
        if !made.is_empty()
            && !planted(bug::TABLE_NAME_NOT_SYNCED)
            && let Err(error) = self.named(maker.sync_dir())
        {
            self.discard(&made);
            return Err(error);
        }
        let consumers = self.sync_for_consumers(self.writer()?);
        let consumers = consumers.inspect_err(|_| self.discard(&made))?;
        let logs = self.logs_behind(buffer);
        let edit = VersionEdit {
            last_seq: Some(buffer.last_seq()),
            log_floor: logs.first().copied(),
            logs_added: logs,
            ..made.added(level)
        };
        self.note_overlap(buffer);
        self.install_made(edit, Some(buffer), &made)?;
        self.writer()?.log.release_until(buffer.log);
        self.release_log(buffer.log, buffer.last_seq(), consumers);
        self.counters.flushes.fetch_add(1, Ordering::Relaxed);
        self.counters.flush_bytes.fetch_add(made.bytes(), Ordering::Relaxed);
        self.counters.value_flush_bytes.fetch_add(made.value_bytes(), Ordering::Relaxed);
        let took = self.clock.monotonic().saturating_sub(started);
        self.counters.flushed(buffer.logged(), took);
        self.latencies.took(Operation::Flush, took, 1);
        self.note_made(&made, level);
        let (bytes, tables) = (made.bytes(), made.tables.len());
        self.events.note(|| Event::FlushEnded { bytes, tables, took });
        Ok(())
    }

    /// The log segments of the memtables that are newer than `buffer`, oldest first.
    fn logs_behind(&self, buffer: &Arc<WriteBuffer>) -> Vec<u64> {
        let view = self.view.load();
        let newer = view.buffers().take_while(|other| !Arc::ptr_eq(other, buffer));
        let mut logs: Vec<u64> = newer.map(|newer| newer.log).collect();
        logs.reverse();
        logs
    }

    /// Seals the memtable and waits until everything written so far is in tables.
    pub(crate) fn flush(&self) -> Result<()> {
        let writer = self.writer()?;
        self.health.check_write()?;
        self.try_flushes_again();
        let active = Arc::clone(&self.view.load().active);
        if !active.is_empty() {
            self.wait_for_background(&active, true)?;
            self.rotate(writer, &active, 0)?;
        }
        let upto = writer.log.segment_number();
        self.wait_flushed(upto)
    }

    /// Forgets that a flush failed: who asks for one wants to hear how it ends now, not how the
    /// last one did, which may have failed for a reason that is gone, such as a full disk.
    fn try_flushes_again(&self) {
        let mut state = self.background.state.lock();
        // Both under the lock, as a flush that ends notes them: else its failure could be forgotten, and
        // the time of its retry, which is what the caller would wait for then, be kept.
        state.flush_retry.at = None;
        self.health.note(Work::Flush, None);
        drop(state);
        self.background.wake_all();
    }

    /// Waits until no memtable is left whose log is below `log`.
    pub(crate) fn wait_flushed(&self, log: u64) -> Result<()> {
        self.background.wait_with(|state| {
            let view = self.view.load();
            if !view.sealed.iter().any(|buffer| buffer.log < log) {
                return Some(Ok(()));
            }
            if let Some(reason) = self.health.fatal() {
                return Some(Err(reason.clone()));
            }
            if state.stopping {
                return Some(Err(Error::closed()));
            }
            self.health.failing(Work::Flush).map(Err)
        })
    }
}
