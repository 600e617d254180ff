//! Failed reads, writes and syncs: nothing is acknowledged that may be lost, and the reason stays.

use crate::support::*;
use kv_engine::{Db, Durability, ErrorKind, Options, WriteBatch};
use kv_vfs::{Fault, FaultFs, FaultKind, Fs, MemFs, OpKind};
use std::io;
use std::sync::Arc;

struct Faulty {
    disk: MemFs,
    fs: FaultFs,
    setting: Setting,
}

impl Faulty {
    fn new(setting: Setting) -> Faulty {
        let disk = MemFs::new();
        Faulty { fs: FaultFs::new(Arc::new(disk.clone())), disk, setting }
    }

    fn options(&self) -> Options {
        (self.setting.1)().file_system(Arc::new(self.fs.clone()) as Arc<dyn Fs>)
    }

    fn open(&self) -> Db {
        Db::open(DIR, self.options()).unwrap()
    }

    fn arm(&self, op: OpKind, path: &str, times: u64) {
        self.fs.arm(Fault::new(op, io::ErrorKind::Other).on(path).times(times));
    }
}

fn every_faulty(promise: impl Fn(&Faulty)) {
    for setting in SETTINGS {
        println!("setting: {}", setting.0);
        promise(&Faulty::new(*setting));
    }
}

fn put_synced(db: &Db, key: &[u8], value: &[u8]) -> kv_engine::Result<()> {
    let mut batch = WriteBatch::new();
    batch.put(key, value);
    db.write_with(batch, Durability::Sync)
}

/// After `op` on the log failed once, no write is taken any more, for a reason that stays.
fn the_log_fails(op: OpKind, kind: FaultKind) {
    every_faulty(|f| {
        let db = f.open();
        let mut model = Model::new();
        fill(&db, &mut model, 30, 0);
        db.sync().unwrap();
        f.fs.arm(Fault::new(op, io::ErrorKind::Other).on(".log").times(1).kind(kind));
        let first = refused(put_synced(&db, b"lost", b"v"));
        assert!(matches!(first.kind(), ErrorKind::Io | ErrorKind::ReadOnly), "{first:?}");
        let mut reasons: Vec<String> = Vec::new();
        for round in 0..3 {
            let error = refused(put_synced(&db, b"later", b"v"));
            assert_eq!(error.kind(), ErrorKind::ReadOnly, "round {round}: {error}");
            reasons.push(error.to_string());
            assert_eq!(refused(db.delete(key(1))).kind(), ErrorKind::ReadOnly);
            assert_eq!(refused(db.sync()).kind(), ErrorKind::ReadOnly);
            assert_eq!(refused(db.keyspace("new")).kind(), ErrorKind::ReadOnly);
        }
        assert!(reasons.iter().all(|reason| *reason == reasons[0]), "{reasons:?}");
        assert!(reasons[0].contains(".log"), "names the file: {}", reasons[0]);
        // Reads go on. The write that failed was not acknowledged, and may or may not show.
        for (key, value) in &model {
            assert_eq!(db.get(key).unwrap().as_deref(), Some(value.as_slice()));
        }
        assert_eq!(pairs(db.prefix("key")).len(), 30);
        assert_eq!(db.get("later").unwrap(), None);
        let cut = f.disk.crash();
        drop(db);
        for fs in [&cut, &f.disk] {
            let db = Db::open(DIR, (f.setting.1)().file_system(Arc::new(fs.clone()))).unwrap();
            assert_eq!(pairs(db.prefix("key")), model.clone().into_iter().collect::<Pairs>());
            assert_eq!(db.get("later").unwrap(), None);
            db.put("k", "v").unwrap();
        }
    });
}

#[test]
fn a_failed_sync_of_the_log_makes_the_handle_read_only() {
    the_log_fails(OpKind::Sync, FaultKind::Fail);
}

