//! Carrying a compaction out: the one module here that acts.
//!
//! The choice is checked again before anything is written: its inputs must still be in the
//! version. Large merges are cut into slices of the key space that run side by side.

use crate::background::State;
use crate::compaction::expand::{Compaction, Kind, Reason};
use crate::compaction::pick::pick;
use crate::compaction::policy::{Context, Policy};
use crate::compaction::retain::{Retention, Verdict, retain_tombstones};
use crate::compaction::score::flush_level;
use crate::compaction::split::Cutter;
use crate::compaction::values::doomed;
use crate::engine::{Engine, bytes_of};
use crate::error::{Error, ErrorKind, Result};
use crate::events::Event;
use crate::flush::span;
use crate::output::{Made, Moving, Outputs, TableMaker};
use crate::read::level::{Files, LevelCursor, OpenTable};
use crate::read::merge::Merge;
use crate::read::source::Source;
use crate::snapshots::Kept;
use crate::stats::latency::Operation;
use crate::tables::is_damage;
use crate::write::buffer::WriteBuffer;
use crate::write::stall::behind;
use bytes::Bytes;
use kv_core::{Cursor as _, RangeTombstones, Trailer};
use kv_manifest::VersionEdit;
use kv_sstable::Access;
use kv_vfs::testing::{Mark, bug, mark, planted};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Each level holds eight times what the one above does.
const LEVEL_RATIO: u64 = 8;
/// A level that would hold less than 512 MiB is left out.
const BASE_TARGET: u64 = 512 << 20;
/// With a limit on the disk that is the most that it is of the limit: a store of two levels, where
/// a merge writes everything again, takes a third of it at most.
const BASE_PART: u64 = 24;

/// Bytes on disk for each live byte where the limit on the disk refuses writes.
const FULL: f64 = 1.02;

/// How far level 0 is behind when a merge is cut into as many slices as there are threads.
const ALL_THREADS_FROM: f64 = 0.25;

/// How much of an input is read at once, at most and at least, and how much of all inputs of a slice
/// together: of many they are small pieces, so that a deep level 0 takes no more memory.
const READAHEAD: usize = 256 << 10;
const LEAST_READAHEAD: usize = 32 << 10;
const ALL_READAHEAD: usize = 2 << 20;

/// A compaction that was chosen, with its inputs and output range reserved.
pub(crate) struct Task {
    pub(crate) compaction: Compaction,
    pub(crate) ticket: u64,
    /// Value files that it empties of what it keeps.
    pub(crate) doomed: BTreeSet<u64>,
}

/// What the slices of a merge have in common.
#[derive(Clone, Copy)]
struct Part<'a> {
    compaction: &'a Compaction,
    kept: &'a Kept,
    tombstones: &'a RangeTombstones,
    moving: &'a Moving,
}

/// A stretch of the key space; `None` is no bound.
type Slice = (Option<Bytes>, Option<Bytes>);

impl Engine {
    pub(crate) fn policy(&self) -> Policy {
        let worn = self.view.load().opened.is_worn();
        let space = self.options.space_amplification;
        Policy {
            level0_runs: if worn { 1 } else { self.options.level0_runs },
            pressed_runs: if worn { 1 } else { self.level0_trigger() },
            table_size: self.options.table_limit(),
            write_buffer: self.options.memtable_limit(),
            level_ratio: LEVEL_RATIO,
            base_target: BASE_TARGET.min(self.options.disk_limit / BASE_PART),
            space_amplification: if self.background.is_full() { space.min(FULL) } else { space },
            bottom_codec: self.options.compression.id(),
        }
    }

    pub(super) fn context(&self, state: &State) -> Context {
        let kept = self.snapshots.kept(&self.publisher, || self.now_ms());
        // Refused writers do not press, and what is dead stands in their way.
        let full = self.background.is_full();
        Context {
            oldest_snapshot: kept.oldest(),
            now_ms: kept.oldest_clock_ms,
            pressure: !full
                && (state.pressed || state.flushing || !self.view.load().sealed.is_empty()),
            idle: full || self.is_idle(state),
        }
    }

