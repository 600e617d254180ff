//! Every byte changed and every length cut: what was durable is missed, the rest is a torn tail,
//! and nothing wrong is ever delivered.

use crate::support::{
    Place, bytes_of, disk, path, places, put, put_synced, read, segment, set_bytes, start, tight,
};
use kv_vfs::MemFs;
use kv_wal::{Error, Log, Replay};

/// A log of three segments that lie in memory.
struct Sample {
    name: &'static str,
    fs: MemFs,
    places: Vec<Place>,
    payloads: Vec<Vec<u8>>,
}

impl Sample {
    fn new(name: &'static str, write: impl FnOnce(&MemFs, &Log)) -> Sample {
        let fs = disk();
        let log = start(&fs, 1, tight());
        write(&fs, &log);
        let places = places(&fs, 1..=3);
        let (payloads, outcome) = read(&fs, 1..=3);
        assert_eq!(outcome.unwrap().cut, None, "{name}");
        Sample { name, fs, places, payloads }
    }

    /// Whether the log says that the record at `lost` was durable, where the records of its own
    /// segment are left if `own` says so.
    fn was_durable(&self, lost: &Place, own: bool) -> bool {
        self.places.iter().any(|witness| {
            let later_segment = witness.number > lost.number;
            let later_record = witness.number == lost.number && witness.offset > lost.offset;
            later_segment && (witness.synced > 0 || witness.older_durable)
                || own && later_record && witness.synced > lost.offset
        })
    }

    /// How many payloads lie before a record.
    fn before(&self, lost: &Place) -> usize {
        let earlier = |p: &&Place| (p.number, p.offset) < (lost.number, lost.offset);
        let start_records = |p: &&Place| p.offset > 0;
        self.places.iter().filter(earlier).filter(start_records).count()
    }

    /// Reads the log with other bytes in one segment.
    fn with(&self, number: u64, bytes: &[u8]) -> (Vec<Vec<u8>>, Result<Replay, Error>) {
        let original = bytes_of(&self.fs, number);
        set_bytes(&self.fs, number, bytes);
        let outcome = read(&self.fs, 1..=3);
        set_bytes(&self.fs, number, &original);
        let (payloads, _) = &outcome;
        assert!(self.payloads.starts_with(payloads), "{}: never anything else", self.name);
        outcome
    }

    /// What came of a segment in which the record at `lost` cannot be read.
    fn check(&self, context: &str, lost: &Place, own: bool, number: u64, bytes: &[u8]) {
        let context = format!("{}, segment {number}, {context}: {lost:?}", self.name);
        let (payloads, outcome) = self.with(number, bytes);
        if self.was_durable(lost, own) {
            let Err(Error::Corrupt { path: at, offset, .. }) = outcome else {
                panic!("{context}: {outcome:?}")
            };
            let place = (at, offset);
            let next_segment = (path(lost.number + 1), 0);
            let emptied = lost.offset == 0 && place == next_segment;
            assert!(emptied || place == (path(lost.number), lost.offset), "{context}: {place:?}");
        } else {
            let replay = outcome.unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(payloads.len(), self.before(lost), "{context}");
            assert!(!replay.clean_end, "{context}");
            if let Some(cut) = replay.cut {
                let place = (cut.number, cut.offset);
                let emptied = lost.offset == 0 && place == (lost.number + 1, 0);
                assert!(emptied || place == (lost.number, lost.offset), "{context}: {cut:?}");
            }
        }
    }
}

fn samples() -> [Sample; 4] {
    let unsynced = Sample::new("unsynced", |fs, log| {
        put(log, b"one");
        put(log, b"two");
        log.roll(segment(fs, 2), |_| ()).unwrap();
        put(log, b"");
        put(log, b"four");
        log.roll(segment(fs, 3), |_| ()).unwrap();
        put(log, b"five");
    });
    let synced_between = Sample::new("synced between", |fs, log| {
        put(log, b"one");
        put_synced(log, b"two");
        put(log, &[0; 40]);
        log.roll(segment(fs, 2), |_| ()).unwrap();
        put_synced(log, b"four");
        put(log, b"five");
        log.roll(segment(fs, 3), |_| ()).unwrap();
        put(log, b"six");
        put_synced(log, b"seven");
        put(log, b"eight");
        put(log, b"nine");
    });
    let older_synced = Sample::new("older synced", |fs, log| {
        put(log, b"one");
        log.roll(segment(fs, 2), |_| ()).unwrap();
        put(log, b"two");
        log.sync_closed().unwrap();
        put(log, b"three");
        log.roll(segment(fs, 3), |_| ()).unwrap();
        put(log, b"four");
    });
    let finished = Sample::new("finished", |fs, log| {
        put(log, b"one");
        log.roll(segment(fs, 2), |_| ()).unwrap();
        put(log, b"two");
        log.roll(segment(fs, 3), |_| ()).unwrap();
        put(log, b"three");
        log.finish().unwrap();
    });
    [unsynced, synced_between, older_synced, finished]
}

