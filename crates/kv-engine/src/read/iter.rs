//! The public iterator: owned pairs, from both ends.

use super::merge::Merge;
use super::source::Source;
use super::visible::Visible;
use crate::error::{Error, Result};
use crate::transaction::Pairs;
use bytes::{Bytes, BytesMut};
use std::iter::FusedIterator;

/// Keys are copied into chunks of this size, so that few of them cost an allocation.
const CHUNK_LEN: usize = 4096;

/// A key longer than this gets its own allocation: a chunk lives as long as any key in it.
const LONG_KEY_LEN: usize = 512;

/// Makes a cursor over the pairs to come.
pub(crate) type Open = Box<dyn Fn() -> Result<Visible<Merge<Source>>> + Send>;

/// The pairs of a range of keys, in order, from both ends.
///
/// It sees the moment of its creation, whatever is written since, and owns all that it reads; the
/// memory of a value is shared with the block that it was read from. After an error it answers
/// that error, then ends: it never skips data.
///
/// ```
/// use kv_engine::{Db, Options};
/// let db = Db::in_memory(Options::default())?;
/// for key in ["a", "b", "c"] {
///     db.put(key, "value")?;
/// }
/// let mut iter = db.range("a"..="c");
/// let (first, value) = iter.next().unwrap()?;
/// assert_eq!((&first[..], &value[..]), (&b"a"[..], &b"value"[..]));
/// let (last, _) = iter.next_back().unwrap()?;
/// assert_eq!(last, "c");
/// assert_eq!(iter.count(), 1);
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub struct Iter {
    open: Option<Open>,
    prefix_len: usize,
    front: End,
    back: End,
    chunk: BytesMut,
    /// In place of all the others: the pairs that a transaction sees.
    pairs: Option<Box<Pairs>>,
}

/// One end of the pairs that are left: stands on the pair that it answered last.
type End = Option<Box<Visible<Merge<Source>>>>;

impl std::fmt::Debug for Iter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ended = self.open.is_none() && self.pairs.is_none();
        f.debug_struct("Iter").field("ended", &ended).finish_non_exhaustive()
    }
}

impl Iter {
    /// The pairs that the cursors of `open` show, without the first `prefix_len` bytes of each
    /// key. Each end opens its cursor when it is first asked.
    pub(crate) fn new(prefix_len: usize, open: Open) -> Iter {
        Iter { open: Some(open), prefix_len, ..Iter::empty() }
    }

    /// No pairs.
    pub(crate) fn empty() -> Iter {
        let chunk = BytesMut::new();
        Iter { open: None, prefix_len: 0, front: None, back: None, chunk, pairs: None }
    }

    /// The pairs that a transaction sees.
    pub(crate) fn of_transaction(pairs: Pairs) -> Iter {
        Iter { pairs: Some(Box::new(pairs)), ..Iter::empty() }
    }

    /// Answers `error`, then ends.
    pub(crate) fn failed(error: Error) -> Iter {
        Iter::new(0, Box::new(move || Err(error.clone())))
    }

    /// Moves the front on; answers whether there is a pair.
    #[inline]
    fn step(&mut self) -> Result<bool> {
        match (&mut self.front, &self.open) {
            (Some(front), _) => front.next()?,
            (None, Some(open)) => self.front.insert(Box::new(open()?)).first()?,
            (None, None) => return Ok(false),
        }
        Ok(self.apart())
    }

    /// Moves the back on; answers whether there is a pair.
    #[inline]
    fn step_back(&mut self) -> Result<bool> {
        match (&mut self.back, &self.open) {
            (Some(back), _) => back.prev()?,
            (None, Some(open)) => self.back.insert(Box::new(open()?)).last()?,
            (None, None) => return Ok(false),
        }
        Ok(self.apart())
    }

    /// Whether each end that has begun stands on a pair, and the ends have not met.
    #[inline]
    fn apart(&self) -> bool {
        match (&self.front, &self.back) {
            (Some(front), Some(back)) => front.valid() && back.valid() && front.key() < back.key(),
            (Some(end), None) | (None, Some(end)) => end.valid(),
            (None, None) => false,
        }
    }

    /// Lets go of all that it held on to.
    #[cold]
    fn end(&mut self) {
        *self = Iter::empty();
    }

    fn answer(&mut self, stepped: Result<bool>, front: bool) -> Option<Result<(Bytes, Bytes)>> {
        match stepped {
            Ok(true) => {
                let at = if front { self.front.as_deref_mut() } else { self.back.as_deref_mut() }?;
                if let Err(error) = at.fetch() {
                    self.end();
                    return Some(Err(error));
                }
                let key = at.key().get(self.prefix_len..).unwrap_or_default();
                Some(Ok((carve(&mut self.chunk, key), at.value_bytes())))
            }
            Ok(false) => {
                self.end();
                None
            }
            Err(error) => {
                self.end();
                Some(Err(error))
            }
        }
    }
}

impl Iterator for Iter {
    type Item = Result<(Bytes, Bytes)>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(pairs) = &mut self.pairs {
            return pairs.next();
        }
        let stepped = self.step();
        self.answer(stepped, true)
    }
}

impl DoubleEndedIterator for Iter {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if let Some(pairs) = &mut self.pairs {
            return pairs.next_back();
        }
        let stepped = self.step_back();
        self.answer(stepped, false)
    }
}

impl FusedIterator for Iter {}

/// Copies `key` to the end of `chunk` and cuts it off there.
fn carve(chunk: &mut BytesMut, key: &[u8]) -> Bytes {
    if key.len() > LONG_KEY_LEN {
        return Bytes::copy_from_slice(key);
    }
    if chunk.capacity() - chunk.len() < key.len() {
        chunk.reserve(CHUNK_LEN);
    }
    chunk.extend_from_slice(key);
    chunk.split().freeze()
}

#[cfg(test)]
mod tests;
