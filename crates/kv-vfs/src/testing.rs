//! Hooks for the harness: bugs that are planted on purpose, and marks of situations that a test
//! run must have met.
//!
//! They exist under `--cfg kv_harness` only, which `cargo xtask crashtest` sets. In every other
//! build [`planted`] is a constant `false` and [`mark`] is empty, so that nothing of it is left.

pub mod bug;

/// Names of situations that long test runs must meet, so that a test that lost its power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Mark {
    /// A compaction dropped a tombstone, nothing below it being hidden any more.
    TombstoneDropped,
    /// A compaction kept a tombstone.
    TombstoneKept,
    /// A flush or a compaction dropped an expired entry, or put a tombstone in its place.
    ExpiredDropped,
    /// A compaction kept an older version because a snapshot sees it.
    VersionKeptForSnapshot,
    /// A compaction while a snapshot was older than all of its inputs.
    SnapshotBelowInputs,
    /// A compaction while a snapshot lay between its inputs' versions.
    SnapshotBetweenVersions,
    /// A compaction while a snapshot was newer than all of its inputs.
    SnapshotAboveInputs,
    /// A flush began while two memtables waited.
    FlushOfTwo,
    /// A flush wrote tables to a level below 0.
    FlushBelowLevel0,
    /// A flush made tables side by side.
    FlushInSlices,
    /// A compaction ran in several slices.
    CompactionInSlices,
    /// A table moved down a level as it was.
    TableMoved,
    /// A table was dropped whole.
    TableDropped,
    /// Writers stopped because of level 0.
    Level0StopEntered,
    /// Writers went on after a stop because of level 0.
    Level0StopLeft,
    /// Writers stopped because of memtables.
    MemtableStopEntered,
    /// Writers went on after a stop because of memtables.
    MemtableStopLeft,
    /// A filter kept a read from a table.
    BloomSaysNo,
    /// A filter let a read through to a table that has no such key.
    BloomFalsePositive,
    /// A block left the cache for another.
    CacheEviction,
    /// A table that no version names stayed because a reader holds it.
    DeadTableHeld,
    /// The manifest went on in a new file.
    ManifestRolled,
    /// The same, while a flush was installed.
    ManifestRolledInFlush,
    /// A sync of the log failed while three or more other writers waited for it.
    FailedSyncOfGroup,
    /// The disk was too full for the log.
    NoSpaceInLog,
    /// The disk was too full for a table.
    NoSpaceInTable,
    /// The disk was too full for the manifest.
    NoSpaceInManifest,
}

impl Mark {
    /// All of them.
    pub const ALL: [Mark; 27] = [
        Mark::TombstoneDropped,
        Mark::TombstoneKept,
        Mark::ExpiredDropped,
        Mark::VersionKeptForSnapshot,
        Mark::SnapshotBelowInputs,
        Mark::SnapshotBetweenVersions,
        Mark::SnapshotAboveInputs,
        Mark::FlushOfTwo,
        Mark::FlushBelowLevel0,
        Mark::FlushInSlices,
        Mark::CompactionInSlices,
        Mark::TableMoved,
        Mark::TableDropped,
        Mark::Level0StopEntered,
        Mark::Level0StopLeft,
        Mark::MemtableStopEntered,
        Mark::MemtableStopLeft,
        Mark::BloomSaysNo,
        Mark::BloomFalsePositive,
        Mark::CacheEviction,
        Mark::DeadTableHeld,
        Mark::ManifestRolled,
        Mark::ManifestRolledInFlush,
        Mark::FailedSyncOfGroup,
        Mark::NoSpaceInLog,
        Mark::NoSpaceInTable,
        Mark::NoSpaceInManifest,
    ];
}

#[cfg(kv_harness)]
mod hooks {
    use super::Mark;
    use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

    /// Stands for a process in which nobody has asked yet.
    const UNKNOWN: u8 = u8::MAX;

    static PLANTED: AtomicU8 = AtomicU8::new(UNKNOWN);
    /// The greatest number stands for the usual slack.
    static SLACK: AtomicU64 = AtomicU64::new(u64::MAX);
    static MARKS: [AtomicU64; Mark::ALL.len()] = [const { AtomicU64::new(0) }; Mark::ALL.len()];

    /// Whether this bug, one of [`super::bug`], is planted in this process: by [`plant`], or else
    /// by the environment variable `KV_PLANTED`, which holds its number.
    #[inline]
    pub fn planted(bug: u8) -> bool {
        match PLANTED.load(Ordering::Relaxed) {
            UNKNOWN => {
                plant_from_environment();
                PLANTED.load(Ordering::Relaxed) == bug
            }
            planted => planted == bug,
        }
    }

    /// Plants a bug in this process, in place of the one before; 0 plants none.
    pub fn plant(bug: u8) {
        PLANTED.store(bug, Ordering::Relaxed);
    }

    /// Plants the bug whose number the environment variable `KV_PLANTED` holds, if any.
    pub fn plant_from_environment() {
        let number = std::env::var("KV_PLANTED").ok().and_then(|text| text.parse().ok());
        plant(number.unwrap_or(0));
    }

    /// Lets manifests grow by this much less or more before a new one is begun, so that a small
    /// workload meets that too.
    pub fn set_manifest_slack(bytes: u64) {
        SLACK.store(bytes, Ordering::Relaxed);
    }

    /// How much a manifest may grow, where `usual` is what it is without [`set_manifest_slack`].
    pub fn manifest_slack(usual: u64) -> u64 {
        Some(SLACK.load(Ordering::Relaxed)).filter(|set| *set != u64::MAX).unwrap_or(usual)
    }

    /// Notes that a situation was met.
    #[inline]
    pub fn mark(mark: Mark) {
        if let Some(count) = MARKS.get(mark as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often each situation was met in this process.
    pub fn marks() -> Vec<(Mark, u64)> {
        let counts = MARKS.iter().map(|count| count.load(Ordering::Relaxed));
        Mark::ALL.into_iter().zip(counts).collect()
    }
}

#[cfg(not(kv_harness))]
mod hooks {
    use super::Mark;

    /// Whether this bug is planted: never, in this build.
    #[inline(always)]
    pub const fn planted(_bug: u8) -> bool {
        false
    }

    /// Plants nothing, in this build.
    pub const fn plant(_bug: u8) {}

    /// Plants nothing, in this build.
    pub const fn plant_from_environment() {}

    /// Changes nothing, in this build.
    pub const fn set_manifest_slack(_bytes: u64) {}

    /// What is usual, in this build.
    #[inline(always)]
    pub const fn manifest_slack(usual: u64) -> u64 {
        usual
    }

    /// Notes nothing, in this build.
    #[inline(always)]
    pub const fn mark(_mark: Mark) {}

    /// Empty, in this build.
    pub const fn marks() -> Vec<(Mark, u64)> {
        Vec::new()
    }
}

pub use hooks::{
    manifest_slack, mark, marks, plant, plant_from_environment, planted, set_manifest_slack,
};
