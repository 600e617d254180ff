//! Records in one file with one writer, without the group commit.

use crate::error::{Error, Result};
use crate::frame::{Framer, HEADER_LEN, RecordKind, Stamp};
use crate::segment::{Space, payload_len};
use kv_vfs::testing::{bug, planted};
use kv_vfs::{FsFile, FsFileExt};
use std::path::PathBuf;
use std::sync::Arc;

/// The biggest step by which space is reserved.
const BIGGEST_STEP: u64 = 256 << 10;
/// The most that the buffer keeps allocated between two records.
const KEPT_BUFFER: usize = 256 << 10;

/// Writes the records of one file, one after the other; a
/// [`RecordReader`](crate::RecordReader) reads them.
///
/// After a failed write or sync it takes nothing more. Where space cannot be reserved, nothing is
/// written and the same call may succeed later.
///
/// ```
/// # use kv_vfs::{Fs, MemFs};
/// # use kv_wal::FrameWriter;
/// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/records"));
/// let mut writer = FrameWriter::new(fs.create_new(&path)?, path, 1);
/// writer.append(1, &[b"one"])?;
/// writer.sync()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FrameWriter {
    file: Arc<dyn FsFile>,
    path: PathBuf,
    framer: Framer,
    space: Space,
    buffer: Vec<u8>,
    synced: u64,
    failure: Option<Error>,
}

impl FrameWriter {
    /// For the empty file `path`; `number` goes into each header.
    ///
    /// ```
    /// # use kv_vfs::{Fs, MemFs};
    /// # use kv_wal::FrameWriter;
    /// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/records"));
    /// let mut writer = FrameWriter::new(fs.create_new(&path)?, path, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(file: Arc<dyn FsFile>, path: PathBuf, number: u64) -> FrameWriter {
        FrameWriter {
            file,
            path,
            framer: Framer::new(number),
            space: Space::new(BIGGEST_STEP),
            buffer: Vec::new(),
            synced: 0,
            failure: None,
        }
    }

    /// Writes a record with the concatenation of `payload`; answers the offset behind it.
    ///
    /// ```
    /// # use kv_vfs::{Fs, MemFs};
    /// # use kv_wal::FrameWriter;
    /// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/records"));
    /// let mut writer = FrameWriter::new(fs.create_new(&path)?, path, 1);
    /// let end = writer.append(1, &[b"in two ", b"parts"])?;
    /// assert_eq!(end, writer.offset());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append(&mut self, first_seq: u64, payload: &[&[u8]]) -> Result<u64> {
        self.check()?;
        let offset = self.framer.offset();
        let len = payload_len(&self.path, offset, payload)?;
        let end = offset + HEADER_LEN as u64 + u64::from(len);
        self.space.reserve(&*self.file, &self.path, end)?;

        let synced = self.synced as u32;
        let stamp = Stamp { kind: RecordKind::Data, older_durable: false, synced, first_seq };
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BUFFER);
        self.framer.frame(&mut self.buffer, stamp, payload, len);
        let outcome = self.file.write_all_at(&self.buffer, offset);
        outcome.map_err(|e| match planted(bug::EDIT_BEHIND_TORN_ONE) {
            true => Error::NoSpace { path: self.path.clone() },
            false => self.fail(Error::poisoned(&self.path, "write", e)),
        })?;
        Ok(end)
    }

    /// Makes everything written durable.
    ///
    /// ```
    /// # use kv_vfs::{Fs, MemFs};
    /// # use kv_wal::FrameWriter;
    /// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/records"));
    /// let mut writer = FrameWriter::new(fs.create_new(&path)?, path, 1);
    /// writer.append(1, &[b"one"])?;
    /// writer.sync()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sync(&mut self) -> Result<()> {
        self.check()?;
        let outcome = self.file.sync_data();
        outcome.map_err(|e| self.fail(Error::poisoned(&self.path, "sync", e)))?;
        self.synced = self.framer.offset();
        Ok(())
    }

    /// Bytes of all records so far.
    ///
    /// ```
    /// # use kv_vfs::{Fs, MemFs};
    /// # use kv_wal::FrameWriter;
    /// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/records"));
    /// let mut writer = FrameWriter::new(fs.create_new(&path)?, path, 1);
    /// assert_eq!(writer.offset(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn offset(&self) -> u64 {
        self.framer.offset()
    }

    /// The failed write or sync after which the writer takes nothing more.
    ///
    /// ```
    /// # use kv_vfs::{Fs, MemFs};
    /// # use kv_wal::FrameWriter;
    /// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/records"));
    /// let mut writer = FrameWriter::new(fs.create_new(&path)?, path, 1);
    /// assert!(writer.failure().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failure(&self) -> Option<&Error> {
        self.failure.as_ref()
    }

    fn check(&self) -> Result<()> {
        match &self.failure {
            None => Ok(()),
            Some(failure) => Err(failure.clone()),
        }
    }

    fn fail(&mut self, failure: Error) -> Error {
        self.failure = Some(failure.clone());
        failure
    }
}
