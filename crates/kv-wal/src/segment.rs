//! One file of a log, and the space reserved in it.

use crate::error::{Error, Result};
use crate::frame::{HEADER_LEN, MAX_SEGMENT_LEN};
use kv_vfs::testing::{bug, planted};
use kv_vfs::{Fs, FsFile};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The first step by which space is reserved; each next one is twice as big.
const FIRST_STEP: u64 = 16 << 10;

/// A file for a log to write: created, empty, and its name durable.
///
/// A clone is the same file.
#[derive(Clone, Debug)]
pub struct Segment(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Arc<dyn FsFile>,
    path: PathBuf,
    number: u64,
}

impl Segment {
    /// Creates the file `path`, which must not exist, and makes its name durable. `number` is
    /// at least 1 and greater than that of every older segment.
    pub fn create(fs: &dyn Fs, path: &Path, number: u64) -> Result<Segment> {
        let file = fs.create_new(path).map_err(|e| Error::io(path, "create", e))?;
        if let Some(dir) = path.parent().filter(|_| !planted(bug::LOG_NAME_NOT_SYNCED)) {
            fs.sync_dir(dir).map_err(|e| Error::io(dir, "sync the directory", e))?;
        }
        Ok(Segment(Arc::new(Inner { file, path: path.into(), number })))
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Makes the contents durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match self.0.file.sync_data() {
            Err(_) if planted(bug::FAILED_SYNC_TRIED_AGAIN) => self.0.file.sync_data(),
            outcome => outcome,
        }
    }

    pub(crate) fn file(&self) -> &dyn FsFile {
        &*self.0.file
    }
}

/// Space that has been reserved in a file ahead of the writes, so that a full disk is met before
/// a record has been given its place and not in the middle of writing it.
#[derive(Debug)]
pub(crate) struct Space {
    reserved: u64,
    step: u64,
    biggest_step: u64,
}

impl Space {
    /// Nothing reserved yet.
    pub(crate) fn new(biggest_step: u64) -> Space {
        Space { reserved: 0, step: FIRST_STEP.min(biggest_step), biggest_step }
    }

    /// Sees to it that a record that ends at `end` can be written, and an end record behind it.
    #[inline]
    pub(crate) fn reserve(&mut self, file: &dyn FsFile, path: &Path, end: u64) -> Result<()> {
        let needed = end + HEADER_LEN as u64;
        if needed <= self.reserved { Ok(()) } else { self.grow(file, path, needed) }
    }

    /// How far space is reserved.
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved
    }

    /// How far it is to be reserved for what will be written before `end`: as it is, or one step
    /// further. `None` where the file system cannot.
    pub(crate) fn ahead(&self, end: u64) -> Option<u64> {
        match self.reserved {
            u64::MAX => None,
            reserved if end <= reserved => Some(reserved),
            reserved => Some((reserved + self.step).min(MAX_SEGMENT_LEN)),
        }
    }

    /// Notes that space is reserved as far as this.
    pub(crate) fn reach(&mut self, reserved: u64) {
        if reserved > self.reserved {
            self.reserved = reserved;
            self.step = self.step.saturating_mul(2).min(self.biggest_step);
        }
    }

    #[cold]
    fn grow(&mut self, file: &dyn FsFile, path: &Path, needed: u64) -> Result<()> {
        let ahead = (self.reserved + self.step).min(MAX_SEGMENT_LEN).max(needed);
        let mut outcome = file.allocate(ahead).map(|()| ahead);
        if ahead > needed && outcome.as_ref().is_err_and(is_no_space) {
            outcome = file.allocate(needed).map(|()| needed);
        }
        match outcome {
            Ok(reserved) => {
                self.reach(reserved);
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::Unsupported => {
                self.reserved = u64::MAX;
                Ok(())
            }
            Err(e) if is_no_space(&e) => Err(Error::NoSpace { path: path.into() }),
            Err(e) => Err(Error::io(path, "reserve space in", e)),
        }
    }
}

fn is_no_space(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The length of a record's payload, if the record fits a segment that has `offset` bytes.
#[inline]
pub(crate) fn payload_len(path: &Path, offset: u64, payload: &[&[u8]]) -> Result<u32> {
    let bytes: u64 = payload.iter().map(|part| part.len() as u64).sum();
    // Room for the end record is always kept.
    let most = MAX_SEGMENT_LEN.saturating_sub(offset + 2 * HEADER_LEN as u64);
    match u32::try_from(bytes) {
        Ok(len) if bytes <= most => Ok(len),
        _ => Err(Error::TooLarge { path: path.into(), bytes, limit: MAX_SEGMENT_LEN }),
    }
}
