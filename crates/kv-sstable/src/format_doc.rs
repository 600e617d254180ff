//! The document and the code agree.

use crate::block::{self, BlockBuilder};
use crate::codec::Compression;
use crate::footer::{FOOTER_LEN, FORMAT_VERSION, Footer, MAGIC};
use crate::handle::{HANDLE_LEN, Handle};
use crate::properties::Properties;
use crate::seal::{BlockType, TRAILER_LEN, seal};
use crate::writer::{TableBuilder, TableOptions};
use kv_core::{Kind, RangeTombstone, RangeTombstones, Trailer, checksum, checksum_with};
use kv_vfs::{Fs, FsFileExt, MemFs};
use std::path::PathBuf;

const DOCUMENT: &str = include_str!("../../../docs/format/sstable.md");

/// The rows (offset, width, name) of the first field table behind a heading.
fn fields(document: &str, heading: &str) -> Vec<(usize, usize, String)> {
    let (_, section) = document.split_once(&format!("\n## {heading}\n")).unwrap();
    section
        .lines()
        .skip_while(|line| !line.starts_with("| offset | width | name |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].parse().unwrap(), cells[1].parse().unwrap(), cells[2].to_string())
        })
        .collect()
}

fn check(heading: &str, encoded: &[u8], expected: &[(&str, u64)]) {
    check_in(DOCUMENT, heading, encoded, expected);
}

/// The document's fields cover `encoded` without a gap and hold the expected numbers.
pub(crate) fn check_in(document: &str, heading: &str, encoded: &[u8], expected: &[(&str, u64)]) {
    let fields = fields(document, heading);
    let names: Vec<&str> = fields.iter().map(|(_, _, name)| name.as_str()).collect();
    assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "{heading}");
    let mut end = 0;
    for ((offset, width, name), (_, number)) in fields.iter().zip(expected) {
        assert_eq!(*offset, end, "{heading}: {name}");
        end += width;
        let mut bytes = [0; 8];
        bytes[..*width].copy_from_slice(&encoded[*offset..end]);
        assert_eq!(u64::from_le_bytes(bytes), *number, "{heading}: {name}");
    }
    assert_eq!(end, encoded.len(), "{heading}");
}

#[test]
fn the_document_names_the_block_trailer() {
    let trailer = seal(7, 9, &[b"pay", b"load"], 2, BlockType::Index);
    let sum = checksum_with(7, 9, &[b"payload", &trailer[..4]]);
    check(
        "Block trailer",
        &trailer,
        &[("codec", 2), ("type", 2), ("reserved", 0), ("checksum", u64::from(sum))],
    );
    assert_eq!(trailer.len(), TRAILER_LEN);
}

#[test]
fn the_document_names_the_block_header() {
    let mut builder = BlockBuilder::default();
    builder.add(b"key-1", Trailer::new(1000, Kind::Put), b"123", false);
    builder.add(b"key-2", Trailer::new(2000, Kind::Put), b"456", false);
    let mut out = Vec::new();
    builder.finish(&mut out).unwrap();
    let values = out.len() as u64 - 6;
    let flags = u64::from(block::FIXED_KEYS | block::FIXED_VALUES);
    check(
        "Columnar block",
        &out[..block::HEADER_LEN],
        &[
            ("count", 2),
            ("flags", flags),
            ("prefix_len", 4),
            ("seq_width", 2),
            ("kind", 1),
            ("suffix_len", 1),
            ("value_len", 3),
            ("seq_base", 1000),
            ("values", values),
            ("reserved", 0),
        ],
    );
    let flags =
        [block::FIXED_KEYS, block::FIXED_VALUES, block::WIDE, block::KINDS, block::SAME_KEYS];
    assert_eq!(flags, [1, 2, 4, 8, 16]);
    assert_eq!((block::HEAD_LEN, block::MAX_PREFIX_LEN), (8, 255));
}

