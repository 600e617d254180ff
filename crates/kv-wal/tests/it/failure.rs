//! After a failed write or sync nothing is acknowledged any more, and every one is told.

use crate::support::{append, failing_disk, put, put_synced, read, segment, start, tight};
use kv_vfs::{Fault, FaultFs, FaultKind, Fs, OpKind};
use kv_wal::{Error, Log, LogOptions};
use std::io;
use std::thread;

fn is_poisoned<T>(outcome: &Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Poisoned { .. }))
}

fn assert_closed_for_good(fs: &dyn Fs, log: &Log) {
    assert!(matches!(log.failure(), Some(Error::Poisoned { .. })));
    assert!(is_poisoned(&append(log, b"later")));
    assert!(is_poisoned(&log.write_to(log.end())));
    assert!(is_poisoned(&log.sync_to(log.end())));
    assert!(is_poisoned(&log.sync_closed()));
    assert!(is_poisoned(&log.roll(segment(fs, 99), |_| ())));
    assert!(is_poisoned(&log.finish()));
}

#[test]
fn a_sync_that_fails_once_ends_the_log() {
    for kind in [FaultKind::Fail, FaultKind::FailButDone] {
        let (faulty, fs) = failing_disk();
        let log = start(&faulty, 1, LogOptions::default());
        let durable = put_synced(&log, b"durable");
        let fault = Fault::new(OpKind::Sync, io::ErrorKind::Other).times(1).kind(kind);
        faulty.arm(fault);
        let lost = append(&log, b"not known").unwrap();
        assert!(is_poisoned(&log.sync_to(lost.position)));
        assert_eq!(log.synced(), durable.position);
        assert_closed_for_good(&faulty, &log);
        assert_eq!(faulty.calls()[&OpKind::Sync], 2, "no sync is tried again");

        let (payloads, replayed) = read(&fs.crash(), [1]);
        assert!(replayed.unwrap().cut.is_none());
        assert_eq!(payloads[0], b"durable");
    }
}

#[test]
fn a_write_that_fails_once_ends_the_log() {
    for kind in [FaultKind::Fail, FaultKind::FailButDone] {
        let (faulty, _) = failing_disk();
        let log = start(&faulty, 1, LogOptions::default());
        put_synced(&log, b"durable");
        faulty.arm(Fault::new(OpKind::Write, io::ErrorKind::Other).times(1).kind(kind));
        let lost = append(&log, b"not known").unwrap();
        let error = log.write_to(lost.position).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("could not write /log/000001.log"), "{text}");
        assert_closed_for_good(&faulty, &log);
        assert_eq!(read(&faulty, [1]).0[0], b"durable");
    }
}

#[test]
fn a_write_taken_in_pieces_is_whole() {
    let (faulty, fs) = failing_disk();
    faulty.arm(Fault::new(OpKind::Write, io::ErrorKind::Other).kind(FaultKind::Short(5)));
    let log = start(&faulty, 1, LogOptions::default());
    put_synced(&log, b"longer than five bytes");
    assert_eq!(read(&fs.crash(), [1]).0, [b"longer than five bytes"]);
}

/// The leader's failure is everyone's.
#[test]
fn every_waiter_gets_the_error() {
    for op in [OpKind::Sync, OpKind::Write] {
        let (faulty, fs) = failing_disk();
        let log = start(&faulty, 1, LogOptions::default());
        faulty.arm(Fault::new(op, io::ErrorKind::Other).after(20).times(1));
        let acked: usize = thread::scope(|scope| {
            let writers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| acked_until_failure(&log))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).sum()
        });
        assert!(log.failure().is_some());
        let (payloads, replayed) = read(&fs.crash(), [1]);
        assert!(replayed.unwrap().cut.is_none());
        assert!(payloads.len() >= acked, "{acked} acknowledged, {} there", payloads.len());
    }
}

fn acked_until_failure(log: &Log) -> usize {
    for acked in 0.. {
        let Ok(appended) = append(log, b"payload") else { return acked };
        if log.sync_to(appended.position).is_err() {
            assert!(is_poisoned(&append(log, b"after")));
            return acked;
        }
    }
    unreachable!()
}

#[test]
fn an_older_segment_that_cannot_be_synced_ends_the_log() {
    let (faulty, _) = failing_disk();
    let log = start(&faulty, 1, tight());
    put(&log, b"a");
    log.roll(segment(&faulty, 2), |_| ()).unwrap();
    faulty.arm(Fault::new(OpKind::Sync, io::ErrorKind::Other).on("000001").times(1));
    let second = append(&log, b"b").unwrap();
    assert!(is_poisoned(&log.sync_to(second.position)));
    assert_closed_for_good(&faulty, &log);
}

#[test]
fn the_write_of_a_roll_may_fail() {
    let (faulty, _) = failing_disk();
    let log = start(&faulty, 1, tight());
    append(&log, b"a").unwrap();
    let next = segment(&faulty, 2);
    faulty.arm(Fault::new(OpKind::Write, io::ErrorKind::Other).times(1));
    assert!(is_poisoned(&log.roll(next, |_| ())));
    assert_closed_for_good(&faulty, &log);
}

/// An unreadable place is not an end.
#[test]
fn an_error_while_reading_is_an_error() {
    let (faulty, _) = failing_disk();
    let log = start(&faulty, 1, tight());
    put(&log, b"a");
    log.roll(segment(&faulty, 2), |_| ()).unwrap();
    put(&log, b"b");
    for op in [OpKind::Read, OpKind::Open, OpKind::Len] {
        let before = faulty.calls().get(&op).copied().unwrap_or(0);
        read(&faulty, [1, 2]).1.unwrap();
        let calls = faulty.calls()[&op] - before;
        assert!(calls > 0);
        for n in 0..calls {
            faulty.arm(Fault::new(op, io::ErrorKind::Other).after(n).times(1));
            assert!(matches!(read(&faulty, [1, 2]).1, Err(Error::Io { .. })), "{op:?} {n}");
            faulty.disarm();
        }
    }
}

#[test]
fn creating_a_segment_may_fail() {
    let (faulty, _) = failing_disk();
    for op in [OpKind::Create, OpKind::SyncDir] {
        faulty.arm(Fault::new(op, io::ErrorKind::Other).times(1));
        let outcome = kv_wal::Segment::create(&faulty as &FaultFs, &crate::support::path(1), 1);
        assert!(matches!(outcome, Err(Error::Io { .. })));
    }
    // An existing file is never written over.
    let again = kv_wal::Segment::create(&faulty, &crate::support::path(1), 1);
    assert!(matches!(again, Err(Error::Io { op: "create", .. })));
}
