//! Columnar blocks: the one shape of data blocks, index blocks and range-tombstone blocks.
//!
//! The layout is drawn in `docs/format/sstable.md`. Every field of an entry lies in a column of
//! its own, so entry `i` is found by arithmetic; a search compares the `heads`, the eight key
//! bytes behind the prefix that all keys of the block share, as numbers.

mod builder;
mod cursor;
mod shape;
mod view;

pub(crate) use builder::BlockBuilder;
pub(crate) use cursor::BlockCursor;
pub(crate) use view::Block;

/// The bytes before the first column.
pub(crate) const HEADER_LEN: usize = 32;
/// The key bytes that a head holds.
pub(crate) const HEAD_LEN: usize = 8;
/// The longest prefix that a block factors out.
pub(crate) const MAX_PREFIX_LEN: usize = u8::MAX as usize;

/// All keys have the same length: no `head_lens` and `rest_ends` columns.
pub(crate) const FIXED_KEYS: u8 = 1;
/// All values have the same length: no `value_ends` column.
pub(crate) const FIXED_VALUES: u8 = 1 << 1;
/// Ends are four bytes wide instead of two.
pub(crate) const WIDE: u8 = 1 << 2;
/// Entries differ in kind: there is a `kinds` column.
pub(crate) const KINDS: u8 = 1 << 3;
/// Some entry has the key of the one before it: there is a `same_key` bitmap.
pub(crate) const SAME_KEYS: u8 = 1 << 4;
/// Every flag that this format knows.
pub(crate) const KNOWN_FLAGS: u8 = FIXED_KEYS | FIXED_VALUES | WIDE | KINDS | SAME_KEYS;

/// The first eight bytes of `suffix` as a big-endian number, zeros behind a shorter one.
#[inline]
pub(crate) fn head_of(suffix: &[u8]) -> u64 {
    if let Some(bytes) = suffix.first_chunk() {
        return u64::from_be_bytes(*bytes);
    }
    let mut padded = [0; HEAD_LEN];
    for (to, from) in padded.iter_mut().zip(suffix) {
        *to = *from;
    }
    u64::from_be_bytes(padded)
}

/// How many leading bytes `a` and `b` share.
#[inline]
pub(crate) fn common_prefix_len(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let words = 8 * words.take_while(|(x, y)| x == y).count();
    let (a, b) = (a.get(words..).unwrap_or_default(), b.get(words..).unwrap_or_default());
    words + a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
