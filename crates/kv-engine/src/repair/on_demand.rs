//! A file that is open only while it is read from, for merges of more tables than files may be
//! open at once.

use super::sources::open;
use crate::error::Result;
use kv_vfs::{Fs, FsFile, Mode};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct OnDemand {
    fs: Arc<dyn Fs>,
    path: PathBuf,
}

impl OnDemand {
    /// The file, which must be there.
    pub(super) fn file(fs: &Arc<dyn Fs>, path: &Path) -> Result<Arc<dyn FsFile>> {
        open(&**fs, path)?;
        Ok(Arc::new(OnDemand { fs: Arc::clone(fs), path: path.to_path_buf() }))
    }

    fn open(&self) -> io::Result<Arc<dyn FsFile>> {
        self.fs.open(&self.path, Mode::Read)
    }
}

impl FsFile for OnDemand {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.open()?.read_at(buffer, offset)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn allocate(&self, _len: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_all(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn len(&self) -> io::Result<u64> {
        self.open()?.len()
    }
}
