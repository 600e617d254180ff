//! The next compaction, or none. The order of the questions is the order of urgency.

use crate::compaction::busy::Busy;
use crate::compaction::expand::{Compaction, Kind, Reason, expand, oldest_level0, span_of};
use crate::compaction::garbage;
use crate::compaction::policy::{Context, Policy};
use crate::compaction::score::{FILES_PER_RUN, LAST, Targets, fills, level0_runs, targets, urgent};
use crate::compaction::split::OVERLAP_LIMIT;
use crate::compaction::values;
use kv_manifest::{FileMeta, Version};
use std::sync::Arc;

/// Runs that a merge within level 0 takes at least.
const MIN_INTRA_RUNS: usize = 4;
/// A merge takes more tables of its upper level where that drags along nothing more, up to so
/// many times the size of a table.
const GROWTH_LIMIT: u64 = 25;
/// Tables smaller than this part of their size are joined rather than moved.
const SMALL_PART: u64 = 4;

/// Chooses what to do next. Nothing that a running job has taken is chosen, and nothing that
/// would leave the tree as it is.
pub(crate) fn pick(
    version: &Version,
    policy: &Policy,
    busy: &Busy,
    context: &Context,
) -> Option<Compaction> {
    let targets = targets(version, policy);
    let fills = fills(version, policy, busy, &targets, context.pressure);
    garbage::dead_tables(version, busy, context)
        .or_else(|| {
            urgent(&fills, &targets).into_iter().find_map(|level| match level {
                0 => level0(version, policy, busy, &targets),
                _ => over_target(version, policy, busy, &targets, level),
            })
        })
        .or_else(|| garbage::rewrite(version, policy, busy, &targets, context))
        .or_else(|| values::collect(version, policy, busy, &targets, context))
        .or_else(|| fragments(version, policy, busy))
}

/// Merges level 0 down, or, where that is not due or not possible, its newest runs into one.
fn level0(
    version: &Version,
    policy: &Policy,
    busy: &Busy,
    targets: &Targets,
) -> Option<Compaction> {
    let runs = level0_runs(version);
    let below = version.size(targets.base);
    let small = version.size(0) < below / policy.level_ratio.max(1);
    if small {
        // Merged down now, each byte of level 0 would rewrite more than eight below.
        let within = within_level0(policy, busy, version, &runs);
        if within.is_some() || runs.len() < policy.level0_runs.saturating_mul(2) {
            return within;
        }
    }
    down_from_level0(version, policy, busy, targets, Reason::Level0)
        .or_else(|| within_level0(policy, busy, version, &runs))
}

/// The oldest tables of level 0, with what overlaps them, into the base level.
pub(crate) fn down_from_level0(
    version: &Version,
    policy: &Policy,
    busy: &Busy,
    targets: &Targets,
    reason: Reason,
) -> Option<Compaction> {
    let oldest = oldest_level0(version, busy);
    let mut chosen = expand(version, busy, reason, (0, oldest), targets.base)?;
    move_if_free(&mut chosen, policy);
    chosen.within_room(policy, busy)
}

/// The newest runs of level 0 into one, as long as each is no bigger than those before it
/// together: an entry then takes part in few of these merges. So also many small tables of few
/// runs.
fn within_level0(
    policy: &Policy,
    busy: &Busy,
    version: &Version,
    runs: &[&[Arc<FileMeta>]],
) -> Option<Compaction> {
    let mut bytes = policy.write_buffer;
    let mut taken: Vec<Arc<FileMeta>> = Vec::new();
    let mut count = 0;
    for run in runs {
        let size: u64 = run.iter().map(|file| file.size).sum();
        if size > bytes || run.iter().any(|file| busy.has(file)) {
            break;
        }
        bytes = if count == 0 { size } else { bytes.saturating_add(size) };
        taken.extend(run.iter().cloned());
        count += 1;
    }
    while splits_time(version, &taken)
        && let Some(last) = runs.get(..count).and_then(|taken| taken.last())
    {
        taken.truncate(taken.len() - last.len());
        count -= 1;
    }
    let many_small = taken.len() >= MIN_INTRA_RUNS * FILES_PER_RUN && are_small(&taken, policy);
    if count < MIN_INTRA_RUNS && !many_small {
        return None;
    }
    expand(version, busy, Reason::Level0, (0, taken), 0)?.within_room(policy, busy)
}

