//! The limits of keys, values and batches, and how a range of user keys becomes a range of stored
//! keys.

use kv_core::successor;
use kv_vfs::testing::{bug, planted};
use std::ops::{Bound, RangeBounds};

/// The longest key, in bytes.
pub(crate) const MAX_KEY_LEN: usize = 65_535;
/// The longest value, in bytes.
pub(crate) const MAX_VALUE_LEN: usize = 1 << 30;
/// The longest encoded batch, in bytes.
pub(crate) const MAX_BATCH_LEN: usize = 2 << 30;
/// The most memory that a batch may take once it is inserted, in bytes: a memtable's most.
pub(crate) const MAX_BATCH_MEMORY: usize = 16 << 30;
/// The longest name of a keyspace, in bytes.
pub(crate) const MAX_NAME_LEN: usize = 255;

/// Why a key or a value of this length is refused.
pub(crate) fn refuse(key_len: usize, value_len: usize) -> Option<String> {
    let cast = planted(bug::LENGTH_CAST);
    if key_len > MAX_KEY_LEN && !(cast && usize::from(key_len as u16) <= MAX_KEY_LEN) {
        return Some(format!("a key has {key_len} bytes; the limit is {MAX_KEY_LEN}"));
    }
    if value_len > MAX_VALUE_LEN {
        return Some(format!("a value has {value_len} bytes; the limit is {MAX_VALUE_LEN}"));
    }
    None
}

/// A half-open range of stored keys. Inverted bounds stay inverted: they hold nothing.
#[derive(Clone, Debug)]
pub(crate) struct StoredRange {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Vec<u8>,
}

impl StoredRange {
    /// The keys of `bounds` in the keyspace with this prefix.
    pub(crate) fn new<K: AsRef<[u8]>>(prefix: &[u8], bounds: &impl RangeBounds<K>) -> StoredRange {
        let start = match bounds.start_bound() {
            Bound::Included(key) => [prefix, key.as_ref()].concat(),
            Bound::Excluded(key) => [prefix, key.as_ref(), &[0]].concat(),
            Bound::Unbounded => prefix.to_vec(),
        };
        let end = match bounds.end_bound() {
            Bound::Included(key) => [prefix, key.as_ref(), &[0]].concat(),
            Bound::Excluded(key) => [prefix, key.as_ref()].concat(),
            Bound::Unbounded => end_of(prefix),
        };
        StoredRange { start, end }
    }

    /// The keys that begin with `key_prefix` in the keyspace with this prefix.
    pub(crate) fn with_prefix(prefix: &[u8], key_prefix: &[u8]) -> StoredRange {
        let start = [prefix, key_prefix].concat();
        // All keys of the keyspace begin with `prefix`, so a successor within it or its own
        // successor bounds them.
        let end = successor(&start).unwrap_or_else(|| end_of(prefix));
        StoredRange { start, end }
    }

    /// Whether no key is in the range.
    pub(crate) fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

/// The first stored key behind a keyspace. A prefix is a LEB128 number, whose last byte is under
/// 0x80, so it always has a successor.
pub(crate) fn end_of(prefix: &[u8]) -> Vec<u8> {
    successor(prefix).unwrap_or_default()
}

/// The longest key of a delete_range's bounds.
pub(crate) fn longest_bound<K: AsRef<[u8]>>(bounds: &impl RangeBounds<K>) -> usize {
    [bounds.start_bound(), bounds.end_bound()]
        .into_iter()
        .map(|bound| match bound {
            Bound::Included(key) | Bound::Excluded(key) => key.as_ref().len(),
            Bound::Unbounded => 0,
        })
        .max()
        .unwrap_or(0)
}
