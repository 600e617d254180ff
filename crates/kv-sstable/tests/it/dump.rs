//! A table can be read by people, whole or damaged.

use crate::support::*;
use kv_core::{Kind, RangeTombstone, RangeTombstones, Trailer};
use kv_sstable::{BlockCache, Compression, Table, TableOptions};

fn table() -> Built {
    let put = |key: &str, seq, value: &str| {
        (key.as_bytes().to_vec(), Trailer::new(seq, Kind::Put), value.as_bytes().to_vec())
    };
    let entries = [put("apple", 2, "green"), put("apple", 1, "red"), put("pe\0r", 3, "")];
    let tombstone = RangeTombstone { start: "b".into(), end: "c".into(), seq: 4 };
    let options = TableOptions { block_size: 70, bloom_bits: 10.0, compression: Compression::None };
    build(&entries, Some(&RangeTombstones::new([tombstone])), options)
}

#[test]
fn every_section_is_shown_with_its_place() {
    let mut text = String::new();
    table().open(BlockCache::new(0)).dump(&mut text).unwrap();
    let expected = r#"table 7: 588 bytes, format 1, 3 entries
0: data block, 68 bytes, 2 entries, prefix 5, suffixes 0, values varied, seqs 1 + 1 bytes
"#;
    assert!(text.starts_with(expected), "{text}");
    for line in [
        r#"    "apple" seq 2 Put 5 bytes"#,
        r#"    "pe\x00r" seq 3 Put 0 bytes"#,
        r#"    "p" seq 0 -> 0 (68 bytes)"#,
        r#"    ["b", "c") seq 4"#,
        "    entries 3",
        r#"    last_key "pe\x00r""#,
        "524: footer",
    ] {
        assert!(text.lines().any(|l| l == line), "no line {line} in\n{text}");
    }
}

#[test]
fn damage_is_shown_in_its_place() {
    let built = table();
    for at in 0..built.summary.size as usize - 64 {
        let mut bytes = built.bytes();
        bytes[at] ^= 0xFF;
        let cache = BlockCache::new(0);
        let table =
            Table::open_alone(file_with(&bytes), built.path.clone(), NUMBER, cache).unwrap();
        let mut text = String::new();
        table.dump(&mut text).unwrap();
        assert!(text.contains(": footer\n"));
        let filter = text.lines().find(|line| line.contains(": filter")).unwrap();
        let in_filter = filter.split(':').next().unwrap().parse::<usize>().unwrap();
        let is_filter = (in_filter..in_filter + 80).contains(&at);
        assert!(is_filter || text.contains("is damaged at offset"), "byte {at}:\n{text}");
    }
}
