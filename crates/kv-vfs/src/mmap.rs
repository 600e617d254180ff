//! Files read through a memory map; the only unsafe code of this crate.

use crate::fs::FsFile;
use memmap2::{Advice, Mmap};
use std::fs::File;
use std::io;

/// A read-only mapping of a whole file.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps `file` as long as it is now.
    #[expect(unsafe_code, reason = "a map of a file cannot be made safely")]
    pub(crate) fn new(file: &File) -> io::Result<MappedFile> {
        // SAFETY: the engine maps tables only, which it never changes once they are written, and
        // removes only by name, which leaves a mapping whole. Another process that changes or
        // cuts the file breaks this; the option that asks for maps says so.
        let map = unsafe { Mmap::map(file)? };
        map.advise(Advice::Random)?;
        Ok(MappedFile { map })
    }
}

fn read_only<T>() -> io::Result<T> {
    Err(io::ErrorKind::PermissionDenied.into())
}

impl FsFile for MappedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.map.get(at..));
        let rest = rest.unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<usize> {
        read_only()
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        read_only()
    }

    fn allocate(&self, _len: u64) -> io::Result<()> {
        read_only()
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.map.len() as u64)
    }
}
