//! From chosen tables to a whole compaction: what they drag along, and what lies below.

use crate::compaction::busy::Busy;
use crate::compaction::policy::Policy;
use crate::write::room::written;
use kv_manifest::{FileMeta, KeySpan, LEVELS, Version};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Why a compaction was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Level 0 has too many runs.
    Level0,
    /// A level is over its target.
    Size,
    /// Tombstones hide data, or nothing any more.
    Tombstones,
    /// Entries have expired.
    Expiry,
    /// The tree takes too much space for what lives in it.
    Space,
    /// Small tables lie side by side.
    Fragments,
    /// Value files are mostly dead.
    Values,
    /// Someone asked for it.
    Manual,
}

/// What happens to the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// They are merged into new tables.
    Merge,
    /// They change level as they are.
    Move,
    /// They go: nothing in them is alive.
    Drop,
}

/// A choice: which tables, where to, and how.
#[derive(Clone, Debug)]
pub(crate) struct Compaction {
    pub(crate) reason: Reason,
    pub(crate) kind: Kind,
    /// Tables by level, from the top; of level 0 newest first, of others by key.
    pub(crate) inputs: Vec<(usize, Vec<Arc<FileMeta>>)>,
    pub(crate) output_level: usize,
    /// The keys that the inputs span.
    pub(crate) span: KeySpan,
    /// Tables one level below the output, at whose bounds outputs are cut.
    pub(crate) grandparents: Vec<Arc<FileMeta>>,
    /// Tables that may hold older entries of the inputs' keys and are not inputs: lists of
    /// disjoint tables by key.
    below: Vec<Vec<Arc<FileMeta>>>,
}

impl Compaction {
    /// Every input with its level.
    pub(crate) fn files(&self) -> impl Iterator<Item = (usize, &Arc<FileMeta>)> {
        self.inputs.iter().flat_map(|(level, files)| files.iter().map(|file| (*level, file)))
    }

    /// The most bytes that it writes, where it moves the values that lie in `doomed` files.
    pub(crate) fn writes(&self, policy: &Policy, doomed: &BTreeSet<u64>) -> u64 {
        if self.kind != Kind::Merge {
            return 0;
        }
        let raw = |file: &FileMeta| match file.compression == policy.bottom_codec {
            true => file.size,
            false => file.size.max(file.raw_bytes),
        };
        let sum = |bytes: u64, more: u64| bytes.saturating_add(more);
        let tables = self.files().map(|(_, file)| raw(file)).fold(0, sum);
        let refs = self.files().flat_map(|(_, file)| &file.values);
        let moved = refs.filter(|refs| doomed.contains(&refs.file)).map(|refs| refs.bytes);
        let moved = written(moved.fold(0, sum), policy.table_size);
        written(tables, policy.table_size).saturating_add(moved)
    }

    /// The choice, if it may write what it writes.
    pub(crate) fn within_room(self, policy: &Policy, busy: &Busy) -> Option<Compaction> {
        busy.has_room(self.writes(policy, &BTreeSet::new())).then_some(self)
    }

    /// Whether no table outside holds older entries of these keys. Never for a merge within
    /// level 0: tables there are told apart by their sequence numbers, which stay.
    pub(crate) fn bottommost(&self) -> bool {
        self.output_level > 0 && self.below.is_empty()
    }

    /// Tells, for ascending keys, whether a table outside may hold older entries of a key.
    pub(crate) fn below(&self) -> Below<'_> {
        Below {
            always: self.output_level == 0,
            levels: self.below.iter().map(|files| files.as_slice()).collect(),
        }
    }
}

/// See [`Compaction::below`].
#[derive(Debug)]
pub(crate) struct Below<'a> {
    always: bool,
    /// The tables of each list that do not end before the last key asked for.
    levels: Vec<&'a [Arc<FileMeta>]>,
}

impl Below<'_> {
    /// Whether a table below may hold `key`, which is not smaller than the one asked for before.
    pub(crate) fn may_hold(&mut self, key: &[u8]) -> bool {
        let mut held = self.always;
        for files in &mut self.levels {
            while let Some((first, rest)) = files.split_first()
                && first.ends_before(key)
            {
                *files = rest;
            }
            held |= files.first().is_some_and(|file| file.smallest.as_ref() <= key);
        }
        held
    }
}

/// The keys that some tables span; `None` where there is no table.
pub(crate) fn span_of<'a>(files: impl IntoIterator<Item = &'a Arc<FileMeta>>) -> Option<KeySpan> {
    files.into_iter().fold(None, |span: Option<KeySpan>, file| match span {
        None => Some(file.span()),
        Some(mut span) => {
            span.extend(&file.span());
            Some(span)
        }
    })
}

/// Makes a merge of `chosen` tables of `level` into `output_level`, with the tables there that
/// they overlap. Chosen tables of level 0 stand in its order, those of others are neighbours.
///
/// `None` where a running job stands in the way, or where an older table of level 0 that overlaps
/// would be left behind.
pub(crate) fn expand(
    version: &Version,
    busy: &Busy,
    reason: Reason,
    (level, chosen): (usize, Vec<Arc<FileMeta>>),
    output_level: usize,
) -> Option<Compaction> {
    let mut span = span_of(&chosen)?;
    if level == 0 && output_level > 0 && leaves_older(version, &chosen, &span) {
        return None;
    }
    let mut inputs = vec![(level, chosen)];
    if output_level > level {
        let overlapped = version.overlapping(output_level, &span);
        if let Some(theirs) = span_of(overlapped) {
            span.extend(&theirs);
            inputs.push((output_level, overlapped.to_vec()));
        }
    }
    let mut files = inputs.iter().flat_map(|(_, files)| files);
    if files.any(|file| busy.has(file)) || busy.writes(output_level, &span) {
        return None;
    }
    let below = (output_level + 1..LEVELS)
        .map(|level| version.overlapping(level, &span).to_vec())
        .filter(|files| !files.is_empty())
        .collect();
    let grandparents = match output_level {
        0 => Vec::new(),
        _ => version.overlapping(output_level + 1, &span).to_vec(),
    };
    let kind = Kind::Merge;
    Some(Compaction { reason, kind, inputs, output_level, span, grandparents, below })
}

/// Whether a table of level 0 that is older than a chosen one and may share a key with it is not
/// chosen: its entries would then lie above newer ones.
fn leaves_older(version: &Version, chosen: &[Arc<FileMeta>], span: &KeySpan) -> bool {
    let newest = chosen.iter().map(|file| file.max_seq).max();
    version.level(0).iter().any(|file| {
        Some(file.max_seq) < newest
            && file.overlaps(span)
            && !chosen.iter().any(|c| c.number == file.number)
    })
}

/// The oldest tables of level 0 that can go down together, with all that they overlap; newest
/// first. Newer ones that a running job has taken stay.
pub(crate) fn oldest_level0(version: &Version, busy: &Busy) -> Vec<Arc<FileMeta>> {
    let files = version.level(0);
    // From the oldest: behind those that are going down already, before those being merged.
    let oldest_first = files.iter().rev().skip_while(|file| busy.has(file));
    let free: Vec<_> = oldest_first.take_while(|file| !busy.has(file)).collect();
    let Some((first, _)) = free.split_first() else { return Vec::new() };
    let mut span = first.span();
    loop {
        let joined = span_of(free.iter().copied().filter(|file| file.overlaps(&span)));
        match joined {
            Some(joined) if joined != span => span = joined,
            _ => break,
        }
    }
    let chosen = free.into_iter().filter(|file| file.overlaps(&span)).rev();
    chosen.cloned().collect()
}