#[test]
fn a_sync_of_the_log_that_fails_but_works_does_too() {
    the_log_fails(OpKind::Sync, FaultKind::FailButDone);
}

#[test]
fn a_failed_write_of_the_log_does_too() {
    the_log_fails(OpKind::Write, FaultKind::Fail);
}

#[test]
fn a_write_of_the_log_that_fails_but_works_does_too() {
    the_log_fails(OpKind::Write, FaultKind::FailButDone);
}

#[test]
fn after_a_failed_sync_no_member_of_a_group_is_told_otherwise() {
    for round in 0..20 {
        let f = Faulty::new(SETTINGS[round % SETTINGS.len()]);
        let db = f.open();
        f.fs.arm(Fault::new(OpKind::Sync, io::ErrorKind::Other).on(".log").after(round as u64));
        let acknowledged: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..8)
                .map(|writer| {
                    let db = &db;
                    scope.spawn(move || {
                        let keys = (0..20).map(|i| format!("{writer} {i}").into_bytes());
                        keys.take_while(|key| put_synced(db, key, b"v").is_ok()).collect::<Vec<_>>()
                    })
                })
                .collect();
            writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
        });
        assert!(put_synced(&db, b"k", b"v").is_err(), "the sync failed for good");
        let disk = f.disk.crash();
        drop(db);
        let db = Db::open(DIR, Options::default().file_system(Arc::new(disk))).unwrap();
        for key in acknowledged {
            assert!(db.contains_key(&key).unwrap(), "round {round}: {key:?} was acknowledged");
        }
    }
}

#[test]
fn a_failed_sync_of_the_manifest_loses_nothing() {
    for (op, path) in
        [(OpKind::Sync, "MANIFEST"), (OpKind::Write, "MANIFEST"), (OpKind::SyncDir, "")]
    {
        every_faulty(|f| {
            let db = f.open();
            let mut model = Model::new();
            fill(&db, &mut model, 30, 0);
            f.arm(op, path, 1);
            let outcome = db.flush().and_then(|()| db.compact());
            if let Err(error) = outcome {
                assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::ReadOnly), "{error:?}");
            }
            assert_same(&db, &model);
            match db.put("later", "v") {
                Ok(()) => _ = model.insert(b"later".to_vec(), b"v".to_vec()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::ReadOnly),
            }
            db.sync().ok();
            f.fs.disarm();
            drop(db);
            let db = f.open();
            assert_same(&db, &model);
            assert!(db.verify().unwrap().is_ok());
        });
    }
}

#[test]
fn a_failed_write_of_a_table_loses_nothing() {
    for op in [OpKind::Write, OpKind::Sync, OpKind::Create] {
        every_faulty(|f| {
            let db = f.open();
            let mut model = Model::new();
            fill(&db, &mut model, 20, 0);
            f.arm(op, ".sst", 1);
            let outcome = db.flush();
            assert_same(&db, &model);
            if outcome.is_err() {
                // Whether this handle may go on is its choice; what it acknowledges must stay.
                if db.put("later", "v").is_ok() {
                    model.insert(b"later".to_vec(), b"v".to_vec());
                }
            }
            f.fs.disarm();
            let cut = f.disk.crash();
            drop(db);
            let db = f.open();
            assert_same(&db, &model);
            db.compact().unwrap();
            assert_same(&db, &model);
            drop(cut);
        });
    }
}

#[test]
fn a_failed_read_is_told_and_passes() {
    every_faulty(|f| {
        let db = f.open();
        let mut model = Model::new();
        fill(&db, &mut model, 300, 0);
        db.compact().unwrap();
        drop(db);
        let db = f.open();
        f.arm(OpKind::Read, ".sst", u64::MAX);
        let mut failures = 0;
        for i in 0..300 {
            match db.get(key(i)) {
                Ok(found) => assert_eq!(found.unwrap(), value(i, 0)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
                    assert!(error.to_string().contains(".sst"), "names the file: {error}");
                    failures += 1;
                }
            }
        }
        assert!(failures > 0, "no read failed");
        f.fs.disarm();
        assert_same(&db, &model);
    });
}

