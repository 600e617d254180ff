//! Checkpoints: a second store, whole and of one moment, or nothing that opens.

use crate::copies::{Counters, rounds};
use crate::cutting::{CuttingFs, SURVIVORS, survivors};
use crate::support::*;
use kv_engine::{Db, ErrorKind, Options};
use kv_vfs::{Fault, FaultFs, Fs, MemFs, OpKind};
use std::io;
use std::path::Path;
use std::sync::Arc;

const COPY: &str = "/copies/first";

fn open_at(path: &str, fs: &MemFs) -> kv_engine::Result<Db> {
    let fs = Arc::new(fs.clone()) as Arc<dyn Fs>;
    Db::open(path, Options::default().file_system(fs).create_if_missing(false))
}

#[test]
fn it_holds_everything_and_goes_its_own_way() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 300, 0);
        db.put("long", vec![7; 5000]).unwrap();
        model.insert(b"long".to_vec(), vec![7; 5000]);
        db.keyspace("other").unwrap().put("k", "v").unwrap();
        db.checkpoint(COPY).unwrap();

        let before = model.clone();
        fill(&db, &mut model, 300, 1);
        db.delete("long").unwrap();
        model.remove(b"long".as_slice());
        db.compact().unwrap();

        let copy = Db::open(COPY, w.options()).unwrap();
        assert_same(&copy, &before);
        assert_eq!(text(&copy.keyspace("other").unwrap(), "k").as_deref(), Some("v"));
        assert!(copy.verify().unwrap().is_ok());
        copy.delete_range(key(0)..key(200)).unwrap();
        copy.compact().unwrap();
        assert_same(&db, &model);
        assert!(db.verify().unwrap().is_ok());
        drop(db);
        for name in w.files().into_keys() {
            w.fs.remove(&Path::new(DIR).join(name)).unwrap();
        }
        assert_eq!(copy.get("long").unwrap().unwrap(), vec![7; 5000]);
    });
}

#[test]
fn it_is_of_one_moment_while_others_write_and_merge() {
    let w = World::tiny();
    let db = w.open();
    let counters = Counters::start(&db);
    for round in 0..12 {
        let path = format!("/copies/{round}");
        let least = Counters::counts(&db);
        db.checkpoint(&path).unwrap();
        let copy = open_at(&path, &w.fs).unwrap();
        Counters::assert_one_moment(&copy, least);
    }
    counters.stop();
}

#[test]
fn it_is_refused_where_something_is() {
    let w = World::plain();
    let db = w.open();
    db.put("a", "1").unwrap();
    db.checkpoint(COPY).unwrap();
    for path in [COPY, DIR] {
        let error = refused(db.checkpoint(path));
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("not empty"), "{error}");
    }
    drop(w.fs.create_new(Path::new("/copies/file")).unwrap());
    assert_eq!(refused(db.checkpoint("/copies/file")).kind(), ErrorKind::InvalidArgument);
    w.fs.create_dir(Path::new("/copies/empty")).unwrap();
    db.checkpoint("/copies/empty").unwrap();
    assert_eq!(text(&open_at("/copies/empty", &w.fs).unwrap(), "a").as_deref(), Some("1"));

    let memory = Db::in_memory(Options::default()).unwrap();
    assert_eq!(refused(memory.checkpoint(COPY)).kind(), ErrorKind::Unsupported);
    drop(db);
    let reader = Db::open(DIR, w.options().read_only(true)).unwrap();
    assert_eq!(refused(reader.checkpoint("/copies/by a reader")).kind(), ErrorKind::ReadOnly);
}

#[test]
fn where_files_cannot_be_linked_they_are_copied() {
    for kind in [io::ErrorKind::CrossesDevices, io::ErrorKind::PermissionDenied] {
        let disk = MemFs::new();
        let fs = FaultFs::new(Arc::new(disk.clone()));
        let options = Options::default().file_system(Arc::new(fs.clone()) as Arc<dyn Fs>);
        let db = Db::open(DIR, options).unwrap();
        db.put("a", vec![3; 3 << 20]).unwrap();
        db.put("b", "2").unwrap();
        fs.arm(Fault::new(OpKind::HardLink, kind).times(u64::MAX));
        db.checkpoint(COPY).unwrap();
        let copy = open_at(COPY, &disk.crash()).unwrap();
        assert_eq!(copy.get("a").unwrap().unwrap(), vec![3; 3 << 20]);
        assert!(copy.verify().unwrap().is_ok());
    }
}

/// A store with a few tables and a value file, and something in its memtable.
fn store(fs: Arc<dyn Fs>) -> (Db, Model) {
    let (db, mut model) = rounds(fs, 2, |_, _| {});
    fill(&db, &mut model, 10, 2);
    (db, model)
}

#[test]
fn a_power_cut_leaves_it_whole_or_something_that_does_not_open() {
    for which in 0..SURVIVORS {
        // Up to the first cut behind it.
        for at in 0.. {
            let fs = CuttingFs::counting(MemFs::new());
            let (db, model) = store(Arc::new(fs.clone()));
            // Background work makes another number of calls each time, so the store's are not counted.
            fs.cut_after(at, survivors(which));
            db.checkpoint(COPY).unwrap();
            fs.acknowledge(1);
            db.put("behind", "the checkpoint").unwrap();
            drop(db);
            let (left, acknowledged) = fs.cut().unwrap();
            match open_at(COPY, &left) {
                Ok(copy) => {
                    assert_same(&copy, &model);
                    assert!(copy.verify().unwrap().is_ok());
                }
                Err(error) => {
                    assert_eq!(acknowledged, 0, "cut at {at}: {error}");
                    assert!(error.to_string().contains("/copies"), "{error}");
                }
            }
            if acknowledged > 0 {
                assert!(at > 10, "it makes only {at} calls");
                break;
            }
        }
    }
}

#[test]
fn a_failure_leaves_nothing_and_the_store_goes_on() {
    let mut failures = 0;
    for op in [OpKind::Create, OpKind::HardLink, OpKind::SyncDir, OpKind::Rename, OpKind::CreateDir]
    {
        for skipped in 0..4 {
            let disk = MemFs::new();
            let fs = FaultFs::new(Arc::new(disk.clone()));
            let (db, model) = store(Arc::new(fs.clone()));
            let fault = Fault::new(op, io::ErrorKind::Other).on("/copies");
            fs.arm(fault.after(skipped).times(1));
            if db.checkpoint(COPY).is_ok() {
                continue;
            }
            failures += 1;
            assert!(open_at(COPY, &disk).is_err(), "{op:?} {skipped}");
            assert_same(&db, &model);
            db.put("goes", "on").unwrap();
            db.checkpoint(COPY).unwrap();
            assert_eq!(text(&open_at(COPY, &disk).unwrap(), "goes").as_deref(), Some("on"));
        }
    }
    assert!(failures >= 6, "{failures}");
}
