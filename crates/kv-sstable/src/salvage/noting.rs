//! A file that remembers what was refused, so that it is not taken for damage; and what damage is
//! called.

use crate::error::Error;
use kv_vfs::FsFile;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A file that is only read, and the first error of reading it.
#[derive(Debug)]
pub(super) struct Noting {
    file: Arc<dyn FsFile>,
    first: OnceLock<(u64, Arc<io::Error>)>,
}

impl Noting {
    pub(super) fn new(file: Arc<dyn FsFile>) -> Noting {
        Noting { file, first: OnceLock::new() }
    }

    /// What was refused first.
    pub(super) fn error(&self, path: &Path) -> Option<Error> {
        let (offset, source) = self.first.get()?;
        Some(Error::Io { path: path.into(), offset: *offset, source: Arc::clone(source) })
    }
}

/// What is wrong, without the file and the place, which stand beside it.
pub(super) fn reason(error: &Error) -> String {
    match error {
        Error::Corrupt { reason, .. } | Error::Unsupported { reason, .. } => (*reason).to_owned(),
        Error::Io { source, .. } => format!("it cannot be read: {source}"),
        other => other.to_string(),
    }
}

impl FsFile for Noting {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.file.read_at(buffer, offset);
        match read {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let kind = error.kind();
                let _ = self.first.set((offset, Arc::new(error)));
                Err(kind.into())
            }
            read => read,
        }
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
        self.file.len()
    }
}
