//! Places in a table: for cutting work into equal parts.

use crate::support::*;
use kv_core::{Kind, Trailer};
use kv_sstable::{BlockCache, Compression, TableOptions};

fn table() -> (Vec<Entry>, std::sync::Arc<kv_sstable::Table>) {
    let entries: Vec<Entry> = (0..40_000u32)
        .map(|n| (n.to_be_bytes().to_vec(), Trailer::new(1, Kind::Put), vec![7; 30]))
        .collect();
    let options = TableOptions { block_size: 128, bloom_bits: 0.0, compression: Compression::None };
    let table = build(&entries, None, options).open(BlockCache::new(8 << 20));
    (entries, table)
}

#[test]
fn split_keys_cut_the_table_into_equal_parts() {
    let (_, table) = table();
    for n in [0, 1, 3, 7] {
        let keys = table.split_keys(n).unwrap();
        assert_eq!(keys.len(), n);
        assert!(keys.is_sorted());
        let data_end = table.approximate_offset(&[0xFF; 9]).unwrap();
        let part = data_end / (n as u64 + 1);
        let ends = keys.iter().map(|key| table.approximate_offset(key).unwrap());
        let mut start = 0;
        for end in ends.chain([data_end]) {
            let len = end - start;
            assert!(len > part * 3 / 4 && len < part * 5 / 4, "{len} of {part}");
            start = end;
        }
    }
    assert!(table.split_keys(usize::MAX).unwrap().len() > 20);
}

#[test]
fn offsets_ascend_with_keys() {
    let (entries, table) = table();
    let mut last = 0;
    for (key, _, _) in entries.iter().step_by(77) {
        let offset = table.approximate_offset(key).unwrap();
        assert!(offset >= last && offset < table.size());
        last = offset;
    }
    assert_eq!(table.approximate_offset(b"").unwrap(), 0);
    assert!(table.approximate_offset(&[0xFF; 9]).unwrap() > last);
}
