//! `Db::compact`: everything down to the last level, step by step, on the caller's thread.

use crate::background::State;
use crate::compaction::expand::{Reason, expand};
use crate::compaction::pick::move_if_free;
use crate::compaction::policy::Policy;
use crate::compaction::run::Task;
use crate::compaction::score::{LAST, targets};
use crate::compaction::values::with_dead_bytes;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::health::Work;
use kv_core::SeqNo;
use kv_manifest::{FileMeta, Version};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a step of a full compaction is to do, `None` when all is done.
struct Plan<'a> {
    version: &'a Version,
    policy: &'a Policy,
    /// Where the compaction began: tables with newer entries only need not go down.
    began: Began,
    /// No snapshot sees a difference up to here.
    oldest_snapshot: u64,
    /// Value files with dead bytes that were there when the compaction began.
    with_dead_bytes: BTreeSet<u64>,
}

/// The moment at which a full compaction began.
#[derive(Clone, Copy)]
struct Began {
    seq: SeqNo,
    /// The oldest clock that any reader read with.
    clock_ms: u64,
    /// Files with this number or a greater one came later.
    next_file: u64,
}

/// The level that is being emptied, and the tables that were on it when its turn came: what
/// arrives there meanwhile is left, or a busy store would never be done.
#[derive(Default)]
struct Pass {
    level: usize,
    files: HashSet<u64>,
}

impl Pass {
    fn enter(&mut self, level: usize, version: &Version) {
        self.level = level;
        self.files = version.level(level).iter().map(|file| file.number).collect();
    }
}

impl Plan<'_> {
    fn is_old(&self, file: &FileMeta) -> bool {
        file.min_seq <= self.began.seq
    }

    /// Whether a table of the last level holds anything that a rewrite takes away. After the
    /// rewrite it does not, so this ends.
    fn wants_rewrite(&self, file: &FileMeta) -> bool {
        let dead = file.tombstones > 0 || file.range_tombstones > 0;
        let expired = file.min_expiry <= self.began.clock_ms;
        let seen_alike = file.max_seq <= self.oldest_snapshot;
        let half_dead = file.values.iter().any(|refs| self.with_dead_bytes.contains(&refs.file));
        let packed = file.compression == self.policy.bottom_codec;
        (dead && seen_alike) || expired || half_dead || !packed
    }

    /// The tables of the next step and where they go, from the top down.
    fn next(&self, pass: &mut Pass) -> Option<(usize, Vec<Arc<FileMeta>>, usize)> {
        let runs = self.version.level(0);
        if runs.iter().any(|run| self.is_old(run)) {
            // Newer runs come along: none may stay above an older one that overlaps.
            return Some((0, runs.to_vec(), targets(self.version, self.policy).base));
        }
        while pass.level < LAST {
            let level = pass.level;
            let mut files = self.version.level(level).iter();
            if let Some(file) = files.find(|file| pass.files.contains(&file.number)) {
                return Some((level, vec![Arc::clone(file)], level + 1));
            }
            pass.enter(level + 1, self.version);
        }
        let file = self.version.level(LAST).iter().find(|file| self.wants_rewrite(file))?;
        Some((LAST, vec![Arc::clone(file)], LAST))
    }
}

/// The answer to "what now?".
enum Step {
    Done,
    Run(Task),
}

impl Engine {
    /// Merges everything that was written so far down to the last level.
    pub(crate) fn compact_all(&self) -> Result<()> {
        self.flush()?;
        let kept = self.snapshots.kept(&self.publisher, || self.now_ms());
        let next_file = self.writer()?.next_file.load(Ordering::Relaxed);
        let seq = self.publisher.visible();
        let began = Began { seq, clock_ms: kept.oldest_clock_ms, next_file };
        let mut pass = Pass::default();
        loop {
            let step = self.background.wait_with(|state| self.next_step(state, began, &mut pass));
            match step? {
                Step::Done => {
                    self.settle();
                    self.events.hand_over();
                    return Ok(());
                }
                Step::Run(task) => {
                    let outcome = self.guarded(|| self.run_compaction(&task));
                    let mut state = self.background.state.lock();
                    state.running -= 1;
                    self.end_compaction(&mut state, &task, outcome.as_ref().err());
                    drop(state);
                    self.background.wake_all();
                    outcome?;
                    self.reclaim();
                }
            }
        }
    }

    /// Waits for what background threads are about to free, and frees it: whoever asks for a
    /// compaction wants to see the disk come back.
    fn settle(&self) {
        let running = self.background.state.lock().compactions.clone();
        self.background.wait_with(|state| {
            let over = !state.compactions.iter().any(|ticket| running.contains(ticket));
            (over && !state.reclaiming).then_some(())
        });
        self.reclaim();
    }

    /// The next step, or `None` to wait for a running job that stands in the way.
    fn next_step(&self, state: &mut State, began: Began, pass: &mut Pass) -> Option<Result<Step>> {
        if state.stopping {
            return Some(Err(Error::closed()));
        }
        if let Some(reason) = self.health.fatal() {
            return Some(Err(reason.clone()));
        }
        let version = Arc::clone(&self.view.load().version);
        let policy = self.policy();
        let kept = self.snapshots.kept(&self.publisher, || self.now_ms());
        state.busy.set_room(self.merge_room());
        let dead = with_dead_bytes(&version, &policy, &state.busy, began.next_file);
        let plan = Plan {
            version: &version,
            policy: &policy,
            began,
            oldest_snapshot: kept.oldest(),
            with_dead_bytes: dead,
        };
        let Some((level, files, output_level)) = plan.next(pass) else {
            return Some(Ok(Step::Done));
        };
        let alone = files.len() == 1 && level < LAST;
        match expand(&version, &state.busy, Reason::Manual, (level, files), output_level) {
            Some(mut compaction) => {
                if alone {
                    move_if_free(&mut compaction, &policy);
                }
                // Values are moved once, when all that is dead in their files is known.
                let moved = if level == LAST { plan.with_dead_bytes } else { BTreeSet::new() };
                if !state.busy.has_room(compaction.writes(&policy, &moved)) {
                    if state.running > 0 {
                        return None;
                    }
                    if self.background.dead_bytes() > 0 {
                        return Some(Err(self.no_space()));
                    }
                    // Nothing else would make room for it.
                    state.busy.set_room(None);
                }
                state.running += 1;
                Some(Ok(Step::Run(self.take_compaction(state, compaction, moved))))
            }
            // Only a running job gives way; damaged tables never do.
            None if state.running > 0 => None,
            None => Some(Err(self.health.failing(Work::Compaction).unwrap_or_else(|| {
                Error::corrupt("a damaged table cannot be compacted; run verify to find it")
            }))),
        }
    }
}
