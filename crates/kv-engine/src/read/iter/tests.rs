//! Pairs from both ends, each once; an error ends them.

use super::*;
use crate::error::ErrorKind;
use crate::read::level::LevelCursor;
use crate::read::level::tests::Shelf;
use crate::read::visible::Sight;
use kv_core::{Kind, Trailer, hash64};
use kv_memtable::Memtable;
use kv_sstable::Access;
use proptest::prelude::*;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const PREFIX: &[u8] = &[7];

fn sight() -> Sight {
    let bound = |byte: u8| Some(Bytes::from(vec![byte]));
    Sight { snapshot: 99, now_ms: 0, tombstones: None, lower: bound(7), upper: bound(8) }
}

fn value(key: &[u8]) -> Bytes {
    [key, b"'s value"].concat().into()
}

/// The pairs of these keys, and how often a cursor was opened for them.
fn iter_over<'a>(keys: impl IntoIterator<Item = &'a Bytes>) -> (Iter, Arc<AtomicUsize>) {
    let table = Arc::new(Memtable::new(1 << 20));
    // Neighbours of the keyspace, which are not to be seen.
    for stored in [&[6, 0xFF][..], &[8]] {
        table.insert(stored, hash64(stored), Trailer::new(1, Kind::Put), b"").unwrap();
    }
    for key in keys {
        let stored = [PREFIX, key].concat();
        table.insert(&stored, hash64(&stored), Trailer::new(2, Kind::Put), &value(key)).unwrap();
    }
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let open = move || {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Visible::new(Merge::new(vec![Source::mem(table.cursor())]), sight()))
    };
    (Iter::new(PREFIX.len(), Box::new(open)), opened)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn the_ends_meet_once(
        keys in prop::collection::btree_set(crate::read::merge::tests::any_key(), 0..20),
        turns in prop::collection::vec(any::<bool>(), 40),
    ) {
        let keys: BTreeSet<Bytes> = keys;
        let mut left: VecDeque<Bytes> = keys.iter().cloned().collect();
        let (mut iter, _) = iter_over(&keys);
        for front in turns {
            let (got, want) = match front {
                true => (iter.next(), left.pop_front()),
                false => (iter.next_back(), left.pop_back()),
            };
            prop_assert_eq!(got.map(Result::unwrap), want.map(|key| (key.clone(), value(&key))));
        }
    }
}

#[test]
fn an_end_is_opened_when_it_is_first_asked() {
    let keys = ["a", "b", "c"].map(Bytes::from);
    let (mut iter, opened) = iter_over(&keys);
    assert_eq!(opened.load(Ordering::Relaxed), 0);
    iter.next().unwrap().unwrap();
    iter.next().unwrap().unwrap();
    assert_eq!(opened.load(Ordering::Relaxed), 1);
    iter.next_back().unwrap().unwrap();
    assert_eq!(opened.load(Ordering::Relaxed), 2);
    assert!(iter.next_back().is_none());
    assert!(iter.next().is_none());
    assert_eq!(opened.load(Ordering::Relaxed), 2);
}

#[test]
fn keys_of_every_length_come_out_whole_and_stay() {
    let keys: BTreeSet<Bytes> = [0, 1, LONG_KEY_LEN, LONG_KEY_LEN + 1, CHUNK_LEN, 65_535]
        .into_iter()
        .flat_map(|len| (0..5u8).map(move |i| Bytes::from([&vec![i; len][..], &[i]].concat())))
        .collect();
    let (iter, _) = iter_over(&keys);
    let pairs: Vec<_> = iter.map(Result::unwrap).collect();
    assert!(pairs.iter().map(|pair| &pair.0).eq(&keys));
    assert!(pairs.iter().all(|(key, got)| *got == value(key)));
}

#[test]
fn nothing_and_a_failure_end_at_once() {
    assert!(Iter::empty().next().is_none());
    assert!(Iter::empty().next_back().is_none());
    let mut failed = Iter::failed(Error::closed());
    assert_eq!(failed.next_back().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert!(failed.next().is_none());
    assert!(failed.next_back().is_none());
}

#[test]
fn an_error_on_the_way_is_answered_once_and_ends_both_ends() {
    let group = |key: u8| {
        let stored = Bytes::from(vec![PREFIX[0], key]);
        vec![(stored, Trailer::new(1, Kind::Put), Bytes::new())]
    };
    let (shelf, files) = Shelf::new(&[group(1), group(2), group(3)]);
    shelf.refuse(2);
    let open = move || {
        let level = LevelCursor::new(files.clone(), Arc::clone(&shelf) as _, Access::Cached);
        Ok(Visible::new(Merge::new(vec![Source::level(level)]), sight()))
    };
    let mut iter = Iter::new(PREFIX.len(), Box::new(open));
    assert_eq!(iter.next().unwrap().unwrap().0, &[1][..]);
    assert_eq!(iter.next().unwrap().unwrap_err().kind(), ErrorKind::Io);
    assert!(iter.next().is_none());
    assert!(iter.next_back().is_none());
}
