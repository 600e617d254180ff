//! A cursor is `Send`, keeps its memtable alive, and is safe to move when it stands nowhere.

use crate::{entry, put};
use kv_core::{Cursor, Trailer};
use kv_memtable::{MemCursor, Memtable};
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
fn a_cursor_meets_what_is_inserted_behind_its_place() {
    let table = Arc::new(Memtable::new(4096));
    put(&table, b"a", 1, b"").unwrap();
    let mut cursor = table.cursor();
    let Ok(()) = cursor.first();
    put(&table, b"b", 2, b"").unwrap();
    let Ok(()) = cursor.next();
    assert_eq!(cursor.key(), b"b");
}