/// Whether a table of level 0 that is not taken, and may share a key with those that are, is
/// neither older nor newer than all of them. A merge within level 0 that was cut into several
/// tables leaves some that are not apart in time; where only a part of them was merged with
/// newer tables, the outcome would belong on both sides of the rest.
fn splits_time(version: &Version, taken: &[Arc<FileMeta>]) -> bool {
    let Some(span) = span_of(taken) else { return false };
    let oldest = taken.iter().map(|file| file.min_seq).min();
    let newest = taken.iter().map(|file| file.max_seq).max();
    version.level(0).iter().any(|file| {
        Some(file.max_seq) >= oldest
            && Some(file.min_seq) <= newest
            && file.overlaps(&span)
            && !taken.iter().any(|taken| taken.number == file.number)
    })
}

/// From a level over its target the table that drags along the fewest bytes for its own goes one
/// down, tombstones counting for it; among equals the one behind the last merge's end.
fn over_target(
    version: &Version,
    policy: &Policy,
    busy: &Busy,
    targets: &Targets,
    level: usize,
) -> Option<Compaction> {
    let files = version.level(level);
    let cursor = busy.cursor(level);
    let mut order: Vec<(f64, bool, usize)> = files
        .iter()
        .enumerate()
        .filter(|(_, file)| !busy.has(file))
        .map(|(at, file)| (cost(version, level, file), file.smallest.as_ref() <= cursor, at))
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let target = targets.bytes.get(level).copied().unwrap_or(0);
    let excess = version.size(level).saturating_sub(target);
    order
        .into_iter()
        .find_map(|(_, _, at)| push_down(version, policy, busy, Reason::Size, (level, at), excess))
}

/// Bytes that a table drags along for each of its own.
fn cost(version: &Version, level: usize, file: &FileMeta) -> f64 {
    let overlapped: u64 =
        version.overlapping(level + 1, &file.span()).iter().map(|below| below.size).sum();
    let dead = file.tombstones as f64 / file.entries.max(1) as f64;
    overlapped as f64 / (file.size.max(1) as f64 * (1.0 + 2.0 * dead))
}

/// The table at an index of a level into the next level. Its neighbours come along where that
/// drags along nothing more: up to `excess` bytes in a move, and in a merge those that lie over
/// the same tables.
pub(crate) fn push_down(
    version: &Version,
    policy: &Policy,
    busy: &Busy,
    reason: Reason,
    (level, at): (usize, usize),
    excess: u64,
) -> Option<Compaction> {
    let files = version.level(level);
    let first = files.get(at)?;
    let overlapped = version.overlapping(level + 1, &first.span());
    let (from, to) = match span_of(overlapped) {
        None => (at, at + free_neighbours(version, busy, level, at, excess)),
        Some(below) => over_the_same(version, policy, busy, level, at, &below),
    };
    let chosen = files.get(from..to).unwrap_or_default().to_vec();
    let alone = || vec![Arc::clone(first)];
    let output = level + 1;
    let made = |chosen| {
        let mut made = expand(version, busy, reason, (level, chosen), output)?;
        move_if_free(&mut made, policy);
        made.within_room(policy, busy)
    };
    made(chosen).or_else(|| made(alone()))
}

/// How many tables from an index on overlap nothing one level down, within `excess` bytes; at
/// least one.
fn free_neighbours(version: &Version, busy: &Busy, level: usize, at: usize, excess: u64) -> usize {
    let mut bytes = 0u64;
    let rest = version.level(level).get(at..).unwrap_or_default();
    let mut span = None;
    let free = rest.iter().take_while(|file| {
        let room = bytes < excess.max(1);
        bytes = bytes.saturating_add(file.size);
        let joined = span_of(span.iter().chain([*file]));
        span = Some(Arc::clone(file));
        // The gap between two neighbours must be free too: the move writes over it.
        room && !busy.has(file) && joined.is_some_and(|span| !version.overlaps(level + 1, &span))
    });
    free.count().max(1)
}

