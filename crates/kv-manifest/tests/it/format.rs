//! `docs/format/manifest.md` says what the code does.

use crate::support::{bytes_of, disk, shared};
use bytes::Bytes;
use kv_manifest::{
    FORMAT_VERSION, FileMeta, FileName, Manifest, RECORD_FIELDS, State, TABLE_FIELDS, Tag,
    VALUE_FILE_FIELDS, ValueMeta, ValueRef, VersionEdit,
};
use std::sync::Arc;

const DOC: &str = include_str!("../../../../docs/format/manifest.md");

fn section(heading: &str) -> &'static str {
    let (_, section) = DOC.split_once(&format!("## {heading}\n")).unwrap();
    section.split_once("\n## ").map_or(section, |(section, _)| section)
}

/// The rows of the field table below a heading: tag, value, name.
fn table(heading: &str) -> Vec<(String, String, String)> {
    let rows = section(heading).lines().filter(|line| line.starts_with("| ")).filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        cells[1].parse::<u8>().ok()?;
        Some((cells[1].to_owned(), cells[2].to_owned(), cells[3].to_owned()))
    });
    rows.collect()
}

fn fields(tags: &[Tag]) -> Vec<(String, String, String)> {
    let field = |t: &Tag| (t.tag.to_string(), t.value.to_owned(), t.name.to_owned());
    tags.iter().map(field).collect()
}

#[test]
fn the_tables_name_the_fields_of_the_code() {
    assert_eq!(table("Record"), fields(&RECORD_FIELDS));
    assert_eq!(table("Table"), fields(&TABLE_FIELDS));
    assert_eq!(table("Value file"), fields(&VALUE_FILE_FIELDS));
    assert!(DOC.contains(&format!("Format version: {FORMAT_VERSION}.")));
}

#[test]
fn tags_are_unique_and_must_be_understood() {
    for tags in [&RECORD_FIELDS[..], &TABLE_FIELDS[..], &VALUE_FILE_FIELDS[..]] {
        let mut numbers: Vec<_> = tags.iter().map(|tag| tag.tag).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), tags.len());
        assert!(numbers.iter().all(|tag| (1..0x80).contains(tag)));
    }
}

/// The bytes of the worked example; each line is hex, two blanks, and its meaning.
fn worked_example() -> Vec<u8> {
    let example = section("Worked example").split("```").nth(1).unwrap();
    let hex =
        example.lines().flat_map(|line| line.trim().split("  ").next().unwrap().split_whitespace());
    hex.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// The manifest of the worked example: a new database, one flushed table, one with a long value.
fn example() -> (Arc<dyn kv_vfs::Fs>, u64) {
    let fs = shared(&disk());
    let dir = crate::support::dir();
    let mut manifest = Manifest::create(Arc::clone(&fs), dir, State::new(7), 1).unwrap();
    let table = FileMeta {
        number: 3,
        size: 321,
        entries: 2,
        smallest: Bytes::from_static(b"\0a"),
        largest: Bytes::from_static(b"\0b"),
        max_seq: 2,
        min_seq: 1,
        checksum: 0x89AB_CDEF,
        footer: Bytes::from_static(b"FOOT"),
        ..FileMeta::default()
    };
    let edit = VersionEdit {
        added: vec![(6, Arc::new(table))],
        last_seq: Some(2),
        log_floor: Some(4),
        logs_added: vec![4],
        ..VersionEdit::default()
    };
    manifest.apply(edit).unwrap();
    let table = FileMeta {
        number: 5,
        size: 322,
        entries: 1,
        smallest: Bytes::from_static(b"\0c"),
        largest: Bytes::from_static(b"\0c"),
        max_seq: 3,
        min_seq: 3,
        checksum: 7,
        footer: Bytes::from_static(b"FOOT"),
        values: vec![ValueRef { file: 6, bytes: 1040 }],
        ..FileMeta::default()
    };
    let values = ValueMeta { number: 6, size: 1088, records: 1, bytes: 1040, checksum: 8 };
    let edit = VersionEdit {
        added: vec![(6, Arc::new(table))],
        values_added: vec![values],
        ..VersionEdit::default()
    };
    manifest.apply(edit).unwrap();
    (fs, manifest.file_size())
}

#[test]
fn the_worked_example_is_what_the_manifest_writes() {
    let (fs, len) = example();
    let bytes = bytes_of(&*fs, FileName::Manifest(1));
    let (records, reserved) = bytes.split_at(len as usize);
    assert!(reserved.iter().all(|byte| *byte == 0));
    let hex: Vec<_> = records.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(records, worked_example(), "{}", hex.join(" "));
    let line = section("CURRENT").split("```").nth(1).unwrap().trim();
    let current = bytes_of(&*fs, FileName::Current);
    assert_eq!(format!("{line}\n").as_bytes(), current, "{}", String::from_utf8_lossy(&current));
}
