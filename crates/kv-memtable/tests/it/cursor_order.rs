//! A cursor is `Send`, keeps its memtable alive, and is safe to move when it stands nowhere.

use crate::{entry, forward, put};
use kv_core::{Cursor, Trailer};
use kv_memtable::{MemCursor, Memtable, Sorted};
use std::sync::Arc;

#[test]
fn a_cursor_outlives_every_other_handle_and_goes_to_another_thread() {
    let table = Arc::new(Memtable::new(4096));
    put(&table, b"k", 1, b"v").unwrap();
    let mut cursor: MemCursor = table.cursor();
    drop(table);
    let seen = std::thread::spawn(move || {
        let Ok(()) = cursor.first();
        entry(&cursor)
    });
    assert_eq!(seen.join().unwrap(), Some((b"k".to_vec(), 1, b"v".to_vec())));
}

#[test]
fn nothing_is_found_in_an_empty_memtable() {
    let table = Arc::new(Memtable::new(0));
    let mut cursor = table.cursor();
    type Step = fn(&mut MemCursor) -> Result<(), std::convert::Infallible>;
    let steps: [Step; 6] = [
        MemCursor::first,
        MemCursor::last,
        MemCursor::next,
        MemCursor::prev,
        |c| c.seek(b"", Trailer::MAX),
        |c| c.seek_before(b"\xFF"),
    ];
    for step in steps {
        let Ok(()) = step(&mut cursor);
        assert!(!cursor.valid());
    }
    assert!(table.is_empty());
    assert!(table.common_prefix().is_empty());
}

#[test]
fn steps_from_nowhere_go_nowhere() {
    let table = Arc::new(Memtable::new(4096));
    put(&table, b"k", 1, b"").unwrap();
    let mut cursor = table.cursor();
    let Ok(()) = cursor.next();
    assert!(!cursor.valid(), "a new cursor stands nowhere");
    let Ok(()) = cursor.last();
    let Ok(()) = cursor.next();
    let Ok(()) = cursor.prev();
    assert!(!cursor.valid(), "the end is not left by a step");
}

#[test]
fn a_cursor_meets_what_was_inserted_before_it_was_made() {
    let table = Arc::new(Memtable::new(4096));
    put(&table, b"a", 1, b"").unwrap();
    let mut early = table.cursor();
    let Ok(()) = early.first();
    put(&table, b"c", 2, b"").unwrap();
    put(&table, b"b", 3, b"").unwrap();
    assert_eq!(forward(&table).into_iter().map(|(_, seq, _)| seq).collect::<Vec<_>>(), [1, 3, 2]);
    // Since somebody has asked for the order, an older cursor walks on into it.
    let Ok(()) = early.next();
    assert_eq!(early.key(), b"b");
}

#[test]
fn keys_with_long_common_parts_and_many_versions_are_put_in_order() {
    for prefix in [&b""[..], &[b'p'; 40], b"q"] {
        let table = Arc::new(Memtable::with_prefix(8 << 20, prefix));
        let mut want = Vec::new();
        for i in 0..6000u64 {
            // Every key is as long as the others or a byte shorter, and some end in zeros.
            let mut key = vec![b'p'; 40 + (i % 3) as usize * 8];
            key.extend_from_slice(&(i * 7919 % 1000).to_be_bytes()[..(8 - i % 2) as usize]);
            put(&table, &key, i + 1, b"v").unwrap();
            want.push((key, std::cmp::Reverse(i + 1)));
        }
        want.sort();
        let walk = table.sorted();
        let order = |entries: Vec<(Vec<u8>, u64)>| {
            assert!(entries.len() == want.len());
            assert!(entries.iter().zip(&want).all(|(a, b)| a.0 == b.0 && a.1 == b.1.0));
        };
        order(walked(walk));
        order(forward(&table).into_iter().map(|(key, seq, _)| (key, seq)).collect());
        order(walked(table.sorted()));
    }
}

#[test]
fn a_walk_has_all_entries_whether_they_are_in_order_or_not() {
    let table = Arc::new(Memtable::new(1 << 20));
    let keys = |table: &Arc<Memtable>| walked(table.sorted()).len();
    assert_eq!(keys(&table), 0);
    for i in 0..100u64 {
        put(&table, &(i * 31 % 100).to_be_bytes(), i + 1, b"").unwrap();
    }
    assert_eq!(keys(&table), 100);
    let _ordered = table.cursor();
    assert_eq!(keys(&table), 100);
    for i in 100..300u64 {
        put(&table, &(i * 31 % 300).to_be_bytes(), i + 1, b"").unwrap();
    }
    assert_eq!(keys(&table), 300);
    assert_eq!(forward(&table).len(), 300);
}

#[test]
fn parts_of_a_walk_are_the_whole_and_divide_no_key() {
    for ordered in [false, true] {
        let table = Arc::new(Memtable::new(1 << 20));
        for i in 0..500u64 {
            // One key of many versions in the middle.
            let key = if i % 3 == 0 { 50 } else { i * 31 % 100 };
            put(&table, &key.to_be_bytes(), i + 1, b"").unwrap();
        }
        let _ordered = ordered.then(|| table.cursor());
        let whole = walked(table.sorted());
        for parts in [1, 2, 3, 7, 1000] {
            let walks = table.sorted().split(parts);
            assert!((1..=parts).contains(&walks.len()), "{} of {parts}", walks.len());
            assert!(parts > 3 || walks.len() == parts);
            let mut joined: Vec<(Vec<u8>, u64)> = Vec::new();
            for walk in walks {
                let first = walk.first_key().map(<[u8]>::to_vec);
                let part = walked(walk);
                assert_eq!(first.as_ref(), part.first().map(|(key, _)| key));
                assert!(joined.last().map(|(key, _)| key) < first.as_ref(), "a divided key");
                joined.extend(part);
            }
            assert_eq!(joined, whole);
        }
    }
    let empty = Arc::new(Memtable::new(1 << 20));
    assert!(empty.sorted().split(4).is_empty());
    assert_eq!(empty.sorted().first_key(), None);
}

fn walked(mut walk: Sorted) -> Vec<(Vec<u8>, u64)> {
    let mut entries = Vec::new();
    while let Some((key, trailer, _)) = walk.next() {
        entries.push((key.to_vec(), trailer.seq()));
    }
    entries
}

#[test]
fn a_walk_over_many_entries_is_in_order_also_while_more_come() {
    const MANY: u64 = 140_000;
    let table = Arc::new(Memtable::new(64 << 20));
    let insert = |from: u64, to: u64| {
        (from..to).for_each(|i| {
            let key = i.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
            put(&table, &key, i + 1, &[]).unwrap();
        });
    };
    insert(0, MANY);
    std::thread::scope(|scope| {
        scope.spawn(|| insert(MANY, 2 * MANY));
        for _ in 0..4 {
            let mut walk: Sorted = table.sorted();
            let mut last: Option<Vec<u8>> = None;
            let mut count = 0;
            while let Some((key, _, _)) = walk.next() {
                assert!(last.as_deref().is_none_or(|last| last < key), "after {count} entries");
                last = Some(key.to_vec());
                count += 1;
            }
            assert!(count >= MANY, "{count}");
        }
    });
}