    /// Chooses the next compaction and reserves what it takes.
    pub(crate) fn pick_compaction(&self, state: &mut State) -> Option<Task> {
        let version = Arc::clone(&self.view.load().version);
        let context = self.context(state);
        let policy = self.policy();
        state.busy.set_room(self.merge_room());
        let mut choice = pick(&version, &policy, &state.busy, &context);
        if choice.is_none() && self.may_pass_limit(state) {
            state.busy.set_room(None);
            choice = pick(&version, &policy, &state.busy, &context);
        }
        let Some(compaction) = choice else {
            if self.background.is_full() {
                self.background.note_vain(state);
            }
            let calm = Context { pressure: false, ..context };
            state.put_off =
                context.pressure && pick(&version, &policy, &state.busy, &calm).is_some();
            return None;
        };
        let doomed = doomed(&version, &policy, &state.busy, &context);
        Some(self.take_compaction(state, compaction, doomed))
    }

    /// Whether a merge may begin that does not fit under the limit on the disk: where nothing else
    /// would ever make room, because the limit was a higher one, or deletes have used what was kept.
    fn may_pass_limit(&self, state: &State) -> bool {
        let dead = self.background.dead_bytes();
        self.background.is_full() && state.running == 0 && dead == 0 && !self.has_sealed()
    }

    /// Reserves what a compaction takes, and what it may write. Values are not moved for which there is no
    /// room.
    pub(super) fn take_compaction(
        &self,
        state: &mut State,
        compaction: Compaction,
        mut doomed: BTreeSet<u64>,
    ) -> Task {
        let policy = self.policy();
        let moves = compaction.writes(&policy, &doomed);
        if !state.busy.has_room(moves) && compaction.reason != Reason::Values {
            doomed.clear();
        }
        let ticket = state.busy.reserve(&compaction);
        if self.is_limited() {
            state.busy.promise(ticket, compaction.writes(&policy, &doomed));
            self.background.count_promised(state);
        }
        Task { compaction, ticket, doomed }
    }

    /// Chooses the level for a memtable and reserves its keys there.
    pub(crate) fn reserve_flush(&self, state: &mut State, buffer: &WriteBuffer) -> (usize, u64) {
        let Some((smallest, largest)) = span(buffer) else {
            return (0, state.busy.reserve_nothing());
        };
        let span = kv_manifest::KeySpan::closed(smallest, largest);
        let version = Arc::clone(&self.view.load().version);
        let level = flush_level(&version, &span, &state.busy);
        (level, state.busy.reserve_range(level, span))
    }

    /// Gives back what a compaction had reserved. Inputs that turned out damaged stay reserved:
    /// they are readable where they are whole, and no merge can do better.
    pub(crate) fn end_compaction(&self, state: &mut State, task: &Task, error: Option<&Error>) {
        state.busy.release(task.ticket);
        self.background.count_promised(state);
        if error.is_some_and(is_damage) {
            state.busy.set_aside(task.compaction.files().map(|(_, file)| file.number));
        }
        // What is damaged in a value file stays where it is.
        state.busy.set_aside(self.tables.values().unmovable());
    }

    /// Does what was chosen: moves, drops or merges tables, and installs the outcome.
    pub(crate) fn run_compaction(&self, task: &Task) -> Result<()> {
        let started = self.clock.monotonic();
        let compaction = &task.compaction;
        self.check_inputs(compaction)?;
        let deleted: Vec<(usize, u64)> =
            compaction.files().map(|(level, file)| (level, file.number)).collect();
        let count = deleted.len() as u64;
        self.tell_of_start(compaction);
        let mut edit = VersionEdit { deleted, ..VersionEdit::default() };
        let mut made = Made::default();
        match compaction.kind {
            Kind::Move => {
                let files = compaction.files();
                edit.added = files.map(|(_, f)| (compaction.output_level, Arc::clone(f))).collect();
                mark(Mark::TableMoved);
                self.counters.moves.fetch_add(count, Ordering::Relaxed);
            }
            Kind::Drop => {
                mark(Mark::TableDropped);
                self.counters.drops.fetch_add(count, Ordering::Relaxed);
            }
            Kind::Merge => {
                made = self.merge(task)?;
                let added = made.added(compaction.output_level);
                (edit.added, edit.values_added) = (added.added, added.values_added);
                self.counters.compactions.fetch_add(1, Ordering::Relaxed);
                self.counters.compaction_write_bytes.fetch_add(made.bytes(), Ordering::Relaxed);
                self.counters.value_move_bytes.fetch_add(made.value_bytes(), Ordering::Relaxed);
            }
        }
        self.install_made(edit, None, &made)?;
        let took = self.clock.monotonic().saturating_sub(started);
        self.note_made(&made, compaction.output_level);
        let (bytes, tables) = (made.bytes(), made.tables.len());
        self.events.tell(|| Event::CompactionEnded { bytes, tables, took });
        if compaction.kind == Kind::Merge {
            let inputs = compaction.inputs.iter();
            let read: u64 = inputs.clone().map(|(_, files)| bytes_of(files)).sum();
            let read = read + made.value_bytes();
            self.counters.compaction_read_bytes.fetch_add(read, Ordering::Relaxed);
            self.counters.compaction_ns.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
            self.latencies.took(Operation::Compaction, took, 1);
            let top = inputs.filter(|(level, _)| *level == 0).flat_map(|(_, files)| files);
            let from_top: u64 = top.map(|file| file.size + file.value_bytes()).sum();
            if from_top > 0 && compaction.output_level > 0 {
                self.counters.drained(from_top, took);
            }
        }
        Ok(())
    }

