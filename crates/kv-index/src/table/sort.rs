//! Entries into order with little memory: sorted pieces, each ingested into a keyspace of its own
//! where one is not enough, and a merge of these.

use crate::error::{Error, Result};
use kv_engine::{Bytes, Db, Iter, Keyspace};

/// Where an entry lies in the bytes of a piece.
struct Place {
    at: usize,
    key: usize,
    value: usize,
}

/// Takes entries in any order and stores them in order.
pub(super) struct Sorter<'a> {
    db: &'a Db,
    /// What the names of the keyspaces of pieces begin with.
    name: String,
    /// Bytes of a piece.
    limit: usize,
    bytes: Vec<u8>,
    places: Vec<Place>,
    pieces: Vec<Keyspace>,
}

/// Why the entries were not stored.
pub(super) enum Unsorted {
    /// Two have the same key.
    Twice,
    Failed(Error),
}

impl From<kv_engine::Error> for Unsorted {
    fn from(error: kv_engine::Error) -> Unsorted {
        Unsorted::Failed(error.into())
    }
}

impl<'a> Sorter<'a> {
    /// A sorter whose pieces have about `limit` bytes and lie in keyspaces `name` and a number.
    pub(super) fn new(db: &'a Db, name: String, limit: usize) -> Sorter<'a> {
        let (bytes, places, pieces) = (Vec::new(), Vec::new(), Vec::new());
        Sorter { db, name, limit, bytes, places, pieces }
    }

    /// Takes an entry.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Unsorted> {
        let place = Place { at: self.bytes.len(), key: key.len(), value: value.len() };
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.places.push(place);
        let memory = self.bytes.len() + self.places.len() * size_of::<Place>();
        if memory >= self.limit { self.spill() } else { Ok(()) }
    }

    /// Stores all entries in `space`, in one commit. The pieces' keyspaces are the caller's to
    /// drop.
    pub(super) fn finish(mut self, space: &Keyspace) -> Result<(), Unsorted> {
        if self.pieces.is_empty() {
            return self.store(space);
        }
        self.spill()?;
        let mut heads = Vec::new();
        for piece in &self.pieces {
            let mut rest = piece.iter();
            if let Some(first) = rest.next().transpose()? {
                heads.push((first, rest));
            }
        }
        ingest(space, Merge { heads })
    }

    fn spill(&mut self) -> Result<(), Unsorted> {
        if self.places.is_empty() {
            return Ok(());
        }
        let piece = self.db.keyspace(&format!("{}{}", self.name, self.pieces.len()))?;
        self.store(&piece)?;
        self.pieces.push(piece);
        self.bytes.clear();
        self.places.clear();
        Ok(())
    }

    /// Sorts the piece and stores it.
    fn store(&mut self, space: &Keyspace) -> Result<(), Unsorted> {
        let bytes = &self.bytes;
        let part = |at: usize, len: usize| bytes.get(at..at + len).unwrap_or_default();
        self.places.sort_unstable_by(|a, b| part(a.at, a.key).cmp(part(b.at, b.key)));
        let entry = |place: &Place| {
            Ok((part(place.at, place.key), part(place.at + place.key, place.value)))
        };
        ingest(space, self.places.iter().map(entry))
    }
}

/// Ingests entries; an error among them is the answer, and nothing is stored then.
fn ingest<K, V>(
    space: &Keyspace,
    mut entries: impl Iterator<Item = Result<(K, V), kv_engine::Error>>,
) -> Result<(), Unsorted>
where
    K: AsRef<[u8]> + Clone,
    V: AsRef<[u8]> + Clone,
{
    let mut why = None;
    let mut last: Option<(K, V)> = None;
    let mut ended = false;
    let sorted = std::iter::from_fn(|| {
        if ended {
            return None;
        }
        let next = entries.next()?;
        let same = |a: &(K, V), b: &(K, V)| a.0.as_ref() == b.0.as_ref();
        match next {
            Ok(entry) if last.as_ref().is_some_and(|last| same(last, &entry)) => {
                why = Some(Unsorted::Twice);
            }
            Ok(entry) => {
                last = Some(entry.clone());
                return Some(entry);
            }
            Err(error) => why = Some(Unsorted::from(error)),
        }
        // A key that comes twice is refused, and with it all before.
        ended = true;
        last.clone()
    });
    let stored = space.ingest(sorted);
    match why {
        Some(why) => Err(why),
        None => stored.map(|_| ()).map_err(Unsorted::from),
    }
}

/// The entries of several pieces in order.
struct Merge {
    /// Of each piece that has more: its next entry, and those behind it.
    heads: Vec<((Bytes, Bytes), Iter)>,
}

impl Iterator for Merge {
    type Item = Result<(Bytes, Bytes), kv_engine::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let least = self.heads.iter().enumerate().min_by(|(_, a), (_, b)| a.0.0.cmp(&b.0.0))?.0;
        let (head, rest) = self.heads.get_mut(least)?;
        match rest.next() {
            Some(Ok(next)) => Some(Ok(std::mem::replace(head, next))),
            Some(Err(error)) => Some(Err(error)),
            None => Some(Ok(self.heads.swap_remove(least).0)),
        }
    }
}
