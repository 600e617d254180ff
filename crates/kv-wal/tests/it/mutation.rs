//! The reader on bytes that anyone may have changed in any way.

use crate::support::{append, bytes_of, disk, path, put_synced, read, segment, start, tight};
use kv_vfs::{Fs, FsFileExt, MemFs, Mode};
use kv_wal::{RecordReader, Step};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Change {
    Flip(usize, u8),
    Zero(usize, usize),
    Copy(usize, usize, usize),
    Cut(usize),
    Garbage(Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let (at, len) = (0..2000_usize, 0..600_usize);
    prop_oneof![
        (at.clone(), 1..=255_u8).prop_map(|(at, mask)| Change::Flip(at, mask)),
        (at.clone(), len.clone()).prop_map(|(at, len)| Change::Zero(at, len)),
        (at.clone(), at.clone(), len).prop_map(|(from, to, len)| Change::Copy(from, to, len)),
        at.prop_map(Change::Cut),
        prop::collection::vec(any::<u8>(), 0..100).prop_map(Change::Garbage),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let len = bytes.len();
    match *change {
        Change::Flip(at, mask) => bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= mask),
        Change::Zero(at, n) => bytes.iter_mut().skip(at).take(n).for_each(|b| *b = 0),
        Change::Copy(from, to, n) => {
            let n = n.min(len.saturating_sub(from)).min(len.saturating_sub(to));
            if n > 0 {
                bytes.copy_within(from..from + n, to);
            }
        }
        Change::Cut(at) => bytes.truncate(at),
        Change::Garbage(ref more) => bytes.extend(more),
    }
}

/// Puts the right checksum on whatever lies at `at`.
fn forge(bytes: &mut [u8], at: usize, len: u32) {
    let Some(record) = bytes.get_mut(at..at + 32 + len as usize) else { return };
    record[4..8].copy_from_slice(&len.to_le_bytes());
    let crc = crc32fast::hash(&record[4..]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Two segments; payloads of many lengths; some of it synced.
fn sample() -> (MemFs, Vec<Vec<u8>>) {
    let fs = disk();
    let log = start(&fs, 1, tight());
    let mut payloads = Vec::new();
    for n in 0..16_usize {
        let payload = vec![n as u8; n * n];
        match n % 4 {
            3 => drop(put_synced(&log, &payload)),
            _ => drop(append(&log, &payload).unwrap()),
        }
        payloads.push(payload);
        if n == 9 {
            log.roll(segment(&fs, 2), |_| ()).unwrap();
        }
    }
    log.write_to(log.end()).unwrap();
    (fs, payloads)
}

fn rewrite(fs: &MemFs, number: u64, bytes: &[u8]) {
    crate::support::set_bytes(fs, number, bytes);
}

/// Reads all records of a file; it ends, and the end stays.
fn drain(fs: &MemFs, number: u64) -> Vec<Vec<u8>> {
    let file = fs.open(&path(number), Mode::Read).unwrap();
    let len = file.len().unwrap();
    let mut reader = RecordReader::new(file, &path(number), number).unwrap();
    let mut payloads = Vec::new();
    while let Step::Record(record) = reader.next().unwrap() {
        payloads.push(record.payload.to_vec());
        assert!(payloads.len() as u64 * 32 <= len);
    }
    let offset = reader.offset();
    let last = reader.next().unwrap();
    assert!(!matches!(last, Step::Record(_)) && offset <= len);
    payloads
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Whatever happens to the bytes, what is delivered was appended, in order from the start.
    #[test]
    fn only_a_prefix_is_ever_delivered(
        number in 1..=2_u64,
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let (fs, payloads) = sample();
        let mut bytes = bytes_of(&fs, number);
        for change in &changes {
            apply(&mut bytes, change);
        }
        rewrite(&fs, number, &bytes);
        let (seen, outcome) = read(&fs, 1..=2);
        prop_assert!(payloads.starts_with(&seen));
        if let Ok(replay) = outcome {
            prop_assert!(seen.len() == payloads.len() || replay.cut.is_some() || number == 2);
        }
        drain(&fs, number);
    }

    /// Right checksums on wrong bytes: any answer, but an answer.
    #[test]
    fn forged_records_are_answered(
        changes in prop::collection::vec(change(), 0..4),
        forged in prop::collection::vec((0..2000_usize, 0..400_u32), 1..5),
    ) {
        let (fs, _) = sample();
        let mut bytes = bytes_of(&fs, 1);
        for change in &changes {
            apply(&mut bytes, change);
        }
        for (at, len) in forged {
            forge(&mut bytes, at, len);
        }
        rewrite(&fs, 1, &bytes);
        drop(read(&fs, 1..=2));
        drain(&fs, 1);
    }

    #[test]
    fn arbitrary_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let fs = disk();
        let file = fs.create_new(&path(1)).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        let (payloads, outcome) = read(&fs, [1]);
        prop_assert!(payloads.is_empty());
        prop_assert!(outcome.is_ok_and(|replay| replay.records == 0));
    }
}

/// Places that all look like long records cost time in proportion to the file, not to its square.
#[test]
fn overlapping_candidates_end_the_search() {
    let fs = disk();
    let file = fs.create_new(&path(1)).unwrap();
    let mut bytes = vec![0_u8; 3 << 20];
    for (n, header) in bytes.chunks_exact_mut(32).enumerate() {
        let left = (3 << 20) - 32 * (n as u32 + 1);
        header[4..8].copy_from_slice(&left.to_le_bytes());
        header[8] = 1;
        header[12..16].copy_from_slice(&1_u32.to_le_bytes());
    }
    file.write_all_at(&bytes, 0).unwrap();
    let mut reader = RecordReader::new(file, &path(1), 1).unwrap();
    let Step::Corrupt { offset: 0, reason } = reader.next().unwrap() else { panic!() };
    assert!(reason.contains("too much behind it looks like records"), "{reason}");
}

/// A length that nothing confirms is not believed: neither memory nor an end comes of it.
#[test]
fn a_length_as_long_as_the_file_is_checked_first() {
    let fs = disk();
    let file = fs.create_new(&path(1)).unwrap();
    let len = 8_u32 << 20;
    file.set_len(u64::from(len) + 32).unwrap();
    let mut header = [0; 32];
    header[4..8].copy_from_slice(&len.to_le_bytes());
    header[8] = 1;
    header[12..16].copy_from_slice(&1_u32.to_le_bytes());
    file.write_all_at(&header, 0).unwrap();
    let mut reader = RecordReader::new(file, &path(1), 1).unwrap();
    assert!(matches!(reader.next().unwrap(), Step::Torn { offset: 0, .. }));
}
