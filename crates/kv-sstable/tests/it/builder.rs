//! What the builder refuses, and what it does when the disk does.

use crate::support::*;
use kv_core::{Kind, Trailer};
use kv_sstable::{Compression, Error, TableBuilder, TableOptions};
use kv_vfs::{Fs, MemFs};
use std::path::PathBuf;

fn builder() -> TableBuilder {
    let (file, path) = new_file();
    TableBuilder::new(file, path, NUMBER, TableOptions::default())
}

#[test]
fn entries_out_of_order_are_refused_and_leave_the_table_as_it_was() {
    let mut builder = builder();
    let at = |seq| Trailer::new(seq, Kind::Put);
    builder.add(b"b", at(5), b"").unwrap();
    for (key, trailer) in [(&b"b"[..], at(5)), (b"b", at(6)), (b"a", at(9)), (b"", at(1))] {
        let refused = builder.add(key, trailer, b"");
        assert!(matches!(refused, Err(Error::Order { .. })), "{refused:?}");
    }
    builder.add(b"b", at(4), b"").unwrap();
    builder.add(b"b\0", at(9), b"").unwrap();
    assert_eq!(builder.finish().unwrap().entries, 3);
}

#[test]
fn the_empty_key_is_a_key_with_versions() {
    let mut builder = builder();
    builder.add(b"", Trailer::new(5, Kind::Put), b"").unwrap();
    builder.add(b"", Trailer::new(4, Kind::Put), b"").unwrap();
    assert!(builder.add(b"", Trailer::new(4, Kind::Put), b"").is_err());
}

#[test]
fn what_is_no_entry_is_refused() {
    let mut builder = builder();
    for (trailer, value) in [
        (Trailer::new(1, Kind::RangeDelete), &b"z"[..]),
        (Trailer::new(1, Kind::PutExpiring), b"1234567"),
        (Trailer::from_raw(1 << 8), b""),
    ] {
        let refused = builder.add(b"k", trailer, value);
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    }
    assert!(builder.is_empty());
}

#[test]
fn a_full_disk_is_told_by_every_call_from_then_on() {
    let fs = MemFs::with_capacity(100 << 10);
    let path = PathBuf::from("/000007.sst");
    let file = fs.create_new(&path).unwrap();
    let options = TableOptions { block_size: 1, bloom_bits: 0.0, compression: Compression::None };
    let mut builder = TableBuilder::new(file, path, NUMBER, options);
    let mut failures = 0;
    for n in 0..300u32 {
        let added = builder.add(&n.to_be_bytes(), Trailer::new(1, Kind::Put), &[7; 10_000]);
        match added {
            Ok(()) => assert_eq!(failures, 0),
            Err(Error::Io { source, .. }) => {
                assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
                fs.set_capacity(100 << 20);
                failures += 1;
            }
            Err(e) => panic!("{e}"),
        }
        if failures > 3 {
            break;
        }
    }
    assert!(failures > 3);
    assert!(matches!(builder.finish(), Err(Error::Io { .. })));
}
