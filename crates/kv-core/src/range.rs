//! Half-open ranges of keys.

use bytes::Bytes;

/// The keys from `start` on, up to but without `end`.
/// ```
/// use kv_core::KeyRange;
/// let range = KeyRange { start: "b".into(), end: "d".into() };
/// assert!(range.contains(b"b") && range.contains(b"cherry"));
/// assert!(!range.contains(b"d") && !range.is_empty());
///
/// let inverted = KeyRange { start: "d".into(), end: "b".into() };
/// assert!(inverted.is_empty() && !inverted.contains(b"c"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The first key in the range.
    pub start: Bytes,
    /// The first key behind the range.
    pub end: Bytes,
}

impl KeyRange {
    /// Whether no key is in the range (also where it is inverted).
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Whether `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_ref() <= key && key < self.end.as_ref()
    }
}

/// The smallest key that is greater than every key with this prefix, or `None` where there is
/// none (the prefix is empty or all 0xFF).
///
/// ```
/// assert_eq!(kv_core::successor(b"ab").as_deref(), Some(&b"ac"[..]));
/// assert_eq!(kv_core::successor(b"a\xFF").as_deref(), Some(&b"b"[..]));
/// assert_eq!(kv_core::successor(b"\xFF"), None);
/// ```
pub fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&b| b != 0xFF)?;
    let mut out = prefix.get(..=last)?.to_vec();
    *out.last_mut()? += 1;
    Some(out)
}
