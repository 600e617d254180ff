//! Value files: what is known of them, and how much of each is alive.
//!
//! What is alive is never stored: it is the sum of what the tables say that they refer to. So it
//! is exact whenever the tables are, and a value file goes with the last table that refers to it.

use crate::FileMeta;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A value file, as it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueMeta {
    /// Names the file; never given twice, not to a table either.
    pub number: u64,
    /// Length of the file in bytes.
    pub size: u64,
    /// How many values.
    pub records: u64,
    /// Bytes of the records of all values.
    pub bytes: u64,
    /// XXH3-64 of the whole file.
    pub checksum: u64,
}

/// How many bytes of the records of a value file a table refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValueRef {
    /// The value file's number.
    pub file: u64,
    /// Bytes of the records that the table's pointers name.
    pub bytes: u64,
}

/// A value file of a version.
///
/// ```
/// use kv_manifest::{FileMeta, LiveValues, State, ValueMeta, ValueRef, VersionEdit};
/// use std::sync::Arc;
///
/// let meta = ValueMeta { number: 1, size: 1100, records: 2, bytes: 1000, checksum: 0 };
/// let table = FileMeta {
///     number: 2,
///     entries: 1,
///     smallest: "apple".into(),
///     largest: "apple".into(),
///     values: vec![ValueRef { file: 1, bytes: 600 }],
///     ..FileMeta::default()
/// };
/// let added = vec![(1, Arc::new(table))];
/// let edit = VersionEdit { added, values_added: vec![meta], ..VersionEdit::default() };
/// let state = State::new(42).apply(&edit)?;
/// assert_eq!(state.version.values(), [LiveValues { meta, live: 600 }]);
/// assert_eq!(state.version.values()[0].dead(), 400);
///
/// // The file goes with the last table that refers to it.
/// let edit = VersionEdit { deleted: vec![(1, 2)], ..VersionEdit::default() };
/// assert!(state.apply(&edit)?.version.values().is_empty());
/// # Ok::<(), kv_manifest::Broken>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveValues {
    /// The file.
    pub meta: ValueMeta,
    /// Bytes of the records that some table of the version refers to.
    pub live: u64,
}

impl LiveValues {
    /// Bytes of the records that no table of the version refers to.
    pub fn dead(&self) -> u64 {
        self.meta.bytes.saturating_sub(self.live)
    }
}

/// The files among `known` that the tables refer to, by number.
pub(crate) fn live_values<'a>(
    known: &BTreeMap<u64, ValueMeta>,
    tables: impl Iterator<Item = &'a Arc<FileMeta>>,
) -> Arc<[LiveValues]> {
    let mut live: BTreeMap<u64, u64> = BTreeMap::new();
    for reference in tables.flat_map(|table| table.values.iter()) {
        let bytes = live.entry(reference.file).or_default();
        *bytes = bytes.saturating_add(reference.bytes);
    }
    let named = live.into_iter();
    named.filter_map(|(n, live)| Some(LiveValues { meta: *known.get(&n)?, live })).collect()
}
