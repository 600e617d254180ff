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
/// The same where all entries expire: then waiting for the last one frees the table for nothing.
const ALL_EXPIRE_SHARE: f64 = 0.6;

/// A store is small that fits into so many tables: to merge all of it takes a fraction of a second.
const SMALL: u64 = 2;

/// Tables of one level that go as they are: every entry has expired for every reader and hides
/// nothing below, or a newer table says that all of it is deleted.
pub(crate) fn dead_tables(version: &Version, busy: &Busy, context: &Context) -> Option<Compaction> {
    let erasers: Vec<&FileMeta> = if version.has_range_tombstones() {
        let files = version.files().map(|(_, file)| file.as_ref());
        files.filter(|f| is_eraser(f) && f.max_seq <= context.oldest_snapshot).collect()
    } else {
        Vec::new()
    };
    let erased = |file: &FileMeta| {
        erasers.iter().any(|e| e.max_seq > file.max_seq && e.span().covers(&file.span()))
    };
    let expired = |level: usize, file: &FileMeta| {
        all_expired(file, context.now_ms) && hides_nothing(version, level, file)
    };
    (0..LEVELS).find_map(|level| {
        let files = || version.level(level).iter().filter(|file| !busy.has(file)).cloned();
        let (reason, dead): (_, Vec<_>) = match files().find(|file| expired(level, file)) {
            Some(_) => (Reason::Expiry, files().filter(|file| expired(level, file)).collect()),
            None => (Reason::Tombstones, files().filter(|file| erased(file)).collect()),
        };
        let mut chosen = expand(version, busy, reason, (level, dead), level)?;
        chosen.kind = Kind::Drop;
        Some(chosen)
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

/// Whether no older table has a key in common with this one.
fn hides_nothing(version: &Version, level: usize, file: &FileMeta) -> bool {
    let span = file.span();
    let older = |other: &Arc<FileMeta>| other.max_seq < file.max_seq && other.overlaps_file(file);
    let beside = level == 0 && version.level(0).iter().any(older);
    let below = (level + 1..LEVELS).any(|level| version.overlaps(level, &span));
    !beside && !below
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
        (1..LEVELS).find_map(|level| {
            version.level(level).iter().enumerate().find_map(|(at, file)| {
                let reason = due(version, policy, context, level, file)?;
                if level < LAST {
                    return push_down(version, policy, busy, reason, (level, at), 0);
                }
                let alone = (level, vec![Arc::clone(file)]);
                expand(version, busy, reason, alone, level)?.within_room(policy, busy)
            })
        })
    })
}

/// Why a table below level 0 is worth a merge.
fn due(
    version: &Version,
    policy: &Policy,
    context: &Context,
    level: usize,
    file: &FileMeta,
) -> Option<Reason> {
    if expired_enough(file, context.now_ms) {
        return Some(Reason::Expiry);
    }
    let hides = file.tombstones > 0 || file.range_tombstones > 0;
    if !hides || file.max_seq > context.oldest_snapshot {
        return None;
    }
    if file.tombstones as f64 > TOMBSTONE_SHARE * file.entries as f64 {
        return Some(Reason::Tombstones);
    }
    if level < LAST && file.shadow_bytes > 0 {
        let below = version.overlapping(level + 1, &file.span());
        let rewritten = below.iter().map(|file| file.size).fold(file.size, u64::saturating_add);
        if file.shadow_bytes >= policy.slack(rewritten) {
            return Some(Reason::Space);
        }
    }
    // Something to free, or nothing left to hide: then the tombstones themselves go.
    let below = || (level + 1..LEVELS).any(|level| version.overlaps(level, &file.span()));
    let ranges = file.range_tombstones > 0 && !context.pressure;
    (ranges && (level == LAST || below())).then_some(Reason::Tombstones)
}

/// Whether so many entries have expired that a merge is worth it; as if expiries lay evenly
/// between the first and the last.
fn expired_enough(file: &FileMeta, now_ms: u64) -> bool {
    if file.expiring == 0 || file.min_expiry > now_ms {
        return false;
    }
    let expiring = file.expiring as f64 / file.entries.max(1) as f64;
    let span = file.max_expiry.saturating_sub(file.min_expiry) as f64 + 1.0;
    let passed = (now_ms - file.min_expiry) as f64 + 1.0;
    let enough = if file.expiring == file.entries { ALL_EXPIRE_SHARE } else { EXPIRED_SHARE };
    expiring * (passed / span).min(1.0) >= enough
}

/// Level 0 goes down early where what that frees is worth rewriting the base level, or where it
/// takes more space beside what lies below than it may, as if it hid all of its own size there: at once
/// in a small store, in another one when it is idle.
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
    let worth_it = freed > 0 && freed >= policy.slack(version.size(targets.base));
    let small = version.total_size() <= policy.table_size.saturating_mul(SMALL);
    let cheap = context.idle || cheap(version, policy, targets);
    let reason = if worth_it || (erased && cheap && !context.pressure) {
        Reason::Tombstones
    } else if over && below > 0 && (context.idle || (small && !context.pressure)) {
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
