//! The same engine without a disk.

use crate::support::*;
use kv_engine::{Db, ErrorKind, Options};

#[test]
fn it_is_the_same_engine() {
    for (name, options) in SETTINGS {
        println!("setting: {name}");
        let db = Db::in_memory(options()).unwrap();
        let mut model = Model::new();
        for version in 0..3 {
            fill(&db, &mut model, 200, version);
            db.delete_range(key(20 * version)..key(20 * version + 10)).unwrap();
            model.retain(|k, _| k < &key(20 * version) || k >= &key(20 * version + 10));
            db.flush().unwrap();
        }
        assert_same(&db, &model);
        db.compact().unwrap();
        db.sync().unwrap();
        assert_same(&db, &model);
        assert!(db.verify().unwrap().is_ok());
        db.keyspace("k").unwrap().put("a", "b").unwrap();
        assert_eq!(db.keyspaces().unwrap(), ["k"]);
        db.close().unwrap();
    }
}

#[test]
fn each_is_its_own() {
    let (a, b) =
        (Db::in_memory(Options::default()).unwrap(), Db::in_memory(Options::default()).unwrap());
    a.put("k", "a").unwrap();
    assert_eq!(text(&b, "k"), None);
    drop(a);
    b.put("k", "b").unwrap();
    assert_eq!(text(&b, "k").as_deref(), Some("b"));
}

#[test]
fn it_closes_like_any_other() {
    let db = Db::in_memory(Options::default()).unwrap();
    let clone = db.clone();
    db.put("k", "v").unwrap();
    db.close().unwrap();
    assert_eq!(refused(clone.get("k")).kind(), ErrorKind::Closed);
}

#[test]
fn settings_are_checked_here_too() {
    let error = refused(Db::in_memory(Options::default().block_size(0)));
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("block_size"));
}

#[test]
fn it_leaves_the_real_disk_alone() {
    let temp = TempDir::new();
    let before = std::fs::read_dir(temp.path()).unwrap().count();
    let db = Db::in_memory(Options::default()).unwrap();
    db.put("k", "v").unwrap();
    db.compact().unwrap();
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), before);
}
