//! The one hash of a key. It goes to disk inside filters, so it never changes.

/// XXH3-64 of the key with seed 0; computed once an operation and passed down.
///
/// ```
/// assert_eq!(kv_core::hash64(b""), 0x2d06_8005_38d3_94c2);
/// ```
#[inline]
pub fn hash64(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}
