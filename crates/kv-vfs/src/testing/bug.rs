//! The mistakes that can be planted, by the numbers of the catalogue of failures in other engines
//! that `docs/reliability.md` lists: each is one that an engine has made, as it would look in this
//! one.

/// A later log is replayed although an earlier one was cut: a hole.
pub const LOG_REPLAYED_BEHIND_A_CUT: u8 = 1;
/// A damaged record of a log is skipped, and replay goes on behind it.
pub const DAMAGED_RECORD_SKIPPED: u8 = 2;
/// A log that was cut between two records is taken as whole.
pub const LOG_LENGTH_NOT_WITNESSED: u8 = 3;
/// A synced write does not make the logs before its own durable.
pub const CLOSED_LOG_NOT_SYNCED: u8 = 4;
/// A failed sync of the log is tried again, and its success believed.
pub const FAILED_SYNC_TRIED_AGAIN: u8 = 5;
/// Recovery shows what it read from logs without copying it to synced files.
pub const LOGS_KEPT_BY_RECOVERY: u8 = 6;
/// Only the writer that wrote for its group hears that the write failed.
pub const ERROR_KEPT_FROM_GROUP: u8 = 7;
/// A failed write of the log is forgotten, its bytes too, and writing goes on.
pub const RESUMED_AFTER_LOG_FAILURE: u8 = 8;
/// A log that cannot be read further is taken to end there.
pub const READ_ERROR_ENDS_LOG: u8 = 9;
/// A record that an older log left in the same blocks is taken for the next one.
pub const STALE_RECORD_BELIEVED: u8 = 10;
/// CURRENT is replaced by a file whose contents are not durable.
pub const CURRENT_NOT_SYNCED: u8 = 11;
/// The checksum of a long record covers its first part only.
pub const LONG_RECORD_CHECKED_IN_PART: u8 = 12;
/// The header of a record lies outside of its checksum.
pub const HEADER_NOT_CHECKED: u8 = 13;
/// Any damage in a log is its end, and what lies behind is thrown away.
pub const DAMAGE_ENDS_LOG: u8 = 14;
/// A range delete is not among what a log brings back.
pub const RANGE_DELETE_NOT_REPLAYED: u8 = 15;
/// Of the tables that recovery makes, only the last memtable's are kept.
pub const RECOVERED_TABLES_FORGOTTEN: u8 = 16;
/// The name of a new log is not made durable.
pub const LOG_NAME_NOT_SYNCED: u8 = 17;
/// Recovery removes the logs before the new manifest counts.
pub const LOGS_REMOVED_BEFORE_SWITCH: u8 = 18;
/// The next file number comes from the manifest alone, not from the directory too.
pub const FILE_NUMBER_REUSED: u8 = 19;
/// Old manifests are removed before the rename of CURRENT is durable.
pub const SWITCH_NOT_SYNCED: u8 = 20;
/// CURRENT names a manifest whose contents are not durable.
pub const SNAPSHOT_NOT_SYNCED: u8 = 21;
/// After a torn write of the manifest, edits are appended behind it.
pub const EDIT_BEHIND_TORN_ONE: u8 = 22;
/// Tables go after a failed edit that may have reached the disk.
pub const TABLES_REMOVED_AFTER_FAILED_EDIT: u8 = 23;
/// The old manifest goes although the new one could not be written.
pub const GOOD_MANIFEST_REMOVED: u8 = 24;
/// From some moment on, the directory is not synced any more.
pub const DIRECTORY_SYNCS_STOP: u8 = 25;
/// The last bytes of a table are written behind its sync.
pub const TAIL_WRITTEN_BEHIND_SYNC: u8 = 26;
/// From some moment on, edits are kept in memory only.
pub const MANIFEST_STOPS: u8 = 27;
/// A scan removes tables that a flush has made and not yet installed.
pub const UNNAMED_TABLES_REMOVED: u8 = 28;
/// Dead tables go while someone still reads them.
pub const TABLE_REMOVED_UNDER_READER: u8 = 29;
/// The manifest names a flushed table whose name is not durable.
pub const TABLE_NAME_NOT_SYNCED: u8 = 30;
/// The result of a table's sync is not looked at.
pub const SYNC_RESULT_IGNORED: u8 = 31;
/// A copy of the state beside a live writer mixes two moments.
pub const READER_DOES_NOT_LOOK_AGAIN: u8 = 32;
/// After a replay no memtable is written out, so writers stop for ever.
pub const NO_FLUSH_AFTER_RECOVERY: u8 = 33;
/// The versions of one key are split over two tables of a level.
pub const KEY_SPLIT_OVER_TABLES: u8 = 34;
/// A tombstone goes although an older version lies deeper.
pub const TOMBSTONE_DROPPED_EARLY: u8 = 35;
/// The bounds of a table leave its range tombstones out.
pub const TABLE_BOUNDS_WITHOUT_RANGES: u8 = 36;
/// Range tombstones that cannot be read count as none.
pub const TOMBSTONE_DAMAGE_IGNORED: u8 = 37;
/// Merges do not ask which snapshots are live.
pub const SNAPSHOTS_NOT_KEPT: u8 = 38;
/// A read error of a merge counts as the end of its inputs.
pub const MERGE_ENDS_AT_READ_ERROR: u8 = 39;
/// A cursor goes on after an error, without the source that failed.
pub const ERROR_NOT_LATCHED: u8 = 40;
/// A cursor that turns around shows the same key again.
pub const TURN_KEEPS_PLACE: u8 = 41;
/// The filter leaves out a key whose hash looks like the one before.
pub const FILTER_MISSES_A_KEY: u8 = 42;
/// After recovery, sequence numbers go back.
pub const SEQUENCE_NOT_RESTORED: u8 = 43;
/// The length of a key is compared after a cast.
pub const LENGTH_CAST: u8 = 44;
/// The lock is one that does not hold within a process.
pub const LOCK_BY_PROCESS: u8 = 45;
/// Tables are mapped although nobody asked for it.
pub const TABLES_MAPPED_UNASKED: u8 = 46;
/// Memory is taken by a length that nothing has checked.
pub const LENGTH_TRUSTED: u8 = 47;
/// The checksum of a block does not know where the block lies.
pub const CHECKSUM_WITHOUT_PLACE: u8 = 48;
/// A flush that finds the disk full removes the log of its memtable.
pub const LOG_REMOVED_WHEN_FULL: u8 = 49;
/// Logs are numbered by the time of day, so a clock set back hides the newest.
pub const LOG_NUMBERED_BY_CLOCK: u8 = 50;