    fn tell_of_start(&self, compaction: &Compaction) {
        let from = compaction.inputs.iter().map(|(level, _)| *level).min().unwrap_or(0);
        let to = compaction.output_level;
        let tables = compaction.files().count();
        let bytes = compaction.files().map(|(_, file)| file.size).sum();
        self.events.tell(|| Event::CompactionStarted { from, to, tables, bytes });
    }

    fn check_inputs(&self, compaction: &Compaction) -> Result<()> {
        let version = Arc::clone(&self.view.load().version);
        for (level, files) in &compaction.inputs {
            for file in files {
                if !version.level(*level).iter().any(|held| held.number == file.number) {
                    let message = "a compaction chose a table that is not in the version";
                    return Err(Error::new(ErrorKind::Unsupported, message));
                }
            }
        }
        Ok(())
    }

    /// Merges the inputs into new tables, whose names are durable when it returns.
    fn merge(&self, task: &Task) -> Result<Made> {
        let compaction = &task.compaction;
        let kept = self.snapshots.kept(&self.publisher, || self.now_ms());
        let tombstones = self.input_tombstones(compaction)?;
        mark_snapshots(compaction, &kept);
        let slices = self.slices(compaction)?;
        let files = Arc::clone(self.tables.values());
        let moving = Moving { from: task.doomed.clone(), files };
        let part = Part { compaction, kept: &kept, tombstones: &tombstones, moving: &moving };
        if slices.len() > 1 {
            mark(Mark::CompactionInSlices);
        }
        let warming = self.warming_from(compaction);
        let maker = TableMaker { warming: Some(&warming), ..self.maker()? };
        let made = maker.in_slices("kv-subcompaction", &slices, |slice| {
            self.merge_slice(&maker, &part, slice)
        })?;
        if let Err(error) = self.named(maker.sync_dir()) {
            self.discard(&made);
            return Err(error);
        }
        Ok(made)
    }

    /// Where the key space is cut so that the slices hold about equal bytes.
    fn slices(&self, compaction: &Compaction) -> Result<Vec<Slice>> {
        let threads = match behind(&self.debt(&self.view.load())) {
            // Soon writers are to slow down: they leave processors free then, if not before.
            behind if behind >= ALL_THREADS_FROM => self.options.background_threads,
            _ => (self.options.background_threads / 2).max(1),
        };
        let bytes: u64 = compaction.inputs.iter().map(|(_, files)| bytes_of(files)).sum();
        let wanted = (bytes / (2 * self.options.table_limit()).max(1)).clamp(1, threads as u64);
        if wanted == 1 {
            return Ok(vec![(None, None)]);
        }
        let mut cuts: Vec<Bytes> = Vec::new();
        for (_, files) in &compaction.inputs {
            for file in files {
                cuts.extend(self.tables.get(file)?.split_keys(wanted as usize)?);
            }
        }
        cuts.sort_unstable();
        cuts.dedup();
        let step = cuts.len().div_ceil(wanted as usize).max(1);
        let chosen: Vec<Bytes> = cuts.into_iter().skip(step).step_by(step).collect();
        let mut slices = Vec::new();
        let mut lower = None;
        for cut in chosen {
            slices.push((lower.take(), Some(cut.clone())));
            lower = Some(cut);
        }
        slices.push((lower, None));
        Ok(slices)
    }

    fn input_tombstones(&self, compaction: &Compaction) -> Result<RangeTombstones> {
        let mut all = Vec::new();
        for (_, files) in &compaction.inputs {
            for file in files.iter().filter(|file| file.range_tombstones > 0) {
                all.extend(self.tables.get(file)?.range_tombstones()?.iter());
            }
        }
        Ok(RangeTombstones::new(all))
    }

