//! What the memtable promises, one module for each promise.
#![allow(clippy::disallowed_methods, reason = "these tests are about threads")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are no tests to clippy")]

mod capacity;
mod concurrent_inserts;
mod cursor_order;
mod long;
mod model;
mod range_deletes;
mod versions;

use kv_core::{Cursor, Kind, SeqNo, Trailer, hash64};
use kv_memtable::{Full, MemCursor, Memtable};
use std::sync::Arc;

fn put(table: &Memtable, key: &[u8], seq: SeqNo, value: &[u8]) -> Result<(), Full> {
    table.insert(key, hash64(key), Trailer::new(seq, Kind::Put), value)
}

fn get<'a>(table: &'a Memtable, key: &[u8], snapshot: SeqNo) -> Option<(SeqNo, &'a [u8])> {
    table.get(key, hash64(key), snapshot).map(|(trailer, value)| (trailer.seq(), value))
}

type Entry = (Vec<u8>, SeqNo, Vec<u8>);

fn entry(cursor: &MemCursor) -> Option<Entry> {
    cursor.valid().then(|| (cursor.key().to_vec(), cursor.trailer().seq(), cursor.value().to_vec()))
}

fn forward(table: &Arc<Memtable>) -> Vec<Entry> {
    let mut cursor = table.cursor();
    let Ok(()) = cursor.first();
    std::iter::from_fn(|| {
        let now = entry(&cursor);
        let Ok(()) = cursor.next();
        now
    })
    .collect()
}

/// All entries from last to first, turned round.
fn backward(table: &Arc<Memtable>) -> Vec<Entry> {
    let mut cursor = table.cursor();
    let Ok(()) = cursor.last();
    let mut entries: Vec<Entry> = std::iter::from_fn(|| {
        let now = entry(&cursor);
        let Ok(()) = cursor.prev();
        now
    })
    .collect();
    entries.reverse();
    entries
}