#[test]
fn an_iterator_answers_its_error_and_ends() {
    every_faulty(|f| {
        let db = f.open();
        let mut model = Model::new();
        fill(&db, &mut model, 400, 0);
        db.compact().unwrap();
        let expected: Pairs = model.into_iter().collect();
        drop(db);
        for after in 0..4 {
            let db = f.open();
            let fault = Fault::new(OpKind::Read, io::ErrorKind::Other).on(".sst").after(after);
            f.fs.arm(fault.times(1));
            let mut iter = db.iter();
            let mut count = 0;
            let error = loop {
                match iter.next() {
                    Some(Ok((k, v))) => {
                        assert_eq!((k.to_vec(), v.to_vec()), expected[count], "nothing is skipped");
                        count += 1;
                    }
                    Some(Err(error)) => break Some(error),
                    None => break None,
                }
            };
            match error {
                Some(error) => assert_eq!(error.kind(), ErrorKind::Io),
                None => assert_eq!(count, expected.len(), "it ended early without an error"),
            }
            assert!(iter.next().is_none() && iter.next_back().is_none());
            f.fs.disarm();
            assert_eq!(pairs(db.iter()).len(), 400);
        }
    });
}

#[test]
fn a_failed_read_while_opening_changes_no_file() {
    every_faulty(|f| {
        let db = f.open();
        let mut model = Model::new();
        fill(&db, &mut model, 100, 0);
        let crashed = f.disk.crash_with(&mut |_| true);
        drop(db);
        let path = std::path::Path::new(DIR);
        for op in [OpKind::Read, OpKind::Open, OpKind::Len, OpKind::List, OpKind::Metadata] {
            for after in 0..30 {
                let disk = crashed.crash();
                let before = files(&disk, path);
                let fs = FaultFs::new(Arc::new(disk.clone()));
                fs.arm(Fault::new(op, io::ErrorKind::Other).after(after).times(1));
                let opened = Db::open(DIR, (f.setting.1)().file_system(Arc::new(fs.clone())));
                fs.disarm();
                match opened {
                    Ok(db) => {
                        assert_same(&db, &model);
                        break;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Io, "{op:?} {after}: {error}");
                        // A failed open may add files; what was there stays as it was.
                        let now = files(&disk, path);
                        let same = before.iter().all(|(name, bytes)| now.get(name) == Some(bytes));
                        assert!(same, "{op:?} {after} changed a file");
                    }
                }
            }
        }
    });
}

#[test]
fn short_reads_and_writes_are_gone_on_with() {
    let f = Faulty::new(SETTINGS[1]);
    f.fs.arm(Fault::new(OpKind::Write, io::ErrorKind::Other).kind(FaultKind::Short(7)));
    let db = f.open();
    let mut model = Model::new();
    fill(&db, &mut model, 200, 0);
    db.compact().unwrap();
    assert_same(&db, &model);
    drop(db);
    assert_same(&f.open(), &model);
}

