//! A file system that calls back before each call, so that a check can do something between two
//! calls of the engine.

use kv_vfs::{DirEntry, Fs, FsFile, FsLock, Metadata, Mode, OverFs};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Hears of each call's name and path before it is made.
pub(crate) type Hook = Arc<dyn Fn(&'static str, &Path) + Send + Sync>;

#[derive(Clone)]
pub(crate) struct HookFs {
    inner: Arc<dyn Fs>,
    hook: Hook,
}

struct HookFile {
    inner: Arc<dyn FsFile>,
    path: PathBuf,
    hook: Hook,
}

impl HookFs {
    pub(crate) fn new(
        inner: impl Fs,
        hook: impl Fn(&'static str, &Path) + Send + Sync + 'static,
    ) -> HookFs {
        HookFs { inner: Arc::new(inner), hook: Arc::new(hook) }
    }

    fn file(&self, inner: Arc<dyn FsFile>, path: &Path) -> Arc<dyn FsFile> {
        Arc::new(HookFile { inner, path: path.to_owned(), hook: Arc::clone(&self.hook) })
    }
}

impl fmt::Debug for HookFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HookFs").field(&self.inner).finish()
    }
}

impl fmt::Debug for HookFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HookFile").field(&self.path).finish()
    }
}

impl OverFs for HookFs {
    fn below(&self) -> &dyn Fs {
        &*self.inner
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        (self.hook)("create", path);
        Ok(self.file(self.inner.create_new(path)?, path))
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        (self.hook)("open", path);
        Ok(self.file(self.inner.open(path, mode)?, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.hook)("rename", to);
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        (self.hook)("remove", path);
        self.inner.remove(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.hook)("link", to);
        self.inner.hard_link(from, to)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        (self.hook)("list", dir);
        self.inner.list(dir)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        (self.hook)("metadata", path);
        self.inner.metadata(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        (self.hook)("create dir", dir);
        self.inner.create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        (self.hook)("remove dir", dir);
        self.inner.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        (self.hook)("sync dir", dir);
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        (self.hook)("lock", path);
        self.inner.lock(path)
    }
}

impl FsFile for HookFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (self.hook)("read", &self.path);
        self.inner.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        (self.hook)("write", &self.path);
        self.inner.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        (self.hook)("set length", &self.path);
        self.inner.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        (self.hook)("allocate", &self.path);
        self.inner.allocate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        (self.hook)("sync", &self.path);
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        (self.hook)("sync", &self.path);
        self.inner.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        (self.hook)("length", &self.path);
        self.inner.len()
    }
}
