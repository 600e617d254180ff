//! A scan reads in big pieces and leaves the cache as it is; a cached table reads nothing.

use crate::support::*;
use kv_core::{Cursor, Kind, Trailer, hash64};
use kv_sstable::{Access, BlockCache, Compression, Table, TableOptions};
use std::sync::Arc;

fn table(cache: &Arc<BlockCache>) -> (Arc<Table>, Arc<Watched>, Vec<Entry>) {
    let entries: Vec<Entry> = (0..20_000u32)
        .map(|n| (n.to_be_bytes().to_vec(), Trailer::new(1, Kind::Put), vec![n as u8; 100]))
        .collect();
    let options =
        TableOptions { block_size: 4096, bloom_bits: 10.0, compression: Compression::None };
    let built = build(&entries, None, options);
    let file = Watched::new(built.file.clone());
    let (size, footer) = (built.summary.size, &built.summary.footer);
    let table = Table::open(file.clone(), built.path.clone(), NUMBER, size, footer, cache.clone());
    assert_eq!(file.reads(), 0, "opening reads nothing");
    (table.unwrap(), file, entries)
}

#[test]
fn reads_double_up_to_the_readahead_in_both_directions() {
    let cache = BlockCache::new(64 << 20);
    let (table, file, entries) = table(&cache);
    let mut cursor = table.cursor(Access::Scan { readahead: 256 << 10 });
    assert_eq!(forward(&mut cursor).unwrap(), entries);
    // 2.2 MiB: 32 + 64 + 128 KiB, then 256 KiB each, and the index.
    let forth = file.reads();
    assert!((10..20).contains(&forth), "{forth} reads");
    assert!(file.most() <= (256 << 10) + 4096);
    backward(&mut cursor).unwrap();
    let back = file.reads() - forth;
    assert!((9..20).contains(&back), "{back} reads");
    assert_eq!(cache.used(), 0, "a scan fills no cache");
}

#[test]
fn what_is_cached_is_not_read_again() {
    let cache = BlockCache::new(64 << 20);
    let (table, file, entries) = table(&cache);
    let mut cursor = table.cursor(Access::Cached);
    forward(&mut cursor).unwrap();
    let reads = file.reads();
    backward(&mut cursor).unwrap();
    cursor.seek(&entries[777].0, Trailer::MAX).unwrap();
    assert_eq!(here(&cursor).as_ref(), Some(&entries[777]));
    for (key, _, _) in entries.iter().step_by(99) {
        assert!(table.get(key, hash64(key), 9).unwrap().is_some());
    }
    assert_eq!(file.reads(), reads + 1, "only the filter was still to be read");
    assert!(cache.pinned() > 0, "the filter and the top index are kept");
    drop(cursor);
    drop(table);
    assert_eq!(cache.pinned(), 0);
}

#[test]
fn without_a_cache_everything_works_and_reads() {
    let cache = BlockCache::new(0);
    let (table, file, entries) = table(&cache);
    for (key, _, _) in entries.iter().step_by(999) {
        let before = file.reads();
        assert_eq!(table.get(key, hash64(key), 9).unwrap(), expected(&entries, key, 9));
        assert_eq!(file.reads() - before, 4, "filter, top index, partition, block");
    }
}

#[test]
fn a_key_that_the_filter_denies_costs_no_block() {
    let cache = BlockCache::new(64 << 20);
    let (table, file, _) = table(&cache);
    let absent: Vec<Vec<u8>> =
        (0..1000u32).map(|n| [&n.to_be_bytes()[..], &[1]].concat()).collect();
    for key in &absent {
        assert!(table.get(key, hash64(key), 9).unwrap().is_none());
    }
    assert!(file.reads() < 60, "{} reads", file.reads());
}

#[test]
fn threads_share_a_table() {
    let cache = BlockCache::new(1 << 20);
    let (table, _, entries) = table(&cache);
    std::thread::scope(|scope| {
        for shift in 0..4 {
            let (table, entries) = (&table, &entries);
            scope.spawn(move || {
                for (key, _, _) in entries.iter().skip(shift * 31).step_by(127) {
                    let got = table.get(key, hash64(key), 9).unwrap().unwrap();
                    assert_eq!(got.1.len(), 100);
                }
                assert_eq!(forward(&mut table.cursor(Access::Cached)).unwrap(), *entries);
            });
        }
    });
}
