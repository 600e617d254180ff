//! Records in memory until there are enough to be stored at once: put in order, and of each key
//! the one that came last.

use kv_engine::Keyspace;
use std::cmp::Ordering;

/// Where a record lies. Lengths and places have 32 bits: no record has over 2 GiB, and a piece is
/// full long before.
struct Place {
    /// The first bytes of the key behind those that all keys share, as numbers: most comparisons
    /// end here. 0 until the piece is sorted.
    head: [u64; 2],
    at: u32,
    key: u32,
    value: u32,
}

/// Records one behind the other.
#[derive(Default)]
pub(super) struct Piece {
    bytes: Vec<u8>,
    places: Vec<Place>,
    unsorted: bool,
}

impl Piece {
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        let (at, key_len, value_len) = (self.bytes.len(), key.len(), value.len());
        let place =
            Place { head: [0; 2], at: at as u32, key: key_len as u32, value: value_len as u32 };
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        if let Some(last) = self.places.last() {
            self.unsorted |= compare(&self.bytes, last, &place) != Ordering::Less;
        }
        self.places.push(place);
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// How much memory it takes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<Place>()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.places.clear();
        self.unsorted = false;
    }

    /// Equal keys stay in the order in which they came.
    fn sort(&mut self) {
        let bytes = &self.bytes;
        let mut shared = self.places.first().map_or(&[][..], |place| key(bytes, place));
        for place in &self.places {
            let same = shared.iter().zip(key(bytes, place)).take_while(|(a, b)| a == b).count();
            shared = shared.get(..same).unwrap_or_default();
        }
        for place in &mut self.places {
            place.head = head(key(bytes, place).get(shared.len()..).unwrap_or_default());
        }
        self.places.sort_unstable_by(|a, b| compare(bytes, a, b).then(a.at.cmp(&b.at)));
    }

    /// Stores all records in one commit, as if they were put in the order in which they came.
    pub(super) fn store(&mut self, space: &Keyspace) -> kv_engine::Result<()> {
        if self.unsorted {
            self.sort();
        }
        let bytes = &self.bytes;
        let mut places = self.places.iter().peekable();
        let newest = std::iter::from_fn(|| {
            loop {
                let place = places.next()?;
                let older = places.peek().is_some_and(|next| {
                    next.head == place.head && compare(bytes, place, next) == Ordering::Equal
                });
                if !older {
                    return Some((key(bytes, place), value(bytes, place)));
                }
            }
        });
        space.ingest(newest).map(drop)
    }
}

fn head(key: &[u8]) -> [u64; 2] {
    let number = |from: usize| {
        let bytes = key.get(from..).unwrap_or_default().iter().take(8);
        let len = bytes.len();
        let number = bytes.fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if len == 0 { 0 } else { number << (8 * (8 - len)) }
    };
    [number(0), number(8)]
}

fn part(bytes: &[u8], at: u32, len: u32) -> &[u8] {
    let (at, len) = (at as usize, len as usize);
    bytes.get(at..at.saturating_add(len)).unwrap_or_default()
}

fn value<'a>(bytes: &'a [u8], place: &Place) -> &'a [u8] {
    part(bytes, place.at.saturating_add(place.key), place.value)
}

fn key<'a>(bytes: &'a [u8], place: &Place) -> &'a [u8] {
    part(bytes, place.at, place.key)
}

/// The order of two keys.
fn compare(bytes: &[u8], a: &Place, b: &Place) -> Ordering {
    a.head.cmp(&b.head).then_with(|| key(bytes, a).cmp(key(bytes, b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_engine::{Db, Options};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn what_is_stored_is_what_puts_would_have_stored(
            records in prop::collection::vec((prop::collection::vec(0_u8..3, 0..20), any::<u8>()), 0..80),
        ) {
            let db = Db::in_memory(Options::default()).unwrap();
            let space = db.keyspace("s").unwrap();
            let mut piece = Piece::default();
            let mut model = BTreeMap::new();
            for (key, value) in &records {
                piece.push(key, &[*value]);
                model.insert(key.clone(), vec![*value]);
            }
            piece.store(&space).unwrap();
            let found = space.iter().map(|pair| pair.map(|(k, v)| (k.to_vec(), v.to_vec())).unwrap());
            prop_assert_eq!(found.collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
        }
    }
}
