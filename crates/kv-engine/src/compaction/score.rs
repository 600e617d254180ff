//! How big each level should be, and how far over that it is.

use crate::compaction::busy::Busy;
use crate::compaction::policy::Policy;
use kv_manifest::{FileMeta, KeySpan, LEVELS, Version};
use std::sync::Arc;

/// The last level: it has no target, the others follow from it.
pub(crate) const LAST: usize = LEVELS - 1;

/// Tables of level 0 that are disjoint count as one run, but so many of them as another.
pub(crate) const FILES_PER_RUN: usize = 8;
/// How urgent it is to empty a level that should be empty.
const DRAIN: f64 = 2.0;

/// The size that each level should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Targets {
    /// The level that level 0 is merged into. Between the two nothing lies.
    pub(crate) base: usize,
    /// Bytes by level; 0 above the level where data should begin.
    pub(crate) bytes: [u64; LEVELS],
}

/// Sizes from the bottom: each level an eighth of the next, and none that would be small.
pub(crate) fn targets(version: &Version, policy: &Policy) -> Targets {
    let mut bytes = [0; LEVELS];
    let mut target = (1..LEVELS).map(|level| version.size(level)).max().unwrap_or(0);
    let mut wanted = LAST;
    for (level, slot) in bytes.iter_mut().enumerate().skip(1).rev() {
        if level < LAST && target < policy.base_target {
            break;
        }
        wanted = level;
        *slot = target;
        target /= policy.level_ratio.max(1);
    }
    // Nothing may pass a level that holds data: what lies there is older.
    Targets { base: wanted.min(first_level(version)), bytes }
}

/// The first level below 0 that holds data; the last where none does.
fn first_level(version: &Version) -> usize {
    (1..LAST).find(|&level| !version.level(level).is_empty()).unwrap_or(LAST)
}

/// The level that a memtable with keys in `span` is written to: the deepest one that it reaches
/// without passing anything it overlaps, be it there already or in the making. 0 where that is
/// above the levels that hold data: level 0 collects what is to be merged.
pub(crate) fn flush_level(version: &Version, span: &KeySpan, busy: &Busy) -> usize {
    let free = |level: &usize| !version.overlaps(*level, span) && !busy.writes(*level, span);
    let deepest = (0..LEVELS).take_while(free).last().unwrap_or(0);
    if deepest >= first_level(version) { deepest } else { 0 }
}

/// The runs of level 0, newest first: neighbours in age that are disjoint share one.
pub(crate) fn level0_runs(version: &Version) -> Vec<&[Arc<FileMeta>]> {
    let files = version.level(0);
    let mut runs = Vec::new();
    let mut begin = 0;
    for (end, file) in files.iter().enumerate() {
        let run = files.get(begin..end).unwrap_or_default();
        if run.iter().any(|other| other.overlaps_file(file)) {
            runs.push(run);
            begin = end;
        }
    }
    runs.extend(files.get(begin..).filter(|run| !run.is_empty()));
    runs
}

/// How full each level is; from 1 on it is to be compacted. What running jobs take away already
/// does not count. The last level is never full.
pub(crate) fn fills(
    version: &Version,
    policy: &Policy,
    busy: &Busy,
    targets: &Targets,
    pressure: bool,
) -> [f64; LEVELS] {
    let mut fills = [0.0; LEVELS];
    for (level, (fill, target)) in fills.iter_mut().zip(targets.bytes).enumerate().take(LAST) {
        if level == 0 {
            *fill = level0_fill(version, policy, busy, targets, pressure);
            continue;
        }
        let size = idle_bytes(version.level(level), busy);
        *fill = match target {
            _ if size == 0 => 0.0,
            0 => DRAIN,
            target => size as f64 / target as f64,
        };
    }
    fills
}

fn idle_bytes(files: &[Arc<FileMeta>], busy: &Busy) -> u64 {
    files.iter().filter(|file| !busy.has(file)).map(|file| file.size).sum()
}

/// Level 0 is measured in runs, and where there are few, in bytes and in tables.
fn level0_fill(
    version: &Version,
    policy: &Policy,
    busy: &Busy,
    targets: &Targets,
    pressure: bool,
) -> f64 {
    let idle = |file: &Arc<FileMeta>| !busy.has(file);
    let runs = level0_runs(version).iter().filter(|run| run.iter().any(idle)).count();
    let files = version.level(0).iter().filter(|file| idle(file)).count();
    let bytes = idle_bytes(version.level(0), busy);
    let trigger = level0_trigger(policy, pressure, bytes, version.size(targets.base));
    let plenty = (trigger as u64)
        .saturating_mul(policy.write_buffer)
        .max(version.size(targets.base) / policy.level_ratio.max(1))
        .saturating_mul(2)
        .max(1);
    let by_runs = runs as f64 / trigger as f64;
    let by_files = files as f64 / (FILES_PER_RUN * trigger) as f64;
    by_runs.max(by_files).max(bytes as f64 / plenty as f64)
}

/// How much deeper level 0 may become while writers press.
const DEEPER: usize = 5;

/// Level 0 may grow deeper while writers press, as long as a merge of it would write more of the
/// level below than of itself.
fn level0_trigger(policy: &Policy, pressure: bool, bytes: u64, below: u64) -> usize {
    let runs = if pressure { policy.pressed_runs } else { policy.level0_runs }.max(1);
    if pressure && bytes <= below { runs.saturating_mul(DEEPER) } else { runs }
}

/// The levels that are over their size, most urgent first. A level whose next one is over its
/// own size waits for it, so that the same bytes are not merged twice.
pub(crate) fn urgent(fills: &[f64; LEVELS], targets: &Targets) -> Vec<usize> {
    let fill = |level: usize| fills.get(level).copied().unwrap_or(0.0);
    let score = |level: usize| {
        let next = if level == 0 { targets.base } else { level + 1 };
        fill(level) / fill(next).max(1.0)
    };
    let mut levels: Vec<usize> = (0..LAST).filter(|&level| fill(level) >= 1.0).collect();
    levels.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
    levels
}
