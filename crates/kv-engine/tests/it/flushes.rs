//! A large memtable becomes several tables that are made side by side, and nobody notices.

use crate::support::*;
use kv_engine::{Db, Event, Options};
use kv_vfs::{Fault, FaultFs, Fs, OpKind};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Memtables of many times the size of a table.
fn options(threads: usize) -> Options {
    Options::default().write_buffer(4 << 20).table_size(64 << 10).background_threads(threads)
}

/// Versions and deletes of many keys, and long values; some lie around every place where a
/// memtable may be cut.
fn fill_all(db: &Db, model: &mut Model) {
    for i in 0..3000 {
        let value = if i % 50 == 0 { vec![b'v'; 2000] } else { value(i, 0) };
        db.put(key(i), &value).unwrap();
        model.insert(key(i), value);
    }
    db.delete_range(key(900)..key(2100)).unwrap();
    model.retain(|held, _| *held < key(900) || *held >= key(2100));
    for i in (0..3000).step_by(3) {
        db.put(key(i), value(i, 1)).unwrap();
        model.insert(key(i), value(i, 1));
    }
}

/// Waits until no table is on the disk but those that are part of the store.
#[track_caller]
fn no_table_is_left_over(w: &World, db: &Db) {
    let start = Instant::now();
    while w.names(".sst").len() as u64 != figure(db, "kv_level_tables{") {
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", w.names(".sst"));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_large_memtable_becomes_one_table_for_each_thread() {
    for threads in [1, 3] {
        let w = World::plain();
        let flushed = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&flushed);
        let listener = move |event: &Event| {
            if let Event::FlushEnded { tables, .. } = event {
                heard.lock().unwrap().push(*tables);
            }
        };
        let options = options(threads).file_system(Arc::clone(&w.fs) as Arc<dyn Fs>);
        let options = options.listener(Arc::new(listener));
        let db = Db::open(DIR, options.clone()).unwrap();
        let (mut before, mut model) = (Model::new(), Model::new());
        fill_all(&db, &mut before);
        model.clone_from(&before);
        let snapshot = db.snapshot();
        for i in (0..3000).step_by(7) {
            db.delete(key(i)).unwrap();
            model.remove(&key(i));
        }
        // A key of many versions, which no cut divides.
        for version in 0..500 {
            db.put(key(1500), value(1500, version)).unwrap();
        }
        model.insert(key(1500), value(1500, 499));
        db.flush().unwrap();
        assert_same(&db, &model);
        for (key, value) in &before {
            assert_eq!(snapshot.get(key).unwrap().as_deref(), Some(value.as_slice()));
        }
        assert!(db.verify().unwrap().is_ok());
        drop(snapshot);
        no_table_is_left_over(&w, &db);
        db.close().unwrap();
        assert_eq!(*flushed.lock().unwrap(), [threads], "tables by {threads} threads");
        let db = Db::open(DIR, options).unwrap();
        assert_same(&db, &model);
        db.compact().unwrap();
        assert_same(&db, &model);
    }
}

#[test]
fn range_deletes_alone_are_written_out() {
    let w = World::plain();
    let db = Db::open(DIR, options(3).file_system(Arc::clone(&w.fs) as Arc<dyn Fs>)).unwrap();
    let mut model = Model::new();
    fill_all(&db, &mut model);
    db.flush().unwrap();
    db.delete_range(key(100)..key(2500)).unwrap();
    model.retain(|held, _| *held < key(100) || *held >= key(2500));
    db.flush().unwrap();
    assert_same(&db, &model);
}

#[test]
fn where_one_of_them_fails_nothing_of_the_others_stays() {
    for op in [OpKind::Create, OpKind::Write, OpKind::Sync] {
        for nth in 1..=3 {
            let w = World::plain();
            let fs = FaultFs::new(Arc::new((*w.fs).clone()));
            let faulty = options(3).file_system(Arc::new(fs.clone()) as Arc<dyn Fs>);
            let db = Db::open(DIR, faulty).unwrap();
            let mut model = Model::new();
            fill_all(&db, &mut model);
            let fault =
                fs.arm(Fault::new(op, io::ErrorKind::Other).on(".sst").after(nth - 1).times(1));
            // It may be told, or the background is quicker to try again.
            let _ = db.flush();
            assert!(fs.fired(fault) > 0, "{op:?} {nth} did not fail");
            assert_same(&db, &model);
            fs.disarm();
            db.flush().unwrap();
            no_table_is_left_over(&w, &db);
            assert_same(&db, &model);
        }
    }
}
