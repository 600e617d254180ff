//! Tables that are worth a merge for what it frees, whatever the size of their level.
//!
//! Each choice makes progress: a table goes a level down, or every reader sees all of it alike,
//! so that what is dead in it goes. What a snapshot holds is looked at again when it has gone.

use crate::compaction::busy::Busy;
use crate::compaction::expand::{Compaction, Kind, Reason, expand};
use crate::compaction::pick::{down_from_level0, push_down};
use crate::compaction::policy::{Context, Policy};
use crate::compaction::score::{LAST, Targets};
use kv_manifest::{FileMeta, LEVELS, Version};
use std::sync::Arc;

/// A table is worth rewriting when this share of its entries is dead.
const TOMBSTONE_SHARE: f64 = 0.25;
/// The same of entries that have expired.
const EXPIRED_SHARE: f64 = 0.3;
/// A table is worth merging down when its tombstones hide this part of its own size below it.
const SHADOW_PART: u64 = 4;

/// A table that goes as it is: every entry has expired for every reader, or a newer table says
/// that all of it is deleted, and nothing lies below that it hides.
pub(crate) fn dead_tables(
    version: &Version,
    busy: &Busy,
    context: &Context,
) -> Option<Compaction> {
    let erasers = || {
        let seen_alike = |file: &FileMeta| file.max_seq <= context.oldest_snapshot;
        version.files().map(|(_, file)| file).filter(move |file| is_eraser(file) && seen_alike(file))
    };
    let erased = |file: &FileMeta| {
        erasers().any(|e| e.max_seq > file.max_seq && e.span().covers(&file.span()))
    };
    let has_erasers = version.has_range_tombstones() && erasers().next().is_some();
    version.files().find_map(|(level, file)| {
        let reason = if all_expired(file, context.now_ms) {
            Reason::Expiry
        } else if has_erasers && erased(file) {
            Reason::Tombstones
        } else {
            return None;
        };
        let mut chosen = expand(version, busy, reason, (level, vec![Arc::clone(file)]), level)?;
        chosen.kind = Kind::Drop;
        // What an eraser covers is erased below too; expired entries may hide older ones.
        let hides_nothing = chosen.bottommost() && (level > 0 || oldest(version, file));
        (reason == Reason::Tombstones || hides_nothing).then_some(chosen)
    })
}

/// A table that is one range tombstone and nothing else, so that its bounds are known.
fn is_eraser(file: &FileMeta) -> bool {
    file.entries == 0 && file.range_tombstones == 1
}

fn all_expired(file: &FileMeta, now_ms: u64) -> bool {
    file.expiring > 0
        && file.expiring == file.entries
        && file.range_tombstones == 0
        && file.max_expiry <= now_ms
}

/// Whether no older table of level 0 overlaps.
fn oldest(version: &Version, file: &FileMeta) -> bool {
    !version.level(0).iter().any(|other| other.max_seq < file.max_seq && other.overlaps_file(file))
}

/// A merge for what it frees.
pub(crate) fn rewrite(
    version: &Version,
    policy: &Policy,
    busy: &Busy,
    targets: &Targets,
    context: &Context,
) -> Option<Compaction> {
    from_level0(version, policy, busy, targets, context).or_else(|| {
        let wasteful = hidden_bytes(version, context) > policy.slack(version.total_size());
        (1..LEVELS).find_map(|level| {
            version.level(level).iter().enumerate().find_map(|(at, file)| {
                let reason = due(file, level, wasteful, version, context)?;
                if level < LAST {
                    return push_down(version, policy, busy, reason, (level, at), 0);
                }
                expand(version, busy, reason, (level, vec![Arc::clone(file)]), level)
            })
        })
    })
}

/// Why a table below level 0 is worth a merge.
fn due(
    file: &FileMeta,
    level: usize,
    wasteful: bool,
    version: &Version,
    context: &Context,
) -> Option<Reason> {
    if expired_share(file, context.now_ms) >= EXPIRED_SHARE {
        return Some(Reason::Expiry);
    }
    if file.max_seq > context.oldest_snapshot {
        return None;
    }
    if mostly_dead(file) {
        return Some(Reason::Tombstones);
    }
    if file.range_tombstones > 0 && !context.pressure {
        // Something to free, or nothing left to hide: then the tombstones themselves go.
        let below = (level + 1..LEVELS).any(|level| version.overlaps(level, &file.span()));
        return (below || level == LAST).then_some(Reason::Tombstones);
    }
    (wasteful && level < LAST && file.shadow_bytes > 0).then_some(Reason::Space)
}

fn mostly_dead(file: &FileMeta) -> bool {
    file.tombstones as f64 > TOMBSTONE_SHARE * file.entries as f64
        || file.shadow_bytes > file.size / SHADOW_PART
}

/// About which share of a table's entries has expired: as if expiries lay evenly.
fn expired_share(file: &FileMeta, now_ms: u64) -> f64 {
    if file.expiring == 0 || file.min_expiry > now_ms {
        return 0.0;
    }
    let expiring = file.expiring as f64 / file.entries.max(1) as f64;
    let span = file.max_expiry.saturating_sub(file.min_expiry) as f64 + 1.0;
    let passed = (now_ms - file.min_expiry) as f64 + 1.0;
    expiring * (passed / span).min(1.0)
}

/// About how many bytes a merge of everything would free.
fn hidden_bytes(version: &Version, context: &Context) -> u64 {
    let free = version.files().filter(|(_, file)| file.max_seq <= context.oldest_snapshot);
    free.map(|(_, file)| file.shadow_bytes).fold(0, u64::saturating_add)
}

/// Level 0 goes down early where what that frees is worth rewriting the base level, or where the
/// store is idle and takes more space than it may.
fn from_level0(
    version: &Version,
    policy: &Policy,
    busy: &Busy,
    targets: &Targets,
    context: &Context,
) -> Option<Compaction> {
    let runs = version.level(0);
    let seen_alike = |file: &&Arc<FileMeta>| file.max_seq <= context.oldest_snapshot;
    let below = version.total_size().saturating_sub(version.size(0));
    let entries: u64 = version.files().map(|(_, file)| file.entries).sum();
    let entry = version.total_size() / entries.max(1);
    let frees = |file: &Arc<FileMeta>| file.shadow_bytes.max(file.tombstones * entry);
    let freed = runs.iter().filter(seen_alike).map(frees).fold(0, u64::saturating_add);
    let erased = runs.iter().filter(seen_alike).any(|file| file.range_tombstones > 0);
    let over = version.size(0) > policy.slack(below);
    let reason = if freed > 0 && freed >= policy.slack(version.size(targets.base)) {
        Reason::Tombstones
    } else if erased && (context.idle || cheap(version, policy, targets)) && !context.pressure {
        Reason::Tombstones
    } else if context.idle && over && below > 0 && runs.len() > 1 {
        Reason::Space
    } else {
        return None;
    };
    down_from_level0(version, policy, busy, targets, reason)
}

/// Whether a merge of level 0 rewrites little.
fn cheap(version: &Version, policy: &Policy, targets: &Targets) -> bool {
    let little = policy.table_size.saturating_mul(2).max(version.size(0).saturating_mul(4));
    version.size(targets.base) <= little
}