    fn input_sources(&self, compaction: &Compaction) -> Result<Vec<Source>> {
        let of_one = |(level, files): &(usize, Vec<_>)| if *level == 0 { files.len() } else { 1 };
        let count: usize = compaction.inputs.iter().map(of_one).sum();
        let readahead = (ALL_READAHEAD / count.max(1)).clamp(LEAST_READAHEAD, READAHEAD);
        let access = Access::Scan { readahead };
        let mut sources = Vec::new();
        for (level, files) in &compaction.inputs {
            if *level == 0 {
                for file in files {
                    let cursor = self.tables.get(file)?.cursor(access);
                    sources.push(Source::table(cursor, file.max_seq));
                }
            } else if !files.is_empty() {
                let opener = Arc::clone(&self.tables) as Arc<dyn OpenTable>;
                let files = Files::from(files.clone());
                sources.push(Source::level(LevelCursor::new(files, opener, access)));
            }
        }
        Ok(sources)
    }

    /// Merges the part of the inputs in one slice.
    fn merge_slice(&self, maker: &TableMaker<'_>, part: &Part<'_>, slice: &Slice) -> Result<Made> {
        let Part { compaction, kept, tombstones, moving } = *part;
        let (lower, upper) = slice;
        let mut below = compaction.below();
        let part = tombstones.clip(lower.as_deref().unwrap_or_default(), upper.as_deref());
        let drop_oldest = compaction.bottommost();
        let retained = retain_tombstones(&part, &kept.seqs, drop_oldest);
        let level = compaction.output_level;
        let outputs = Outputs::new(maker, level, retained, lower.clone(), upper.clone());
        let mut outputs = outputs.moving(moving);
        let mut retention = Retention::new(&kept.seqs, part, kept.oldest_clock_ms);
        let mut cutter = Cutter::new(&compaction.grandparents, self.options.table_limit());
        let mut merge = Merge::new(self.input_sources(compaction)?);
        let mut last_key: Vec<u8> = Vec::new();
        let mut bottom = false;
        let placed = merge.seek(lower.as_deref().unwrap_or_default(), Trailer::MAX);
        unless_planted(placed)?;
        while merge.valid() {
            let key = merge.key();
            if upper.as_ref().is_some_and(|upper| key >= upper.as_ref()) {
                break;
            }
            if key != last_key || last_key.is_empty() {
                self.check_cancelled()?;
                bottom = !below.may_hold(key);
                if cutter.cut_before(key, outputs.current_size()) {
                    outputs.cut(key)?;
                }
                last_key.clear();
                last_key.extend_from_slice(key);
            } else if planted(bug::KEY_SPLIT_OVER_TABLES)
                && outputs.current_size() >= self.options.table_limit()
            {
                outputs.cut(key)?;
            }
            let (trailer, value) = (merge.trailer(), merge.value());
            match retention.keep(key, trailer, value, bottom) {
                Verdict::Drop => {}
                Verdict::Keep(trailer) => outputs.add(key, trailer, value)?,
                Verdict::Tombstone(trailer) => outputs.add(key, trailer, &[])?,
            }
            unless_planted(merge.next())?;
        }
        outputs.finish()
    }

    /// Ends a compaction early when the store closes or has failed.
    fn check_cancelled(&self) -> Result<()> {
        self.health.check_write()
    }
}

/// A merge that fails ends as if its inputs did, where that mistake is planted.
fn unless_planted(moved: Result<()>) -> Result<()> {
    if planted(bug::MERGE_ENDS_AT_READ_ERROR) { Ok(()) } else { moved }
}

/// Notes where snapshots lie beside the versions of a merge's inputs. The last number that is
/// kept belongs to no snapshot.
fn mark_snapshots(compaction: &Compaction, kept: &Kept) {
    let oldest = compaction.files().map(|(_, file)| file.min_seq).min().unwrap_or(0);
    let newest = compaction.files().map(|(_, file)| file.max_seq).max().unwrap_or(0);
    for seq in kept.seqs.iter().rev().skip(1) {
        mark(match *seq {
            seq if seq < oldest => Mark::SnapshotBelowInputs,
            seq if seq < newest => Mark::SnapshotBetweenVersions,
            _ => Mark::SnapshotAboveInputs,
        });
    }
}
