//! What is known of a table without opening it.

use crate::ValueRef;
use bytes::Bytes;
use kv_core::KeyRange;

/// A closed stretch of keys, or a half-open one where its end is a tombstone's.
///
/// ```
/// use kv_manifest::KeySpan;
///
/// let mut span = KeySpan::closed("c".into(), "f".into());
/// let deleted = KeySpan { smallest: "d".into(), largest: "h".into(), largest_exclusive: true };
/// assert!(span.overlaps(&deleted) && !span.covers(&deleted));
/// span.extend(&deleted);
/// assert!(span.covers(&deleted) && span.ends_before(b"h"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeySpan {
    /// The first key.
    pub smallest: Bytes,
    /// The last key, or the first key behind where `largest_exclusive`.
    pub largest: Bytes,
    /// Whether `largest` itself is outside.
    pub largest_exclusive: bool,
}

impl KeySpan {
    /// The keys from `smallest` to `largest`, both inside.
    pub fn closed(smallest: Bytes, largest: Bytes) -> KeySpan {
        KeySpan { smallest, largest, largest_exclusive: false }
    }

    /// Whether every key of the span is smaller than `key`.
    pub fn ends_before(&self, key: &[u8]) -> bool {
        ends_before(&self.largest, self.largest_exclusive, key)
    }

    /// Whether the two have a key in common.
    pub fn overlaps(&self, other: &KeySpan) -> bool {
        !self.ends_before(&other.smallest) && !other.ends_before(&self.smallest)
    }

    /// Whether every key of `other` is in this span.
    pub fn covers(&self, other: &KeySpan) -> bool {
        self.smallest <= other.smallest
            && end_order(&other.largest, other.largest_exclusive)
                <= end_order(&self.largest, self.largest_exclusive)
    }

    /// Grows the span so that it holds `other` too.
    pub fn extend(&mut self, other: &KeySpan) {
        if other.smallest < self.smallest {
            self.smallest = other.smallest.clone();
        }
        if end_order(&self.largest, self.largest_exclusive)
            < end_order(&other.largest, other.largest_exclusive)
        {
            self.largest = other.largest.clone();
            self.largest_exclusive = other.largest_exclusive;
        }
    }
}

/// Ends in order: at the same key the exclusive one comes first.
fn end_order(largest: &[u8], exclusive: bool) -> (&[u8], bool) {
    (largest, !exclusive)
}

fn ends_before(largest: &[u8], exclusive: bool, key: &[u8]) -> bool {
    if exclusive { largest <= key } else { largest < key }
}

/// A table: its place in the key space and in time, what its entries are, and what is needed to
/// open it without reading it.
///
/// ```
/// use kv_manifest::{FileMeta, ValueRef};
///
/// let upper = FileMeta {
///     number: 7,
///     entries: 3,
///     smallest: "apple".into(),
///     largest: "lime".into(),
///     values: vec![ValueRef { file: 5, bytes: 600 }, ValueRef { file: 6, bytes: 400 }],
///     ..FileMeta::default()
/// };
/// let lower = FileMeta {
///     number: 3,
///     entries: 2,
///     smallest: "fig".into(),
///     largest: "plum".into(),
///     ..FileMeta::default()
/// };
/// assert!(upper.contains(b"grape") && upper.ends_before(b"mango"));
/// assert_eq!(upper.value_bytes(), 1000);
///
/// // A merge takes both, and whatever lies over the keys of either.
/// assert!(upper.overlaps_file(&lower));
/// let mut span = upper.span();
/// span.extend(&lower.span());
/// let other = FileMeta { smallest: "melon".into(), largest: "nut".into(), ..lower };
/// assert!(other.overlaps(&span) && !other.overlaps(&upper.span()));
/// ```
// long: one field for each thing that is known; they are what the format lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMeta {
    /// Names the file; never given twice.
    pub number: u64,
    /// Length of the file in bytes.
    pub size: u64,
    /// Point entries of every kind.
    pub entries: u64,
    /// Point deletes among the entries.
    pub tombstones: u64,
    /// Range tombstones.
    pub range_tombstones: u64,
    /// The first key of an entry or a range tombstone.
    pub smallest: Bytes,
    /// The last key of an entry, or the end of a range tombstone where `largest_exclusive`.
    pub largest: Bytes,
    /// Whether `largest` itself is outside.
    pub largest_exclusive: bool,
    /// The smallest sequence number in the table.
    pub min_seq: u64,
    /// The largest sequence number in the table.
    pub max_seq: u64,
    /// The earliest expiry (milliseconds since the Unix epoch), `u64::MAX` where nothing expires.
    pub min_expiry: u64,
    /// The latest expiry, 0 where nothing expires.
    pub max_expiry: u64,
    /// Entries that expire.
    pub expiring: u64,
    /// Bytes of keys and values before compression.
    pub raw_bytes: u64,
    /// About how many bytes below this table its tombstones hide; 0 where unknown.
    pub shadow_bytes: u64,
    /// XXH3-64 of the whole file.
    pub checksum: u64,
    /// The table's footer, so that opening it reads nothing.
    pub footer: Bytes,
    /// The codec of the data blocks.
    pub compression: u8,
    /// Grows from table to table, and tells older data from newer; no clock.
    pub created: u64,
    /// The epoch of the database that wrote the file, 0 for this one.
    pub origin: u64,
    /// The part of the table's keys that counts; `None` is all.
    pub visible: Option<KeyRange>,
    /// What the table's pointers refer to, by value file: ascending, each file once.
    pub values: Vec<ValueRef>,
}

