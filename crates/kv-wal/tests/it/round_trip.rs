//! What was appended is what is read.

use crate::support::{append, disk, path, places, put, put_synced, read, segment, start, tight};
use kv_vfs::{Fs, Mode};
use kv_wal::{Error, Log, LogOptions, RecordKind, RecordReader, Step, replay};

#[test]
fn payload_parts_are_joined_and_counts_are_kept() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    let admit = |seq: u64| Ok::<_, Error>(seq * 10);
    let (first, ten) = log.append(3, &[b"a", b"", b"bc"], admit).unwrap();
    let (second, forty) = log.append(1, &[], admit).unwrap();
    assert_eq!((first.first_seq, ten, second.first_seq, forty), (1, 10, 4, 40));
    assert_eq!(log.next_seq(), 5);
    log.write_to(second.position).unwrap();

    let mut seen = Vec::new();
    let replayed = replay(&fs, &crate::support::files([1]), |seq, payload| {
        seen.push((seq, payload.to_vec()));
        Ok::<u64, Error>(if seq == 1 { 3 } else { 1 })
    });
    let replayed = replayed.unwrap();
    assert_eq!(seen, [(1, b"abc".to_vec()), (4, vec![])]);
    assert_eq!((replayed.last_seq, replayed.records, replayed.cut), (4, 2, None));
    assert!(!replayed.clean_end, "there is no end record");
}

#[test]
fn a_refused_append_leaves_no_trace() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    put(&log, b"one");
    let (end, len) = (log.end(), log.segment_len());
    let refused =
        log.append(5, &[b"never"], |_| Err::<(), _>(Error::NoSpace { path: "elsewhere".into() }));
    assert!(matches!(refused, Err(Error::NoSpace { .. })));
    assert_eq!((log.end(), log.segment_len(), log.next_seq()), (end, len, 2));
    put(&log, b"two");
    assert_eq!(read(&fs, [1]).0, [b"one", b"two"]);
}

#[test]
fn a_log_goes_on_over_segments_and_over_restarts() {
    let fs = disk();
    let log = start(&fs, 3, tight());
    put(&log, b"a");
    let at = log.roll(segment(&fs, 5), |next| next).unwrap();
    assert_eq!((at, log.segment_number()), (2, 5));
    put(&log, b"b");
    log.finish().unwrap();
    let (_, replayed) = read(&fs, [3, 5]);
    let replayed = replayed.unwrap();
    assert!(replayed.clean_end);

    let next_seq = replayed.last_seq + 1;
    let log = Log::start(segment(&fs, 9), replayed.end_of_last, next_seq, tight()).unwrap();
    put_synced(&log, b"c");
    let (payloads, replayed) = read(&fs, [3, 5, 9]);
    let replayed = replayed.unwrap();
    assert_eq!(payloads, [b"a", b"b", b"c"]);
    assert_eq!((replayed.last_seq, replayed.cut, replayed.clean_end), (3, None, false));

    // Segments that are no longer needed may be gone.
    assert_eq!(read(&fs, [5, 9]).0, [b"b", b"c"]);
    assert_eq!(read(&fs, [9]).1.unwrap().last_seq, 3);
}

#[test]
fn rolling_with_everything_still_buffered_keeps_it() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    append(&log, b"a").unwrap();
    log.roll(segment(&fs, 2), |_| ()).unwrap();
    let last = append(&log, b"b").unwrap();
    log.roll(segment(&fs, 3), |_| ()).unwrap();
    log.write_to(last.position).unwrap();
    assert_eq!(read(&fs, [1, 2, 3]).0, [b"a", b"b"]);
}

#[test]
fn empty_segments_do_no_harm() {
    let fs = disk();
    let log = start(&fs, 1, tight());
    segment(&fs, 2);
    put_synced(&log, b"a");
    log.roll(segment(&fs, 3), |_| ()).unwrap();
    put_synced(&log, b"b");
    segment(&fs, 4);
    let (payloads, replayed) = read(&fs, 1..=4);
    assert_eq!((payloads.len(), replayed.unwrap().cut), (2, None));
    assert_eq!(read(&fs, [4]).1.unwrap().end_of_last, None);
    assert_eq!(read(&fs, []).1.unwrap(), kv_wal::Replay::default());
}

#[test]
fn a_record_longer_than_every_buffer_comes_back() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    let big: Vec<u8> = (0..5_000_000_u32).map(|i| (i * 31 / 8) as u8).collect();
    put(&log, b"before");
    put(&log, &big);
    let last = append(&log, b"after").unwrap();
    log.write_to(last.position).unwrap();
    let (payloads, replayed) = read(&fs, [1]);
    assert_eq!((payloads.len(), replayed.unwrap().cut), (3, None));
    assert!(payloads[1] == big && payloads[2] == b"after");
}

#[test]
fn a_reader_names_each_kind_and_stays_at_the_end() {
    let fs = disk();
    let log = start(&fs, 7, LogOptions::default());
    put(&log, b"x");
    log.finish().unwrap();
    let file = fs.open(&path(7), Mode::Read).unwrap();
    let mut reader = RecordReader::new(file, &path(7), 7).unwrap();
    for expected in [RecordKind::Start, RecordKind::Data, RecordKind::End] {
        let Step::Record(record) = reader.next().unwrap() else { panic!("{expected:?}") };
        assert_eq!(record.kind, expected);
    }
    let end = log.segment_len();
    for _ in 0..2 {
        assert_eq!(reader.next().unwrap(), Step::End { offset: end });
    }
}

#[test]
fn headers_tell_what_was_durable_when_they_were_framed() {
    let fs = disk();
    let log = start(&fs, 1, tight());
    put(&log, b"a");
    put_synced(&log, b"b");
    put(&log, b"c");
    log.roll(segment(&fs, 2), |_| ()).unwrap();
    put(&log, b"d");
    log.sync_closed().unwrap();
    put(&log, b"e");
    put_synced(&log, b"f");
    put(&log, b"g");
    let places = places(&fs, [1, 2]);
    let told: Vec<_> = places.iter().map(|p| (p.number, p.synced, p.older_durable)).collect();
    let after_b = places[2].end;
    let after_f = places[7].end;
    assert_eq!(
        told,
        [
            (1, 0, false),
            (1, 0, false),
            (1, 0, false),
            (1, after_b, true),
            (2, 0, false),
            (2, 0, false),
            (2, 0, true),
            (2, 0, true),
            (2, after_f, true),
        ]
    );
}

#[test]
fn a_finished_log_takes_no_more() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    put(&log, b"a");
    log.finish().unwrap();
    log.finish().unwrap();
    assert!(matches!(append(&log, b"b"), Err(Error::Finished { .. })));
    assert!(matches!(log.roll(segment(&fs, 2), |_| ()), Err(Error::Finished { .. })));
    log.sync_to(log.end()).unwrap();
    let replayed = read(&fs, [1, 2]).1.unwrap();
    assert!(replayed.clean_end && replayed.cut.is_none());
}
