//! What the real file system promises besides: owners, links and pipes.

use crate::support::{create, error};
use kv_vfs::{FileKind, Fs, Mode, StdFs};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_created_is_for_its_owner_only() {
    let temp = tempfile::tempdir().unwrap();
    let fs = StdFs::new();
    let dir = temp.path().join("dir");
    fs.create_dir(&dir).unwrap();
    create(&fs, &dir.join("a"), b"");
    let _lock = fs.lock(&dir.join("LOCK")).unwrap();
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("a")), 0o600);
    assert_eq!(mode(&dir.join("LOCK")), 0o600);
}

#[test]
fn links_are_not_followed() {
    let temp = tempfile::tempdir().unwrap();
    let fs = StdFs::new();
    let (target, link) = (temp.path().join("target"), temp.path().join("link"));
    symlink(&target, &link).unwrap();
    assert_eq!(error(fs.create_new(&link)), ErrorKind::AlreadyExists);
    assert_eq!(error(fs.lock(&link)), ErrorKind::InvalidInput);
    assert!(!target.exists());
    create(&fs, &target, b"abc");
    for mode in [Mode::Read, Mode::ReadWrite] {
        assert_eq!(error(fs.open(&link, mode)), ErrorKind::InvalidInput);
    }
    assert_eq!(error(fs.map(&link)), ErrorKind::InvalidInput);
    assert_eq!(error(fs.lock(&link)), ErrorKind::InvalidInput);
    assert_eq!(fs.metadata(&link).unwrap().kind, FileKind::Other);
    assert_eq!(fs.list(temp.path()).unwrap()[0].kind, FileKind::Other);
}

#[test]
fn nobody_waits_at_a_pipe() {
    let temp = tempfile::tempdir().unwrap();
    let fs = StdFs::new();
    let pipe = temp.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        return;
    }
    assert_eq!(error(fs.open(&pipe, Mode::Read)), ErrorKind::InvalidInput);
    assert_eq!(error(fs.open(&pipe, Mode::ReadWrite)), ErrorKind::InvalidInput);
    assert_eq!(error(fs.lock(&pipe)), ErrorKind::InvalidInput);
}

#[test]
fn allocated_space_is_taken_from_the_disk() {
    use std::os::unix::fs::MetadataExt;
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a");
    let file = create(&StdFs::new(), &path, b"");
    file.set_len(1 << 20).unwrap();
    match file.allocate(1 << 20) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        outcome => {
            outcome.unwrap();
            assert!(std::fs::metadata(&path).unwrap().blocks() * 512 >= 1 << 20);
        }
    }
}
