//! A get answers the newest version that its snapshot sees.

use crate::{entry, forward, get, put};
use kv_core::{Cursor, Kind, Trailer, hash64};
use kv_memtable::{MemCursor, Memtable};
use std::cmp::Reverse;
use std::sync::Arc;

#[test]
fn each_snapshot_sees_its_version_of_a_key_written_many_times() {
    let table = Arc::new(Memtable::new(4 << 20));
    // Even sequence numbers, so that some snapshots lie between versions; not in order.
    for i in 0..10_000u64 {
        let seq = 2 * (1 + i * 7919 % 10_000);
        put(&table, b"key", seq, &seq.to_le_bytes()).unwrap();
    }
    put(&table, b"kex", 50_000, b"").unwrap();
    put(&table, b"kez", 50_001, b"").unwrap();
    assert_eq!(get(&table, b"key", 0), None);
    assert_eq!(get(&table, b"key", 1), None);
    for snapshot in 2..20_010u64 {
        let seq = (snapshot & !1).min(20_000);
        assert_eq!(get(&table, b"key", snapshot), Some((seq, &seq.to_le_bytes()[..])));
    }
    assert!(forward(&table).is_sorted_by(|a, b| a.0 < b.0 || (a.0 == b.0 && a.1 > b.1)));
}

/// A get behind the versions of a key that is written again and again walks past them; it does not
/// make its caller wait until everything is in order. Order shows by the memory that it takes.
#[test]
fn many_versions_of_a_neighbour_put_nothing_in_order_unless_met_again_and_again() {
    const POPULAR: u64 = 10;
    let others = 20_000u64;
    let table = Memtable::new(16 << 20);
    let popular = |i: u64| format!("popular {i}").into_bytes();
    let other = |i: u64| format!("other {i:06}").into_bytes();
    let mut seq = 0;
    let mut next = || {
        seq += 1;
        seq
    };
    for i in 0..others {
        put(&table, &other(i), next(), b"value").unwrap();
        for i in 0..POPULAR {
            put(&table, &popular(i), next(), b"value").unwrap();
        }
    }
    let unordered = table.memory();
    // Some of the others share a bucket with a popular one.
    for i in 0..others {
        let expected = (i * (POPULAR + 1) + 1, &b"value"[..]);
        assert_eq!(get(&table, &other(i), u64::MAX >> 8), Some(expected));
    }
    assert_eq!(table.memory(), unordered);
    for round in 0..50 {
        let seq = round * (POPULAR + 1) + 2;
        assert_eq!(get(&table, &popular(0), seq), Some((seq, &b"value"[..])));
    }
    assert!(table.memory() > unordered, "old versions are met again and again");
}

#[test]
fn a_delete_is_a_version() {
    let table = Memtable::new(4096);
    let hash = hash64(b"k");
    put(&table, b"k", 1, b"v").unwrap();
    table.insert(b"k", hash, Trailer::new(2, Kind::Delete), b"").unwrap();
    let kind = |snapshot| table.get(b"k", hash, snapshot).and_then(|(trailer, _)| trailer.kind());
    assert_eq!(kind(0), None);
    assert_eq!(kind(1), Some(Kind::Put));
    assert_eq!(kind(2), Some(Kind::Delete));
    assert_eq!(table.len(), 2);
}

#[test]
fn keys_whose_hashes_meet_are_told_apart() {
    let table = Memtable::new(1 << 16);
    for i in 0..100u64 {
        table
            .insert(&i.to_be_bytes(), 7, Trailer::new(i + 1, Kind::Put), &i.to_le_bytes())
            .unwrap();
    }
    for i in 0..100u64 {
        let found = table.get(&i.to_be_bytes(), 7, 1000).map(|(trailer, _)| trailer.seq());
        assert_eq!(found, Some(i + 1));
    }
    assert!(table.get(&100u64.to_be_bytes(), 7, 1000).is_none());
}

/// Enough entries that a cursor finds its place in a dense copy of their order.
#[test]
fn a_cursor_finds_and_passes_any_version_among_many() {
    finds_and_passes(|n| n.to_be_bytes().map(|byte| byte.wrapping_mul(31)).to_vec());
    finds_and_passes(|n| (n << 24).to_be_bytes().to_vec());
    finds_and_passes(|n| format!("key {n:08}").into_bytes());
    finds_and_passes(|n| format!("{:04}, which many share, {n}", 9000 - n / 700).into_bytes());
}

fn finds_and_passes(key: impl Fn(u64) -> Vec<u8>) {
    let table = Arc::new(Memtable::new(4 << 20));
    // Of every hundredth key a hundred versions, of the others one.
    let versions = |n: u64| if n.is_multiple_of(100) { 100 } else { 1 };
    let mut seq = 0;
    let mut all = Vec::new();
    for version in 0..100 {
        for n in (0..6000).filter(|&n| version < versions(n)) {
            seq += 1;
            put(&table, &key(n), seq, b"").unwrap();
            all.push((n, seq));
        }
        if version == 60 {
            table.cursor();
        }
    }
    all.sort_unstable_by_key(|&(n, seq)| (key(n), Reverse(seq)));
    let mut cursor = table.cursor();
    let shown = |cursor: &MemCursor| entry(cursor).map(|(key, seq, _)| (key, seq));
    let at = |i: usize| all.get(i).map(|&(n, seq)| (key(n), seq));
    let targets = all.iter().enumerate().filter(|(i, (n, _))| n.is_multiple_of(100) || i % 7 == 0);
    for (i, &(n, seq)) in targets {
        let Ok(()) = cursor.seek(&key(n), Trailer::upper_bound(seq));
        assert_eq!(shown(&cursor), at(i));
        let behind = i + all[i..].iter().take_while(|entry| entry.0 == n).count();
        cursor.pass(&key(n), Trailer::from_raw(0));
        assert_eq!(shown(&cursor), at(behind));
        let Ok(()) = cursor.seek(&key(n), Trailer::from_raw(0));
        assert_eq!(shown(&cursor), at(behind));
        let Ok(()) = cursor.seek_before(&key(n));
        let before = all.partition_point(|entry| key(entry.0) < key(n));
        assert_eq!(shown(&cursor), before.checked_sub(1).and_then(at));
        // A key that is not there, right behind this one.
        let missing = [key(n), vec![0]].concat();
        let Ok(()) = cursor.seek(&missing, Trailer::MAX);
        assert_eq!(shown(&cursor), at(behind));
    }
}
