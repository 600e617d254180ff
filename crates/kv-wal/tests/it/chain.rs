//! Segments are one log: none may be missing, short, or another's.

use crate::support::{
    bytes_of, disk, path, places, put, put_synced, read, segment, set_bytes, start, tight,
};
use kv_vfs::{Fs, MemFs};
use kv_wal::{Error, FrameWriter, Log, LogOptions, Replay, replay};

/// A log of three segments with two records each; `durable` syncs the last but one.
fn three(durable: bool) -> MemFs {
    let fs = disk();
    let log = start(&fs, 1, tight());
    for number in 1..=3 {
        if number > 1 {
            log.roll(segment(&fs, number), |_| ()).unwrap();
        }
        put(&log, format!("first of {number}").as_bytes());
        if durable && number == 3 {
            put_synced(&log, b"synced");
        }
        put(&log, format!("last of {number}").as_bytes());
    }
    fs
}

fn assert_corrupt(outcome: &Result<Replay, Error>, number: u64, at: u64, says: &str) {
    let Err(Error::Corrupt { path: damaged, offset, reason }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((damaged, *offset), (&path(number), at));
    assert!(reason.contains(says), "{reason}");
}

#[test]
fn a_missing_segment_is_found() {
    let (payloads, outcome) = read(&three(true), [1, 3]);
    assert_eq!(payloads.len(), 2);
    assert_corrupt(&outcome, 3, 0, "it continues segment 2, of which nothing is there");

    let (payloads, outcome) = read(&three(false), [1, 3]);
    let replay = outcome.unwrap();
    assert_eq!(payloads, [b"first of 1".to_vec(), b"last of 1".to_vec()]);
    let cut = replay.cut.unwrap();
    assert_eq!((cut.number, cut.offset, replay.last_seq), (3, 0, 2));
    assert_eq!(replay.end_of_last.unwrap().number, 1);
}

#[test]
fn an_emptied_first_segment_is_found() {
    let fs = three(true);
    set_bytes(&fs, 1, &[0; 4096]);
    let (payloads, outcome) = read(&fs, 1..=3);
    assert!(payloads.is_empty());
    assert_corrupt(&outcome, 2, 0, "it continues segment 1");

    let fs = three(false);
    set_bytes(&fs, 1, b"");
    let replay = read(&fs, 1..=3).1.unwrap();
    let cut = replay.cut.unwrap();
    assert_eq!((cut.number, cut.segments_dropped, replay.records), (2, vec![3], 0));
    assert_eq!(replay.end_of_last, None);
}

/// There is no mark at the end of a record that could be missing; the next segment knows.
#[test]
fn a_cut_exactly_between_two_records_is_found() {
    for durable in [true, false] {
        let fs = three(durable);
        let boundary = places(&fs, [1])[1].end;
        let bytes = bytes_of(&fs, 1);
        set_bytes(&fs, 1, &bytes[..boundary as usize]);
        let (payloads, outcome) = read(&fs, 1..=3);
        assert_eq!(payloads, [b"first of 1"]);
        if durable {
            assert_corrupt(&outcome, 1, boundary, "the next segment says that it is longer");
        } else {
            let cut = outcome.unwrap().cut.unwrap();
            assert_eq!((cut.number, cut.offset), (1, boundary));
            assert_eq!(cut.segments_dropped, [2, 3]);
        }
    }
}

#[test]
fn what_lies_behind_the_named_end_does_not_matter() {
    let fs = three(true);
    let mut bytes = bytes_of(&fs, 1);
    bytes.truncate(places(&fs, [1])[2].end as usize);
    bytes.extend_from_slice(&[0xAB; 100]);
    set_bytes(&fs, 1, &bytes);
    let (payloads, outcome) = read(&fs, 1..=3);
    assert_eq!((payloads.len(), outcome.unwrap().cut), (7, None));
}

#[test]
fn nothing_counts_behind_an_end_record() {
    let fs = disk();
    let log = start(&fs, 1, tight());
    put(&log, b"a");
    log.finish().unwrap();
    let mut bytes = bytes_of(&fs, 1);
    bytes.extend_from_slice(&[0xAB; 100]);
    set_bytes(&fs, 1, &bytes);
    let replay = read(&fs, [1]).1.unwrap();
    assert!(replay.clean_end && replay.cut.is_none());
}

/// The same length and the same numbers, but not the records that were continued.
#[test]
fn another_history_of_the_same_length_is_found() {
    let (fs, other) = (three(true), disk());
    let log = start(&other, 1, tight());
    put(&log, b"first of 9");
    put(&log, b"last of 9");
    set_bytes(&fs, 1, &bytes_of(&other, 1));
    let end = places(&other, [1])[2].end;
    assert_corrupt(&read(&fs, 1..=3).1, 1, end, "not those that the next segment names");
}

#[test]
fn a_record_that_crosses_the_named_end_is_found() {
    let (fs, other) = (three(true), disk());
    let log = start(&other, 1, tight());
    put(&log, &[1; 200]);
    set_bytes(&fs, 1, &bytes_of(&other, 1));
    let end = places(&other, [1])[1].end;
    assert_corrupt(&read(&fs, 1..=3).1, 1, end, "not those that the next segment names");
}

#[test]
fn a_segment_that_continues_nothing_may_only_be_the_first() {
    for durable in [true, false] {
        let fs = three(false);
        let log = Log::start(segment(&fs, 4), None, 7, LogOptions::default()).unwrap();
        put(&log, b"a");
        if durable {
            put_synced(&log, b"b");
            put(&log, b"c");
        }
        let (payloads, outcome) = read(&fs, 1..=4);
        assert_eq!(payloads.len(), 6);
        if durable {
            assert_corrupt(&outcome, 4, 0, "it does not continue segment 3");
        } else {
            assert_eq!(outcome.unwrap().cut.unwrap().number, 4);
        }
    }
}

#[test]
fn a_log_that_was_cut_is_continued_at_the_cut() {
    let fs = three(false);
    let lost = places(&fs, [3])[2];
    let mut bytes = bytes_of(&fs, 3);
    bytes[lost.offset as usize] ^= 1;
    set_bytes(&fs, 3, &bytes);
    let replay = read(&fs, 1..=3).1.unwrap();
    assert_eq!(replay.cut.unwrap().offset, lost.offset);

    let log = Log::start(segment(&fs, 4), replay.end_of_last, replay.last_seq + 1, tight());
    let log = log.unwrap();
    put(&log, b"instead");
    log.finish().unwrap();
    let (payloads, outcome) = read(&fs, 1..=4);
    assert_eq!(payloads.len(), 6);
    assert_eq!(payloads[5], b"instead");
    assert!(outcome.unwrap().clean_end);
}

#[test]
fn sequence_numbers_go_on_without_a_gap() {
    let fs = three(false);
    let counting =
        |count| replay(&fs, &crate::support::files(1..=3), move |_, _| Ok::<u64, Error>(count));
    assert!(counting(1).is_ok());
    let second = places(&fs, [1])[2].offset;
    for wrong in [0, 2] {
        assert_corrupt(&counting(wrong), 1, second, "the record has sequence number 2");
    }
    assert_corrupt(&counting(u64::MAX), 1, 60, "out of range");
}

/// The visitor's error ends the replay and is its answer.
#[test]
fn a_visitor_may_refuse() {
    let fs = three(false);
    let mut visited = 0;
    let outcome = replay(&fs, &crate::support::files(1..=3), |_, _| {
        visited += 1;
        if visited == 3 { Err(Error::NoSpace { path: "elsewhere".into() }) } else { Ok(1) }
    });
    assert!(matches!(outcome, Err(Error::NoSpace { .. })));
    assert_eq!(visited, 3);
}

/// Bytes of a file of records that had its space before, and the same number: what is left of them
/// in space that was reserved, from `from` on.
fn left_over(number: u64, from: usize) -> Vec<u8> {
    let fs = disk();
    let mut writer = FrameWriter::new(fs.create_new(&path(number)).unwrap(), path(number), number);
    for _ in 0..5 {
        writer.append(1, &[&[7; 100]]).unwrap();
        writer.sync().unwrap();
    }
    let mut bytes = bytes_of(&fs, number);
    bytes[..from].fill(0);
    bytes
}

#[test]
fn what_another_file_left_in_a_segment_never_written_is_no_record_of_it() {
    for from in [0, 1, 132, 200] {
        let fs = three(false);
        fs.create_new(&path(4)).unwrap();
        set_bytes(&fs, 4, &left_over(4, from));
        let (payloads, outcome) = read(&fs, 1..=4);
        assert_eq!(payloads.len(), 6, "from {from}");
        let cut = outcome.unwrap().cut.unwrap();
        assert_eq!((cut.number, cut.offset), (4, 0), "from {from}");
    }
}

#[test]
fn a_segment_without_its_start_record_is_corrupt_where_a_later_one_vouches_for_it() {
    let fs = three(true);
    set_bytes(&fs, 2, &left_over(2, 0));
    assert_corrupt(&read(&fs, 1..=3).1, 2, 0, "its first record is not a start record");
}
