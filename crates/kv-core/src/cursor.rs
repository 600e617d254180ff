//! The one shape of ordered access to internal entries, whatever holds them.

use crate::Trailer;
use bytes::Bytes;

/// Walks internal entries in order: key ascending, then newest version first.
///
/// A new cursor is not valid; a positioning call makes it so if there is an entry to stand on.
/// `next` and `prev` on an invalid cursor do nothing. After an error the cursor is invalid, and
/// every call but a positioning one answers the same way again: data is never skipped.
/// ```
/// use kv_core::{Cursor, InternalKey, Kind, SeqNo, Trailer, compare_internal};
/// use std::convert::Infallible;
///
/// /// The value that a snapshot at `seq` sees, whatever holds the entries.
/// fn get<C: Cursor>(cursor: &mut C, key: &[u8], seq: SeqNo) -> Result<Option<Vec<u8>>, C::Error> {
///     cursor.seek(key, Trailer::upper_bound(seq))?;
///     let found = cursor.valid() && cursor.key() == key;
///     let put = found && cursor.trailer().kind() == Some(Kind::Put);
///     Ok(put.then(|| cursor.value().to_vec()))
/// }
///
/// /// Entries in internal order; the cursor is valid where `at` is the place of one.
/// struct Entries {
///     sorted: Vec<(InternalKey<'static>, &'static [u8])>,
///     at: usize,
/// }
///
/// impl Entries {
///     fn go(&mut self, at: usize) -> Result<(), Infallible> {
///         self.at = at;
///         Ok(())
///     }
/// }
///
/// impl Cursor for Entries {
///     type Error = Infallible;
///
///     fn first(&mut self) -> Result<(), Infallible> {
///         self.go(0)
///     }
///     fn last(&mut self) -> Result<(), Infallible> {
///         self.go(self.sorted.len().wrapping_sub(1))
///     }
///     fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<(), Infallible> {
///         let target = InternalKey { key, trailer };
///         self.go(self.sorted.partition_point(|(at, _)| compare_internal(*at, target).is_lt()))
///     }
///     fn seek_before(&mut self, key: &[u8]) -> Result<(), Infallible> {
///         self.go(self.sorted.partition_point(|(at, _)| at.key < key).wrapping_sub(1))
///     }
///     fn next(&mut self) -> Result<(), Infallible> {
///         self.go(if self.valid() { self.at + 1 } else { self.at })
///     }
///     fn prev(&mut self) -> Result<(), Infallible> {
///         self.go(if self.valid() { self.at.wrapping_sub(1) } else { self.at })
///     }
///     fn valid(&self) -> bool {
///         self.at < self.sorted.len()
///     }
///     fn key(&self) -> &[u8] {
///         self.sorted[self.at].0.key
///     }
///     fn trailer(&self) -> Trailer {
///         self.sorted[self.at].0.trailer
///     }
///     fn value(&self) -> &[u8] {
///         self.sorted[self.at].1
///     }
/// }
///
/// let put = |key: &'static [u8], seq, value: &'static [u8]| {
///     (InternalKey { key, trailer: Trailer::new(seq, Kind::Put) }, value)
/// };
/// let (old, new) = (put(b"apple", 1, b"red"), put(b"apple", 3, b"green"));
/// let sorted = vec![new, old, put(b"plum", 2, b"blue")];
/// let at = sorted.len();
/// let mut cursor = Entries { sorted, at };
/// assert!(!cursor.valid(), "a new cursor stands nowhere");
/// assert_eq!(get(&mut cursor, b"apple", 3)?.as_deref(), Some(&b"green"[..]));
/// assert_eq!(get(&mut cursor, b"apple", 2)?.as_deref(), Some(&b"red"[..]));
/// assert_eq!(get(&mut cursor, b"plum", 1)?, None);
///
/// cursor.last()?;
/// assert_eq!(cursor.key(), b"plum");
/// cursor.prev()?;
/// let outlives = cursor.value_bytes();
/// cursor.next()?;
/// cursor.next()?;
/// assert!(!cursor.valid());
/// assert_eq!(outlives, "red");
/// # Ok::<(), Infallible>(())
/// ```
pub trait Cursor {
    /// What a failed read answers.
    type Error;

    /// Goes to the first entry.
    fn first(&mut self) -> Result<(), Self::Error>;
    /// Goes to the last entry (the oldest version of the last key).
    fn last(&mut self) -> Result<(), Self::Error>;
    /// Goes to the first entry at or behind `(key, trailer)` in internal order; with
    /// [`Trailer::MAX`] that is the newest version of the first key >= `key`.
    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<(), Self::Error>;
    /// Goes to the last entry whose key is < `key` (the oldest version of that key).
    fn seek_before(&mut self, key: &[u8]) -> Result<(), Self::Error>;
    /// Goes one entry on.
    fn next(&mut self) -> Result<(), Self::Error>;
    /// Goes one entry back.
    fn prev(&mut self) -> Result<(), Self::Error>;

    /// Whether the cursor stands on an entry.
    fn valid(&self) -> bool;
    /// The key of the entry. Panics when not valid.
    fn key(&self) -> &[u8];
    /// The sequence number and kind of the entry. Panics when not valid.
    fn trailer(&self) -> Trailer;
    /// The value of the entry, as stored. Panics when not valid.
    fn value(&self) -> &[u8];
    /// The value in a form that outlives the cursor; a cheap slice where the source allows it.
    fn value_bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.value())
    }
}
