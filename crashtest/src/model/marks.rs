//! Situations that a long run must have met. The engine counts what only it can see
//! (`kv_vfs::testing::Mark`), the run counts the rest.

use crate::report::Row;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! situations {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A situation that the run itself brings about and sees.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum Met {
            $($(#[$doc])* $name,)*
        }

        const TEXTS: &[&str] = &[$($text,)*];
        static COUNTS: [AtomicU64; TEXTS.len()] = [const { AtomicU64::new(0) }; TEXTS.len()];
    };
}

situations! {
    CleanClose = "closed and opened again",
    DroppedOpen = "dropped without close and opened again",
    Crash = "power cut and opened again",
    CrashLost = "power cut that took a write",
    ChangedSettings = "opened with other settings",
    EmptyLog = "opened with no log",
    ManyLogs = "opened with three logs or more",
    EightSnapshots = "eight snapshots held",
    SnapshotAtZero = "snapshot before the first write read",
    LongIterator = "iterator held over a flush or compaction read on",
    LongCursor = "cursor held over a flush or compaction moved",
    DirectionChange = "cursor that turned around",
    ClockBack = "clock set back",
    Maybe = "entry that had expired before the clock went back read",
    DiskFull = "write refused on a full disk",
    Poisoned = "store that takes no writes since a failure",
    FailedWriteSurvived = "failed write that was there afterwards",
    OpenOnFullDisk = "open refused on a full disk",
    TableEdge = "range that ends on a table's edge",
    InvertedRange = "empty or inverted range",
    StaleKeyspace = "handle of a dropped keyspace used",
    Recreated = "keyspace made again under its old name",
    ReadOnlyBeside = "read-only open beside the writer",
    Locked = "second open refused",
    Closed = "calls on a closed store",
    Limits = "arguments at their limits",
    MultiSpaceBatch = "batch over several keyspaces",
}

pub(super) fn met(situation: Met) {
    if let Some(count) = COUNTS.get(situation as usize) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// How often every situation must be met in a run of a million operations, unless it says less.
const FLOOR: u64 = 20;

/// Situations that are rarer than that, and how often they must be met; none for those that a
/// short run meets by chance only. A memory file system syncs too fast for a group to wait.
const RARE: &[(&str, u64)] = &[
    ("snapshot before the first write read", 5),
    ("TableMoved", 0),
    ("CompactionInSlices", 0),
    ("Level0StopEntered", 2),
    ("Level0StopLeft", 2),
    ("NoSpaceInManifest", 2),
    ("FailedSyncOfGroup", 0),
];

/// A row of how many situations were met often enough; each below `floor` of its own is a
/// violation. Runs that are too short to ask for all only print them.
pub(super) fn row(demand: bool) -> Row {
    let own = TEXTS.iter().zip(&COUNTS).map(|(text, count)| {
        let count = count.load(Ordering::Relaxed);
        ((*text).to_owned(), count)
    });
    let engine = kv_vfs::testing::marks();
    let engine = engine.into_iter().map(|(mark, count)| (format!("{mark:?}"), count));
    let mut row = Row::new("model marks", "situations");
    for (text, count) in own.chain(engine) {
        row.notes.push(format!("{count:>10}  {text}"));
        let floor = RARE.iter().find(|(rare, _)| *rare == text).map_or(FLOOR, |(_, floor)| *floor);
        if count >= floor {
            row.ran += 1;
        } else if demand {
            row.violations.push(format!("{text}: met {count} times, {floor} are due"));
        }
    }
    row
}