#[test]
fn the_document_names_a_handle() {
    let handle = Handle { offset: 0x0102_0304_0506, len: 0x0708_090A };
    let expected = [("offset", handle.offset), ("len", u64::from(handle.len))];
    check("Index", &handle.encode(), &expected);
    assert_eq!(handle.encode().len(), HANDLE_LEN);
    assert_eq!(crate::index::PARTITION_ENTRIES, 256);
}

#[test]
fn the_document_names_the_properties() {
    let properties = Properties {
        entries: 1,
        tombstones: 2,
        range_tombstones: 3,
        expiring: 4,
        min_expiry: 5,
        max_expiry: 6,
        min_seq: 7,
        max_seq: 8,
        key_bytes: 9,
        value_bytes: 10,
        data_blocks: 11,
        index_partitions: 12,
        first_key: "a".into(),
        last_key: "bc".into(),
    };
    let encoded = properties.encode();
    assert_eq!(Properties::decode(&encoded).unwrap(), properties);
    let (numbers, keys) = encoded.split_at(8 * 12);
    check("Properties", numbers, &properties.named());
    assert_eq!(keys, b"\x01a\x02bc");
}

#[test]
fn the_document_names_the_footer() {
    let footer = Footer {
        compression: 1,
        file_number: 7,
        entries: 5,
        index_offset: 1000,
        top_index_offset: 2000,
        top_index_len: 100,
        filter_len: 200,
        range_tombstones_len: 300,
        properties_len: 400,
    };
    let offset = 2000 + 100 + 200 + 300 + 400 + 4 * TRAILER_LEN as u64;
    assert_eq!(footer.offset(), Some(offset));
    let encoded = footer.encode();
    assert_eq!(Footer::decode(&encoded, offset + FOOTER_LEN as u64), Ok(footer));
    let sum = checksum(7, offset, &encoded[..60]);
    check(
        "Footer",
        &encoded,
        &[
            ("magic", u64::from_le_bytes(MAGIC)),
            ("format", u64::from(FORMAT_VERSION)),
            ("compression", 1),
            ("reserved", 0),
            ("file_number", 7),
            ("entries", 5),
            ("index_offset", 1000),
            ("top_index_offset", 2000),
            ("top_index_len", 100),
            ("filter_len", 200),
            ("range_tombstones_len", 300),
            ("properties_len", 400),
            ("checksum", u64::from(sum)),
        ],
    );
}

#[test]
fn the_worked_example_is_what_is_built() {
    let fs = MemFs::new();
    let path = PathBuf::from("/000007.sst");
    let file = fs.create_new(&path).unwrap();
    let options =
        TableOptions { block_size: 4096, bloom_bits: 0.0, compression: Compression::None };
    let mut builder = TableBuilder::new(file.clone(), path, 7, options);
    builder.add(b"apple", Trailer::new(2, Kind::Put), b"green").unwrap();
    builder.add(b"apple", Trailer::new(1, Kind::Put), b"red").unwrap();
    builder.add(b"pear", Trailer::new(3, Kind::Delete), b"").unwrap();
    let tombstone = RangeTombstone { start: "b".into(), end: "c".into(), seq: 4 };
    builder.add_range_tombstones(&RangeTombstones::new([tombstone]));
    let summary = builder.finish().unwrap();
    let mut built = vec![0; summary.size as usize];
    file.read_exact_at(&mut built, 0).unwrap();

    let shown =
        |bytes: &[u8]| bytes.chunks(16).map(|row| format!("{row:02x?}\n")).collect::<String>();
    assert!(built == example_of(DOCUMENT), "built:\n{}", shown(&built));
}

/// The bytes of a document's worked example.
pub(crate) fn example_of(document: &str) -> Vec<u8> {
    document
        .rsplit("```")
        .nth(1)
        .unwrap()
        .lines()
        .flat_map(|line| line.split("  ").next().unwrap_or("").split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}
