//! A set of changes to a state; applied in full or not at all.

use crate::{FileMeta, ValueMeta};
use bytes::Bytes;
use std::sync::Arc;

/// What one flush, compaction or rotation changes. State + edit = next state; what is `None` or
/// empty stays as it was. A table that is both deleted and added moves.
///
/// ```
/// use kv_manifest::{FileMeta, State, VersionEdit};
/// use std::sync::Arc;
///
/// let table = Arc::new(FileMeta {
///     number: 4,
///     entries: 2,
///     smallest: "apple".into(),
///     largest: "plum".into(),
///     min_seq: 1,
///     max_seq: 2,
///     ..FileMeta::default()
/// });
/// // A flush: the logs that held the entries are not needed any more.
/// let flush = VersionEdit {
///     added: vec![(0, Arc::clone(&table))],
///     log_floor: Some(5),
///     ..VersionEdit::default()
/// };
/// // Nothing below overlaps it: the table moves as it is.
/// let descent =
///     VersionEdit { deleted: vec![(0, 4)], added: vec![(1, table)], ..VersionEdit::default() };
/// let state = State::new(42).apply(&flush)?.apply(&descent)?;
/// assert_eq!((state.version.level(0).len(), state.version.level(1).len()), (0, 1));
/// assert_eq!((state.last_seq, state.log_floor), (2, 5));
/// # Ok::<(), kv_manifest::Broken>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionEdit {
    /// Tables to add, each with its level.
    pub added: Vec<(usize, Arc<FileMeta>)>,
    /// Value files that tables of this edit refer to. They go with the last table that does.
    pub values_added: Vec<ValueMeta>,
    /// Tables to take away, by level and number.
    pub deleted: Vec<(usize, u64)>,
    /// No number below this one will be given again. Never goes back.
    pub next_file: Option<u64>,
    /// The last sequence number given so far. Never goes back.
    pub last_seq: Option<u64>,
    /// Log segments below this number are not needed any more. Never goes back.
    pub log_floor: Option<u64>,
    /// Log segments that exist from now on: one that is missing later has been lost.
    pub logs_added: Vec<u64>,
    /// The settings to keep beside the data, as the engine encodes them.
    pub settings: Option<Bytes>,
}
