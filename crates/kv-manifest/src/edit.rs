//! A set of changes to a state; applied in full or not at all.

use crate::{FileMeta, ValueMeta};
use bytes::Bytes;
use std::sync::Arc;

/// What one flush, compaction or rotation changes. State + edit = next state; what is `None` or
/// empty stays as it was. A table that is both deleted and added moves.
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
