//! Damage is found: no flipped or missing byte ends in a panic or in a wrong answer.

use crate::support::*;
use kv_core::{Kind, RangeTombstone, RangeTombstones, Trailer, hash64};
use kv_sstable::{Access, BlockCache, Compression, Error, Table, TableOptions};
use kv_vfs::{FsFile, FsFileExt};
use std::sync::Arc;

fn entries() -> Vec<Entry> {
    let mut entries: Vec<Entry> = (0..24u8)
        .map(|n| {
            let key = format!("key/{}", n / 2).into_bytes();
            let kind = if n % 7 == 0 { Kind::Delete } else { Kind::Put };
            let value = if n % 7 == 0 { vec![] } else { vec![n; usize::from(n)] };
            (key, Trailer::new(u64::from(n) + 1, kind), value)
        })
        .collect();
    sort(&mut entries);
    entries
}

fn tombstones() -> RangeTombstones {
    let over = |start: &'static str, end: &'static str, seq| RangeTombstone {
        start: start.into(),
        end: end.into(),
        seq,
    };
    RangeTombstones::new([over("a", "k", 3), over("key/2", "z", 9)])
}

fn small(compression: Compression) -> Built {
    let options = TableOptions { block_size: 120, bloom_bits: 10.0, compression };
    build(&entries(), Some(&tombstones()), options)
}

/// Every read of the table answers what was written or an error.
fn reads_are_right_or_refused(table: &Arc<Table>, entries: &[Entry]) {
    for access in [Access::Cached, Access::Scan { readahead: 1 << 16 }] {
        let mut cursor = table.cursor(access);
        if let Ok(found) = forward(&mut cursor) {
            assert_eq!(found, entries);
        }
        if let Ok(mut found) = backward(&mut cursor) {
            found.reverse();
            assert_eq!(found, entries);
        }
    }
    for (key, trailer, _) in entries {
        if let Ok(found) = table.get(key, hash64(key), trailer.seq()) {
            assert_eq!(found, expected(entries, key, trailer.seq()));
        }
    }
    if let Ok(set) = table.range_tombstones() {
        assert_eq!(*set, tombstones());
    }
}

#[test]
fn every_flipped_byte_is_found() {
    for compression in [Compression::None, Compression::Lz4] {
        let built = small(compression);
        let whole = built.bytes();
        let entries = entries();
        for at in 0..whole.len() {
            for mask in [1, 0x10, 0xFF] {
                let mut bent = whole.clone();
                bent[at] ^= mask;
                let file = file_with(&bent);
                // By the footer that was kept elsewhere: the table opens, and verify finds it.
                let summary = &built.summary;
                let table = Table::open(
                    file.clone(),
                    built.path.clone(),
                    NUMBER,
                    summary.size,
                    &summary.footer,
                    BlockCache::new(1 << 16),
                )
                .unwrap();
                reads_are_right_or_refused(&table, &entries);
                assert!(!table.verify().is_empty(), "byte {at} ^ {mask}");
                // By its own footer.
                let cache = BlockCache::new(1 << 16);
                if let Ok(table) = Table::open_alone(file, built.path.clone(), NUMBER, cache) {
                    reads_are_right_or_refused(&table, &entries);
                    assert!(!table.verify().is_empty(), "byte {at} ^ {mask}");
                }
            }
        }
    }
}

#[test]
fn every_truncation_is_found() {
    let built = small(Compression::Lz4);
    let whole = built.bytes();
    let summary = &built.summary;
    for len in 0..whole.len() {
        let file = file_with(&whole[..len]);
        let cache = || BlockCache::new(1 << 16);
        let path = built.path.clone();
        let alone = Table::open_alone(file.clone(), path.clone(), NUMBER, cache());
        assert!(matches!(alone, Err(Error::Corrupt { .. })), "{len}: {alone:?}");
        let opened = Table::open(file, path, NUMBER, summary.size, &summary.footer, cache());
        assert!(matches!(opened, Err(Error::Corrupt { .. })), "{len}: {opened:?}");
    }
}

#[test]
fn bytes_behind_the_end_are_found() {
    let built = small(Compression::None);
    let mut bytes = built.bytes();
    bytes.push(0);
    let file = file_with(&bytes);
    let alone = Table::open_alone(file, built.path.clone(), NUMBER, BlockCache::new(0));
    assert!(alone.is_err());
}

#[test]
fn a_file_that_shrinks_under_an_open_table_is_an_error() {
    let built = small(Compression::None);
    for len in 0..built.summary.size {
        let file = file_with(&built.bytes());
        let (size, footer) = (built.summary.size, &built.summary.footer);
        let cache = BlockCache::new(1 << 16);
        let table =
            Table::open(file.clone(), built.path.clone(), NUMBER, size, footer, cache).unwrap();
        file.set_len(len).unwrap();
        reads_are_right_or_refused(&table, &entries());
        assert!(!table.verify().is_empty(), "{len}");
    }
}

#[test]
fn a_table_is_refused_under_another_number() {
    let built = small(Compression::None);
    let opened =
        Table::open_alone(built.file.clone(), built.path.clone(), NUMBER + 1, BlockCache::new(0));
    assert!(matches!(opened, Err(Error::Corrupt { .. })), "{opened:?}");
}

#[test]
fn blocks_that_change_places_are_found() {
    let entries: Vec<Entry> =
        (0..8u8).map(|n| (vec![b'k', n], Trailer::new(1, Kind::Put), vec![n; 50])).collect();
    let options = TableOptions { block_size: 1, bloom_bits: 0.0, compression: Compression::None };
    let built = build(&entries, None, options);
    let mut bytes = built.bytes();
    // Equal blocks but for their contents, one entry each.
    let len = 32 + 8 + 2 + 50 + 8;
    let (first, second) = bytes.split_at_mut(len);
    first.swap_with_slice(&mut second[..len]);
    let file = file_with(&bytes);
    let table = Table::open_alone(file, built.path.clone(), NUMBER, BlockCache::new(0)).unwrap();
    let findings = table.verify();
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(table.get(b"k\x00", hash64(b"k\x00"), 9).is_err());
    assert!(table.get(b"k\x02", hash64(b"k\x02"), 9).is_ok());
}

#[test]
fn verify_reports_each_damaged_block_and_reads_go_on_elsewhere() {
    let entries: Vec<Entry> =
        (0..100u8).map(|n| (vec![n], Trailer::new(1, Kind::Put), vec![n; 100])).collect();
    let options = TableOptions { block_size: 1, bloom_bits: 0.0, compression: Compression::None };
    let built = build(&entries, None, options);
    let file = file_with(&built.bytes());
    for at in [500, 5_000, 10_000] {
        file.write_all_at(&[0xEE; 3], at).unwrap();
    }
    let table = Table::open_alone(file, built.path.clone(), NUMBER, BlockCache::new(0)).unwrap();
    assert_eq!(table.verify().len(), 3);
    let readable =
        entries.iter().filter(|(key, _, _)| table.get(key, hash64(key), 9).is_ok()).count();
    assert_eq!(readable, 97);
}

#[test]
fn messages_name_the_file_and_the_place_and_no_key() {
    let built = small(Compression::None);
    let mut bytes = built.bytes();
    bytes[0] ^= 1;
    let file: Arc<dyn FsFile> = file_with(&bytes);
    let table = Table::open_alone(file, built.path.clone(), NUMBER, BlockCache::new(0)).unwrap();
    let message = table.verify()[0].to_string();
    assert!(message.contains("/000007.sst is damaged at offset 0: "), "{message}");
    assert!(!message.contains("key/"), "{message}");
}
