//! Which value files are to be emptied, and which table is rewritten for it alone.
//!
//! A value file's dead bytes come back only with the last table that refers to it. So files that
//! are mostly dead are emptied: merges move what they keep of them into new files.

use crate::compaction::busy::Busy;
use crate::compaction::expand::{Compaction, Reason, expand};
use crate::compaction::pick::down_from_level0;
use crate::compaction::policy::{Context, Policy};
use crate::compaction::score::Targets;
use crate::write::room::written;
use kv_manifest::{FileMeta, LEVELS, LiveValues, Version};
use std::collections::BTreeSet;
use std::sync::Arc;

/// While writes arrive a file is emptied when less than this share of it is alive: then moving
/// writes less than it frees.
const LIVE_SHARE: f64 = 0.5;
/// One merge moves about so many times the size of a table.
const MOST_MOVED: u64 = 8;

/// The files to be emptied: where dead bytes take more space than they may, those with the
/// smallest share alive, as many as bring the store back into its bounds.
pub(crate) fn doomed(
    version: &Version,
    policy: &Policy,
    busy: &Busy,
    context: &Context,
) -> BTreeSet<u64> {
    let files = version.values();
    let live: u64 = files.iter().map(|file| file.live).fold(0, u64::saturating_add);
    let mut dead: u64 = files.iter().map(LiveValues::dead).fold(0, u64::saturating_add);
    let budget = policy.slack(live);
    let mut doomed = BTreeSet::new();
    if dead <= budget {
        return doomed;
    }
    let mostly_dead = |file: &&LiveValues| context.idle || share(file) < LIVE_SHARE;
    let movable = |file: &&LiveValues| file.dead() > 0 && !busy.is_aside(file.meta.number);
    let mut order: Vec<&LiveValues> = files.iter().filter(movable).filter(mostly_dead).collect();
    order.sort_by(|a, b| share(a).total_cmp(&share(b)).then(a.meta.number.cmp(&b.meta.number)));
    let mut moved = 0u64;
    for file in order {
        if !busy.has_room(written(moved.saturating_add(file.live), policy.table_size)) {
            continue;
        }
        moved = moved.saturating_add(file.live);
        let enough = moved > policy.table_size.saturating_mul(MOST_MOVED);
        if dead <= budget || (enough && !doomed.is_empty()) {
            break;
        }
        dead = dead.saturating_sub(file.dead());
        doomed.insert(file.meta.number);
    }
    doomed
}

fn share(file: &LiveValues) -> f64 {
    file.live as f64 / file.meta.bytes.max(1) as f64
}

/// The table that refers to the most bytes of doomed files, rewritten where it lies; it refers to
/// none of them then. Those of level 0 go down instead.
pub(crate) fn collect(
    version: &Version,
    policy: &Policy,
    busy: &Busy,
    targets: &Targets,
    context: &Context,
) -> Option<Compaction> {
    let doomed = doomed(version, policy, busy, context);
    if doomed.is_empty() {
        return None;
    }
    let of_doomed = |file: &FileMeta| {
        let refs = file.values.iter().filter(|refs| doomed.contains(&refs.file));
        refs.map(|refs| refs.bytes).fold(0, u64::saturating_add)
    };
    let tables = (1..LEVELS).flat_map(|level| version.level(level).iter().map(move |f| (level, f)));
    let mut order: Vec<(u64, usize, &Arc<FileMeta>)> = tables
        .filter(|(_, file)| !busy.has(file))
        .map(|(level, file)| (of_doomed(file), level, file))
        .filter(|(bytes, _, _)| *bytes > 0)
        .collect();
    order.sort_by(|a, b| b.0.cmp(&a.0).then(a.2.number.cmp(&b.2.number)));
    let rewritten = order.into_iter().find_map(|(_, level, file)| {
        let alone = (level, vec![Arc::clone(file)]);
        let chosen = expand(version, busy, Reason::Values, alone, level)?;
        busy.has_room(chosen.writes(policy, &doomed)).then_some(chosen)
    });
    rewritten.or_else(|| {
        let above = version.level(0).iter().any(|file| of_doomed(file) > 0);
        above.then(|| down_from_level0(version, policy, busy, targets, Reason::Values)).flatten()
    })
}

/// Every file with dead bytes among those numbered below `end`: a full compaction leaves none. Where
/// room is bounded, as many of the deadest as fit there at once: when they are gone, others fit.
pub(crate) fn with_dead_bytes(
    version: &Version,
    policy: &Policy,
    busy: &Busy,
    end: u64,
) -> BTreeSet<u64> {
    let movable = |file: &&LiveValues| {
        file.dead() > 0 && file.meta.number < end && !busy.is_aside(file.meta.number)
    };
    let mut order: Vec<&LiveValues> = version.values().iter().filter(movable).collect();
    order.sort_by(|a, b| share(a).total_cmp(&share(b)).then(a.meta.number.cmp(&b.meta.number)));
    let mut moved = 0u64;
    let fitting = order.into_iter().filter(|file| {
        let with = moved.saturating_add(file.live);
        let beside = policy.table_size.saturating_mul(2);
        let fits = busy.has_room(written(with.saturating_add(beside), policy.table_size));
        moved = if fits { with } else { moved };
        fits
    });
    fitting.map(|file| file.meta.number).collect()
}
