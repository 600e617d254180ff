//! A record that was copied is written: it is in the file, in its place, and nothing is in front of
//! it that is not.

use crate::support::{
    append, copy, disk, failing_disk, put, put_synced, read, segment, start, tight,
};
use kv_vfs::{Fault, FaultError, OpKind};
use kv_wal::{Error, LogOptions};
use std::io;

/// Lengths from nothing to more than any window, of which most are small.
fn lengths() -> impl Iterator<Item = usize> {
    let big = [20_000, 1_000, 300_000, 600];
    (0..4_000_usize).map(move |i| if i % 400 == 399 { big[i / 400 % 4] } else { i * 7 % 300 })
}

#[test]
fn what_was_copied_is_in_the_file_at_once() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    let (mut copies, mut all) = (0, Vec::new());
    for (i, len) in lengths().enumerate() {
        all.push(vec![i as u8; len]);
        copies += usize::from(copy(&log, &all[i]));
        if i % 97 == 0 {
            assert_eq!(read(&fs, [1]).0, all);
        }
    }
    assert!(copies > 3_900, "{copies} of {} were copied", all.len());
    assert_eq!(read(&fs, [1]).0, all);
    // Each was a write of one record; the first took the start record along.
    let stats = log.stats();
    assert_eq!((stats.writes, stats.groups[0]), (4_000, 3_999));
    log.finish().unwrap();
    assert!(read(&fs, [1]).1.unwrap().clean_end);
}

#[test]
fn a_copy_takes_along_what_others_have_buffered() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    put(&log, b"opens the window");
    let waits = append(&log, b"to be synced").unwrap();
    assert!(copy(&log, b"copied"));
    assert_eq!(read(&fs, [1]).0.len(), 3);
    let writes = log.stats().writes;
    log.sync_to(waits.position).unwrap();
    assert_eq!(log.stats().writes, writes, "nothing is left to be written");
    assert_eq!(read(&fs.crash(), [1]).0.len(), 3);
}

#[test]
fn copies_go_on_over_segments() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    for number in 2..6 {
        put(&log, b"first");
        assert!((0..200).all(|_| copy(&log, &[7; 20])), "16 KiB take these");
        append(&log, b"still buffered").unwrap();
        log.roll(segment(&fs, number), |_| ()).unwrap();
    }
    let (payloads, replayed) = read(&fs, 1..=5);
    assert_eq!((payloads.len(), replayed.unwrap().cut), (4 * 202, None));
}

#[test]
fn synced_writers_open_no_window() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    for _ in 0..10 {
        put_synced(&log, b"x");
    }
    assert!(!copy(&log, b"the first that asks for one"));
    assert!(copy(&log, b"the second"));
}

#[test]
fn a_window_is_within_what_is_reserved() {
    let fs = disk();
    // Space for one record at a time.
    let log = start(&fs, 1, tight());
    assert!((0..100).all(|_| !copy(&log, b"x")));
    // A disk on which not one more byte can be reserved.
    let log = start(&fs, 2, LogOptions::default());
    fs.set_capacity(fs.used());
    let mut taken = 0;
    while log.append_and_copy(1, &[&[1; 100]], |_| Ok::<_, Error>(())).is_ok() {
        taken += 1;
    }
    assert!(taken > 100, "16 KiB take {taken}");
    log.write_to(log.end()).unwrap();
    assert_eq!(read(&fs, [2]).0.len(), taken);
    fs.set_capacity(u64::MAX);
    assert!(!copy(&log, &[2; 100]));
    assert!(copy(&log, &[2; 100]));
}

#[test]
fn a_file_without_windows_is_written_by_calls() {
    let (faulty, fs) = failing_disk();
    let log = start(&faulty, 1, LogOptions::default());
    let allocations = faulty.calls()[&OpKind::Allocate];
    assert!((0..20).all(|_| !copy(&log, b"x")));
    assert_eq!(faulty.calls()[&OpKind::Write], 20);
    assert_eq!(faulty.calls()[&OpKind::Allocate], allocations, "no space is taken for a window");
    faulty.arm(Fault::new(OpKind::Sync, FaultError::from(io::ErrorKind::Other)));
    let last = append(&log, b"lost").unwrap();
    assert!(log.sync_to(last.position).is_err());
    let refused = log.append_and_copy(1, &[b"late"], |_| Ok::<_, Error>(()));
    assert!(matches!(refused, Err(Error::Poisoned { .. })));
    assert_eq!(read(&fs, [1]).0.len(), 21);
}
