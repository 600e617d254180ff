//! A value file gives back what was put into it, by pointers alone, and nothing else.

use kv_core::{ValuePointer, checksum_with};
use kv_sstable::{Compression, Error, ValueFile, ValueWriter};
use kv_vfs::{Fs, FsFile, FsFileExt, MemFs};
use proptest::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

const NUMBER: u64 = 9;

fn path() -> PathBuf {
    PathBuf::from("/000009.val")
}

/// A file with these values, its pointers and its bytes.
fn built(values: &[Vec<u8>], compression: Compression) -> (Vec<ValuePointer>, Vec<u8>) {
    let fs = MemFs::new();
    let file = fs.create_new(&path()).unwrap();
    let mut writer = ValueWriter::new(Arc::clone(&file), path(), NUMBER, compression);
    let pointers = values.iter().map(|value| writer.add(value).unwrap()).collect();
    let summary = writer.finish().unwrap();
    let mut bytes = vec![0; summary.size as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(summary.checksum, kv_core::hash64(&bytes));
    assert_eq!(summary.records, values.len() as u64);
    (pointers, bytes)
}

fn opened(bytes: &[u8]) -> Arc<ValueFile> {
    let fs = MemFs::new();
    let file: Arc<dyn FsFile> = fs.create_new(&path()).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    ValueFile::open_alone(file, path(), NUMBER).unwrap()
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..300);
    let run = (any::<u8>(), 0..3000_usize).prop_map(|(byte, len)| vec![byte; len]);
    (noise, run).prop_map(|(noise, run)| [noise, run].concat())
}

fn compression() -> impl Strategy<Value = Compression> {
    prop_oneof![Just(Compression::None), Just(Compression::Lz4), Just(Compression::Snappy)]
}

proptest! {
    #[test]
    fn every_value_comes_back(
        values in prop::collection::vec(value(), 1..8),
        compression in compression(),
    ) {
        let (pointers, bytes) = built(&values, compression);
        let file = opened(&bytes);
        for (value, pointer) in values.iter().zip(&pointers) {
            prop_assert_eq!(&file.read(pointer).unwrap(), value);
            prop_assert!(file.check_pointer(pointer).is_ok());
        }
        prop_assert_eq!(file.verify().len(), 0);
        let ends = pointers.iter().map(|p| p.offset + u64::from(p.stored));
        prop_assert_eq!(ends.max(), Some(bytes.len() as u64 - 48));
    }

    /// A moved value is what it was, whatever the codec of the file that it goes to.
    #[test]
    fn a_moved_value_is_what_it_was(value in value(), from in compression(), to in compression()) {
        let (pointers, bytes) = built(std::slice::from_ref(&value), from);
        let stored = opened(&bytes).read_stored(&pointers[0]).unwrap();
        let fs = MemFs::new();
        let file = fs.create_new(&path()).unwrap();
        let mut writer = ValueWriter::new(Arc::clone(&file), path(), 77, to);
        writer.add(b"another").unwrap();
        let moved = writer.add_stored(&stored).unwrap();
        writer.finish().unwrap();
        let file = ValueFile::open_alone(file, path(), 77).unwrap();
        prop_assert_eq!(file.read(&moved).unwrap(), value);
        prop_assert_eq!(file.verify().len(), 0);
    }

    /// Any damage to a record is told by its offset, or was in another one.
    #[test]
    fn damage_is_told_and_never_read(
        values in prop::collection::vec(value(), 1..5),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
        compression in compression(),
    ) {
        let (pointers, mut bytes) = built(&values, compression);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let file = opened(&bytes);
        let mut told = false;
        for (value, pointer) in values.iter().zip(&pointers) {
            let range = pointer.offset..pointer.offset + u64::from(pointer.stored);
            match file.read(pointer) {
                Ok(read) => prop_assert_eq!(&read, value),
                Err(Error::Corrupt { offset, .. }) => {
                    prop_assert!(range.contains(&(at as u64)));
                    prop_assert_eq!(offset, pointer.offset);
                    told = true;
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
        let in_footer = at >= bytes.len() - 48;
        prop_assert!(told || in_footer);
        prop_assert!(!file.verify().is_empty());
    }

    /// Any header under a checksum that is right, and any pointer, end in an answer or an error,
    /// and in no more memory than the bytes explain.
    #[test]
    fn forged_records_and_pointers_never_panic(
        header in prop::array::uniform8(any::<u8>()),
        codec in 0..5_u8,
        kind in 0..3_u8,
        payload in prop::collection::vec(any::<u8>(), 0..200),
        pointer in (0..300_u64, any::<u32>(), any::<u32>(), any::<bool>()),
    ) {
        let mut covered = header.to_vec();
        covered[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        covered.extend([codec, kind, 0, 0]);
        let sum = checksum_with(NUMBER, 0, &[&covered, &payload]);
        let bytes = [&sum.to_le_bytes()[..], &covered, &payload, &[0; 48]].concat();
        let file = opened(&bytes);
        let _ = file.verify();
        let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let whole = ValuePointer { file: NUMBER, offset: 0, stored: payload.len() as u32 + 16, len };
        if let Ok(value) = file.read(&whole) {
            prop_assert_eq!(value.len(), len as usize);
        }
        let (offset, stored, len, same) = pointer;
        let wild = ValuePointer { file: NUMBER + u64::from(!same), offset, stored, len };
        let _ = file.read(&wild);
        prop_assert!(same || file.read(&wild).is_err());
    }

    #[test]
    fn any_bytes_are_dumped_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut text = String::new();
        let detail = kv_sstable::DumpDetail { blocks: true, entries: true, values: true };
        prop_assert!(opened(&bytes).dump(detail, &mut text).unwrap() > 0);
    }
}

#[test]
fn a_file_of_another_number_or_length_is_not_read() {
    let (pointers, bytes) = built(&[vec![b'x'; 2000]], Compression::None);
    let fs = MemFs::new();
    let file: Arc<dyn FsFile> = fs.create_new(&path()).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
    let other = ValueFile::open_alone(Arc::clone(&file), path(), 10).unwrap();
    assert!(other.read(&pointers[0]).is_err(), "the pointer names another file");
    let misplaced = ValuePointer { file: 10, ..pointers[0] };
    assert!(matches!(other.read(&misplaced), Err(Error::Corrupt { offset: 0, .. })));
    let size = bytes.len() as u64;
    assert!(ValueFile::open(Arc::clone(&file), path(), NUMBER, size).is_ok());
    let short = ValueFile::open(Arc::clone(&file), path(), NUMBER, size + 1);
    assert!(short.unwrap_err().to_string().contains("value file"));
    assert_eq!(ValueFile::number_in(&file, &path()).unwrap(), Some(NUMBER));
    file.set_len(size - 60).unwrap();
    let cut = ValueFile::open_alone(file, path(), NUMBER).unwrap();
    assert!(cut.read(&pointers[0]).is_err());
}