#[test]
fn any_single_failure_loses_nothing_acknowledged() {
    use OpKind::*;
    let run = |fs: &FaultFs, acknowledged: &mut Model| -> kv_engine::Result<()> {
        let options = SETTINGS[1].1().background_threads(1).file_system(Arc::new(fs.clone()));
        let db = Db::open(DIR, options)?;
        for version in 0..2 {
            for i in 0..40 {
                put_synced(&db, &key(i), &value(i, version))?;
                acknowledged.insert(key(i), value(i, version));
            }
            db.flush()?;
        }
        db.compact()?;
        db.close()
    };
    for op in [Write, Sync, SyncDir, Create, Rename, Remove, Allocate, SetLen, Read, Open] {
        for after in (0..90).step_by(if matches!(op, Write | Sync) { 3 } else { 2 }) {
            let disk = MemFs::new();
            let fs = FaultFs::new(Arc::new(disk.clone()));
            fs.arm(Fault::new(op, io::ErrorKind::Other).after(after).times(1));
            let mut acknowledged = Model::new();
            let outcome = run(&fs, &mut acknowledged);
            let met = fs.calls().get(&op).is_some_and(|calls| *calls > after);
            if outcome.is_ok() && !met {
                break;
            }
            for disk in [disk.crash(), disk] {
                let options = Options::default().file_system(Arc::new(disk));
                let db = Db::open(DIR, options)
                    .unwrap_or_else(|e| panic!("{op:?} {after}: it does not open: {e}"));
                for (key, value) in &acknowledged {
                    let found = db.get(key).unwrap();
                    // One write may be newer than the last acknowledged one.
                    let newest = found.as_deref().is_some_and(|f| f == value.as_slice())
                        || found.as_deref().is_some_and(|f| f.ends_with(b".") && f != value);
                    assert!(newest, "{op:?} {after}: {key:?} was acknowledged");
                }
                db.put("alive", "1").unwrap();
            }
        }
    }
}

#[test]
fn a_keyspace_whose_drop_failed_is_read_as_before() {
    every_faulty(|f| {
        let db = f.open();
        let users = db.keyspace("users").unwrap();
        users.put("ada", "1815").unwrap();
        f.arm(OpKind::Write, ".log", 1);
        refused(db.drop_keyspace("users"));
        assert_eq!(db.keyspaces().unwrap(), ["users"]);
        assert_eq!(users.get("ada").unwrap().as_deref(), Some(&b"1815"[..]));
        assert_eq!(pairs(db.keyspace("users").unwrap().iter()).len(), 1);
    });
}

#[test]
fn a_close_after_the_log_failed_does_not_say_that_all_is_durable() {
    every_faulty(|f| {
        let db = f.open();
        let mut batch = WriteBatch::new();
        batch.put("unsynced", "v");
        db.write_with(batch, Durability::Os).unwrap();
        f.arm(OpKind::Sync, ".log", 1);
        refused(put_synced(&db, b"lost", b"v"));
        assert_eq!(refused(db.clone().close()).kind(), ErrorKind::ReadOnly);
        assert_eq!(refused(db.get("unsynced")).kind(), ErrorKind::Closed);
        assert!(f.open().contains_key("unsynced").unwrap(), "the lock is free");
    });
}

/// A failed sync of the directory may drop the names that others were about to make durable, and
/// the next sync succeeds without them. No file may then be counted on.
#[test]
fn a_failed_sync_of_the_directory_is_not_tried_again() {
    for nth in 0..24 {
        let f = Faulty::new(("small", || Options::default().write_buffer(4 << 10)));
        let db = f.open();
        let fault = Fault::new(OpKind::SyncDir, io::ErrorKind::Other);
        let fault = f.fs.arm(fault.after(nth).times(1).kind(FaultKind::LostReadable));
        let mut model = Model::new();
        for i in 0..400 {
            match put_synced(&db, &key(i), &value(i, 0)) {
                Ok(()) => model.insert(key(i), value(i, 0)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ReadOnly, "sync {nth}: {error}");
                    break;
                }
            };
        }
        drop(db);
        if f.fs.fired(fault) == 0 {
            assert!(nth > 4, "there were no more than {nth} syncs");
            break;
        }
        let options = (f.setting.1)().file_system(Arc::new(f.disk.crash()));
        let db = Db::open(DIR, options).unwrap_or_else(|e| panic!("sync {nth}: {e}"));
        let lost = model.iter().filter(|(k, v)| db.get(k).unwrap().as_deref() != Some(&v[..]));
        assert_eq!(lost.count(), 0, "sync {nth}: acknowledged and gone");
    }
}
