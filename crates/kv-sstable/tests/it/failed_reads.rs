//! A read that fails is an error each time it is asked for, and data is never skipped.

use crate::support::*;
use kv_core::{Cursor, Kind, Trailer, hash64};
use kv_sstable::{Access, BlockCache, Error, Table, TableOptions};

fn entries() -> Vec<Entry> {
    (0..500u32)
        .map(|n| (n.to_be_bytes().to_vec(), Trailer::new(1, Kind::Put), vec![n as u8; 50]))
        .collect()
}

#[test]
fn a_cursor_repeats_its_failure_until_it_is_placed_anew() {
    let entries = entries();
    let options = TableOptions { block_size: 200, bloom_bits: 0.0, ..TableOptions::default() };
    let built = build(&entries, None, options);
    for access in [Access::Cached, Access::Scan { readahead: 1000 }] {
        let file = Watched::new(built.file.clone());
        let (path, cache) = (built.path.clone(), BlockCache::new(0));
        let table = Table::open_alone(file.clone(), path, NUMBER, cache).unwrap();
        let mut cursor = table.cursor(access);
        cursor.first().unwrap();
        file.fail(true);
        let mut passed = 0;
        let failure = loop {
            if let Err(e) = cursor.next() {
                break e;
            }
            passed += 1;
            assert_eq!(here(&cursor).as_ref(), Some(&entries[passed]));
        };
        assert!(matches!(failure, Error::Io { .. }), "{failure:?}");
        file.fail(false);
        for _ in 0..3 {
            assert!(!cursor.valid());
            assert!(matches!(cursor.next(), Err(Error::Io { .. })));
            assert!(matches!(cursor.prev(), Err(Error::Io { .. })));
        }
        cursor.seek(&entries[passed + 1].0, Trailer::MAX).unwrap();
        assert_eq!(here(&cursor).as_ref(), Some(&entries[passed + 1]));
        assert_eq!(forward(&mut cursor).unwrap(), entries);
    }
}

#[test]
fn every_failed_read_is_told_and_nothing_stays_broken() {
    let entries = entries();
    let options = TableOptions { block_size: 4000, ..TableOptions::default() };
    let built = build(&entries, None, options);
    let key = &entries[250].0;
    for reads in 0..8 {
        let file = Watched::new(built.file.clone());
        let (path, cache) = (built.path.clone(), BlockCache::new(1 << 20));
        let (size, footer) = (built.summary.size, &built.summary.footer);
        let table = Table::open(file.clone(), path, NUMBER, size, footer, cache).unwrap();
        file.fail_after(reads);
        // Filter, top index, partition, data block.
        let got = table.get(key, hash64(key), 9);
        assert_eq!(got.is_err(), reads < 4, "{reads}: {got:?}");
        file.fail(false);
        assert_eq!(table.get(key, hash64(key), 9).unwrap(), expected(&entries, key, 9));
        assert!(table.verify().is_empty());
    }
}
