//! One file of a log, and the space reserved in it.

use crate::error::{Error, Result};
use crate::frame::{HEADER_LEN, MAX_SEGMENT_LEN};
use kv_vfs::testing::{bug, planted};
use kv_vfs::{Fs, FsFile, FsFileExt};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The first step by which space is reserved; each next one is twice as big.
const FIRST_STEP: u64 = 16 << 10;

/// A file for a log to write: created, empty, and its name durable.
///
/// A clone is the same file.
///
/// ```
/// # use kv_vfs::MemFs;
/// # use kv_wal::Segment;
/// let segment = Segment::create(&MemFs::new(), "/000001.log".as_ref(), 1)?;
/// # Ok::<(), kv_wal::Error>(())
/// ```
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
    ///
    /// ```
    /// # use kv_vfs::MemFs;
    /// # use kv_wal::Segment;
    /// let segment = Segment::create(&MemFs::new(), "/000001.log".as_ref(), 1)?;
    /// # Ok::<(), kv_wal::Error>(())
    /// ```
    pub fn create(fs: &dyn Fs, path: &Path, number: u64) -> Result<Segment> {
        let file = fs.create_new(path).map_err(|e| Error::io(path, "create", e))?;
        if let Some(dir) = path.parent().filter(|_| !planted(bug::LOG_NAME_NOT_SYNCED)) {
            fs.sync_dir(dir).map_err(|e| Error::io(dir, "sync the directory", e))?;
        }
        Ok(Segment(Arc::new(Inner { file, path: path.into(), number })))
    }

    /// Its number.
    ///
    /// ```
    /// # use kv_vfs::MemFs;
    /// # use kv_wal::Segment;
    /// let segment = Segment::create(&MemFs::new(), "/000001.log".as_ref(), 1)?;
    /// assert_eq!(segment.number(), 1);
    /// # Ok::<(), kv_wal::Error>(())
    /// ```
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Its path.
    ///
    /// ```
    /// # use kv_vfs::MemFs;
    /// # use kv_wal::Segment;
    /// let segment = Segment::create(&MemFs::new(), "/000001.log".as_ref(), 1)?;
    /// assert!(segment.path().ends_with("000001.log"));
    /// # Ok::<(), kv_wal::Error>(())
    /// ```
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

    /// Writes zeros to whole blocks, each by itself: a file system may keep what one call brings as
    /// one large page, and count or write all of it for every record that goes into it later.
    pub(crate) fn write_zeros(&self, blocks: Range<u64>) -> io::Result<()> {
        let zeros = [0; BLOCK as usize];
        for offset in blocks.step_by(BLOCK as usize) {
            self.file().write_all_at(&zeros, offset)?;
        }
        Ok(())
    }

    pub(crate) fn file(&self) -> &dyn FsFile {
        &*self.0.file
    }
}

/// How many zeros are written ahead at once, in steady synced use: some hundred groups.
const ZEROS: u64 = 256 << 10;
/// A file system keeps space by blocks of this length, or of a part of it.
const BLOCK: u64 = 4 << 10;

/// Space that has been reserved in a file ahead of the writes, so that a full disk is met before
/// a record has been given its place and not in the middle of writing it.
#[derive(Debug)]
pub(crate) struct Space {
    reserved: u64,
    /// As far as this, zeros were written ahead: the end of a block.
    zeroed: u64,
    step: u64,
    biggest_step: u64,
}

impl Space {
    /// Nothing reserved yet.
    pub(crate) fn new(biggest_step: u64) -> Space {
        Space { reserved: 0, zeroed: 0, step: FIRST_STEP.min(biggest_step), biggest_step }
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

    /// Where zeros are to go before `written` is written and synced: whole blocks behind it, if it
    /// reaches one into which nothing was written yet. The sync that follows notes in the journal
    /// of the file system that they hold data; those after it find that done, and take a third
    /// less time.
    ///
    /// Nobody else may write there meanwhile. Reserved space reads as zeros, with this and without.
    pub(crate) fn zeros_behind(&mut self, written: Range<u64>) -> Range<u64> {
        let end = written.end;
        if end <= self.zeroed || self.reserved == u64::MAX || end - written.start > ZEROS {
            return 0..0;
        }
        let to = (end + ZEROS).min(self.reserved);
        self.zeroed = to - to % BLOCK;
        end.next_multiple_of(BLOCK)..self.zeroed
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_fill_whole_blocks_of_what_is_reserved_and_come_once_for_many_writes() {
        let mut space = Space { reserved: 1 << 20, ..Space::new(1 << 20) };
        assert_eq!(space.zeros_behind(100..150), BLOCK..ZEROS);
        assert!(space.zeros_behind(150..5150).is_empty());
        assert!(space.zeros_behind(5150..ZEROS).is_empty());
        assert_eq!(space.zeros_behind(ZEROS..ZEROS + 1), ZEROS + BLOCK..2 * ZEROS);
        // Not beyond the end, which need not be that of a block.
        let mut small = Space { reserved: 10_000, ..Space::new(1 << 20) };
        assert_eq!(small.zeros_behind(100..150), BLOCK..2 * BLOCK);
        assert!(small.zeros_behind(2 * BLOCK..9_000).is_empty());
        // What is long fills blocks of its own; where space cannot be reserved there is no end.
        let mut space = Space { reserved: 1 << 20, ..Space::new(1 << 20) };
        assert!(space.zeros_behind(0..ZEROS + 1).is_empty());
        let mut endless = Space { reserved: u64::MAX, ..Space::new(1 << 20) };
        assert!(endless.zeros_behind(100..150).is_empty());
    }
}
