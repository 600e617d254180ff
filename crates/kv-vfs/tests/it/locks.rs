//! A lock has one holder, in this process or another.

use crate::support::{error, everywhere, names, path};
use kv_vfs::{Fs, FsFileExt, MemFs, Mode, StdFs};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

#[test]
fn a_held_lock_is_refused_to_everyone() {
    everywhere(|fs, dir| {
        let lock = dir.join("LOCK");
        let held = fs.lock(&lock).unwrap();
        assert_eq!(error(fs.lock(&lock)), ErrorKind::WouldBlock);
        assert_eq!(error(fs.lock(&dir.join(".").join("LOCK"))), ErrorKind::WouldBlock);
        let _another = fs.lock(&dir.join("LOCK2")).unwrap();
        drop(held);
        assert_eq!(names(&**fs, dir), ["LOCK", "LOCK2"], "the file stays");
        drop(fs.lock(&lock).unwrap());
        assert_eq!(error(fs.lock(&dir.join("none/LOCK"))), ErrorKind::NotFound);
    });
}

#[test]
fn a_lock_outlives_other_handles_of_the_file() {
    everywhere(|fs, dir| {
        let lock = dir.join("LOCK");
        let _held = fs.lock(&lock).unwrap();
        let file = fs.open(&lock, Mode::ReadWrite).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        drop(file);
        assert_eq!(error(fs.lock(&lock)), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_lock_holds_whatever_the_file_is_called() {
    everywhere(|fs, dir| {
        let (db, moved) = (dir.join("db"), dir.join("moved"));
        fs.create_dir(&db).unwrap();
        let held = fs.lock(&db.join("LOCK")).unwrap();
        fs.hard_link(&db.join("LOCK"), &dir.join("other")).unwrap();
        assert_eq!(error(fs.lock(&dir.join("other"))), ErrorKind::WouldBlock);
        fs.rename(&db, &moved).unwrap();
        assert_eq!(error(fs.lock(&moved.join("LOCK"))), ErrorKind::WouldBlock);
        fs.create_dir(&db).unwrap();
        drop(fs.lock(&db.join("LOCK")).unwrap());
        drop(held);
        drop(fs.lock(&moved.join("LOCK")).unwrap());
    });
}

#[test]
fn a_power_cut_ends_all_locks() {
    let fs = MemFs::new();
    let held = fs.lock(path("/LOCK")).unwrap();
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(error(fs.clone().lock(path("/LOCK"))), ErrorKind::WouldBlock);
    let after = fs.crash();
    let again = after.lock(path("/LOCK")).unwrap();
    drop(held);
    assert_eq!(error(after.lock(path("/LOCK"))), ErrorKind::WouldBlock);
    drop(again);
}

const CHILD: &str = "KV_VFS_TEST_LOCK";

#[test]
fn a_lock_is_refused_to_another_process() {
    if let Some(lock) = std::env::var_os(CHILD) {
        // This is the other process.
        assert_eq!(error(StdFs::new().lock(Path::new(&lock))), ErrorKind::WouldBlock);
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let lock = temp.path().join("LOCK");
    let child = || {
        let name = "locks::a_lock_is_refused_to_another_process";
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", name]).env(CHILD, &lock).output().unwrap()
    };
    let held = StdFs::new().lock(&lock).unwrap();
    assert!(child().status.success(), "it is refused while it is held");
    drop(held);
    assert!(!child().status.success(), "and given afterwards");
}
