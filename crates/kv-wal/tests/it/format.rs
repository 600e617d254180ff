//! `docs/format/record.md` says what the code does.

use crate::support::{append, bytes_of, disk, segment, tight};
use kv_wal::{Field, HEADER_FIELDS, Log, Predecessor, START_FIELDS};

const DOC: &str = include_str!("../../../../docs/format/record.md");

/// The rows of the field table below a heading.
fn table(heading: &str) -> Vec<(usize, usize, String)> {
    let (_, section) = DOC.split_once(&format!("## {heading}\n")).unwrap();
    let (section, _) = section.split_once("\n## ").unwrap_or((section, ""));
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let offset = cells.next()?.parse().ok()?;
        Some((offset, cells.next()?.parse().unwrap(), cells.next()?.to_owned()))
    });
    rows.collect()
}

fn fields(fields: &[Field]) -> Vec<(usize, usize, String)> {
    fields.iter().map(|field| (field.offset, field.width, field.name.to_owned())).collect()
}

#[test]
fn the_tables_name_the_fields_of_the_code() {
    assert_eq!(table("Header"), fields(&HEADER_FIELDS));
    assert_eq!(table("Start record"), fields(&START_FIELDS));
}

#[test]
fn fields_follow_each_other_without_a_gap() {
    for (fields, len) in
        [(&HEADER_FIELDS[..], kv_wal::HEADER_LEN), (&START_FIELDS[..], kv_wal::START_LEN)]
    {
        let end = fields.iter().fold(0, |at, field| {
            assert_eq!(field.offset, at, "{}", field.name);
            at + field.width
        });
        assert_eq!(end, len);
    }
}

/// The bytes of the worked example; each line is hex, two blanks, and its meaning.
fn worked_example() -> Vec<u8> {
    let (_, example) = DOC.split_once("## Worked example").unwrap();
    let example = example.split("```").nth(1).unwrap();
    let hex = example.lines().flat_map(|line| line.split("  ").next().unwrap().split_whitespace());
    hex.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn the_worked_example_is_what_the_log_writes() {
    let fs = disk();
    let before = Predecessor { number: 4, length: 4660, last_seq: 7, checksum: 0x89ab_cdef };
    let log = Log::start(segment(&fs, 5), Some(before), 8, tight()).unwrap();
    append(&log, b"hello").unwrap();
    log.finish().unwrap();
    assert_eq!(bytes_of(&fs, 5), worked_example());
}
