//! A scanner finds every whole record, and names all that is none.

use crate::support::*;
use kv_vfs::{Fs, Mode};
use kv_wal::{Found, RecordKind, RecordScanner};

/// The payloads of the data records, and the damaged stretches.
fn scan(fs: &dyn Fs, number: u64) -> (Vec<Vec<u8>>, Vec<(u64, u64)>) {
    let file = fs.open(&path(number), Mode::Read).unwrap();
    let mut scanner = RecordScanner::new(file, &path(number), number).unwrap();
    let (mut payloads, mut damage) = (Vec::new(), Vec::new());
    loop {
        match scanner.next().unwrap() {
            Found::Record(record) if record.kind == RecordKind::Data => {
                payloads.push(record.payload.to_vec());
            }
            Found::Record(_) => {}
            Found::Damage { offset, end, .. } => damage.push((offset, end)),
            Found::End { .. } => return (payloads, damage),
        }
    }
}

fn log() -> (kv_vfs::MemFs, Vec<Place>, Vec<Vec<u8>>) {
    let fs = disk();
    let log = start(&fs, 7, tight());
    let payloads: Vec<Vec<u8>> = (1..20).map(|n| vec![n as u8; n * 13]).collect();
    for payload in &payloads {
        put(&log, payload);
    }
    log.finish().unwrap();
    let places = places(&fs, [7]);
    (fs, places, payloads)
}

#[test]
fn a_sound_file_is_all_records() {
    let (fs, _, payloads) = log();
    assert_eq!(scan(&fs, 7), (payloads, vec![]));
}

#[test]
fn a_flipped_byte_costs_its_own_record_and_no_other() {
    let (fs, places, payloads) = log();
    let bytes = bytes_of(&fs, 7);
    // The first record is the segment's start, the last its end.
    for (i, place) in places.iter().enumerate() {
        for at in (place.offset..place.end).step_by(3) {
            let mut bent = bytes.clone();
            bent[at as usize] ^= 0x41;
            set_bytes(&fs, 7, &bent);
            let (found, damage) = scan(&fs, 7);
            let mut expected = payloads.clone();
            if (1..=payloads.len()).contains(&i) {
                expected.remove(i - 1);
            }
            assert!(found == expected, "byte {at} of record {i}");
            // Zeros at the end of the last record look like space that was never written.
            let [(offset, end)] = damage[..] else { panic!("byte {at}: {damage:?}") };
            let last = i + 1 == places.len();
            assert_eq!(offset, place.offset, "byte {at} of record {i}");
            assert!(end == place.end || (last && end < place.end), "byte {at} of record {i}");
        }
    }
}

#[test]
fn each_of_several_damaged_places_is_named() {
    let (fs, places, _) = log();
    let mut bytes = bytes_of(&fs, 7);
    for i in [3, 8, 12] {
        bytes[places[i].offset as usize + 33] ^= 1;
    }
    set_bytes(&fs, 7, &bytes);
    let expected: Vec<_> = [3, 8, 12].map(|i| (places[i].offset, places[i].end)).into();
    assert_eq!(scan(&fs, 7).1, expected);
}

#[test]
fn a_record_that_a_user_stores_is_not_taken_for_one_of_the_log() {
    let (fs, _, _) = log();
    let inner = bytes_of(&fs, 7);
    let fs = disk();
    let log = start(&fs, 7, tight());
    for payload in [b"before".as_slice(), &inner, b"behind"] {
        put(&log, payload);
    }
    let places = places(&fs, [7]);
    let mut bytes = bytes_of(&fs, 7);
    bytes[places[2].offset as usize + 40] ^= 1;
    set_bytes(&fs, 7, &bytes);
    assert_eq!(scan(&fs, 7).0, [b"before".to_vec(), b"behind".to_vec()]);
}

#[test]
fn records_that_were_cut_out_are_missed() {
    let (fs, places, payloads) = log();
    let mut bytes = bytes_of(&fs, 7);
    bytes.drain(places[5].offset as usize..places[6].end as usize);
    set_bytes(&fs, 7, &bytes);
    let (found, damage) = scan(&fs, 7);
    // Synced marks of later records may claim more than lies before them now; none is invented.
    assert!(found.iter().all(|payload| payloads.contains(payload)));
    assert!(!damage.is_empty());
}

#[test]
fn zeros_at_the_end_are_read_once_however_much_is_damaged() {
    let fs = disk();
    let log = start(&fs, 7, tight());
    for n in 0..4000u32 {
        put(&log, &n.to_le_bytes());
    }
    log.finish().unwrap();
    let mut bytes = bytes_of(&fs, 7);
    for place in places(&fs, [7]).iter().skip(1).step_by(2) {
        bytes[place.end as usize - 1] ^= 0xFF;
    }
    // With a look through the zeros for each damage, these were 64 GB.
    bytes.resize(bytes.len() + (32 << 20), 0);
    set_bytes(&fs, 7, &bytes);
    let clock = kv_vfs::StdFs::new().clock();
    let begun = clock.monotonic();
    let (found, damage) = scan(&fs, 7);
    assert_eq!((found.len(), damage.len()), (2000, 2001));
    let took = clock.monotonic() - begun;
    assert!(took.as_secs() < 20, "{took:?}");
}
