//! Entries far over the block size.

use crate::support::*;
use kv_core::{Cursor, Kind, Trailer, hash64};
use kv_sstable::{Access, BlockCache, Error, MAX_KEY_LEN, TableBuilder, TableOptions};

/// Bytes that hardly compress.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

#[test]
fn large_values_and_keys_come_back_among_small_ones() {
    let one = Trailer::new(1, Kind::Put);
    let entries: Vec<Entry> = vec![
        (b"a".to_vec(), one, b"small".to_vec()),
        (b"b".to_vec(), one, noise(2 << 20)),
        (b"c".to_vec(), one, vec![7; 20 << 20]),
        (vec![b'd'; MAX_KEY_LEN], one, noise(70_000)),
        (vec![b'e'; MAX_KEY_LEN], one, vec![]),
        (b"f".to_vec(), one, b"small".to_vec()),
    ];
    for compression in compressions() {
        let options = TableOptions { compression, ..TableOptions::default() };
        let table = build(&entries, None, options).open(BlockCache::new(1 << 20));
        for access in [Access::Cached, Access::Scan { readahead: 1 << 20 }] {
            let mut cursor = table.cursor(access);
            cursor.first().unwrap();
            for entry in &entries {
                assert!(cursor.key() == entry.0 && cursor.value() == entry.2, "{compression:?}");
                assert!(cursor.value_bytes() == entry.2);
                cursor.next().unwrap();
            }
            assert!(!cursor.valid());
        }
        for (key, _, value) in &entries {
            assert!(table.get(key, hash64(key), 1).unwrap().unwrap().1 == *value);
        }
        assert!(table.verify().is_empty());
    }
}

#[test]
fn blocks_over_64_kib_use_wide_ends() {
    let entries: Vec<Entry> = (0..100u32)
        .map(|n| {
            let key = [&b"shared prefix "[..], &noise(20 + n as usize * 50)].concat();
            let key = [&n.to_be_bytes()[..], &key].concat();
            (key, Trailer::new(u64::from(n) << 40, Kind::Put), noise(n as usize * 40))
        })
        .collect();
    for compression in compressions() {
        let options = TableOptions { block_size: 1 << 20, bloom_bits: 10.0, compression };
        let table = build(&entries, None, options).open(BlockCache::new(8 << 20));
        assert_eq!(table.properties().unwrap().data_blocks, 1);
        assert_eq!(forward(&mut table.cursor(Access::Cached)).unwrap(), entries);
        for (key, _, _) in &entries {
            let found = table.get(key, hash64(key), u64::MAX >> 8).unwrap();
            assert_eq!(found, expected(&entries, key, u64::MAX >> 8));
        }
        assert!(table.verify().is_empty());
    }
}

#[test]
fn a_key_over_the_limit_is_refused() {
    let (file, path) = new_file();
    let mut builder = TableBuilder::new(file, path, NUMBER, TableOptions::default());
    let key = vec![b'k'; MAX_KEY_LEN + 1];
    let refused = builder.add(&key, Trailer::new(1, Kind::Put), b"");
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    assert!(builder.is_empty());
}
