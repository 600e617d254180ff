//! Wrong places: what is no store, what is somebody else's, and what nobody may write.

use crate::{Kv, Ran};
use kv_engine::{Db, Options};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

#[test]
fn where_there_is_no_store_only_writing_makes_one() {
    let kv = Kv::new();
    let commands: [&[&str]; 12] = [
        &["get", "a"],
        &["delete", "a"],
        &["scan"],
        &["count"],
        &["dump"],
        &["changes"],
        &["keyspaces"],
        &["drop-keyspace", "a"],
        &["flush"],
        &["compact"],
        &["stats"],
        &["verify"],
    ];
    for args in commands {
        kv.run(args).fails(1, "there is no store at");
        assert!(!kv.store().exists(), "{args:?}");
    }
    kv.ok(&["put", "a", "1"]);
}

#[test]
fn a_file_is_no_store() {
    let kv = Kv::new();
    let file = kv.file("file", b"text");
    let new = kv.dir.path().join("new");
    for args in [&["get", "a"][..], &["verify"], &["shell", "--read-only"], &["top", "--once"]] {
        kv.run(&[args, &["--data-dir", &file]].concat()).fails(1, "is a file");
    }
    kv.run(&["--data-dir", &file, "put", "a", "1"]).fails(1, "is a file");
    kv.run(&["repair", &file, "--into", new.to_str().unwrap()]).fails(1, "is a file");
    kv.run(&["load", kv.dir.path().to_str().unwrap()]).fails(3, "directory");
    assert!(!kv.store().exists() && !new.exists());
}

#[test]
fn a_store_that_is_open_elsewhere_is_told_with_what_goes_beside_it() {
    let kv = Kv::with(&[("a", "1")]);
    let copy = kv.dir.path().join("copy");
    let db = Db::open(kv.store(), Options::default()).unwrap();
    for args in [&["put", "a", "2"][..], &["compact"], &["checkpoint", copy.to_str().unwrap()]] {
        kv.run(args).fails(3, "another program has the store open");
    }
    let store = kv.store();
    let repair = ["repair", store.to_str().unwrap(), "--into", copy.to_str().unwrap()];
    db.put("b", "2").unwrap();
    kv.run(&repair).fails(3, "another program has the store open");
    assert_eq!(kv.ok(&["count"]), "2\n");
}

#[test]
fn no_copy_is_made_inside_of_what_it_is_a_copy_of() {
    let kv = Kv::with(&[("a", "1")]);
    let within = |dir: &str| kv.dir.path().join(dir).to_str().unwrap().to_owned();
    kv.run(&["checkpoint", &within("store/copy")]).fails(2, "name a place outside");
    kv.run(&["backup", &within("store/sub/backups")]).fails(2, "name a place outside");
    std::os::unix::fs::symlink(kv.store(), kv.dir.path().join("link")).unwrap();
    kv.run(&["checkpoint", &within("link/copy")]).fails(2, "name a place outside");
    kv.ok(&["backup", &within("backups")]);
    let into = within("backups/copy");
    kv.run(&["restore", &within("backups"), "--into", &into]).fails(2, "name a place outside");
    kv.ok(&["backup", &within("backups")]);
    kv.ok(&["checkpoint", &within("store-2")]);
    kv.ok(&["restore", &within("backups"), "--into", &within("backups-2")]);
}

#[test]
fn a_store_that_nobody_may_write_is_read_and_backed_up() {
    let kv = Kv::with(&[("a", "1")]);
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let (backups, home) = (kv.dir.path().join("backups"), kv.dir.path());
    std::fs::create_dir(&backups).unwrap();
    mode(home, 0o755);
    mode(&backups, 0o777);
    for entry in std::fs::read_dir(kv.store()).unwrap() {
        mode(&entry.unwrap().path(), 0o444);
    }
    mode(&kv.store(), 0o555);
    let run = |args: &[&str]| {
        let mut command = kv.command(args);
        // For the superuser nothing is forbidden.
        if rustix::process::geteuid().is_root() {
            command.uid(65_534);
        }
        command.output().map(Ran::new)
    };
    let Ok(ran) = run(&["get", "a"]) else { return };
    assert_eq!(ran.ok(), "1\n");
    run(&["put", "a", "2"]).unwrap().fails(3, "commands that only read work all the same");
    let told = run(&["backup", backups.to_str().unwrap()]).unwrap().ok();
    assert!(told.starts_with("point 1: "), "{told}");
    mode(&kv.store(), 0o755);
}

#[test]
fn what_was_not_finished_is_told_from_what_is_damaged() {
    let kv = Kv::with(&[("a", "1")]);
    let at = |name: &str| kv.dir.path().join(name).to_str().unwrap().to_owned();
    kv.ok(&["backup", &at("backups")]);
    kv.ok(&["restore", &at("backups"), "--into", &at("new")]);
    // As a cut leaves it.
    std::fs::remove_file(kv.dir.path().join("new/CURRENT")).unwrap();
    for args in [&["get", "a"][..], &["put", "a", "1"], &["stats"]] {
        let new = at("new");
        let args = [&["--data-dir", &new], args].concat();
        kv.run(&args).fails(3, "not finished, which can be removed");
    }
    let again = ["restore", &at("backups"), "--into", &at("new")];
    kv.run(&again).fails(2, "a copy that was not finished: remove it");
    std::fs::remove_dir_all(kv.dir.path().join("new")).unwrap();
    kv.ok(&again);
    kv.run(&again).fails(2, "is not empty; name another one");
}
