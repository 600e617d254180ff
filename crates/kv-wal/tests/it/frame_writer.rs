//! One writer, one file: the same records and the same rules, without the threads.

use crate::support::{bytes_of, disk, failing_disk, path, set_bytes};
use kv_vfs::{Fault, Fs, FsFile, MemFs, Mode, OpKind};
use kv_wal::{Error, FrameWriter, RecordKind, RecordReader, Step};
use std::io;
use std::sync::Arc;

fn writer(fs: &dyn Fs) -> FrameWriter {
    FrameWriter::new(fs.create_new(&path(4)).unwrap(), path(4), 4)
}

fn reader(fs: &dyn Fs) -> RecordReader {
    let file: Arc<dyn FsFile> = fs.open(&path(4), Mode::Read).unwrap();
    RecordReader::new(file, &path(4), 4).unwrap()
}

/// The payloads, and the final step in words.
fn read(fs: &MemFs) -> (Vec<Vec<u8>>, String) {
    let (mut payloads, mut reader) = (Vec::new(), reader(fs));
    loop {
        match reader.next().unwrap() {
            Step::Record(record) => payloads.push(record.payload.to_vec()),
            Step::End { offset } => return (payloads, format!("end at {offset}")),
            Step::Torn { offset, .. } => return (payloads, format!("torn at {offset}")),
            Step::Corrupt { offset, .. } => return (payloads, format!("corrupt at {offset}")),
        }
    }
}

#[test]
fn records_come_back_with_their_headers() {
    let fs = disk();
    let mut writer = writer(&fs);
    assert_eq!(writer.append(7, &[b"ab", b"c"]).unwrap(), 35);
    writer.sync().unwrap();
    assert_eq!(writer.append(9, &[b"d"]).unwrap(), 68);
    assert_eq!(writer.offset(), 68);

    let mut reader = reader(&fs);
    for (seq, synced, index, offset, payload) in
        [(7, 0, 0, 0, &b"abc"[..]), (9, 35, 1, 35, &b"d"[..])]
    {
        let Step::Record(record) = reader.next().unwrap() else { panic!() };
        assert_eq!((record.kind, record.flags), (RecordKind::Data, 0));
        assert_eq!((record.first_seq, record.synced, record.index), (seq, synced, index));
        assert_eq!((record.offset, record.payload), (offset, payload));
    }
    assert_eq!(reader.next().unwrap(), Step::End { offset: 68 });
    assert_eq!(read(&fs.crash_with(&mut |_| true)).0.len(), 2);
}

#[test]
fn damage_before_a_sync_is_not_a_torn_tail() {
    let fs = disk();
    let mut writer = writer(&fs);
    writer.append(1, &[b"first"]).unwrap();
    writer.sync().unwrap();
    writer.append(2, &[b"second"]).unwrap();
    let bytes = bytes_of(&fs, 4);
    for (at, expected) in [(36, "corrupt at 0"), (40, "torn at 37"), (70, "torn at 37")] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        set_bytes(&fs, 4, &damaged);
        assert_eq!(read(&fs).1, expected, "byte {at}");
    }
}

#[test]
fn no_space_passes_and_a_failed_write_stays() {
    let (faulty, fs) = failing_disk();
    let mut writer = writer(&faulty);
    writer.append(1, &[b"a"]).unwrap();
    fs.set_capacity(0);
    assert!(matches!(writer.append(2, &[&[0; 60_000]]), Err(Error::NoSpace { .. })));
    assert!(writer.failure().is_none());
    fs.set_capacity(u64::MAX);
    writer.append(2, &[&[0; 60_000]]).unwrap();
    assert_eq!(read(&fs).0.len(), 2);

    faulty.arm(Fault::new(OpKind::Write, io::ErrorKind::Other).times(1));
    assert!(matches!(writer.append(3, &[b"c"]), Err(Error::Poisoned { op: "write", .. })));
    assert!(matches!(writer.append(3, &[b"c"]), Err(Error::Poisoned { .. })));
    assert!(matches!(writer.sync(), Err(Error::Poisoned { .. })));
    assert!(writer.failure().is_some());
}

#[test]
fn a_failed_sync_stays() {
    let (faulty, _) = failing_disk();
    let mut writer = writer(&faulty);
    writer.append(1, &[b"a"]).unwrap();
    faulty.arm(Fault::new(OpKind::Sync, io::ErrorKind::Other).times(1));
    assert!(matches!(writer.sync(), Err(Error::Poisoned { op: "sync", .. })));
    assert!(matches!(writer.sync(), Err(Error::Poisoned { .. })));
    assert!(matches!(writer.append(2, &[b"b"]), Err(Error::Poisoned { .. })));
}

/// Its checksum is right, so no crash has put it there.
#[test]
fn a_record_out_of_turn_is_damage() {
    let fs = disk();
    let mut writer = writer(&fs);
    for seq in 1..=3 {
        writer.append(seq, &[b"same length"]).unwrap();
    }
    let mut bytes = bytes_of(&fs, 4);
    bytes.copy_within(86..129, 43);
    set_bytes(&fs, 4, &bytes);
    assert_eq!(read(&fs), (vec![b"same length".to_vec()], "corrupt at 43".into()));
}
