//! Writes a file from front to back in big pieces, with a checksum of everything.

use crate::error::{Error, Result};
use kv_core::Hasher64;
use kv_vfs::testing::{bug, planted};
use kv_vfs::{FsFile, FsFileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much is collected before it is written.
const BUFFER_LEN: usize = 1 << 20;

/// A file that grows. After a failed write every call fails in the same way.
pub(crate) struct Sink {
    file: Arc<dyn FsFile>,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    written: u64,
    checksum: Hasher64,
    failure: Option<Error>,
}

impl Sink {
    pub(crate) fn new(file: Arc<dyn FsFile>, path: PathBuf) -> Sink {
        Sink {
            file,
            path,
            buffer: Vec::new(),
            written: 0,
            checksum: Hasher64::default(),
            failure: None,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next byte goes.
    pub(crate) fn position(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Appends bytes.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        while !bytes.is_empty() {
            if self.buffer.is_empty() && bytes.len() >= BUFFER_LEN {
                return self.write(bytes);
            }
            let space = BUFFER_LEN.saturating_sub(self.buffer.len());
            let (now, later) = bytes.split_at(space.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() >= BUFFER_LEN {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes what is collected and makes the file durable. Answers the checksum of all of it.
    pub(crate) fn finish(mut self) -> Result<u64> {
        if planted(bug::TAIL_WRITTEN_BEHIND_SYNC) {
            self.file.sync_data().map_err(|e| Error::io(&self.path, self.written, e))?;
            self.flush()?;
            return Ok(self.checksum.finish());
        }
        self.flush()?;
        match self.file.sync_data() {
            Err(e) if !planted(bug::SYNC_RESULT_IGNORED) => {
                Err(Error::io(&self.path, self.written, e))
            }
            _ => Ok(self.checksum.finish()),
        }
    }

    fn flush(&mut self) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.write(&buffer);
        buffer.clear();
        self.buffer = buffer;
        outcome
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if let Err(e) = self.file.write_all_at(bytes, self.written) {
            let failure = Error::io(&self.path, self.written, e);
            self.failure = Some(failure.clone());
            return Err(failure);
        }
        self.checksum.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }
}