#[test]
fn each_byte_changed() {
    for sample in samples() {
        for number in 1..=3 {
            let original = bytes_of(&sample.fs, number);
            for at in 0..original.len() {
                for mask in [0xFF, 0x01, 0x80] {
                    let mut bytes = original.clone();
                    bytes[at] ^= mask;
                    let hit =
                        |p: &&Place| p.number == number && (p.offset..p.end).contains(&(at as u64));
                    match sample.places.iter().find(hit) {
                        Some(lost) => {
                            let context = format!("byte {at} ^ {mask:#x}");
                            sample.check(&context, lost, true, number, &bytes);
                        }
                        None => check_behind(&sample, number, &bytes),
                    }
                }
            }
        }
    }
}

/// What lies behind the records is nobody's, but in the last segment it may be a torn record.
fn check_behind(sample: &Sample, number: u64, bytes: &[u8]) {
    let (payloads, outcome) = sample.with(number, bytes);
    let replay = outcome.unwrap();
    assert_eq!(payloads.len(), sample.payloads.len());
    assert_eq!(replay.cut.is_some(), number == 3);
}

#[test]
fn each_length_cut_and_each_tail_zeroed() {
    for sample in samples() {
        for number in 1..=3 {
            let original = bytes_of(&sample.fs, number);
            for len in 0..original.len() {
                let cut_off = |p: &&Place| p.number == number && p.end > len as u64;
                let lost = sample.places.iter().find(cut_off);
                let mut zeroed = original.clone();
                zeroed[len..].fill(0);
                // A zero that was there before is not lost.
                let lost_by_zeros = sample.places.iter().filter(cut_off).find(|p| {
                    let rest = len.max(p.offset as usize)..p.end as usize;
                    original[rest].iter().any(|byte| *byte != 0)
                });
                let ways =
                    [("cut", &original[..len], lost), ("zeroed", &zeroed[..], lost_by_zeros)];
                for (way, bytes, lost) in ways {
                    match lost {
                        Some(lost) => {
                            sample.check(&format!("{way} at {len}"), lost, false, number, bytes);
                        }
                        None => {
                            let (payloads, outcome) = sample.with(number, bytes);
                            assert_eq!(payloads.len(), sample.payloads.len(), "{way} at {len}");
                            assert_eq!(outcome.unwrap().cut, None, "{way} at {len}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn each_record_lost_alone() {
    for sample in samples() {
        for lost in &sample.places {
            for fill in [0x00, 0xA5] {
                let mut bytes = bytes_of(&sample.fs, lost.number);
                bytes[lost.offset as usize..lost.end as usize].fill(fill);
                sample.check(&format!("filled with {fill}"), lost, true, lost.number, &bytes);
            }
        }
    }
}

/// What a crash may show in place of a write: the contents of a file that is gone.
#[test]
fn records_of_another_segment_are_not_taken() {
    let [sample, ..] = samples();
    for (number, other) in [(1, 2), (2, 3), (3, 1)] {
        let stale = bytes_of(&sample.fs, other);
        for lost in sample.places.iter().filter(|p| p.number == number) {
            let mut bytes = bytes_of(&sample.fs, number);
            bytes.truncate(lost.offset as usize);
            bytes.extend(&stale);
            sample.check("stale", lost, false, number, &bytes);
        }
    }
}

/// A record of this segment in another of its places is no crash's doing.
#[test]
fn a_record_in_the_wrong_place_is_damage() {
    let [sample, ..] = samples();
    let mut bytes = bytes_of(&sample.fs, 1);
    let record = |n: usize| sample.places[n].offset as usize..sample.places[n].end as usize;
    assert_eq!(record(1).len(), record(2).len());
    bytes.copy_within(record(2), record(1).start);
    let (payloads, outcome) = sample.with(1, &bytes);
    assert!(payloads.is_empty());
    let at = sample.places[1].offset;
    assert!(matches!(outcome, Err(Error::Corrupt { offset, .. }) if offset == at));
}

#[test]
fn what_was_cut_is_reported() {
    let [sample, ..] = samples();
    let lost = &sample.places[2];
    let bytes = bytes_of(&sample.fs, 1);
    let (_, outcome) = sample.with(1, &bytes[..lost.offset as usize + 9]);
    let cut = outcome.unwrap().cut.unwrap();
    let len = |number| sample.places.iter().filter(|p| p.number == number).map(|p| p.end).max();
    assert_eq!((cut.number, cut.path, cut.offset), (1, path(1), lost.offset));
    assert_eq!(cut.bytes_cut, 9 + len(2).unwrap() + len(3).unwrap());
    assert_eq!(cut.segments_dropped, [2, 3]);
    assert_eq!(cut.reason, "there is no room for a record");
}

#[test]
fn corruption_says_how_it_is_known() {
    let [_, sample, ..] = samples();
    let mut bytes = bytes_of(&sample.fs, 1);
    let at = sample.places[1].offset;
    bytes[at as usize + 33] ^= 1;
    let error = sample.with(1, &bytes).1.unwrap_err().to_string();
    let expected = format!(
        "/log/000001.log is damaged at offset {at}: the checksum of the record there is wrong, and \
         the record at offset {} says that it had been made durable; restore the file from a backup",
        sample.places[3].offset
    );
    assert_eq!(error, expected);
}
