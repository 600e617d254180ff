//! Short ways to say what the tests do.

use kv_vfs::{FaultFs, Fs, FsFile, FsFileExt, MemFs, Mode, StdFs};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) fn path(text: &str) -> &Path {
    Path::new(text)
}

/// Runs a check on every file system, in an empty directory of each.
pub(crate) fn everywhere(check: impl Fn(&Arc<dyn Fs>, &Path)) {
    let temp = tempfile::tempdir().unwrap();
    let (mem, faulty) = (MemFs::new(), FaultFs::new(Arc::new(MemFs::new())));
    let systems: [(Arc<dyn Fs>, PathBuf); 3] = [
        (Arc::new(StdFs::new()), temp.path().join("d")),
        (Arc::new(mem), PathBuf::from("/d")),
        (Arc::new(faulty), PathBuf::from("/d")),
    ];
    for (fs, dir) in &systems {
        fs.create_dir(dir).unwrap();
        check(fs, dir);
    }
}

/// The kind of error of an operation that must fail.
pub(crate) fn error<T>(outcome: io::Result<T>) -> io::ErrorKind {
    match outcome {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.kind(),
    }
}

pub(crate) fn create(fs: &dyn Fs, path: &Path, contents: &[u8]) -> Arc<dyn FsFile> {
    let file = fs.create_new(path).unwrap();
    file.write_all_at(contents, 0).unwrap();
    file
}

/// The same, with contents and name durable.
pub(crate) fn create_durable(fs: &dyn Fs, path: &Path, contents: &[u8]) -> Arc<dyn FsFile> {
    let file = create(fs, path, contents);
    file.sync_data().unwrap();
    fs.sync_dir(path.parent().unwrap()).unwrap();
    file
}

pub(crate) fn contents(file: &dyn FsFile) -> Vec<u8> {
    let mut bytes = vec![0xAA; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// The contents of a file by name, or `None` where there is none.
pub(crate) fn read(fs: &dyn Fs, path: &Path) -> Option<Vec<u8>> {
    match fs.open(path, Mode::Read) {
        Ok(file) => Some(contents(&*file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn names(fs: &dyn Fs, dir: &Path) -> Vec<String> {
    fs.list(dir).unwrap().into_iter().map(|entry| entry.name).collect()
}