/// The range of indices around `at` whose tables lie within `below`, the span of the tables that
/// the one at `at` overlaps.
fn over_the_same(
    version: &Version,
    policy: &Policy,
    busy: &Busy,
    level: usize,
    at: usize,
    below: &kv_manifest::KeySpan,
) -> (usize, usize) {
    let files = version.level(level);
    let limit = policy.table_size.saturating_mul(GROWTH_LIMIT);
    let mut bytes = files.get(at).map_or(0, |file| file.size);
    let mut fits = |index: usize| {
        let file = files.get(index);
        let file = file.filter(|file| below.covers(&file.span()) && !busy.has(file));
        let size = file.map(|file| file.size).filter(|size| bytes.saturating_add(*size) <= limit);
        bytes = bytes.saturating_add(size.unwrap_or(0));
        size.is_some()
    };
    let (mut from, mut to) = (at, at + 1);
    while from > 0 && fits(from - 1) {
        from -= 1;
    }
    while fits(to) {
        to += 1;
    }
    (from, to)
}

/// Turns a merge of disjoint tables that overlap nothing into a move, unless the merge would
/// compress them, drop something or join small ones, or unless the outcome would overlap so much
/// of the level below that a later merge is better cut first.
pub(crate) fn move_if_free(chosen: &mut Compaction, policy: &Policy) {
    let [(level, files)] = chosen.inputs.as_slice() else { return };
    let output = chosen.output_level;
    let small = files.len() > 1 && are_small(files, policy);
    let drops = chosen.bottommost()
        && files.iter().any(|file| file.tombstones > 0 || file.range_tombstones > 0);
    let compresses =
        output == LAST && files.iter().any(|file| file.compression != policy.bottom_codec);
    let heavy: u64 = chosen.grandparents.iter().map(|file| file.size).sum();
    let limit = policy.table_size.saturating_mul(OVERLAP_LIMIT) * files.len() as u64;
    let apart = || {
        let others = |at: usize| files.iter().skip(at + 1);
        files.iter().enumerate().all(|(at, a)| !others(at).any(|b| a.overlaps_file(b)))
    };
    let free = output > *level && !small && !drops && !compresses && heavy <= limit;
    if free && (*level > 0 || apart()) {
        chosen.kind = Kind::Move;
    }
}

fn are_small(files: &[Arc<FileMeta>], policy: &Policy) -> bool {
    let bytes: u64 = files.iter().map(|file| file.size).sum();
    bytes / files.len().max(1) as u64 <= policy.table_size / SMALL_PART
}

/// Whether tables of a level overlap so much of the next one that an output over them is cut.
fn overlaps_much(
    version: &Version,
    policy: &Policy,
    level: usize,
    files: &[Arc<FileMeta>],
) -> bool {
    let Some(span) = span_of(files) else { return false };
    let below: u64 = version.overlapping(level + 1, &span).iter().map(|file| file.size).sum();
    below >= policy.table_size.saturating_mul(OVERLAP_LIMIT)
}

/// Neighbours on a level that are all small, as many short sessions leave them, become one table.
/// Each is smaller than the others together, so an entry takes part in few of these merges.
fn fragments(version: &Version, policy: &Policy, busy: &Busy) -> Option<Compaction> {
    const FEWEST: usize = 8;
    (1..=LAST).rev().find_map(|level| {
        let small =
            |file: &Arc<FileMeta>| file.size < policy.table_size / SMALL_PART && !busy.has(file);
        version.level(level).split(|file| !small(file)).find_map(|mut run| {
            while run.len() >= FEWEST {
                let sum: u64 = run.iter().map(|file| file.size).sum();
                match run.iter().rposition(|file| file.size.saturating_mul(2) >= sum) {
                    Some(big) => run = run.get(big + 1..).unwrap_or_default(),
                    // Cut again at the same tables below, the outcome would be what it was.
                    None if overlaps_much(version, policy, level, run) => return None,
                    None => {
                        let chosen = (level, run.to_vec());
                        let chosen = expand(version, busy, Reason::Fragments, chosen, level)?;
                        return chosen.within_room(policy, busy);
                    }
                }
            }
            None
        })
    })
}
