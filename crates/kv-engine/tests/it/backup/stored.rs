//! Backups that earlier versions wrote are restored for ever.
//!
//! Below `tests/fixtures` lies a directory for each format of a backup, written once by a program of
//! that time and never again: `place` is the backup, and `N.tsv` what the default keyspace held at point
//! N. What a later format adds gets a directory of its own.

use crate::support::*;
use kv_core::Hasher64;
use kv_engine::{BackupDir, Backups, Db, Options};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backup-1")
}

/// Names and contents of all files in the folders of a backup, as one number.
fn checksum(place: &Path) -> u64 {
    let mut hasher = Hasher64::default();
    for folder in ["points", "files"] {
        let entries = std::fs::read_dir(place.join(folder)).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            hasher.update(file.file_name().unwrap().as_encoded_bytes());
            hasher.update(&std::fs::read(&file).unwrap());
        }
    }
    hasher.finish()
}

/// What a point of the fixture held, as `kv dump` and `kv keyspaces` told it.
#[track_caller]
fn is_point(db: &Db, number: u64) {
    let dump = fixture().join(format!("{number}.tsv"));
    let shown = |(key, value): (Vec<u8>, Vec<u8>)| {
        format!("{}\t{}\n", String::from_utf8(key).unwrap(), String::from_utf8(value).unwrap())
    };
    let found: String = pairs(db.iter()).into_iter().map(shown).collect();
    assert!(found == std::fs::read_to_string(dump).unwrap());
    let people = db.keyspace("people").unwrap();
    match number {
        1 => {
            assert_eq!(db.keyspaces().unwrap(), ["gone", "people"]);
            assert_eq!(keys(people.iter()), ["ada"]);
            assert_eq!(text(&db.keyspace("gone").unwrap(), "x").as_deref(), Some("y"));
        }
        _ => {
            assert_eq!(db.keyspaces().unwrap(), ["people"]);
            assert_eq!(keys(people.iter()), ["ada", "bob"]);
        }
    }
    assert_eq!(text(&people, "ada").as_deref(), Some("1815"));
    assert!(db.verify().unwrap().is_ok());
}

#[test]
fn the_backup_of_format_1_is_restored_to_each_point() {
    let place = fixture().join("place");
    assert_eq!(
        checksum(&place),
        4_068_672_578_513_452_971,
        "a fixture is written once and never again"
    );
    let backups = Backups::open(BackupDir::new(&place));
    let listed = backups.list().unwrap();
    let known: Vec<_> = listed.iter().map(|p| (p.number(), p.files(), p.bytes())).collect();
    assert_eq!(known, [(1, 6, 3256), (2, 6, 3221)]);
    assert!(listed.iter().all(|point| point.made() < SystemTime::now()));
    let report = backups.verify().unwrap();
    assert!(report.is_ok(), "{report}");
    for number in [1, 2] {
        let temp = TempDir::new();
        backups.restore(number, temp.db(), Options::default()).unwrap();
        is_point(&Db::open(temp.db(), Options::default()).unwrap(), number);
    }
}

#[test]
fn the_backup_of_format_1_is_gone_on_with() {
    let temp = TempDir::new();
    let (place, copy) = (temp.path().join("place"), temp.path().join("copy"));
    for folder in ["points", "files"] {
        std::fs::create_dir_all(place.join(folder)).unwrap();
        for entry in std::fs::read_dir(fixture().join("place").join(folder)).unwrap() {
            let from = entry.unwrap().path();
            std::fs::copy(&from, place.join(folder).join(from.file_name().unwrap())).unwrap();
        }
    }
    let backups = Backups::open(BackupDir::new(&place));
    backups.restore(2, temp.db(), Options::default()).unwrap();
    let db = Db::open(temp.db(), Options::default()).unwrap();
    let third = backups.create(&db).unwrap();
    assert_eq!((third.number(), backups.keep(2).unwrap().points()), (3, 1));
    assert!(backups.verify().unwrap().is_ok());
    for number in [2, 3] {
        let copy = copy.with_extension(number.to_string());
        backups.restore(number, &copy, Options::default()).unwrap();
        is_point(&Db::open(&copy, Options::default()).unwrap(), 2);
    }
}