/// A publication wakes none of the writers that wait for it: for the models alone.
pub const PUBLICATION_WAKES_NOBODY: u8 = 101;
/// Writes are made visible before older ones are in their memtable: for the models alone.
pub const PUBLISHED_OVER_A_GAP: u8 = 102;

/// What a transaction's iterators have shown is not compared with later commits.
pub const RANGE_READS_NOT_VALIDATED: u8 = 111;
/// A put, delete or expiring put outside of a transaction is not noted for open transactions.
pub const PLAIN_PUTS_NOT_NOTED: u8 = 112;
/// What was committed lately is forgotten when the youngest transaction begins.
pub const WINDOW_TRIMMED_EARLY: u8 = 113;
/// The entries of a row's indexes are written behind its transaction, not in it.
pub const INDEX_WRITTEN_AFTER_ROW: u8 = 114;
/// Writes that were on their way when a transaction began are not noted for it: for the models
/// alone.
pub const WINDOW_MISSES_WHAT_IS_ON_ITS_WAY: u8 = 103;

/// The names of ingested tables are not made durable before the manifest names them.
pub const INGEST_NAMES_NOT_SYNCED: u8 = 115;
/// What is in memory when an ingest commits is not written out before it.
pub const INGEST_LEAVES_MEMTABLE: u8 = 116;

/// Those of ingests: number, name, and what it is.
pub const INGESTS: [(u8, &str, &str); 2] = [
    (
        INGEST_NAMES_NOT_SYNCED,
        "INGEST_NAMES_NOT_SYNCED",
        "The names of ingested tables are not made durable before the manifest names them.",
    ),
    (
        INGEST_LEAVES_MEMTABLE,
        "INGEST_LEAVES_MEMTABLE",
        "What is in memory when an ingest commits is not written out before it.",
    ),
];

/// The commit of a transaction is acknowledged before it is synced.
pub const COMMIT_NOT_SYNCED: u8 = 117;

/// Those of transactions and indexes: number, name, and what it is.
pub const TRANSACTIONS: [(u8, &str, &str); 5] = [
    (
        RANGE_READS_NOT_VALIDATED,
        "RANGE_READS_NOT_VALIDATED",
        "What a transaction's iterators have shown is not compared with later commits.",
    ),
    (
        PLAIN_PUTS_NOT_NOTED,
        "PLAIN_PUTS_NOT_NOTED",
        "A put, delete or expiring put outside of a transaction is not noted for open transactions.",
    ),
    (
        WINDOW_TRIMMED_EARLY,
        "WINDOW_TRIMMED_EARLY",
        "What was committed lately is forgotten when the youngest transaction begins.",
    ),
    (
        INDEX_WRITTEN_AFTER_ROW,
        "INDEX_WRITTEN_AFTER_ROW",
        "The entries of a row's indexes are written behind its transaction, not in it.",
    ),
    (
        COMMIT_NOT_SYNCED,
        "COMMIT_NOT_SYNCED",
        "The commit of a transaction is acknowledged before it is synced.",
    ),
];

