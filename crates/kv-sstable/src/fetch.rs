//! Reads sealed blocks from the file and hands them out checked.

use crate::block::Block;
use crate::cache::Buffer;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::seal::{BlockType, Unsealed, unseal};
use bytes::Bytes;
use kv_vfs::{FsFile, FsFileExt};
use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// The first size of a scan's reads.
const FIRST_READ: usize = 32 << 10;
/// Reads up to this length go through memory that the thread keeps.
const LONG_READ: usize = 64 << 10;

/// A table's file. Handles that are given to it must lie inside.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: Arc<dyn FsFile>,
    pub(crate) path: PathBuf,
    pub(crate) number: u64,
}

impl Source {
    /// Reads exactly `len` bytes at `offset`.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Bytes> {
        let mut bytes = vec![0; len];
        self.read_into(offset, &mut bytes)?;
        Ok(Bytes::from(bytes))
    }

    fn read_into(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        match self.file.read_exact_at(bytes, offset) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.corrupt(offset, "the file has become shorter"))
            }
            Err(e) => Err(Error::io(&self.path, offset, e)),
        }
    }

    /// Reads, checks and decompresses a block.
    pub(crate) fn payload(&self, handle: Handle, block: BlockType) -> Result<Buffer> {
        thread_local!(static SEALED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
        let len = self.sealed_len(handle)?;
        if len > LONG_READ {
            return self.unseal(handle, &self.read(handle.offset, len)?, block);
        }
        SEALED.with(|sealed| {
            // A file system that reads through another table would find it taken.
            let Ok(mut sealed) = sealed.try_borrow_mut() else {
                return self.unseal(handle, &self.read(handle.offset, len)?, block);
            };
            if sealed.len() < len {
                sealed.resize(len, 0);
            }
            let sealed = sealed.get_mut(..len).unwrap_or_default();
            self.read_into(handle.offset, sealed)?;
            self.unseal(handle, sealed, block)
        })
    }

    /// Reads a block as it is stored.
    pub(crate) fn sealed(&self, handle: Handle) -> Result<Bytes> {
        self.read(handle.offset, self.sealed_len(handle)?)
    }

    fn sealed_len(&self, handle: Handle) -> Result<usize> {
        usize::try_from(handle.sealed_len())
            .map_err(|_| self.corrupt(handle.offset, "a block over the address space"))
    }

    /// Checks and decompresses a block that was read.
    pub(crate) fn unseal(&self, handle: Handle, sealed: &[u8], block: BlockType) -> Result<Buffer> {
        unseal(self.number, handle.offset, sealed, block).map_err(|refused| match refused {
            Unsealed::Damaged(reason) => self.corrupt(handle.offset, reason),
            Unsealed::Unsupported(reason) => Error::Unsupported { path: self.path.clone(), reason },
            Unsealed::Newer(format) => {
                Error::IncompatibleFormat { path: self.path.clone(), format }
            }
        })
    }

    /// Parses and checks a columnar block that comes from the file.
    pub(crate) fn checked(&self, handle: Handle, payload: Buffer) -> Result<Block> {
        Block::parse(payload)
            .and_then(|block| block.check().map(|()| block))
            .map_err(|malformed| Error::malformed(&self.path, handle.offset, malformed))
    }

    pub(crate) fn corrupt(&self, offset: u64, reason: &'static str) -> Error {
        Error::corrupt(&self.path, offset, reason)
    }
}

/// The stretch of the file that a scan has read ahead, or back. One piece of memory serves for
/// all of a scan: a fresh one for each read would be cleared first, and with some allocators
/// given back to the system and faulted in again each time.
#[derive(Debug, Default)]
pub(crate) struct Window {
    buffer: Vec<u8>,
    /// How much of the buffer is what the last read filled.
    filled: usize,
    start: u64,
    next_len: usize,
    most: usize,
}

impl Window {
    /// Reads up to `most` bytes at once, once a scan has proved to be one.
    pub(crate) fn new(most: usize) -> Window {
        Window { most, next_len: FIRST_READ.min(most), ..Window::default() }
    }

    /// Forgets what was read, for another file.
    pub(crate) fn forget(&mut self) {
        (self.filled, self.start) = (0, 0);
        self.next_len = FIRST_READ.min(self.most);
    }

