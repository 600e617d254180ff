//! Reading changes nothing, and an error of the disk is an error, not an end.

use crate::support::{Watched, dir, disk, open, shared, step};
use kv_manifest::{Error, Manifest};
use kv_vfs::{Fault, FaultError, FaultFs, Fs, MemFs, OpKind};
use std::path::Path;
use std::sync::Arc;

fn database() -> MemFs {
    let fs = disk();
    let mut manifest = open(&shared(&fs)).unwrap();
    manifest.apply(step(1)).unwrap();
    fs
}

#[test]
fn reading_changes_nothing() {
    for fs in [database(), disk()] {
        let watched = Watched::new(fs, 100, Arc::new(|_: &MemFs| {}));
        watched.freeze();
        Manifest::read(&watched, dir()).unwrap();
    }
}

#[test]
fn no_directory_is_no_database() {
    assert!(Manifest::read(&MemFs::new(), Path::new("/none")).unwrap().is_none());
    assert!(Manifest::read(&disk(), dir()).unwrap().is_none());
}

#[test]
fn every_failing_call_is_an_error() {
    const EIO: FaultError = FaultError::Os(5);
    for op in [OpKind::Open, OpKind::Read, OpKind::Len] {
        let mut failed = 0;
        for after in 0.. {
            let faulty = FaultFs::new(Arc::new(database()));
            let armed = faulty.arm(Fault::new(op, EIO).after(after).times(1));
            let outcome = Manifest::read(&faulty, dir());
            if faulty.fired(armed) == 0 {
                assert!(outcome.unwrap().is_some());
                break;
            }
            assert!(matches!(outcome, Err(Error::Io { .. })), "{op:?} {after}: {outcome:?}");
            failed += 1;
        }
        assert!(failed > 0, "{op:?}");
    }
    let faulty = FaultFs::new(Arc::new(disk()));
    faulty.arm(Fault::new(OpKind::List, EIO));
    assert!(matches!(Manifest::read(&faulty, dir()), Err(Error::Io { .. })));
}

/// A writer that rolls over takes the manifest away between two of a reader's calls.
#[test]
fn a_reader_beside_a_writer_looks_again() {
    let fs = database();
    let faulty = FaultFs::new(Arc::new(fs));
    let gone = Fault::new(OpKind::Open, std::io::ErrorKind::NotFound).on("MANIFEST").times(1);
    let armed = faulty.arm(gone);
    let state = Manifest::read(&faulty, dir()).unwrap().unwrap();
    assert_eq!((state.last_seq, faulty.fired(armed)), (1, 1));
    let shared: Arc<dyn Fs> = Arc::new(faulty.clone());
    assert_eq!(open(&shared).unwrap().state().last_seq, 1);
}
