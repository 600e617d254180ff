//! The document and the code agree.

use super::footer::{FOOTER_LEN, FORMAT_VERSION, Footer, MAGIC};
use super::record::{HEADER_LEN, Header};
use super::writer::ValueWriter;
use crate::codec::Compression;
use crate::format_doc::{check_in, example_of};
use kv_core::{ValuePointer, checksum, checksum_with};
use kv_vfs::{Fs, FsFileExt, MemFs};
use std::path::PathBuf;

const DOCUMENT: &str = include_str!("../../../../docs/format/value-file.md");

#[test]
fn the_document_names_the_record_header() {
    let header = Header::new(7, 9, b"payload", 300, 1).unwrap().encode();
    let sum = checksum_with(7, 9, &[&header[4..], b"payload"]);
    check_in(
        DOCUMENT,
        "Record",
        &header,
        &[
            ("checksum", u64::from(sum)),
            ("stored", 7),
            ("len", 300),
            ("codec", 1),
            ("type", 1),
            ("reserved", 0),
        ],
    );
    assert_eq!(header.len(), HEADER_LEN);
}

#[test]
fn the_document_names_the_footer() {
    let footer =
        Footer { compression: 1, file_number: 7, records: 5, records_len: 1000, value_bytes: 2000 };
    let encoded = footer.encode();
    assert_eq!(Footer::decode(&encoded, 1000 + FOOTER_LEN as u64), Ok(footer));
    check_in(
        DOCUMENT,
        "Footer",
        &encoded,
        &[
            ("magic", u64::from_le_bytes(MAGIC)),
            ("format", u64::from(FORMAT_VERSION)),
            ("compression", 1),
            ("reserved", 0),
            ("file_number", 7),
            ("records", 5),
            ("records_len", 1000),
            ("value_bytes", 2000),
            ("checksum", u64::from(checksum(7, 1000, &encoded[..44]))),
        ],
    );
}

#[test]
fn the_document_names_the_pointer() {
    let pointer = ValuePointer { file: 7, offset: 9, stored: 1040, len: 1024 };
    let mut encoded = Vec::new();
    pointer.encode(None, &mut encoded);
    let expected = [("file", 7), ("offset", 9), ("stored", 1040), ("len", 1024)];
    check_in(DOCUMENT, "Pointer", &encoded, &expected);
    assert_eq!((encoded.len(), ValuePointer::LEN_EXPIRING), (ValuePointer::LEN, 32));
}

#[test]
fn the_worked_example_is_what_is_built() {
    let fs = MemFs::new();
    let path = PathBuf::from("/000009.val");
    let file = fs.create_new(&path).unwrap();
    let mut writer = ValueWriter::new(file.clone(), path, 9, Compression::Lz4);
    writer.add(b"green").unwrap();
    writer.add(&[b'r'; 40]).unwrap();
    let summary = writer.finish().unwrap();
    let mut built = vec![0; summary.size as usize];
    file.read_exact_at(&mut built, 0).unwrap();
    let shown =
        |bytes: &[u8]| bytes.chunks(16).map(|row| format!("{row:02x?}\n")).collect::<String>();
    assert!(built == example_of(DOCUMENT), "built:\n{}", shown(&built));
}
