//! The one shape of ordered access to internal entries, whatever holds them.

use crate::Trailer;
use bytes::Bytes;

/// Walks internal entries in order: key ascending, then newest version first.
///
/// A new cursor is not valid; a positioning call makes it so if there is an entry to stand on.
/// `next` and `prev` on an invalid cursor do nothing. After an error the cursor is invalid, and
/// every call but a positioning one answers the same way again: data is never skipped.
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
