//! A file system in memory may be full.

use crate::support::{create, create_durable, error, path};
use kv_vfs::{Fs, FsFileExt, MemFs, Mode};
use std::io::ErrorKind;

fn free(fs: &MemFs) -> u64 {
    fs.free_space(path("/")).unwrap()
}

#[test]
fn growth_beyond_the_capacity_is_refused() {
    let fs = MemFs::with_capacity(100);
    let file = create(&fs, path("/a"), &[1; 60]);
    assert_eq!(free(&fs), 40);
    assert_eq!(fs.used(), 60);
    assert_eq!(error(file.write_all_at(&[2; 50], 60)), ErrorKind::StorageFull);
    assert_eq!(error(file.write_at(&[2; 10], 200)), ErrorKind::StorageFull);
    assert_eq!(error(file.set_len(101)), ErrorKind::StorageFull);
    assert_eq!(error(file.allocate(101)), ErrorKind::StorageFull);
    file.write_all_at(&[3; 60], 0).unwrap();
    file.set_len(10).unwrap();
    assert_eq!(free(&fs), 90);
}

#[test]
fn allocated_space_is_there_when_the_rest_is_full() {
    let fs = MemFs::with_capacity(100);
    let file = create(&fs, path("/a"), b"");
    file.allocate(80).unwrap();
    create(&fs, path("/b"), &[1; 20]);
    assert_eq!(free(&fs), 0);
    file.write_all_at(&[2; 80], 0).unwrap();
    assert_eq!(error(file.write_at(&[2], 80)), ErrorKind::StorageFull);
}

#[test]
fn space_is_free_again_when_name_and_handles_are_gone() {
    let fs = MemFs::with_capacity(100);
    let file = create_durable(&fs, path("/a"), &[1; 60]);
    fs.hard_link(path("/a"), path("/b")).unwrap();
    fs.remove(path("/a")).unwrap();
    fs.remove(path("/b")).unwrap();
    file.write_all_at(&[1; 10], 60).unwrap();
    assert_eq!(free(&fs), 30, "the handle still reads it");
    drop(file);
    assert_eq!(free(&fs), 100);

    drop(create_durable(&fs, path("/a"), &[1; 60]));
    fs.remove(path("/a")).unwrap();
    assert_eq!(free(&fs), 100, "though a power cut would bring it back");
    assert_eq!(free(&fs.crash()), 40);
}

#[test]
fn a_rename_frees_what_it_replaces() {
    let fs = MemFs::with_capacity(100);
    create(&fs, path("/a"), &[1; 10]);
    create(&fs, path("/b"), &[1; 50]);
    fs.rename(path("/a"), path("/b")).unwrap();
    assert_eq!(free(&fs), 90);
    fs.rename(path("/b"), path("/b")).unwrap();
    fs.remove(path("/b")).unwrap();
    assert_eq!(free(&fs), 100);
}

#[test]
fn the_capacity_changes_at_run_time() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), &[1; 60]);
    fs.set_capacity(50);
    assert_eq!(free(&fs), 0);
    file.write_all_at(&[2; 60], 0).unwrap();
    assert_eq!(error(file.write_at(&[2], 60)), ErrorKind::StorageFull);
    let after = fs.crash();
    fs.set_capacity(61);
    file.write_all_at(&[2], 60).unwrap();
    let other = after.open(path("/a"), Mode::ReadWrite).unwrap();
    assert_eq!(error(other.write_at(&[2], 60)), ErrorKind::StorageFull);
}