    /// The sealed block at `handle`, out of the window, which moves if it must. `limit` is where
    /// the blocks of this kind end.
    pub(crate) fn sealed(&mut self, source: &Source, handle: Handle, limit: u64) -> Result<&[u8]> {
        if self.range(handle).is_none() {
            self.read(source, handle, limit)?;
        }
        self.range(handle)
            .and_then(|range| self.buffer.get(range))
            .ok_or_else(|| source.corrupt(handle.offset, "a block that ends outside"))
    }

    /// Moves the window to where the block lies.
    fn read(&mut self, source: &Source, handle: Handle, limit: u64) -> Result<()> {
        let end = self.start + self.filled as u64;
        let handle_end = handle.offset.saturating_add(handle.sealed_len());
        let forward = (self.start..=end).contains(&handle.offset);
        let backward = !forward && (self.start..=end).contains(&handle_end);
        if !forward && !backward {
            self.next_len = FIRST_READ.min(self.most);
        }
        let len = handle.sealed_len().max(self.next_len as u64);
        self.next_len = self.next_len.saturating_mul(2).min(self.most);
        let (from, to) = if backward {
            (handle_end.saturating_sub(len), handle_end)
        } else {
            (handle.offset, handle.offset.saturating_add(len).min(limit))
        };
        let len = usize::try_from(to.saturating_sub(from))
            .map_err(|_| source.corrupt(handle.offset, "a block over the address space"))?;
        self.filled = 0;
        source.read_into(from, self.room(len))?;
        (self.start, self.filled) = (from, len);
        Ok(())
    }

    /// Memory for a read of `len` bytes. What an unusually long block took is not kept.
    fn room(&mut self, len: usize) -> &mut [u8] {
        let held = self.buffer.len();
        if held < len || (held > self.most && len <= self.most) {
            // A second read asks for more, a third for more again.
            let room = if len > FIRST_READ { len.max(self.most) } else { len };
            // The old memory is given back before the new is taken.
            self.buffer = Vec::new();
            self.buffer = vec![0; room];
        }
        self.buffer.get_mut(..len).unwrap_or_default()
    }

    /// Where in the buffer the block lies, if the window holds all of it.
    fn range(&self, handle: Handle) -> Option<Range<usize>> {
        let from = usize::try_from(handle.offset.checked_sub(self.start)?).ok()?;
        let to = from.checked_add(usize::try_from(handle.sealed_len()).ok()?)?;
        (to <= self.filled).then_some(from..to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_vfs::{Fs, MemFs};

    #[test]
    fn a_scan_reads_into_the_same_memory_and_keeps_none_of_a_long_block() {
        const MOST: usize = 64 << 10;
        let (fs, path) = (MemFs::new(), PathBuf::from("/7.sst"));
        let file = fs.create_new(&path).unwrap();
        let bytes: Vec<u8> = (0..1_000_000u32).map(|i| (i / 7) as u8).collect();
        file.write_all_at(&bytes, 0).unwrap();
        let source = Source { file, path, number: 7 };
        let limit = bytes.len() as u64;
        let mut window = Window::new(MOST);
        let mut check = |from: usize, len: usize| {
            let handle = Handle { offset: from as u64, len: len as u32 };
            let to = from + handle.sealed_len() as usize;
            let sealed = window.sealed(&source, handle, limit).unwrap();
            assert!(sealed == &bytes[from..to]);
            (window.buffer.as_ptr(), window.buffer.len())
        };
        assert_eq!(check(0, 1000).1, FIRST_READ);
        let (memory, _) = check(32_000, 1000);
        for block in 33..900 {
            assert_eq!(check(block * 1000, 992), (memory, MOST));
        }
        assert!(check(100_000, 500_000).1 > MOST);
        assert_eq!(check(700_000, 5000).1, FIRST_READ);
        for block in (100..600).rev() {
            assert!(check(block * 1000, 992).1 <= MOST);
        }
        let behind = Handle { offset: limit - 1000, len: 1000 };
        assert!(window.sealed(&source, behind, limit).is_err());
        let gone = Handle { offset: limit, len: 1000 };
        assert!(window.sealed(&source, gone, limit + 2000).is_err());
        let last = Handle { offset: limit - 1008, len: 1000 };
        assert!(window.sealed(&source, last, limit).is_ok(), "a failed read leaves nothing behind");
    }
}