impl Default for FileMeta {
    /// A table of nothing, for a struct update.
    fn default() -> FileMeta {
        FileMeta {
            number: 0,
            size: 0,
            entries: 0,
            tombstones: 0,
            range_tombstones: 0,
            smallest: Bytes::new(),
            largest: Bytes::new(),
            largest_exclusive: false,
            min_seq: 0,
            max_seq: 0,
            min_expiry: u64::MAX,
            max_expiry: 0,
            expiring: 0,
            raw_bytes: 0,
            shadow_bytes: 0,
            checksum: 0,
            footer: Bytes::new(),
            compression: 0,
            created: 0,
            origin: 0,
            visible: None,
            values: Vec::new(),
        }
    }
}

impl FileMeta {
    /// Bytes of the records in value files that the table refers to.
    pub fn value_bytes(&self) -> u64 {
        self.values.iter().fold(0, |sum, reference| sum.saturating_add(reference.bytes))
    }

    /// The keys that the table may say something about.
    pub fn span(&self) -> KeySpan {
        KeySpan {
            smallest: self.smallest.clone(),
            largest: self.largest.clone(),
            largest_exclusive: self.largest_exclusive,
        }
    }

    /// Whether every key of the table is smaller than `key`.
    pub fn ends_before(&self, key: &[u8]) -> bool {
        ends_before(&self.largest, self.largest_exclusive, key)
    }

    /// Whether `key` is within the table's bounds.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.smallest.as_ref() <= key && !self.ends_before(key)
    }

    /// Whether the table may say something about a key of `span`.
    pub fn overlaps(&self, span: &KeySpan) -> bool {
        !self.ends_before(&span.smallest) && !span.ends_before(&self.smallest)
    }

    /// Whether the two tables' bounds have a key in common.
    pub fn overlaps_file(&self, other: &FileMeta) -> bool {
        !self.ends_before(&other.smallest) && !other.ends_before(&self.smallest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(smallest: &'static str, largest: &'static str, largest_exclusive: bool) -> KeySpan {
        KeySpan { smallest: smallest.into(), largest: largest.into(), largest_exclusive }
    }

    /// All spans over four keys agree with the sets of keys that they stand for. Between two
    /// neighbours lies a key, as it does for byte strings.
    #[test]
    fn spans_agree_with_sets_of_keys() {
        let keys = ["a", "b", "c", "d"];
        let points = ["a", "a0", "b", "b0", "c", "c0", "d", "d0"];
        let mut spans = Vec::new();
        for (i, a) in keys.iter().enumerate() {
            for b in &keys[i..] {
                spans.push(span(a, b, false));
                if a < b {
                    spans.push(span(a, b, true));
                }
            }
        }
        let holds =
            |s: &KeySpan, p: &str| s.smallest <= p.as_bytes() && !s.ends_before(p.as_bytes());
        for a in &spans {
            for b in &spans {
                let common = points.iter().any(|p| holds(a, p) && holds(b, p));
                assert_eq!(a.overlaps(b), common, "{a:?} {b:?}");
                let covered = points.iter().all(|p| !holds(b, p) || holds(a, p));
                assert_eq!(a.covers(b), covered, "{a:?} {b:?}");
                let mut joined = a.clone();
                joined.extend(b);
                assert!(joined.covers(a) && joined.covers(b), "{a:?} {b:?}");
            }
        }
    }
}
