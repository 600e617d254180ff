//! After the first failed write or sync nothing is acknowledged; a full disk that is noticed in
//! time is no failure.

use crate::support::{describe, dir, disk, open, shared, step};
use bytes::Bytes;
use kv_manifest::{Error, Manifest, VersionEdit};
use kv_vfs::{Fault, FaultError, FaultFs, FaultKind, Fs, MemFs, OpKind};
use std::io;
use std::sync::Arc;

const EIO: FaultError = FaultError::Os(5);
const WRITING: [OpKind; 6] = [
    OpKind::Create,
    OpKind::Allocate,
    OpKind::Write,
    OpKind::Sync,
    OpKind::Rename,
    OpKind::SyncDir,
];

fn faulty(fs: &MemFs) -> (FaultFs, Arc<dyn Fs>) {
    let faulty = FaultFs::new(shared(fs));
    (faulty.clone(), Arc::new(faulty))
}

fn large(n: u64) -> VersionEdit {
    VersionEdit { settings: Some(Bytes::from(vec![n as u8; 300_000])), ..step(n) }
}

#[test]
fn a_failed_write_or_sync_is_final() {
    for op in [OpKind::Write, OpKind::Sync] {
        for kind in [FaultKind::Fail, FaultKind::FailButDone] {
            let fs = disk();
            let (faults, shared) = faulty(&fs);
            let mut manifest = open(&shared).unwrap();
            manifest.apply(step(1)).unwrap();
            faults.arm(Fault::new(op, EIO).kind(kind).times(1));
            assert!(matches!(manifest.apply(step(2)), Err(Error::Io { .. })));
            assert_eq!(manifest.state().last_seq, 1);
            let before = describe(manifest.state());
            for _ in 0..2 {
                let again = manifest.apply(step(2)).unwrap_err();
                assert!(matches!(again, Error::Poisoned { .. }), "{again}");
                assert!(!again.is_retryable());
            }
            assert_eq!(before, describe(manifest.state()));
            // What was acknowledged is there after a power cut; the failed edit may be.
            let state = Manifest::read(&fs.crash(), dir()).unwrap().unwrap();
            assert!((1..=2).contains(&state.last_seq));
        }
    }
}

#[test]
fn a_full_disk_is_met_before_anything_is_written() {
    let fs = disk();
    let mut manifest = open(&shared(&fs)).unwrap();
    manifest.apply(step(1)).unwrap();
    let free = fs.used();
    fs.set_capacity(free);
    let big = VersionEdit { settings: Some(Bytes::from(vec![1; 100_000])), ..step(2) };
    for _ in 0..3 {
        let full = manifest.apply(big.clone()).unwrap_err();
        assert!(full.is_retryable(), "{full}");
        assert!(full.to_string().contains("MANIFEST-"), "{full}");
    }
    assert_eq!(manifest.state().last_seq, 1);
    fs.set_capacity(u64::MAX);
    manifest.apply(big).unwrap();
    assert_eq!(Manifest::read(&fs.crash(), dir()).unwrap().unwrap().last_seq, 2);
}

/// Wherever opening fails, what counted before still does, and opening again succeeds.
#[test]
fn a_failed_opening_leaves_the_database_as_it_was() {
    for op in WRITING {
        for error in [EIO, FaultError::Kind(io::ErrorKind::StorageFull)] {
            for after in 0.. {
                let fs = disk();
                let mut manifest = open(&shared(&fs)).unwrap();
                manifest.apply(step(1)).unwrap();
                let whole = describe(manifest.state());
                let (faults, shared) = faulty(&fs);
                let armed = faults.arm(Fault::new(op, error).after(after).times(1));
                let outcome = open(&shared);
                for left in [fs.clone(), fs.crash(), fs.crash_with(&mut |_| true)] {
                    let state = Manifest::read(&left, dir()).unwrap().unwrap();
                    assert_eq!(describe(&state), whole, "{op:?} {after}");
                }
                if faults.fired(armed) == 0 {
                    assert!(outcome.is_ok());
                    assert!(after > 0, "{op:?} is never called");
                    break;
                }
                // A smaller step may still fit where space for a large one was refused.
                assert!(outcome.is_err() || op == OpKind::Allocate, "{op:?} {after}");
                assert_eq!(describe(open(&shared).unwrap().state()), whole);
            }
        }
    }
}

/// A roll-over that fails loses no edit, whatever failed and however; a full disk only delays it.
#[test]
fn a_failed_roll_over_loses_nothing() {
    let kinds = [FaultKind::Fail, FaultKind::FailButDone];
    let full = FaultError::Kind(io::ErrorKind::StorageFull);
    for op in WRITING {
        for (error, kind) in [EIO, full].into_iter().flat_map(|e| kinds.map(|k| (e, k))) {
            for after in 0.. {
                let fs = disk();
                let (faults, shared) = faulty(&fs);
                let mut manifest = open(&shared).unwrap();
                let first = manifest.number();
                let mut n = 1;
                while manifest.file_size() < 1_100_000 {
                    manifest.apply(large(n)).unwrap();
                    n += 1;
                }
                let armed = faults.arm(Fault::new(op, error).kind(kind).after(after).times(1));
                let outcome = manifest.apply(step(n));
                if faults.fired(armed) == 0 {
                    assert!(outcome.is_ok() && manifest.number() > first);
                    break;
                }
                let acknowledged = if outcome.is_ok() { n } else { n - 1 };
                for left in [fs.clone(), fs.crash(), fs.crash_with(&mut |_| true)] {
                    let state = Manifest::read(&left, dir()).unwrap().unwrap();
                    let context = format!("{op:?} {error:?} {kind:?} {after}: {outcome:?}");
                    assert!((acknowledged..=n).contains(&state.last_seq), "{context}");
                }
                if let Err(error) = &outcome
                    && !error.is_retryable()
                {
                    assert!(matches!(manifest.apply(step(n)), Err(Error::Poisoned { .. })));
                } else {
                    manifest.apply(step(n + 1)).unwrap();
                }
            }
        }
    }
}
