//! What the builder reports is true.

use crate::support::*;
use kv_core::{Kind, Trailer};
use kv_sstable::{BlockCache, Compression, Error, Table, TableBuilder, TableOptions};

fn expiring(seq: u64, expiry: u64, value: &[u8]) -> (Trailer, Vec<u8>) {
    (Trailer::new(seq, Kind::PutExpiring), [&expiry.to_le_bytes()[..], value].concat())
}

#[test]
fn counts_and_bounds_are_those_of_the_entries() {
    let (early, late) = (expiring(5, 1_000, b"x"), expiring(6, 9_000, b""));
    let entries: Vec<Entry> = vec![
        (b"".to_vec(), Trailer::new(4, Kind::Put), b"empty key".to_vec()),
        (b"a".to_vec(), early.0, early.1),
        (b"b".to_vec(), Trailer::new(7, Kind::Delete), vec![]),
        (b"b".to_vec(), Trailer::new(3, Kind::Put), b"old".to_vec()),
        (b"cc".to_vec(), late.0, late.1),
    ];
    let options = TableOptions { compression: Compression::Snappy, ..TableOptions::default() };
    let built = build(&entries, None, options);
    let summary = &built.summary;
    assert_eq!(summary.entries, 5);
    assert_eq!((summary.tombstones, summary.range_tombstones), (1, 0));
    assert_eq!((&summary.smallest[..], &summary.largest[..]), (&b""[..], &b"cc"[..]));
    assert!(!summary.largest_exclusive);
    assert_eq!((summary.min_seq, summary.max_seq), (3, 7));
    assert_eq!((summary.min_expiry, summary.max_expiry, summary.expiring), (1_000, 9_000, 2));
    assert_eq!(summary.raw_bytes, 5 + 9 + 9 + 3 + 8);
    assert_eq!(summary.shadow_bytes, (34 - 1) / 4);
    assert_eq!(summary.compression, 2);
    let bytes = built.bytes();
    assert_eq!(summary.size, bytes.len() as u64);
    assert_eq!(summary.checksum, kv_core::hash64(&bytes));
    assert_eq!(&summary.footer[..], &bytes[bytes.len() - 64..]);
    let properties = built.open(BlockCache::new(0)).properties().unwrap();
    assert_eq!((properties.entries, properties.key_bytes, properties.value_bytes), (5, 5, 29));
}

#[test]
fn an_empty_table_is_a_table() {
    let built = build(&[], None, TableOptions::default());
    let summary = &built.summary;
    assert_eq!((summary.entries, summary.smallest.len(), summary.largest.len()), (0, 0, 0));
    assert_eq!((summary.min_seq, summary.max_seq), (u64::MAX, 0));
    let table = built.open(BlockCache::new(1 << 16));
    assert!(table.verify().is_empty(), "{:?}", table.verify());
}

#[test]
fn a_footer_of_a_newer_format_is_refused_by_name() {
    let built = build(&[], None, TableOptions::default());
    let mut footer = built.summary.footer.to_vec();
    footer[8] = 2;
    let (file, path, size) = (built.file.clone(), built.path.clone(), built.summary.size);
    let opened = Table::open(file, path, NUMBER, size, &footer, BlockCache::new(0));
    assert!(matches!(opened, Err(Error::IncompatibleFormat { format: 2, .. })), "{opened:?}");
}

#[test]
fn the_estimate_follows_the_file() {
    let (file, path) = new_file();
    let options =
        TableOptions { block_size: 4096, bloom_bits: 10.0, compression: Compression::None };
    let mut builder = TableBuilder::new(file.clone(), path, NUMBER, options);
    for n in 0..30_000u32 {
        builder.add(&n.to_be_bytes(), Trailer::new(1, Kind::Put), &[7; 100]).unwrap();
    }
    let estimate = builder.estimated_size();
    assert!(file.len().unwrap() >= 3 << 20, "written while entries come");
    assert!(builder.bytes_written() <= estimate);
    assert_eq!((builder.entries(), builder.is_empty()), (30_000, false));
    let size = builder.finish().unwrap().size;
    assert!(estimate.abs_diff(size) < size / 50, "{estimate} for {size}");
}