/// All of them that the harness plants: number, name, and what it is.
pub const ALL: [(u8, &str, &str); 50] = [
    (
        LOG_REPLAYED_BEHIND_A_CUT,
        "LOG_REPLAYED_BEHIND_A_CUT",
        "A later log is replayed although an earlier one was cut: a hole.",
    ),
    (
        DAMAGED_RECORD_SKIPPED,
        "DAMAGED_RECORD_SKIPPED",
        "A damaged record of a log is skipped, and replay goes on behind it.",
    ),
    (
        LOG_LENGTH_NOT_WITNESSED,
        "LOG_LENGTH_NOT_WITNESSED",
        "A log that was cut between two records is taken as whole.",
    ),
    (
        CLOSED_LOG_NOT_SYNCED,
        "CLOSED_LOG_NOT_SYNCED",
        "A synced write does not make the logs before its own durable.",
    ),
    (
        FAILED_SYNC_TRIED_AGAIN,
        "FAILED_SYNC_TRIED_AGAIN",
        "A failed sync of the log is tried again, and its success believed.",
    ),
    (
        LOGS_KEPT_BY_RECOVERY,
        "LOGS_KEPT_BY_RECOVERY",
        "Recovery shows what it read from logs without copying it to synced files.",
    ),
    (
        ERROR_KEPT_FROM_GROUP,
        "ERROR_KEPT_FROM_GROUP",
        "Only the writer that wrote for its group hears that the write failed.",
    ),
    (
        RESUMED_AFTER_LOG_FAILURE,
        "RESUMED_AFTER_LOG_FAILURE",
        "A failed write of the log is forgotten, its bytes too, and writing goes on.",
    ),
    (
        READ_ERROR_ENDS_LOG,
        "READ_ERROR_ENDS_LOG",
        "A log that cannot be read further is taken to end there.",
    ),
    (
        STALE_RECORD_BELIEVED,
        "STALE_RECORD_BELIEVED",
        "A record that an older log left in the same blocks is taken for the next one.",
    ),
    (
        CURRENT_NOT_SYNCED,
        "CURRENT_NOT_SYNCED",
        "CURRENT is replaced by a file whose contents are not durable.",
    ),
    (
        LONG_RECORD_CHECKED_IN_PART,
        "LONG_RECORD_CHECKED_IN_PART",
        "The checksum of a long record covers its first part only.",
    ),
    (
        HEADER_NOT_CHECKED,
        "HEADER_NOT_CHECKED",
        "The header of a record lies outside of its checksum.",
    ),
    (
        DAMAGE_ENDS_LOG,
        "DAMAGE_ENDS_LOG",
        "Any damage in a log is its end, and what lies behind is thrown away.",
    ),
    (
        RANGE_DELETE_NOT_REPLAYED,
        "RANGE_DELETE_NOT_REPLAYED",
        "A range delete is not among what a log brings back.",
    ),
    (
        RECOVERED_TABLES_FORGOTTEN,
        "RECOVERED_TABLES_FORGOTTEN",
        "Of the tables that recovery makes, only the last memtable's are kept.",
    ),
    (LOG_NAME_NOT_SYNCED, "LOG_NAME_NOT_SYNCED", "The name of a new log is not made durable."),
    (
        LOGS_REMOVED_BEFORE_SWITCH,
        "LOGS_REMOVED_BEFORE_SWITCH",
        "Recovery removes the logs before the new manifest counts.",
    ),
    (
        FILE_NUMBER_REUSED,
        "FILE_NUMBER_REUSED",
        "The next file number comes from the manifest alone, not from the directory too.",
    ),
    (
        SWITCH_NOT_SYNCED,
        "SWITCH_NOT_SYNCED",
        "Old manifests are removed before the rename of CURRENT is durable.",
    ),
    (
        SNAPSHOT_NOT_SYNCED,
        "SNAPSHOT_NOT_SYNCED",
        "CURRENT names a manifest whose contents are not durable.",
    ),
    (
        EDIT_BEHIND_TORN_ONE,
        "EDIT_BEHIND_TORN_ONE",
        "After a torn write of the manifest, edits are appended behind it.",
    ),
    (
        TABLES_REMOVED_AFTER_FAILED_EDIT,
        "TABLES_REMOVED_AFTER_FAILED_EDIT",
        "Tables go after a failed edit that may have reached the disk.",
    ),
    (
        GOOD_MANIFEST_REMOVED,
        "GOOD_MANIFEST_REMOVED",
        "The old manifest goes although the new one could not be written.",
    ),
    (
        DIRECTORY_SYNCS_STOP,
        "DIRECTORY_SYNCS_STOP",
        "From some moment on, the directory is not synced any more.",
    ),
    (
        TAIL_WRITTEN_BEHIND_SYNC,
        "TAIL_WRITTEN_BEHIND_SYNC",
        "The last bytes of a table are written behind its sync.",
    ),
    (MANIFEST_STOPS, "MANIFEST_STOPS", "From some moment on, edits are kept in memory only."),
    (
        UNNAMED_TABLES_REMOVED,
        "UNNAMED_TABLES_REMOVED",
        "A scan removes tables that a flush has made and not yet installed.",
    ),
    (
        TABLE_REMOVED_UNDER_READER,
        "TABLE_REMOVED_UNDER_READER",
        "Dead tables go while someone still reads them.",
    ),
    (
        TABLE_NAME_NOT_SYNCED,
        "TABLE_NAME_NOT_SYNCED",
        "The manifest names a flushed table whose name is not durable.",
    ),
    (SYNC_RESULT_IGNORED, "SYNC_RESULT_IGNORED", "The result of a table's sync is not looked at."),
    (
        READER_DOES_NOT_LOOK_AGAIN,
        "READER_DOES_NOT_LOOK_AGAIN",
        "A copy of the state beside a live writer mixes two moments.",
    ),
    (
        NO_FLUSH_AFTER_RECOVERY,
        "NO_FLUSH_AFTER_RECOVERY",
        "After a replay no memtable is written out, so writers stop for ever.",
    ),
    (
        KEY_SPLIT_OVER_TABLES,
        "KEY_SPLIT_OVER_TABLES",
        "The versions of one key are split over two tables of a level.",
    ),
    (
        TOMBSTONE_DROPPED_EARLY,
        "TOMBSTONE_DROPPED_EARLY",
        "A tombstone goes although an older version lies deeper.",
    ),
    (
        TABLE_BOUNDS_WITHOUT_RANGES,
        "TABLE_BOUNDS_WITHOUT_RANGES",
        "The bounds of a table leave its range tombstones out.",
    ),
    (
        TOMBSTONE_DAMAGE_IGNORED,
        "TOMBSTONE_DAMAGE_IGNORED",
        "Range tombstones that cannot be read count as none.",
    ),
    (SNAPSHOTS_NOT_KEPT, "SNAPSHOTS_NOT_KEPT", "Merges do not ask which snapshots are live."),
    (
        MERGE_ENDS_AT_READ_ERROR,
        "MERGE_ENDS_AT_READ_ERROR",
        "A read error of a merge counts as the end of its inputs.",
    ),
    (
        ERROR_NOT_LATCHED,
        "ERROR_NOT_LATCHED",
        "A cursor goes on after an error, without the source that failed.",
    ),
    (TURN_KEEPS_PLACE, "TURN_KEEPS_PLACE", "A cursor that turns around shows the same key again."),
    (
        FILTER_MISSES_A_KEY,
        "FILTER_MISSES_A_KEY",
        "The filter leaves out a key whose hash looks like the one before.",
    ),
    (SEQUENCE_NOT_RESTORED, "SEQUENCE_NOT_RESTORED", "After recovery, sequence numbers go back."),
    (LENGTH_CAST, "LENGTH_CAST", "The length of a key is compared after a cast."),
    (LOCK_BY_PROCESS, "LOCK_BY_PROCESS", "The lock is one that does not hold within a process."),
    (
        TABLES_MAPPED_UNASKED,
        "TABLES_MAPPED_UNASKED",
        "Tables are mapped although nobody asked for it.",
    ),
    (LENGTH_TRUSTED, "LENGTH_TRUSTED", "Memory is taken by a length that nothing has checked."),
    (
        CHECKSUM_WITHOUT_PLACE,
        "CHECKSUM_WITHOUT_PLACE",
        "The checksum of a block does not know where the block lies.",
    ),
    (
        LOG_REMOVED_WHEN_FULL,
        "LOG_REMOVED_WHEN_FULL",
        "A flush that finds the disk full removes the log of its memtable.",
    ),
    (
        LOG_NUMBERED_BY_CLOCK,
        "LOG_NUMBERED_BY_CLOCK",
        "Logs are numbered by the time of day, so a clock set back hides the newest.",
    ),
];
