//! `backup` and `restore`.

use crate::Kv;
use kv_engine::{Db, Options};

fn path(kv: &Kv, name: &str) -> String {
    kv.dir.path().join(name).to_str().unwrap().to_owned()
}

#[test]
fn points_come_are_listed_and_are_restored() {
    let kv = Kv::with(&[("a", "1"), ("b", "2")]);
    let (all, old, new) = (path(&kv, "backups"), path(&kv, "old"), path(&kv, "new"));
    assert!(kv.ok(&["backup", &all]).starts_with("point 1: "));
    kv.ok(&["put", "a", "3"]);
    let made: serde_json::Value =
        serde_json::from_str(&kv.ok(&["backup", &all, "--json"])).unwrap();
    assert_eq!(made["point"], 2);
    assert!(made["copied"].as_u64().unwrap() < made["bytes"].as_u64().unwrap());

    let listed = kv.ok(&["backup", "list", &all]);
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(listed.contains("made (UTC)"), "{listed}");
    let listed = kv.ok(&["backup", "list", &all, "--json"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(kv.ok(&["backup", "verify", &all]).contains("2 points"));
    assert!(kv.ok(&["backup", "verify", &all, "--json"]).contains("\"ok\":true"));

    std::fs::remove_dir_all(kv.store()).unwrap();
    assert!(kv.ok(&["restore", &all, "--into", &new]).starts_with("point 2 restored"));
    kv.ok(&["restore", &all, "--point", "1", "--into", &old]);
    assert_eq!(kv.ok(&["--data-dir", &new, "dump"]), "a\t3\nb\t2\n");
    assert_eq!(kv.ok(&["--data-dir", &old, "dump"]), "a\t1\nb\t2\n");
    kv.run(&["restore", &all, "--into", &old]).fails(2, "not empty");
    kv.run(&["restore", &all, "--point", "9", "--into", &path(&kv, "x")]).fails(1, "no point 9");
}

#[test]
fn old_points_are_removed() {
    let kv = Kv::with(&[("a", "1")]);
    let all = path(&kv, "backups");
    for value in ["2", "3"] {
        kv.ok(&["backup", &all]);
        kv.ok(&["put", "a", value]);
        kv.ok(&["compact"]);
    }
    let told = kv.ok(&["backup", &all, "--keep", "1"]);
    assert!(told.contains("point 3: ") && told.contains("removed: 2 points"), "{told}");
    let told = kv.ok(&["backup", &all, "--keep", "1", "--json"]);
    assert!(told.contains("\"removed_points\":1"), "{told}");
    kv.run(&["backup", &all, "--keep", "0"]).fails(2, "--keep");
}

#[test]
fn beside_a_program_that_has_the_store_open() {
    let kv = Kv::new();
    let (all, copy) = (path(&kv, "backups"), path(&kv, "copy"));
    let db = Db::open(kv.store(), Options::default()).unwrap();
    db.put("a", "1").unwrap();
    kv.ok(&["backup", &all]);
    db.put("a", "2").unwrap();
    kv.ok(&["restore", &all, "--into", &copy]);
    assert_eq!(kv.ok(&["--data-dir", &copy, "dump"]), "a\t1\n");
    assert!(db.verify().unwrap().is_ok());
}

#[test]
fn what_is_damaged_is_not_restored() {
    let kv = Kv::with(&[("a", "1")]);
    let (all, copy) = (path(&kv, "backups"), path(&kv, "copy"));
    kv.ok(&["backup", &all]);
    let files = kv.dir.path().join("backups/files");
    let table = std::fs::read_dir(files).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&table, &bytes).unwrap();
    kv.run(&["backup", "verify", &all]).fails(3, "damaged");
    let told = String::from_utf8(kv.run(&["backup", "verify", &all]).out).unwrap();
    assert!(told.starts_with("1 point, 0 files, "), "{told}");
    assert!(told.contains("cannot be restored as they are: points 1\n"), "{told}");
    kv.run(&["restore", &all, "--into", &copy]).fails(3, "point 1 is not restored");
    assert!(!kv.dir.path().join("copy").exists());
    let point = kv.dir.path().join("backups/points/00000001.point");
    std::fs::write(&point, b"kvbackup").unwrap();
    kv.run(&["backup", "list", &all]).fails(3, "damaged");
}

#[test]
fn wrong_places_are_told() {
    let kv = Kv::with(&[("a", "1")]);
    kv.run(&["backup", kv.store().to_str().unwrap()]).fails(2, "no directory of backups");
    kv.run(&["backup", "list", &path(&kv, "none")]).fails(1, "no backups");
    kv.run(&["restore", &path(&kv, "none"), "--into", &path(&kv, "x")]).fails(1, "no backups");
    kv.run(&["backup"]).fails(2, "DIR");
    let empty = Kv::new();
    empty.run(&["backup", &path(&kv, "all")]).fails(1, "no store");
    assert!(!kv.dir.path().join("all").exists());
}
