//! After a power cut the log is a prefix of what was appended, with all that was synced, and it
//! is never called corrupt.

use crate::support::{
    append, copy, disk, files, path, put, put_synced, read, segment, start, tight,
};
use kv_vfs::{Fault, FaultFs, FaultKind, Fs, MemFs, OpKind};
use kv_wal::{Log, SegmentFile};
use std::io;
use std::sync::Arc;

/// Reads what is left when of the pending operations those in the bits of `mask` survive.
/// Answers how many there were.
fn crash_and_read(fs: &MemFs, mask: u64, durable: usize, appended: &[Vec<u8>]) -> u32 {
    let mut pending = 0;
    let after = fs.crash_with(&mut |_| {
        pending += 1;
        mask >> (pending - 1) & 1 == 1
    });
    let exists = |s: &SegmentFile| after.metadata(&s.path).is_ok();
    let numbers = files(1..=9).into_iter().filter(exists).map(|s| s.number);
    let (payloads, outcome) = read(&after, numbers);
    let context = format!("mask {mask:b} of {pending}, {durable} durable");
    let replay = outcome.unwrap_or_else(|e| panic!("{context}: {e}"));
    assert!(appended.starts_with(&payloads), "{context}: not a prefix");
    assert!(payloads.len() >= durable, "{context}: {} left, {replay:?}", payloads.len());
    pending
}

/// Every subset of the pending operations, or many of them where there are too many.
fn crash_everywhere(fs: &MemFs, durable: usize, appended: &[Vec<u8>]) -> usize {
    let pending = crash_and_read(fs, 0, durable, appended);
    let all = u64::MAX >> (64 - pending.clamp(1, 63));
    let masks: Vec<u64> = if pending <= 11 {
        (0..=all).collect()
    } else {
        let single = (0..pending).flat_map(|bit| [1 << bit, all & !(1 << bit), (1 << bit) - 1]);
        let mixed = (1..200_u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 7 & all);
        single.chain(mixed).chain([all]).collect()
    };
    for mask in &masks {
        crash_and_read(fs, *mask, durable, appended);
    }
    masks.len()
}

/// One step of a history.
enum Do {
    Buffer,
    Put,
    Sync,
    Roll,
    SyncClosed,
    Finish,
}

/// Runs the history with each write in pieces, and crashes after each step.
fn sweep(piece: usize, options: kv_wal::LogOptions, steps: &[Do]) {
    let fs = disk();
    let faulty = FaultFs::new(Arc::new(fs.clone()));
    let pieces = FaultKind::Short(piece);
    faulty.arm(Fault::new(OpKind::Write, io::ErrorKind::Other).kind(pieces));
    let states = sweep_on(&faulty, &fs, options, steps);
    assert!(states > 100, "{states}");
}

/// The same on the file system `on`, below which lies `fs`. Answers how many states were seen.
fn sweep_on(on: &dyn Fs, fs: &MemFs, options: kv_wal::LogOptions, steps: &[Do]) -> usize {
    let log: Log = start(on, 1, options);
    let (mut appended, mut durable, mut states) = (Vec::new(), 0, 0);
    for (n, step) in (0_u32..).zip(steps) {
        let payload = [n as u8; 20];
        match step {
            Do::Buffer => drop(append(&log, &payload).unwrap()),
            Do::Put => drop(copy(&log, &payload)),
            Do::Sync => drop(put_synced(&log, &payload)),
            Do::Roll => log.roll(segment(on, log.segment_number() + 1), |_| ()).unwrap(),
            Do::SyncClosed => log.sync_closed().unwrap(),
            Do::Finish => log.finish().unwrap(),
        }
        if matches!(step, Do::Buffer | Do::Put | Do::Sync) {
            appended.push(payload.to_vec());
        }
        if matches!(step, Do::Sync | Do::Finish) {
            durable = appended.len();
        }
        states += crash_everywhere(fs, durable, &appended);
    }
    states
}

#[test]
fn any_subset_of_unsynced_writes_leaves_a_prefix() {
    use Do::{Buffer, Finish, Put, Roll, Sync, SyncClosed};
    for options in [tight(), kv_wal::LogOptions::default()] {
        sweep(1000, options, &[Put, Put, Sync, Put, Put, Roll, Put, Put, Roll, Put, Sync, Put]);
        sweep(40, options, &[Put, Put, Sync, Put, Roll, Put, SyncClosed, Put, Roll, Put, Finish]);
        sweep(24, options, &[Sync, Put, Buffer, Roll, Buffer, Sync, Put, Roll, Roll, Put, Sync]);
        sweep(30, options, &[Put, Roll, Put, Roll, Put, SyncClosed, Put, Put, Finish]);
    }
}

#[test]
fn any_subset_of_unsynced_copies_leaves_a_prefix() {
    use Do::{Buffer, Finish, Put, Roll, Sync, SyncClosed};
    for steps in [
        [Put, Put, Sync, Put, Put, Roll, Put, Put, Roll, Put, Sync, Put],
        [Put, Put, Put, Sync, Put, SyncClosed, Put, Roll, Put, Put, Sync, Finish],
        [Sync, Put, Buffer, Put, Roll, Buffer, Sync, Put, Roll, Put, Buffer, Put],
    ] {
        let fs = disk();
        let states = sweep_on(&fs, &fs, kv_wal::LogOptions::default(), &steps);
        assert!(states > 40, "{states}");
    }
}

#[test]
fn a_segment_is_there_once_it_is_created() {
    let fs = disk();
    let log = start(&fs, 1, tight());
    put_synced(&log, b"a");
    log.roll(segment(&fs, 2), |_| ()).unwrap();
    put_synced(&log, b"b");
    assert_eq!(read(&fs.crash(), [1, 2]).0, [b"a", b"b"]);
}

/// Synced in the new segment means synced in the old one.
#[test]
fn a_sync_covers_older_segments() {
    let fs = disk();
    let log = start(&fs, 1, tight());
    put(&log, b"old");
    log.roll(segment(&fs, 2), |_| ()).unwrap();
    log.roll(segment(&fs, 3), |_| ()).unwrap();
    put_synced(&log, b"new");
    assert_eq!(read(&fs.crash(), 1..=3).0, [b"old", b"new"]);
}

#[test]
fn what_was_only_written_may_be_lost() {
    let fs = disk();
    let log = start(&fs, 1, tight());
    put(&log, b"old");
    assert_eq!(read(&fs, [1]).0, [b"old"]);
    let after = fs.crash();
    assert!(after.metadata(&path(1)).is_ok());
    let (payloads, outcome) = read(&after, [1]);
    assert_eq!((payloads.len(), outcome.unwrap().cut), (0, None));
}
