//! A part of a file in memory, moved along as it is read.

use crate::error::{Error, Result};
use crate::frame::{HEADER_LEN, checked};
use kv_vfs::{FsFile, FsFileExt};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is read at once.
pub(crate) const WINDOW: usize = 256 << 10;
/// What is read at once where zeros are expected.
const ZEROS: usize = 64 << 10;

/// Reads a file as it is, until it is told to look again.
#[derive(Debug)]
pub(crate) struct Window {
    file: Arc<dyn FsFile>,
    path: PathBuf,
    len: u64,
    buffer: Vec<u8>,
    start: u64,
    /// From here on all is zero, as far as was looked.
    zeros: u64,
    /// The byte before `zeros` is not zero.
    exact: bool,
}

impl Window {
    pub(crate) fn new(file: Arc<dyn FsFile>, path: &Path) -> Result<Window> {
        let len = file.len().map_err(|e| Error::io(path, "read the length of", e))?;
        let (path, buffer) = (path.into(), Vec::new());
        Ok(Window { file, path, len, buffer, start: 0, zeros: len, exact: false })
    }

    /// Forgets what was read: the file may have grown, and been written to.
    pub(crate) fn look_again(&mut self) -> Result<()> {
        self.len = self.file.len().map_err(|e| Error::io(&self.path, "read the length of", e))?;
        self.buffer.clear();
        self.start = 0;
        self.zeros = self.len;
        self.exact = false;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes from `offset` to the end of the file.
    pub(crate) fn left(&self, offset: u64) -> u64 {
        self.len.saturating_sub(offset)
    }

    /// The `want` bytes at `offset`; fewer only where the file ends. Memory grows to `want`, so
    /// the caller knows that it is worth it.
    pub(crate) fn get(&mut self, offset: u64, want: usize) -> Result<&[u8]> {
        let want = self.within(offset, want);
        if self.loaded(offset, want).is_none() {
            self.load(offset, want)?;
        }
        Ok(self.loaded(offset, want).unwrap_or_default())
    }

    /// Some bytes at `offset`: a header's at least, unless the file ends before.
    pub(crate) fn some(&mut self, offset: u64) -> Result<&[u8]> {
        let ready = offset.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let ready = ready.map_or(0, |from| self.buffer.len().saturating_sub(from));
        let want = if ready < HEADER_LEN { WINDOW } else { ready };
        self.get(offset, want)
    }

    /// The place behind the last byte, from `from` on, that is not zero; `from` if all are zero.
    /// The zeros at the end are read once, and beside what the window holds.
    pub(crate) fn extent(&mut self, from: u64) -> Result<u64> {
        let mut piece = Vec::new();
        while !self.exact && self.zeros > from {
            let start = self.zeros.saturating_sub(ZEROS as u64).max(from);
            piece.resize(usize::try_from(self.zeros - start).unwrap_or(ZEROS), 0);
            let read = self.file.read_exact_at(&mut piece, start);
            read.map_err(|e| Error::io(&self.path, "read", e))?;
            let last = piece.iter().rposition(|byte| *byte != 0);
            self.exact = last.is_some();
            self.zeros = last.map_or(start, |last| start + last as u64 + 1);
        }
        Ok(self.zeros.max(from))
    }

    /// The bytes at `offset`, if they are in memory.
    pub(crate) fn loaded(&self, offset: u64, want: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.buffer.get(from..from.checked_add(want)?)
    }

    fn within(&self, offset: u64, want: usize) -> usize {
        usize::try_from(self.left(offset)).map_or(want, |left| want.min(left))
    }

    fn load(&mut self, offset: u64, want: usize) -> Result<()> {
        let size = self.within(offset, want.max(WINDOW));
        self.buffer.resize(size, 0);
        self.buffer.shrink_to(size.max(WINDOW));
        self.start = offset;
        let outcome = match self.file.read_full_at(&mut self.buffer, offset) {
            Ok(n) if n == size => return Ok(()),
            Ok(_) => io::ErrorKind::UnexpectedEof.into(),
            Err(e) => e,
        };
        self.buffer.clear();
        Err(Error::io(&self.path, "read", outcome))
    }

    /// The checksum of the record of `len` bytes, header included, at `offset`. Long records pass
    /// through in pieces: a length that nothing has confirmed costs no memory.
    pub(crate) fn checksum(&mut self, offset: u64, len: u64) -> Result<u32> {
        let mut hasher = crc32fast::Hasher::new();
        let covered = checked(len);
        let end = offset.saturating_add(covered.end);
        let mut at = offset.saturating_add(covered.start);
        while at < end {
            let piece = usize::try_from(end - at).map_or(WINDOW, |left| left.min(WINDOW));
            // The window may be anywhere: what it holds already is used before it is moved.
            let bytes = match self.loaded(at, piece) {
                Some(bytes) => bytes,
                None => self.get(at, piece)?,
            };
            if bytes.is_empty() {
                break;
            }
            hasher.update(bytes);
            at += bytes.len() as u64;
        }
        Ok(hasher.finalize())
    }

    /// Header bytes at `offset`, if the file is long enough for them.
    pub(crate) fn header(&mut self, offset: u64) -> Result<Option<[u8; HEADER_LEN]>> {
        Ok(self.get(offset, HEADER_LEN)?.first_chunk().copied())
    }
}
