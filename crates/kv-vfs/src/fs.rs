//! What an engine may ask of the operating system, and nothing else.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// Anything else: a link, a pipe, a device. An engine refuses these.
    Other,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, without the directory; a name that is not UTF-8 is given lossily.
    pub name: String,
    /// What it is (links are not followed).
    pub kind: FileKind,
}

/// What a path names, and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is (links are not followed).
    pub kind: FileKind,
    /// Length in bytes.
    pub len: u64,
}

/// How an existing file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Reads only.
    Read,
    /// Reads and writes.
    ReadWrite,
}

/// The work of a thread.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// A file system, with the clock and the threads that go with it.
///
/// Directory operations are durable only after [`Fs::sync_dir`] of the directory that they
/// changed; file contents after [`FsFile::sync_data`].
pub trait Fs: Send + Sync + fmt::Debug + 'static {
    /// Creates a file that must not exist, readable and writable by its owner only, and opens it
    /// for both. A link in the last place is not followed.
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;
    /// Opens an existing regular file; anything else is `InvalidInput`. Links are not followed.
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>>;
    /// Opens an existing file for reading through a memory map, where the file system can; else
    /// as [`Fs::open`] does. A mapped file that someone cuts short kills the process.
    fn map(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.open(path, Mode::Read)
    }
    /// Renames, replacing what `to` named.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name. Open handles go on working.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Gives a file a second name.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// What `path` names.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;
    /// Creates one directory, for its owner only; its parent must exist.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock on a file, created if need be; `WouldBlock` where anyone, this
    /// process included, holds it. The file itself is never removed.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>>;
    /// Bytes that may still be written below `dir`.
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
    /// The clock.
    fn clock(&self) -> Arc<dyn Clock>;
    /// Starts a thread.
    fn spawn(&self, name: &str, job: Job) -> io::Result<Box<dyn Thread>>;
}

/// An open file. Every call may be made from several threads at once.
pub trait FsFile: Send + Sync + fmt::Debug {
    /// Reads at an offset; fewer bytes than asked for are legal, 0 only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at an offset; fewer bytes than given are legal.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Sets the length; bytes that this adds are zero.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the file at least `len` bytes long, with its space reserved and zero, so that a
    /// later write below `len` does not find the disk full. `Unsupported` where the file system
    /// cannot.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes the contents, and the length that is needed to read them, durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes contents and metadata durable.
    fn sync_all(&self) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Loops over short reads and writes.
pub trait FsFileExt {
    /// Reads exactly `buffer.len()` bytes; `UnexpectedEof` where the file is shorter.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Reads until `buffer` is full or the file ends; answers how many bytes.
    fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes`; `WriteZero` where the file takes no more.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
}

impl<F: FsFile + ?Sized> FsFileExt for F {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.read_full_at(buffer, offset)? < buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match self.write_at(rest, offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// A held lock; dropping it releases it, in this process and in its forked children.
pub trait FsLock: Send + Sync + fmt::Debug {}

/// Time. The monotonic clock orders, the wall clock tells expiry.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
    /// The time of day; may jump.
    fn wall(&self) -> SystemTime;
    /// Lets `duration` pass on this thread.
    fn sleep(&self, duration: Duration);
}

/// A started thread.
pub trait Thread: Send + Sync {
    /// Waits for the thread's end; `false` where it panicked.
    fn join(self: Box<Self>) -> bool;
}
