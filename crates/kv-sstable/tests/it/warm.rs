//! What a builder leaves in the cache is what a reader would have put there.

use crate::support::*;
use kv_core::{Kind, Trailer, hash64};
use kv_sstable::{BlockCache, Compression, Keep, Table, TableBuilder, TableOptions};
use kv_vfs::FsFile;
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

const SPARE: Keep = Keep { reads: 1, spare: true };

/// A table of which every block for which `keep` says so enters the cache.
fn build_warm(
    entries: &[Entry],
    options: TableOptions,
    cache: &Arc<BlockCache>,
    mut keep: impl FnMut(usize) -> Option<Keep>,
) -> (Arc<dyn FsFile>, PathBuf) {
    let (file, path) = new_file();
    let mut builder = TableBuilder::new(file.clone(), path.clone(), NUMBER, options);
    let mut blocks = 0;
    for (key, trailer, value) in entries {
        builder.add(key, *trailer, value).unwrap();
        if builder.begins_block() {
            if let Some(keep) = keep(blocks) {
                builder.keep_block(cache, keep);
            }
            blocks += 1;
        }
    }
    builder.finish().unwrap();
    (file, path)
}

fn numbered(count: u32) -> Vec<Entry> {
    let entry = |n: u32| (n.to_be_bytes().to_vec(), Trailer::new(1, Kind::Put), vec![n as u8; 100]);
    (0..count).map(entry).collect()
}

proptest! {
    #[test]
    fn a_kept_block_is_byte_for_byte_what_the_file_holds(
        entries in proptest::collection::vec(
            (proptest::collection::vec(0..4u8, 0..6), 1..1000u64, 0..300usize), 1..200),
        block_size in 1..2000usize,
        compression in proptest::sample::select(compressions()),
        kept in any::<u64>(),
    ) {
        let entry = |(key, seq, len)| (key, Trailer::new(seq, Kind::Put), vec![seq as u8; len]);
        let mut entries: Vec<Entry> = entries.into_iter().map(entry).collect();
        sort(&mut entries);
        let options = TableOptions { block_size, bloom_bits: 10.0, compression };
        let warm = BlockCache::new(64 << 20);
        let keep = |block: usize| (kept >> (block % 64) & 1 == 1).then_some(SPARE);
        let (file, path) = build_warm(&entries, options, &warm, keep);
        let read = BlockCache::new(64 << 20);
        let table = Table::open_alone(file.clone(), path.clone(), NUMBER, read.clone()).unwrap();
        forward(&mut table.cursor(kv_sstable::Access::Cached)).unwrap();
        let mut found = 0;
        for offset in 0..table.size() {
            if let Some(block) = warm.get(NUMBER, offset) {
                prop_assert_eq!(Some(block), read.get(NUMBER, offset));
                found += 1;
            }
        }
        let blocks = table.properties().unwrap().data_blocks as usize;
        prop_assert_eq!(found, (0..blocks).filter(|&block| keep(block).is_some()).count());
        let table = Table::open_alone(file, path, NUMBER, warm).unwrap();
        prop_assert_eq!(forward(&mut table.cursor(kv_sstable::Access::Cached)).unwrap(), entries);
    }
}

#[test]
fn a_kept_block_is_not_read_from_the_file_and_checks_do_read_it() {
    let cache = BlockCache::new(64 << 20);
    let entries = numbered(5000);
    let options = TableOptions { compression: Compression::Lz4, ..TableOptions::default() };
    let (file, path) = build_warm(&entries, options, &cache, |_| Some(SPARE));
    let file = Watched::new(file);
    let table = Table::open_alone(file.clone(), path, NUMBER, cache).unwrap();
    let get = |entry: &Entry| table.get(&entry.0, hash64(&entry.0), 9).unwrap().unwrap();
    get(&entries[0]);
    let reads = file.reads();
    assert!(entries.iter().all(|entry| get(entry).1 == entry.2));
    let partitions = table.properties().unwrap().index_partitions as usize;
    assert!(file.reads() - reads <= partitions, "the index alone is read, and the properties");
    let byte = entries.len() as u64;
    let mut damaged = [0; 1];
    file.read_at(&mut damaged, byte).unwrap();
    file.write_at(&[!damaged[0]], byte).unwrap();
    assert!(get(&entries[3]).1 == entries[3].2);
    assert_eq!(table.verify().len(), 1, "the block that is damaged in the file");
}

#[test]
fn nothing_stays_of_a_table_that_is_not_finished() {
    let cache = BlockCache::new(64 << 20);
    let (file, path) = new_file();
    let watched = Watched::new(file);
    let mut builder = TableBuilder::new(watched, path, NUMBER, TableOptions::default());
    for (key, trailer, value) in numbered(1000) {
        builder.add(&key, trailer, &value).unwrap();
        builder.keep_block(&cache, SPARE);
    }
    assert!(cache.used() > 50_000);
    drop(builder);
    assert_eq!(cache.used(), 0);
}

#[test]
fn a_spare_block_displaces_none_and_an_expected_one_no_block_that_is_read() {
    let entries = numbered(10_000);
    for spare in [true, false] {
        let cache = BlockCache::new(256 << 10);
        for _ in 0..4 {
            (0..20).for_each(|n| {
                if cache.get(1, n).is_none() {
                    cache.insert(1, n, vec![1; 4096].into());
                }
            });
        }
        (20..100).for_each(|n| cache.insert(1, n, vec![1; 4096].into()));
        let held = |table: u64| (0..1 << 21).filter(|&n| cache.get(table, n).is_some()).count();
        let before = held(1);
        let keep = Some(Keep { reads: 0, spare });
        build_warm(&entries[..1000], TableOptions::default(), &cache, |_| keep);
        assert!(cache.used() <= cache.capacity());
        let read = (0..20).filter(|&n| cache.get(1, n).is_some()).count();
        assert_eq!(read, 20);
        if spare {
            assert_eq!((held(1), held(NUMBER)), (before, 0));
        } else {
            assert!(held(1) < before && held(NUMBER) > 20, "{} {}", held(1), held(NUMBER));
        }
    }
}

#[test]
fn reads_are_told_without_reading() {
    let cache = BlockCache::new(64 << 20);
    let entries = numbered(1000);
    let keep = Some(Keep { reads: 3, spare: true });
    let (file, path) = build_warm(&entries, TableOptions::default(), &cache, |_| keep);
    let table = Table::open_alone(file, path, NUMBER, cache.clone()).unwrap();
    let near = |n: usize| table.reads_near(&entries[n].0);
    assert_eq!(near(0), None, "the index is not loaded for it");
    let get = |n: usize| table.get(&entries[n].0, hash64(&entries[n].0), 9).unwrap().unwrap();
    get(0);
    assert_eq!((near(0), near(1), near(999)), (Some(3), Some(3), None));
    let misses = cache.misses();
    get(999);
    assert_eq!((near(999), cache.misses()), (Some(3), misses));

    let cold = BlockCache::new(64 << 20);
    let (file, path) = build_warm(&entries, TableOptions::default(), &cold, |_| None);
    let table = Table::open_alone(file, path, NUMBER, cold).unwrap();
    let near = || table.reads_near(&entries[0].0);
    for reads in [Some(0), Some(1), Some(2), Some(3), Some(3)] {
        table.get(&entries[0].0, hash64(&entries[0].0), 9).unwrap();
        assert_eq!((near(), near()), (reads, reads));
    }
}
