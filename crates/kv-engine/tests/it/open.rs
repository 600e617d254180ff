//! Opening: what is created, what is found again, what is refused.

use crate::support::*;
use kv_engine::{
    Bytes, Cursor, Db, Error, ErrorKind, Iter, Keyspace, Options, Snapshot, WriteBatch,
};
use kv_vfs::{Fault, FaultFs, Fs, MemFs, OpKind};
use std::io;
use std::path::Path;
use std::sync::Arc;

#[test]
fn it_creates_the_directory_and_its_parents() {
    let temp = TempDir::new();
    let path = temp.path().join("a/b/c");
    let db = Db::open(&path, Options::default()).unwrap();
    db.put("k", "v").unwrap();
    db.close().unwrap();
    assert!(path.is_dir());
    let db = Db::open(path.to_str().unwrap(), Options::default()).unwrap();
    assert_eq!(text(&db, "k").as_deref(), Some("v"));
}

/// The open that made the directory failed to make its name durable; the next one finds it there.
#[test]
fn a_directory_whose_name_an_earlier_open_could_not_sync_is_synced_by_the_next() {
    let dir = Path::new("/a/b/db");
    for nth in 0..3 {
        let disk = MemFs::new();
        let faulty = FaultFs::new(Arc::new(disk.clone()));
        faulty.arm(Fault::new(OpKind::SyncDir, io::ErrorKind::Other).after(nth).times(1));
        let options = Options::default().file_system(Arc::new(faulty.clone()));
        assert_eq!(refused(Db::open(dir, options.clone())).kind(), ErrorKind::Io, "sync {nth}");
        let db = Db::open(dir, options).unwrap();
        db.put("k", "v").unwrap();
        db.sync().unwrap();
        drop(db);
        let options = Options::default().file_system(Arc::new(disk.crash()));
        let db = Db::open(dir, options.create_if_missing(false)).unwrap();
        assert_eq!(text(&db, "k").as_deref(), Some("v"), "sync {nth}");
    }
}

#[test]
fn without_create_if_missing_a_missing_store_is_not_found_and_nothing_is_created() {
    let temp = TempDir::new();
    let options = Options::default().create_if_missing(false);
    let missing = temp.path().join("a/b");
    let error = refused(Db::open(&missing, options.clone()));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!temp.path().join("a").exists());
    let empty = temp.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert_eq!(refused(Db::open(&empty, options)).kind(), ErrorKind::NotFound);
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0);
}

#[test]
fn without_create_if_missing_an_existing_store_opens() {
    every_setting(|w| {
        w.open().put("k", "v").unwrap();
        let db = Db::open(DIR, w.options().create_if_missing(false)).unwrap();
        assert_eq!(text(&db, "k").as_deref(), Some("v"));
    });
}

#[test]
fn what_was_written_is_there_after_close() {
    every_setting(|w| {
        let mut model = Model::new();
        for round in 0..4 {
            let db = w.open();
            assert_same(&db, &model);
            fill(&db, &mut model, 60 + round * 20, round);
            for i in (round..60).step_by(7) {
                db.delete(key(i)).unwrap();
                model.remove(&key(i));
            }
            db.close().unwrap();
        }
        assert_same(&w.open(), &model);
    });
}

#[test]
fn what_was_written_is_there_after_dropping_the_last_handle() {
    every_setting(|w| {
        let mut model = Model::new();
        for round in 0..4 {
            let db = w.open();
            let clone = db.clone();
            assert_same(&db, &model);
            fill(&db, &mut model, 60 + round * 20, round);
            drop(db);
            clone.put("by the clone", value(round, 0)).unwrap();
            model.insert(b"by the clone".to_vec(), value(round, 0));
        }
        assert_same(&w.open(), &model);
    });
}

#[test]
fn what_was_written_is_there_on_a_real_disk() {
    for setting in SETTINGS {
        println!("setting: {}", setting.0);
        let temp = TempDir::new();
        let mut model = Model::new();
        for round in 0..3 {
            let db = Db::open(temp.db(), (setting.1)().sync_on_write(false)).unwrap();
            assert_same(&db, &model);
            fill(&db, &mut model, 100, round);
            db.delete_range(key(10 * round)..key(10 * round + 5)).unwrap();
            model.retain(|k, _| k < &key(10 * round) || k >= &key(10 * round + 5));
            db.put(format!("big {round}"), vec![b'x'; 100_000]).unwrap();
            model.insert(format!("big {round}").into_bytes(), vec![b'x'; 100_000]);
            match round {
                0 => db.close().unwrap(),
                1 => db.compact().unwrap(),
                _ => {}
            }
        }
        assert_same(&Db::open(temp.db(), Options::default()).unwrap(), &model);
    }
}

