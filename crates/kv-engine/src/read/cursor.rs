//! The public cursor: borrowed slices, both directions, user keys.

use super::merge::Merge;
use super::source::Source;
use super::view::Seeks;
use super::visible::Visible;
use crate::error::{Error, Result};
use crate::limits::MAX_KEY_LEN;
use crate::stats::latency::{Latencies, Operation};
use std::sync::Arc;

/// A place among the keys, which moves in both directions: the fast path of ordered reads.
///
/// It sees the moment of its creation, whatever is written since, and owns all that it reads.
/// A new cursor stands nowhere. Going on from the last key or back from the first leaves it
/// nowhere too; `first`, `last`, `seek` and `seek_for_prev` place it again.
///
/// After an error it stands nowhere, and `next` and `prev` repeat the error until it is placed
/// again: it never skips data.
///
/// ```
/// use kv_engine::{Db, Options};
/// let db = Db::in_memory(Options::default())?;
/// for key in ["a", "c", "e"] {
///     db.put(key, "value")?;
/// }
/// let mut cursor = db.cursor();
/// cursor.seek("b")?;
/// assert_eq!(cursor.key(), b"c");
/// cursor.next()?;
/// assert_eq!((cursor.key(), cursor.value()), (&b"e"[..], &b"value"[..]));
/// cursor.next()?;
/// assert!(!cursor.valid());
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub struct Cursor {
    /// An error where the cursor could not even be made.
    inner: Result<Visible<Merge<Source>>>,
    prefix_len: usize,
    /// The keyspace's prefix; behind it the key of the last seek.
    target: Vec<u8>,
    latencies: Option<Arc<Latencies>>,
    seeks: Option<Seeks>,
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("valid", &self.valid()).finish_non_exhaustive()
    }
}

impl Cursor {
    /// A cursor over one keyspace: `inner` shows stored keys that begin with `prefix`, and no
    /// others.
    pub(crate) fn new(
        inner: Visible<Merge<Source>>,
        seeks: Option<Seeks>,
        prefix: &[u8],
        latencies: &Arc<Latencies>,
    ) -> Cursor {
        Cursor {
            inner: Ok(inner),
            prefix_len: prefix.len(),
            target: prefix.to_vec(),
            latencies: Some(Arc::clone(latencies)),
            seeks,
        }
    }

    /// A cursor that answers `error` to every move.
    pub(crate) fn failed(error: Error) -> Cursor {
        let target = Vec::new();
        Cursor { inner: Err(error), prefix_len: 0, target, latencies: None, seeks: None }
    }

    fn inner(&mut self) -> Result<&mut Visible<Merge<Source>>> {
        self.inner.as_mut().map_err(|error| error.clone())
    }

    /// Makes the stored key of `key`. One byte over the limit orders a key among those that can
    /// be there as all of it would.
    fn aim(&mut self, key: &[u8]) {
        self.target.truncate(self.prefix_len);
        self.target.extend_from_slice(key.get(..=MAX_KEY_LEN).unwrap_or(key));
    }

    #[inline]
    fn note_seek(&mut self) {
        if let Some(seeks) = &mut self.seeks {
            seeks.note();
        }
    }

    #[inline]
    fn place(
        &mut self,
        key: &[u8],
        seek: impl FnOnce(&mut Visible<Merge<Source>>, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let begun = self.latencies.as_ref().map(|latencies| latencies.begin());
        self.aim(key);
        self.note_seek();
        let placed = match &mut self.inner {
            Ok(inner) => seek(inner, &self.target),
            Err(error) => Err(error.clone()),
        };
        if let Some((latencies, begun)) = self.latencies.as_ref().zip(begun) {
            latencies.end(Operation::Seek, begun);
        }
        placed
    }

    /// Goes to the first key >= `key`.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put("b", "")?;
    /// let mut cursor = db.cursor();
    /// cursor.seek("a")?;
    /// assert_eq!(cursor.key(), b"b");
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn seek(&mut self, key: impl AsRef<[u8]>) -> Result<()> {
        self.place(key.as_ref(), |inner, target| inner.seek(target))
    }

    /// Goes to the last key <= `key`.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put("b", "")?;
    /// let mut cursor = db.cursor();
    /// cursor.seek_for_prev("c")?;
    /// assert_eq!(cursor.key(), b"b");
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn seek_for_prev(&mut self, key: impl AsRef<[u8]>) -> Result<()> {
        self.place(key.as_ref(), |inner, target| inner.seek_for_prev(target))
    }

    /// Goes to the first key.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put("a", "")?;
    /// let mut cursor = db.cursor();
    /// cursor.first()?;
    /// assert_eq!(cursor.key(), b"a");
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn first(&mut self) -> Result<()> {
        self.note_seek();
        self.inner()?.first()
    }

    /// Goes to the last key.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put("z", "")?;
    /// let mut cursor = db.cursor();
    /// cursor.last()?;
    /// assert_eq!(cursor.key(), b"z");
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn last(&mut self) -> Result<()> {
        self.note_seek();
        self.inner()?.last()
    }

    /// Goes one key on. On the last key it leaves the cursor nowhere, and there it does nothing.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put("a", "")?;
    /// let mut cursor = db.cursor();
    /// cursor.first()?;
    /// cursor.next()?;
    /// assert!(!cursor.valid());
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "a step, not an iterator's next item")]
    pub fn next(&mut self) -> Result<()> {
        self.inner()?.next()
    }

    /// Goes one key back. On the first key it leaves the cursor nowhere, and there it does
    /// nothing.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put("a", "")?;
    /// db.put("b", "")?;
    /// let mut cursor = db.cursor();
    /// cursor.last()?;
    /// cursor.prev()?;
    /// assert_eq!(cursor.key(), b"a");
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    #[inline]
    pub fn prev(&mut self) -> Result<()> {
        self.inner()?.prev()
    }

    /// Whether the cursor stands on a key.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert!(!db.cursor().valid());
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    #[inline]
    pub fn valid(&self) -> bool {
        self.inner.as_ref().is_ok_and(Visible::valid)
    }

    /// The key.
    ///
    /// # Panics
    ///
    /// Where the cursor is not valid.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put("a", "1")?;
    /// let mut cursor = db.cursor();
    /// cursor.first()?;
    /// assert_eq!(cursor.key(), b"a");
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    #[inline]
    pub fn key(&self) -> &[u8] {
        self.shown().key().get(self.prefix_len..).unwrap_or_default()
    }

    /// The value.
    ///
    /// # Panics
    ///
    /// Where the cursor is not valid.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put("a", "1")?;
    /// let mut cursor = db.cursor();
    /// cursor.first()?;
    /// assert_eq!(cursor.value(), b"1");
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    #[inline]
    pub fn value(&self) -> &[u8] {
        self.shown().value()
    }

    #[inline]
    fn shown(&self) -> &Visible<Merge<Source>> {
        match &self.inner {
            Ok(inner) if inner.valid() => inner,
            _ => panic!("the cursor stands on no key: ask valid() first"),
        }
    }
}

#[cfg(test)]
mod tests;
