//! One opener at a time.

use crate::child;
use crate::support::*;
use kv_engine::{Db, ErrorKind, Options};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;

/// Waits for the first of these lines.
fn wait_for(child: &mut Child, wanted: &[&str]) -> String {
    let output = BufReader::new(child.stdout.as_mut().unwrap());
    let mut lines = output.lines().map(Result::unwrap);
    lines.find(|line| wanted.contains(&line.as_str())).expect("the child ended early")
}

#[test]
fn a_second_open_in_the_same_process_is_refused() {
    every_setting(|w| {
        let db = w.open();
        let error = refused(w.try_open());
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(error.to_string().contains("db"), "names the place: {error}");
        db.put("k", "still works").unwrap();
        let clone = db.clone();
        drop(db);
        assert_eq!(refused(w.try_open()).kind(), ErrorKind::Locked);
        drop(clone);
        w.open();
    });
}

#[test]
fn on_a_real_disk_other_names_for_the_directory_are_refused_too() {
    let temp = TempDir::new();
    let db = Db::open(temp.db(), Options::default()).unwrap();
    let open = |path: &Path| refused(Db::open(path, Options::default())).kind();
    assert_eq!(open(&temp.db()), ErrorKind::Locked);
    assert_eq!(open(&temp.path().join("./db/.")), ErrorKind::Locked);
    assert_eq!(open(&temp.db().join("../db")), ErrorKind::Locked);
    #[cfg(unix)]
    {
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(temp.db(), &link).unwrap();
        assert_eq!(open(&link), ErrorKind::Locked);
    }
    // Failed attempts do not take the lock away from its holder.
    for _ in 0..3 {
        assert_eq!(open(&temp.db()), ErrorKind::Locked);
    }
    db.close().unwrap();
    Db::open(temp.db(), Options::default()).unwrap();
}

#[test]
fn a_failed_open_releases_the_lock() {
    let w = World::plain();
    w.open().put("k", "v").unwrap();
    let current = w.files()["CURRENT"].clone();
    w.rewrite("CURRENT", |bytes| bytes.fill(b'?'));
    for _ in 0..2 {
        assert_ne!(refused(w.try_open()).kind(), ErrorKind::Locked);
    }
    w.rewrite("CURRENT", |bytes| *bytes = current);
    assert_eq!(text(&w.open(), "k").as_deref(), Some("v"));
}

#[test]
fn another_process_holds_the_lock_until_it_ends() {
    let temp = TempDir::new();
    let mut holder = child::start("hold", &temp.db());
    wait_for(&mut holder, &["open"]);
    assert_eq!(refused(Db::open(temp.db(), Options::default())).kind(), ErrorKind::Locked);
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    let db = Db::open(temp.db(), Options::default()).unwrap();
    assert_eq!(text(&db, "held").as_deref(), Some("by the child"));
}

#[test]
fn a_killed_process_leaves_no_lock() {
    let temp = TempDir::new();
    let mut holder = child::start("hold", &temp.db());
    wait_for(&mut holder, &["open"]);
    holder.kill().unwrap();
    holder.wait().unwrap();
    let db = Db::open(temp.db(), Options::default()).unwrap();
    assert_eq!(text(&db, "held").as_deref(), Some("by the child"));
}

#[test]
fn another_process_is_locked_out() {
    let temp = TempDir::new();
    let db = Db::open(temp.db(), Options::default()).unwrap();
    let attempt = || {
        let mut child = child::start("try", &temp.db());
        let said = wait_for(&mut child, &["locked", "not locked"]);
        child.wait().unwrap();
        said
    };
    assert_eq!(attempt(), "locked");
    db.put("k", "v").unwrap();
    drop(db);
    assert_eq!(attempt(), "not locked");
}
