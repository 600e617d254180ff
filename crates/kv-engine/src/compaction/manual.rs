//! `Db::compact`: everything down to the last level, step by step, on the caller's thread.

use crate::compaction::expand::{Compaction, Reason, expand};
use crate::compaction::pick::move_if_free;
use crate::compaction::policy::Policy;
use crate::compaction::run::Task;
use crate::compaction::score::{LAST, targets};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::background::State;
use kv_manifest::{FileMeta, Version};
use std::sync::Arc;

/// What a step of a full compaction is to do, `None` when all is done.
struct Plan<'a> {
    version: &'a Version,
    policy: &'a Policy,
    /// Tables with a number from here on were made since it began, and are left.
    until: u64,
    /// No snapshot sees a difference up to here.
    oldest_snapshot: u64,
    now_ms: u64,
}

impl Plan<'_> {
    fn is_old(&self, file: &FileMeta) -> bool {
        file.number < self.until
    }

    /// Whether a table of the last level holds anything that a rewrite takes away.
    fn wants_rewrite(&self, file: &FileMeta) -> bool {
        let dead = file.tombstones > 0 || file.range_tombstones > 0;
        let expired = file.min_expiry <= self.now_ms;
        let seen_alike = file.max_seq <= self.oldest_snapshot;
        self.is_old(file)
            && ((dead && seen_alike) || expired || file.compression != self.policy.bottom_codec)
    }

    /// The tables of the next step and where they go, from the top down.
    fn next(&self) -> Option<(usize, Vec<Arc<FileMeta>>, usize)> {
        let runs = self.version.level(0);
        if runs.iter().any(|run| self.is_old(run)) {
            // Newer runs come along: none may stay above an older one that overlaps.
            return Some((0, runs.to_vec(), targets(self.version, self.policy).base));
        }
        for level in 1..LAST {
            let files = self.version.level(level);
            // What was pushed down since keeps its place in the queue by being on a deeper level.
            if let Some(file) = files.first() {
                return Some((level, vec![Arc::clone(file)], level + 1));
            }
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
        let until = self.new_file_number()?;
        loop {
            let step = self.background.wait_with(|state| self.next_step(state, until));
            match step? {
                Step::Done => return Ok(()),
                Step::Run(task) => {
                    let outcome = self.run_compaction(&task);
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

    /// The next step, or `None` to wait for a running job that stands in the way.
    fn next_step(&self, state: &mut State, until: u64) -> Option<Result<Step>> {
        if state.stopping {
            return Some(Err(Error::closed()));
        }
        if let Some(reason) = self.health.fatal() {
            return Some(Err(reason.clone()));
        }
        let version = Arc::clone(&self.view.load().version);
        let policy = self.policy();
        let kept = self.snapshots.kept(&self.publisher, self.now_ms());
        let plan = Plan {
            version: &version,
            policy: &policy,
            until,
            oldest_snapshot: kept.oldest(),
            now_ms: kept.oldest_clock_ms,
        };
        let Some((level, files, output_level)) = plan.next() else {
            return Some(Ok(Step::Done));
        };
        let alone = files.len() == 1 && level < LAST;
        match expand(&version, &state.busy, Reason::Manual, (level, files), output_level) {
            Some(mut compaction) => {
                if alone {
                    move_if_free(&mut compaction, &policy);
                }
                Some(Ok(Step::Run(self.take(state, compaction))))
            }
            // Only a running job gives way; damaged tables never do.
            None if state.running > 0 => None,
            None => Some(Err(self.health.background().unwrap_or_else(|| {
                Error::corrupt("a damaged table cannot be compacted; run verify to find it")
            }))),
        }
    }

    /// Reserves what a compaction takes.
    fn take(&self, state: &mut State, compaction: Compaction) -> Task {
        state.running += 1;
        let ticket = state.busy.reserve(&compaction);
        Task { compaction, ticket }
    }
}