#[test]
fn a_store_opens_under_any_other_setting() {
    let mut model = Model::new();
    let mut world = World::plain();
    for (round, setting) in SETTINGS.iter().chain(SETTINGS.iter().rev()).enumerate() {
        println!("setting: {}", setting.0);
        world.setting = *setting;
        let db = world.open();
        assert_same(&db, &model);
        fill(&db, &mut model, 80, round);
        db.delete_range(key(round)..key(round + 3)).unwrap();
        model.retain(|k, _| k < &key(round) || k >= &key(round + 3));
        if round % 3 == 0 {
            db.compact().unwrap();
        }
        assert_same(&db, &model);
    }
}

#[test]
fn opening_without_writing_leaves_no_files_behind() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 100, 0);
        db.close().unwrap();
        let count = w.files().len();
        for _ in 0..10 {
            assert_same(&w.open(), &model);
        }
        let names: Vec<String> = w.files().into_keys().collect();
        assert!(names.len() <= count + 2, "{count} files became {names:?}");
        assert!(w.names(".tmp").is_empty());
    });
}

#[test]
fn foreign_files_are_left_alone() {
    let temp = TempDir::new();
    std::fs::create_dir_all(temp.db().join("sub")).unwrap();
    for name in ["notes.txt", "000001.bak", "sub/file"] {
        std::fs::write(temp.db().join(name), "mine").unwrap();
    }
    for _ in 0..2 {
        let db = Db::open(temp.db(), Options::default().write_buffer(4 << 10)).unwrap();
        let mut model = Model::new();
        fill(&db, &mut model, 200, 0);
        db.compact().unwrap();
        db.close().unwrap();
    }
    for name in ["notes.txt", "000001.bak", "sub/file"] {
        assert_eq!(std::fs::read_to_string(temp.db().join(name)).unwrap(), "mine", "{name}");
    }
}

#[test]
fn a_path_that_is_a_file_is_refused_and_unchanged() {
    let temp = TempDir::new();
    std::fs::write(temp.db(), "not a store").unwrap();
    let error = refused(Db::open(temp.db(), Options::default()));
    assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::InvalidArgument), "{error:?}");
    assert_eq!(std::fs::read_to_string(temp.db()).unwrap(), "not a store");
    refused(Db::open(temp.db().join("below"), Options::default()));
}

#[cfg(unix)]
#[test]
fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let temp = TempDir::new();
    let db = Db::open(temp.db(), Options::default()).unwrap();
    db.put("k", "v").unwrap();
    db.compact().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&temp.db()), 0o700);
    for entry in std::fs::read_dir(temp.db()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

/// A creation that fails at any step is completed, or begun anew, by the next open.
#[test]
fn creation_can_fail_at_any_step() {
    use OpKind::*;
    let mut failures = 0;
    for op in [Create, Write, Sync, SyncDir, Rename, CreateDir, Allocate, Lock, List, SetLen] {
        for step in 0..20 {
            let fs = FaultFs::new(Arc::new(MemFs::new()));
            fs.arm(Fault::new(op, io::ErrorKind::Other).after(step));
            let options = Options::default().file_system(Arc::new(fs.clone()));
            let opened = Db::open(DIR, options.clone());
            fs.disarm();
            match opened {
                Ok(db) => drop(db),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Io, "{op:?} {step}: {error}");
                    failures += 1;
                }
            }
            let db = Db::open(DIR, options.clone())
                .unwrap_or_else(|e| panic!("after a failed {op:?} {step}: {e}"));
            db.put("k", "v").unwrap();
            drop(db);
            let db = Db::open(DIR, options).unwrap();
            assert_eq!(text(&db, "k").as_deref(), Some("v"));
        }
    }
    assert!(failures > 10, "only {failures} faults were met");
}

#[test]
fn a_power_cut_right_after_open_leaves_a_store_or_nothing() {
    every_setting(|w| {
        let db = w.open();
        let cut = w.after_power_cut();
        drop(db);
        let again = cut.open();
        assert!(pairs(again.iter()).is_empty());
        again.put("k", "v").unwrap();
        let twice = cut.after_power_cut();
        twice.open();
    });
}

#[test]
fn handles_go_wherever_threads_go() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Db>();
    shared::<Keyspace>();
    shared::<Snapshot>();
    shared::<Options>();
    shared::<WriteBatch>();
    shared::<Error>();
    shared::<Bytes>();
    sent::<Iter>();
    sent::<Cursor>();
    assert!(std::mem::size_of::<Db>() <= 64, "a handle is cheap to clone");
}

#[test]
fn two_stores_live_side_by_side() {
    let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
    let options = Options::default().file_system(fs);
    let (a, b) = (Db::open("/a", options.clone()).unwrap(), Db::open("/b", options).unwrap());
    a.put("k", "a").unwrap();
    b.put("k", "b").unwrap();
    a.compact().unwrap();
    assert_eq!(text(&a, "k").as_deref(), Some("a"));
    assert_eq!(text(&b, "k").as_deref(), Some("b"));
}
