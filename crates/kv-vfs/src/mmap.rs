//! Files read and written through a memory map, and memory without a file; the only unsafe code of
//! this crate.

use crate::fs::{FsFile, FsWindow, place_in};
use memmap2::{Advice, Mmap, MmapMut, MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::ops::Range;

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

/// A part of a file that is written by copying into the page cache.
///
/// A page that is not there, or that the file system has to be asked for before it may be written
/// to, is a fault, and a fault that fails kills the process. So every page is made writable here,
/// where a failure is an error, and locked in memory: it never has to be read again. What is left
/// is the fault on a page that was written back since, of which [`crate::os`] knows on which file
/// systems it cannot fail.
#[derive(Debug)]
pub(crate) struct MappedWindow {
    map: MmapMut,
    part: Range<u64>,
}

impl MappedWindow {
    /// Maps this part of `file`, whose space is reserved.
    #[expect(unsafe_code, reason = "a map of a file cannot be made safely")]
    pub(crate) fn new(file: &File, part: Range<u64>) -> io::Result<MappedWindow> {
        let len = part.end.saturating_sub(part.start) as usize;
        let mut options = MmapOptions::new();
        options.offset(part.start).len(len);
        // SAFETY: bytes are only ever copied in and never read back, so what others write there
        // is not seen. The part lies within the file, which the engine never cuts short while it
        // writes it; another process that does so kills this one, as it would by changing it.
        let map = unsafe { options.map_mut(file)? };
        map.advise(Advice::PopulateWrite)?;
        map.lock()?;
        Ok(MappedWindow { map, part })
    }
}

impl FsWindow for MappedWindow {
    fn copy(&mut self, bytes: &[u8], offset: u64) -> bool {
        let place = place_in(&self.part, offset, bytes.len());
        let Some(to) = place.and_then(|place| self.map.get_mut(place)) else { return false };
        to.copy_from_slice(bytes);
        true
    }
}

/// The bytes of a huge page.
const HUGE_PAGE: usize = 2 << 20;

/// Zeroed memory from the system, of which a page takes room when it is touched.
///
/// ```
/// # use kv_vfs::Pages;
/// let pages = Pages::new(2 << 20, true)?; // a huge page, where the system has one
/// assert_eq!(pages.base().align_offset(2 << 20), 0);
/// drop(pages); // all of it goes back to the system
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Pages {
    map: MmapRaw,
    huge: bool,
}

impl Pages {
    /// So many bytes; `huge` asks for huge pages, with one of which they begin.
    pub fn new(len: usize, huge: bool) -> io::Result<Pages> {
        // A system maps at any page: what lies before the first huge one is never touched.
        let more = if huge { HUGE_PAGE } else { 0 };
        let map = MmapOptions::new().len(len.saturating_add(more)).map_anon()?;
        #[cfg(target_os = "linux")]
        if huge {
            // Only advice: small pages are slower, not wrong.
            let _ = map.advise(Advice::HugePage);
        }
        Ok(Pages { map: MmapRaw::from(map), huge })
    }

    /// Where the memory begins: all of it may be read and written until this is dropped.
    pub fn base(&self) -> *mut u8 {
        let start = self.map.as_mut_ptr();
        match self.huge {
            true => start.wrapping_add(start.align_offset(HUGE_PAGE)),
            false => start,
        }
    }
}
