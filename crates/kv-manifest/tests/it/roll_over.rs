//! The manifest does not grow for ever, and a new one begins with all that counts.

use crate::support::{describe, dir, disk, names, open, shared, step};
use bytes::Bytes;
use kv_manifest::{FileName, Manifest, VersionEdit};
use kv_vfs::Fs;

#[test]
fn a_new_file_is_begun_when_the_old_one_has_grown() {
    let fs = disk();
    let mut manifest = open(&shared(&fs)).unwrap();
    let mut numbers = vec![manifest.number()];
    for n in 1..=20 {
        let settings = Some(Bytes::from(vec![n as u8; 200_000]));
        manifest.apply(VersionEdit { settings, ..step(n) }).unwrap();
        if numbers.last() != Some(&manifest.number()) {
            numbers.push(manifest.number());
        }
        let state = Manifest::read(&fs.crash(), dir()).unwrap().unwrap();
        assert_eq!(describe(&state), describe(manifest.state()));
        assert!(manifest.file_size() < 2 * 210_000 + (1 << 20) + 210_000);
        let name = FileName::Manifest(manifest.number()).to_string();
        assert_eq!(names(&fs), ["CURRENT", &name]);
    }
    assert!(numbers.len() > 2, "{numbers:?}");
    assert!(numbers.is_sorted());
}

#[test]
fn an_empty_database_takes_little() {
    let fs = disk();
    let manifest = open(&shared(&fs)).unwrap();
    let name = FileName::Manifest(manifest.number());
    assert!(manifest.file_size() < 200);
    assert!(fs.metadata(&name.path(dir())).unwrap().len <= 32 << 10);
}

#[test]
fn opening_writes_one_snapshot_and_removes_the_old_file() {
    let fs = disk();
    let mut manifest = open(&shared(&fs)).unwrap();
    for n in 1..=50 {
        manifest.apply(step(n)).unwrap();
        let (level, number) = (6, 100 + n);
        manifest
            .apply(VersionEdit { deleted: vec![(level, number)], ..VersionEdit::default() })
            .unwrap();
    }
    let (grown, before) = (manifest.file_size(), describe(manifest.state()));
    let manifest = open(&shared(&fs)).unwrap();
    assert!(manifest.file_size() < grown / 10);
    assert_eq!(describe(manifest.state()), before);
    assert_eq!(names(&fs), ["CURRENT", &FileName::Manifest(manifest.number()).to_string()]);
}
