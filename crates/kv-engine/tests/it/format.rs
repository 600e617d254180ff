//! Files of a newer release are refused by name and left alone.

use crate::support::*;
use kv_engine::{Db, ErrorKind};

/// Where docs/format puts things: a record's header, and behind it a snapshot's first field.
const HEADER_LEN: usize = 32;
const VERSION_AT: usize = HEADER_LEN + 3;

/// The CRC-32 of zlib, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}

#[test]
fn a_newer_format_is_refused_and_nothing_changes() {
    let w = World::plain();
    w.open().put("k", "v").unwrap();
    let manifest = w.files().into_keys().find(|name| name.starts_with("MANIFEST")).unwrap();
    w.rewrite(&manifest, |bytes| {
        let len = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
        let record = 4..HEADER_LEN + len;
        assert_eq!(bytes[..4], crc32(&bytes[record.clone()]).to_le_bytes());
        assert_eq!(bytes[HEADER_LEN..=VERSION_AT], [1, 1, 1, 1], "a snapshot of format 1");
        bytes[VERSION_AT] = 77;
        let sealed = crc32(&bytes[record]).to_le_bytes();
        bytes[..4].copy_from_slice(&sealed);
    });
    let before = w.files();
    for options in [w.options(), w.options().read_only(true)] {
        let error = refused(Db::open(DIR, options));
        assert_eq!(error.kind(), ErrorKind::IncompatibleFormat, "{error}");
        let said = error.to_string();
        assert!(said.contains(&manifest), "names the file: {said}");
        assert!(said.contains("77"), "names the version: {said}");
        assert!(w.files() == before);
    }
}
