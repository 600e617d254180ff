//! The cursor shows one keyspace's user keys, and bears every key and every state.

use super::*;
use crate::error::ErrorKind;
use crate::read::visible::Sight;
use bytes::Bytes;
use kv_core::{Kind, Trailer, hash64};
use kv_memtable::Memtable;
use kv_vfs::ManualClock;
use std::sync::Arc;

/// A cursor over these keys in the keyspace with the prefix 7, which has neighbours.
fn cursor_over(keys: &[&[u8]]) -> Cursor {
    let table = Arc::new(Memtable::new(1 << 20));
    let inside = keys.iter().map(|key| [&[7], *key].concat());
    for stored in [vec![6, 0xFF], vec![8]].into_iter().chain(inside) {
        table.insert(&stored, hash64(&stored), Trailer::new(1, Kind::Put), b"value").unwrap();
    }
    let bound = |byte: u8| Some(Bytes::from(vec![byte]));
    let sight =
        Sight { snapshot: 9, now_ms: 0, tombstones: None, lower: bound(7), upper: bound(8) };
    let latencies = Arc::new(Latencies::new(Arc::new(ManualClock::new())));
    let merge = Merge::new(vec![Source::mem(table.cursor())]);
    Cursor::new(Visible::new(merge, sight), None, &[7], &latencies)
}

#[test]
fn a_walk_stays_in_the_keyspace() {
    let mut cursor = cursor_over(&[b"", b"a", b"\xFF"]);
    for place in [Cursor::first, |c: &mut Cursor| c.seek("")] {
        place(&mut cursor).unwrap();
        let mut keys = Vec::new();
        while cursor.valid() {
            keys.push(cursor.key().to_vec());
            assert_eq!(cursor.value(), b"value");
            cursor.next().unwrap();
        }
        assert_eq!(keys, [&b""[..], b"a", b"\xFF"]);
    }
    for place in [Cursor::last, |c: &mut Cursor| c.seek_for_prev([0xFF; 3])] {
        place(&mut cursor).unwrap();
        let mut keys = Vec::new();
        while cursor.valid() {
            keys.push(cursor.key().to_vec());
            cursor.prev().unwrap();
        }
        assert_eq!(keys, [&b"\xFF"[..], b"a", b""]);
    }
}

#[test]
fn past_either_end_it_stands_nowhere_until_placed_again() {
    let mut cursor = cursor_over(&[b"a", b"b"]);
    cursor.last().unwrap();
    cursor.next().unwrap();
    assert!(!cursor.valid());
    cursor.prev().unwrap();
    assert!(!cursor.valid(), "a step from nowhere does nothing");
    cursor.seek("b").unwrap();
    assert_eq!(cursor.key(), b"b");
    cursor.seek("c").unwrap();
    assert!(!cursor.valid());
    cursor.seek_for_prev("b").unwrap();
    assert_eq!(cursor.key(), b"b");
    cursor.seek_for_prev("A").unwrap();
    assert!(!cursor.valid());
}

#[test]
fn keys_over_the_limit_have_their_place_in_the_order() {
    let longest = vec![b'm'; MAX_KEY_LEN];
    let mut cursor = cursor_over(&[b"a", &longest, b"z"]);
    for len in [MAX_KEY_LEN + 1, MAX_KEY_LEN + 2, 1 << 20] {
        let over = vec![b'm'; len];
        cursor.seek(&over).unwrap();
        assert_eq!(cursor.key(), b"z");
        cursor.seek_for_prev(&over).unwrap();
        assert_eq!(cursor.key(), longest);
    }
    cursor.seek(&longest).unwrap();
    assert_eq!(cursor.key(), longest);
}

#[test]
#[should_panic(expected = "valid()")]
fn the_key_of_nothing_panics() {
    cursor_over(&[]).key();
}

#[test]
#[should_panic(expected = "valid()")]
fn the_value_of_nothing_panics() {
    let mut cursor = cursor_over(&[b"a"]);
    cursor.last().unwrap();
    cursor.next().unwrap();
    cursor.value();
}

#[test]
fn a_cursor_that_could_not_be_made_answers_why_to_every_move() {
    let mut cursor = Cursor::failed(Error::closed());
    let moves: [fn(&mut Cursor) -> Result<()>; 6] = [
        Cursor::first,
        Cursor::last,
        Cursor::next,
        Cursor::prev,
        |c| c.seek("key"),
        |c| c.seek_for_prev("key"),
    ];
    for step in moves {
        assert_eq!(step(&mut cursor).unwrap_err().kind(), ErrorKind::Closed);
        assert!(!cursor.valid());
    }
}
