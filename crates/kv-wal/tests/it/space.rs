//! A full disk is met before a record has its place, and it is no failure of the log.

use crate::support::{append, disk, failing_disk, path, put, put_synced, read, segment, start};
use kv_vfs::{Fault, Fs, OpKind};
use kv_wal::{Error, Log, LogOptions};
use std::io;

#[test]
fn no_space_leaves_the_log_as_it_was_and_goes_away() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    let acked = put_synced(&log, b"before");
    fs.set_capacity(fs.used());
    let big = vec![7; 100_000];
    let (end, next) = (log.end(), log.next_seq());
    let refused = append(&log, &big);
    assert!(matches!(refused, Err(Error::NoSpace { path: at }) if at == path(1)));
    assert_eq!((log.end(), log.next_seq()), (end, next));
    assert!(log.failure().is_none());
    // What still fits the space that is reserved is taken.
    put_synced(&log, b"small");
    assert_eq!(read(&fs, [1]).0, [&b"before"[..], b"small"]);

    fs.set_capacity(u64::MAX);
    put_synced(&log, &big);
    assert_eq!(read(&fs, [1]).0.len(), 3);
    assert!(log.synced() > acked.position);
}

#[test]
fn admission_is_not_asked_when_there_is_no_space() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    fs.set_capacity(0);
    let refused = log.append(1, &[&[0; 50_000]], |_| -> Result<(), Error> { unreachable!() });
    assert!(matches!(refused, Err(Error::NoSpace { .. })));
}

#[test]
fn a_smaller_step_is_taken_where_the_whole_one_does_not_fit() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    fs.set_capacity(fs.used() + 30_000);
    put_synced(&log, &[1; 40_000]);
    assert!(matches!(append(&log, &[2; 30_000]), Err(Error::NoSpace { .. })));
    assert_eq!(read(&fs, [1]).0, [vec![1; 40_000]]);
}

#[test]
fn an_end_record_always_has_room() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions { allocation_chunk: 0 });
    put_synced(&log, b"x");
    fs.set_capacity(0);
    log.finish().unwrap();
    assert!(read(&fs, [1]).1.unwrap().clean_end);
}

#[test]
fn a_roll_without_space_changes_nothing() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    put(&log, b"a");
    let next = segment(&fs, 2);
    fs.set_capacity(0);
    let refused = log.roll(next.clone(), |_| unreachable!());
    assert!(matches!(refused, Err::<(), _>(Error::NoSpace { .. })));
    put(&log, b"b");
    fs.set_capacity(u64::MAX);
    log.roll(next, |_| ()).unwrap();
    put(&log, b"c");
    let (payloads, replayed) = read(&fs, [1, 2]);
    assert_eq!((payloads.len(), replayed.unwrap().cut), (3, None));
}

#[test]
fn a_file_system_that_cannot_reserve_is_written_without() {
    let (faulty, _) = failing_disk();
    faulty.arm(Fault::new(OpKind::Allocate, io::ErrorKind::Unsupported));
    let log = start(&faulty, 1, LogOptions::default());
    put(&log, b"a");
    assert_eq!(faulty.calls()[&OpKind::Allocate], 1);
    assert_eq!(faulty.metadata(&path(1)).unwrap().len, log.segment_len());
    // Now a full disk is met by the write, and nobody knows what it left.
    faulty.arm(Fault::new(OpKind::Write, io::ErrorKind::StorageFull).times(1));
    let late = append(&log, b"b").unwrap();
    assert!(matches!(log.write_to(late.position), Err(Error::Poisoned { op: "write", .. })));
    assert!(matches!(append(&log, b"c"), Err(Error::Poisoned { .. })));
}

#[test]
fn another_failure_to_reserve_is_that_error_and_passes() {
    let (faulty, fs) = failing_disk();
    let log = start(&faulty, 1, LogOptions::default());
    faulty.arm(Fault::new(OpKind::Allocate, io::ErrorKind::PermissionDenied).times(1));
    assert!(matches!(append(&log, &[0; 50_000]), Err(Error::Io { op: "reserve space in", .. })));
    put(&log, &[0; 50_000]);
    assert_eq!(read(&fs, [1]).0.len(), 1);
}

#[test]
fn reservations_begin_small_and_grow() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions { allocation_chunk: 128 << 10 });
    let mut sizes = vec![fs.metadata(&path(1)).unwrap().len];
    for _ in 0..600 {
        put(&log, &[1; 1000]);
        let size = fs.metadata(&path(1)).unwrap().len;
        if sizes.last() != Some(&size) {
            sizes.push(size);
        }
    }
    assert!(sizes[0] <= 32 << 10, "a small log stays small");
    let steps: Vec<_> = sizes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(steps[0], 2 * sizes[0]);
    assert!(steps.windows(2).all(|pair| pair[1] == (2 * pair[0]).min(128 << 10)), "{sizes:?}");
    assert_eq!(steps.last(), Some(&(128 << 10)));
}

#[test]
fn what_no_segment_holds_is_refused_at_once() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    let gib = vec![0; 1 << 20];
    let parts: Vec<&[u8]> = vec![&gib; 3072];
    let refused = log.append(1, &parts, |_| -> Result<(), Error> { unreachable!() });
    assert!(matches!(refused, Err(Error::TooLarge { bytes, .. }) if bytes == 3 << 30));
    put(&log, b"fine");
}

#[test]
fn sequence_numbers_do_not_wrap() {
    let fs = disk();
    let log = Log::start(segment(&fs, 1), None, u64::MAX - 1, LogOptions::default()).unwrap();
    put(&log, b"last");
    assert!(matches!(append(&log, b"none left"), Err(Error::Exhausted { .. })));
}
