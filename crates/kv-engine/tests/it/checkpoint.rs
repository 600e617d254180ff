//! Checkpoints: a second store, whole and of one moment, or nothing that opens.

use crate::cutting::CuttingFs;
use crate::support::*;
use kv_engine::{Db, ErrorKind, Options, WriteBatch};
use kv_vfs::{Fault, FaultFs, Fs, MemFs, OpKind};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    let stop = Arc::new(AtomicBool::new(false));
    // Each batch counts both keys up, and each thread keeps its own order.
    let writers: Vec<_> = (0..2)
        .map(|thread| {
            let (db, stop) = (db.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut i = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    i += 1;
                    let mut batch = WriteBatch::new();
                    batch.put(format!("a{thread}"), i.to_be_bytes());
                    batch.put(format!("z{thread}"), i.to_be_bytes());
                    batch.put(format!("entry{thread}/{i:08}"), [1; 40]);
                    db.write(batch).unwrap();
                }
            })
        })
        .collect();
    for round in 0..12 {
        let path = format!("/copies/{round}");
        let least: Vec<_> = (0..2).map(|thread| db.get(format!("a{thread}")).unwrap()).collect();
        db.checkpoint(&path).unwrap();
        let copy = open_at(&path, &w.fs).unwrap();
        for (thread, least) in least.into_iter().enumerate() {
            let count = copy.get(format!("a{thread}")).unwrap();
            assert_eq!(count, copy.get(format!("z{thread}")).unwrap(), "half of a batch");
            assert!(count >= least, "what was written before the call is there");
            let count = count.map_or(0, |bytes| u64::from_be_bytes(bytes[..].try_into().unwrap()));
            let entries = copy.prefix(format!("entry{thread}/")).count() as u64;
            assert_eq!(entries, count, "a prefix of what the thread wrote");
        }
        assert!(copy.verify().unwrap().is_ok());
    }
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
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
    let db = Db::open(DIR, Options::default().write_buffer(4 << 10).file_system(fs)).unwrap();
    let mut model = Model::new();
    for round in 0..2 {
        fill(&db, &mut model, 40, round);
        db.put("long", vec![round as u8; 2000]).unwrap();
        model.insert(b"long".to_vec(), vec![round as u8; 2000]);
        db.compact().unwrap();
    }
    fill(&db, &mut model, 10, 2);
    (db, model)
}

#[test]
fn a_power_cut_leaves_it_whole_or_something_that_does_not_open() {
    let counting = CuttingFs::counting(MemFs::new());
    let (db, _) = store(Arc::new(counting.clone()));
    let first = counting.operations();
    db.checkpoint(COPY).unwrap();
    let last = counting.operations();
    drop(db);
    assert!(last - first > 10, "{first} to {last}");
    let (mut whole, mut refusals) = (0, 0);
    for at in first..=last {
        for survivors in 0..3_u64 {
            let mut n = 0_u64;
            let survives = Box::new(move |_: &kv_vfs::PendingOp| {
                n += 1;
                [false, true, n.is_multiple_of(2)][survivors as usize]
            });
            let fs = CuttingFs::new(MemFs::new(), at, survives);
            let (db, model) = store(Arc::new(fs.clone()));
            db.checkpoint(COPY).unwrap();
            fs.acknowledge(1);
            db.put("behind", "the checkpoint").unwrap();
            drop(db);
            let Some((left, acknowledged)) = fs.cut() else { continue };
            match open_at(COPY, &left) {
                Ok(copy) => {
                    assert_same(&copy, &model);
                    assert!(copy.verify().unwrap().is_ok());
                    whole += 1;
                }
                Err(error) => {
                    assert_eq!(acknowledged, 0, "cut at {at}: {error}");
                    assert!(error.to_string().contains("/copies"), "{error}");
                    refusals += 1;
                }
            }
        }
    }
    assert!(whole > 0 && refusals > 0, "{whole} whole, {refusals} refused");
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
