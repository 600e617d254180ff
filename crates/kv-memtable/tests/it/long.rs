//! In a long memtable, which is searched through a dense copy of its order, seeks find the same
//! places as in a short one: also for what came after the copy was made.

use crate::put;
use kv_core::{Cursor, Kind, SeqNo, Trailer};
use kv_memtable::Memtable;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Sorts like internal keys: key, then newest first.
type Place = (Vec<u8>, std::cmp::Reverse<SeqNo>);

struct Both {
    table: Arc<Memtable>,
    model: BTreeSet<Place>,
    seq: SeqNo,
}

impl Both {
    fn new(prefix: &[u8]) -> Both {
        let table = Arc::new(Memtable::with_prefix(8 << 20, prefix));
        Both { table, model: BTreeSet::new(), seq: 0 }
    }

    fn put(&mut self, key: &[u8]) {
        self.seq += 1;
        put(&self.table, key, self.seq, b"v").unwrap();
        self.model.insert((key.to_vec(), std::cmp::Reverse(self.seq)));
    }

    fn check(&self, keys: impl Iterator<Item = Vec<u8>>) {
        let mut cursor = self.table.cursor();
        for (i, key) in keys.enumerate() {
            let seq = (i as u64).wrapping_mul(31) % (self.seq + 2);
            let Ok(()) = cursor.seek(&key, Trailer::new(seq, Kind::Put));
            let target = (key.clone(), std::cmp::Reverse(seq));
            let mut expected = self.model.range(target..);
            assert_eq!(place(&cursor).as_ref(), expected.next(), "{key:?} at {seq}");
            let Ok(()) = cursor.next();
            assert_eq!(place(&cursor).as_ref(), expected.next(), "behind {key:?} at {seq}");
            let Ok(()) = cursor.seek_before(&key);
            let target = (key.clone(), std::cmp::Reverse(SeqNo::MAX));
            let mut expected = self.model.range(..target).rev();
            assert_eq!(place(&cursor).as_ref(), expected.next(), "before {key:?}");
            let Ok(()) = cursor.prev();
            assert_eq!(place(&cursor).as_ref(), expected.next(), "two before {key:?}");
        }
    }
}

fn place(cursor: &impl Cursor) -> Option<Place> {
    cursor.valid().then(|| (cursor.key().to_vec(), std::cmp::Reverse(cursor.trailer().seq())))
}

/// A number below `below`, the same for the same `i`.
fn scattered(i: u64, below: u64) -> u64 {
    (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % below
}

fn key(n: u64) -> Vec<u8> {
    format!("some prefix {n:08}").into_bytes()
}

/// Keys that are there and keys that are not, and some at both ends.
fn asked() -> impl Iterator<Item = Vec<u8>> {
    let near = (0..600).flat_map(|i| {
        let key = key(scattered(i, 50_000));
        let behind = [key.as_slice(), b"!"].concat();
        [key, behind]
    });
    near.chain([vec![], b"some".to_vec(), b"some prefix".to_vec(), b"zoo".to_vec(), vec![0xFF]])
}

#[test]
fn seeks_find_their_places_with_and_without_a_hint() {
    for prefix in [&b"some prefix "[..], b"some", b"", b"none"] {
        let mut both = Both::new(prefix);
        for i in 0..12_000 {
            both.put(&key(scattered(i, 50_000)));
        }
        both.put(b"before all");
        both.put(b"zoo");
        both.check(asked());
        // Few more, which are found from the copy; then many, after which there is another.
        for i in 0..3_000 {
            both.put(&key(scattered(i + 20_000, 50_000)));
        }
        both.check(asked());
        for i in 0..12_000 {
            both.put(&key(scattered(i + 30_000, 50_000)));
        }
        both.check(asked());
    }
}

#[test]
fn seeks_find_one_of_many_versions() {
    let mut both = Both::new(b"some prefix ");
    for i in 0..9_000 {
        both.put(&key(scattered(i, 50)));
        both.put(&key(100 + scattered(i, 40_000)));
    }
    both.check((0..60).map(key).chain(asked()));
}

#[test]
fn a_cursor_finds_what_came_between_two_neighbours_after_it_was_made() {
    let mut both = Both::new(b"some prefix ");
    for i in 0..6_000 {
        both.put(&key(i * 10_000));
    }
    both.table.cursor();
    for i in 1..3_000 {
        both.put(&key(30_000_000 + i));
    }
    both.check((0..3_200).step_by(7).map(|i| key(29_999_990 + i)));
}
