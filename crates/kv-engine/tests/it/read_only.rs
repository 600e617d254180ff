//! Read-only: everything is read, nothing is touched.

use crate::support::*;
use kv_engine::{Db, Durability, ErrorKind, Options, Result, WriteBatch};
use std::time::Duration;

fn read_only(w: &World) -> Db {
    Db::open(DIR, w.options().read_only(true)).unwrap()
}

#[test]
fn a_missing_store_is_not_found_and_nothing_is_created() {
    let temp = TempDir::new();
    let options = Options::default().read_only(true);
    let error = refused(Db::open(temp.path().join("a/b"), options.clone()));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!temp.path().join("a").exists());
    std::fs::create_dir(temp.db()).unwrap();
    assert_eq!(refused(Db::open(temp.db(), options)).kind(), ErrorKind::NotFound);
    assert_eq!(std::fs::read_dir(temp.db()).unwrap().count(), 0);
}

#[test]
fn everything_is_read_tables_and_log() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 120, 0);
        db.flush().unwrap();
        fill(&db, &mut model, 40, 1);
        db.delete_range(key(50)..key(60)).unwrap();
        model.retain(|k, _| k < &key(50) || k >= &key(60));
        let space = db.keyspace("space").unwrap();
        space.put("k", "v").unwrap();
        drop((db, space));
        let reader = read_only(w);
        assert_same(&reader, &model);
        assert_same(&reader.snapshot(), &model);
        assert_eq!(reader.keyspaces().unwrap(), ["space"]);
        assert_eq!(text(&reader.keyspace("space").unwrap(), "k").as_deref(), Some("v"));
        assert!(reader.verify().unwrap().is_ok());
    });
}

#[test]
fn every_write_answers_read_only() {
    type Call = (&'static str, fn(&Db) -> Result<()>);
    fn one() -> WriteBatch {
        let mut batch = WriteBatch::new();
        batch.put("k", "v");
        batch
    }
    let calls: &[Call] = &[
        ("put", |db| db.put("k", "v")),
        ("put_with_ttl", |db| db.put_with_ttl("k", "v", Duration::from_secs(1))),
        ("delete", |db| db.delete("k")),
        ("delete_range", |db| db.delete_range("a".."z")),
        ("write", |db| db.write(one())),
        ("write_with", |db| db.write_with(one(), Durability::Sync)),
        ("a new keyspace", |db| db.keyspace("new").map(drop)),
        ("drop_keyspace", |db| db.drop_keyspace("space")),
        ("flush", |db| db.flush()),
        ("compact", |db| db.compact()),
        ("sync", |db| db.sync()),
        ("Keyspace::put", |db| db.keyspace("space")?.put("k", "v")),
        ("Keyspace::delete_range", |db| db.keyspace("space")?.delete_range("a".."z")),
        ("Keyspace::write", |db| db.keyspace("space")?.write(one())),
    ];
    every_setting(|w| {
        let db = w.open();
        db.put("k", "old").unwrap();
        db.keyspace("space").unwrap();
        drop(db);
        let reader = read_only(w);
        for (name, call) in calls {
            let error = call(&reader).expect_err(name);
            let kinds = match *name {
                "a new keyspace" => vec![ErrorKind::ReadOnly, ErrorKind::NotFound],
                _ => vec![ErrorKind::ReadOnly],
            };
            assert!(kinds.contains(&error.kind()), "{name}: {error:?}");
        }
        assert_eq!(text(&reader, "k").as_deref(), Some("old"));
    });
}

#[test]
fn nothing_in_the_directory_changes() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 150, 0);
        // The power is cut, so there is a log to replay, and a torn end to pass over.
        let cut = w.on(w.fs.crash_with(&mut |_| true));
        drop(db);
        let before = cut.files();
        let reader = read_only(&cut);
        assert_same(&reader, &model);
        assert!(reader.verify().unwrap().is_ok());
        assert!(cut.files() == before);
        reader.close().unwrap();
        assert!(cut.files() == before);
        drop(read_only(&cut));
        assert!(cut.files() == before);
        assert_same(&cut.open(), &model);
    });
}

#[test]
fn it_opens_beside_a_live_writer_and_other_readers() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 100, 0);
        let readers = [read_only(w), read_only(w)];
        for reader in &readers {
            assert_same(reader, &model);
        }
        db.put("later", "x").unwrap();
        drop(readers);
        db.compact().unwrap();
        assert!(db.contains_key("later").unwrap());
    });
}

#[test]
fn a_real_directory_without_write_permission_is_read() {
    let temp = TempDir::new();
    let db = Db::open(temp.db(), Options::default()).unwrap();
    db.put("k", "v").unwrap();
    db.close().unwrap();
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(temp.db())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                (entry.file_name(), metadata.len(), metadata.modified().unwrap())
            })
            .collect();
        names.sort();
        names
    };
    let before = names();
    let reader = Db::open(temp.db(), Options::default().read_only(true)).unwrap();
    assert_eq!(text(&reader, "k").as_deref(), Some("v"));
    reader.close().unwrap();
    assert_eq!(names(), before);
}

#[test]
fn read_only_wins_over_create_if_missing() {
    let w = World::plain();
    let options = w.options().read_only(true).create_if_missing(true);
    assert_eq!(refused(Db::open(DIR, options)).kind(), ErrorKind::NotFound);
}
