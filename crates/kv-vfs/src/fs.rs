//! What an engine may ask of the operating system, and nothing else.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
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
///
/// The methods here and of [`FsFile`] know their caller, so that a test can tell which calls of
/// an engine met which fault.
/// ```
/// use kv_vfs::{DirEntry, FileKind, Fs, FsFileExt, FsLock, MemFs, Metadata, Mode};
/// use std::{io, path::Path};
///
/// /// Replaces a file, so that a power cut leaves the old contents or the new ones.
/// fn save(fs: &dyn Fs, dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
///     let fresh = dir.join("fresh");
///     let file = fs.create_new(&fresh)?;
///     file.write_all_at(bytes, 0)?;
///     file.sync_data()?;
///     fs.rename(&fresh, &dir.join(name))?;
///     fs.sync_dir(dir)
/// }
///
/// let (fs, dir) = (MemFs::new(), Path::new("/db"));
/// fs.create_dir(dir)?;
/// fs.sync_dir(Path::new("/"))?;
/// let held: Box<dyn FsLock> = fs.lock(&dir.join("LOCK"))?;
/// assert_eq!(fs.lock(&dir.join("LOCK")).unwrap_err().kind(), io::ErrorKind::WouldBlock);
/// save(&fs, dir, "settings", b"a=1")?;
/// save(&fs, dir, "settings", b"a=2")?;
/// drop(held);
/// assert!(fs.lock(&dir.join("LOCK")).is_ok());
///
/// let (after, path) = (fs.crash(), dir.join("settings"));
/// let names: Vec<DirEntry> = after.list(dir)?;
/// assert_eq!(names[1], DirEntry { name: "settings".to_owned(), kind: FileKind::File });
/// assert_eq!(after.metadata(&path)?, Metadata { kind: FileKind::File, len: 3 });
/// let mut bytes = [0; 3];
/// after.open(&path, Mode::Read)?.read_exact_at(&mut bytes, 0)?;
/// assert_eq!(&bytes, b"a=2");
/// # Ok::<(), io::Error>(())
/// ```
pub trait Fs: Send + Sync + fmt::Debug + 'static {
    /// Creates a file that must not exist, readable and writable by its owner only, and opens it
    /// for both. A link in the last place is not followed.
    #[track_caller]
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;
    /// Opens an existing regular file; anything else is `InvalidInput`. Links are not followed.
    #[track_caller]
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>>;
    /// Opens an existing file for reading through a memory map, where the file system can; else
    /// as [`Fs::open`] does. A mapped file that someone cuts short kills the process.
    #[track_caller]
    fn map(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.open(path, Mode::Read)
    }
    /// Whether nothing here outlives the process, by intention.
    fn is_volatile(&self) -> bool {
        false
    }
    /// Renames, replacing what `to` named.
    #[track_caller]
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name. Open handles go on working.
    #[track_caller]
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Gives a file a second name.
    #[track_caller]
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// The names in a directory, sorted.
    #[track_caller]
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// What `path` names.
    #[track_caller]
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;
    /// The one name of what `path` names: absolute, without `.`, `..` and links; `NotFound` where
    /// it names nothing. A file system without links answers for any path.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        let mut clean = PathBuf::new();
        for part in std::path::absolute(path)?.components() {
            match part {
                Component::ParentDir => drop(clean.pop()),
                part => clean.push(part),
            }
        }
        Ok(clean)
    }
    /// Creates one directory, for its owner only; its parent must exist.
    #[track_caller]
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    #[track_caller]
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    #[track_caller]
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock on a file, created if need be; `WouldBlock` where anyone, this
    /// process included, holds it. The file itself is never removed.
    #[track_caller]
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>>;
    /// What a failed [`Fs::sync_dir`] may do: the names stay as they are seen, a power cut takes
    /// them, and no later sync makes them durable. For tests.
    #[doc(hidden)]
    #[track_caller]
    fn lose_unsynced_names(&self, _dir: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Bytes that may still be written below `dir`.
    #[track_caller]
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
    /// The clock.
    fn clock(&self) -> Arc<dyn Clock>;
    /// Starts a thread.
    fn spawn(&self, name: &str, job: Job) -> io::Result<Box<dyn Thread>>;
    /// Puts the calling thread, for good, behind those of the usual priority, and with it the
    /// threads that it starts from now on; without effect where that cannot be.
    fn give_way(&self) {}
}

/// An open file. Every call may be made from several threads at once.
/// ```
/// use kv_vfs::{Fs, FsFile, FsFileExt, FsWindow, MemFs};
/// use std::{io, path::Path, sync::Arc};
/// let file: Arc<dyn FsFile> = MemFs::new().create_new(Path::new("/a"))?;
/// file.allocate(4096)?;
/// file.write_all_at(b"hello", 0)?;
///
/// // Without a system call: what is copied into a window is written.
/// let mut window: Box<dyn FsWindow> = file.window(512..1024).ok_or(io::ErrorKind::Unsupported)?;
/// assert!(window.copy(b"world", 512));
/// assert!(!window.copy(b"world", 1022), "the end would lie behind the window");
/// let mut read = [0; 5];
/// file.read_exact_at(&mut read, 512)?;
/// assert_eq!(&read, b"world");
/// drop(window);
///
/// file.set_len(5)?;
/// file.sync_all()?;
/// assert_eq!((file.len()?, file.is_empty()?), (5, false));
/// assert_eq!(file.read_full_at(&mut [0; 64], 0)?, 5);
/// # Ok::<(), io::Error>(())
/// ```
pub trait FsFile: Send + Sync + fmt::Debug {
    /// Reads at an offset; fewer bytes than asked for are legal, 0 only at the end.
    #[track_caller]
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at an offset; fewer bytes than given are legal.
    #[track_caller]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Sets the length; bytes that this adds are zero.
    #[track_caller]
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes the file at least `len` bytes long, with its space reserved and zero, so that a
    /// later write below `len` does not find the disk full. `Unsupported` where the file system
    /// cannot.
    #[track_caller]
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes the contents, and the length that is needed to read them, durable.
    #[track_caller]
    fn sync_data(&self) -> io::Result<()>;
    /// Makes contents and metadata durable.
    #[track_caller]
    fn sync_all(&self) -> io::Result<()>;
    /// What a failed [`FsFile::sync_data`] may do: what was written stays readable, a power cut
    /// takes it, and no later sync makes it durable. For tests.
    #[doc(hidden)]
    #[track_caller]
    fn lose_unsynced(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Opens a window on a part of the file that [`FsFile::allocate`] has reserved: who copies into
    /// it has written, without a system call. `None` where the file system cannot, or where a
    /// copy could kill the process in a state in which a write would answer an error.
    ///
    /// The part is zero afterwards, and nothing else is to write there while this is under way.
    #[track_caller]
    fn window(&self, _part: Range<u64>) -> Option<Box<dyn FsWindow>> {
        None
    }
    /// The length in bytes.
    #[track_caller]
    fn len(&self) -> io::Result<u64>;
    /// Whether the file is empty.
    #[track_caller]
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A part of a file to copy into. What was copied is as far as [`FsFile::write_at`] would have
/// brought it: every reader sees it, it survives the process, and a sync makes it durable.
pub trait FsWindow: Send + fmt::Debug {
    /// Copies `bytes` to this offset of the file; answers `false`, with nothing done, where they
    /// do not lie within the window.
    fn copy(&mut self, bytes: &[u8], offset: u64) -> bool;
}

/// Where `len` bytes at `offset` of a file lie in its part `part`; `None` where they do not.
pub(crate) fn place_in(part: &Range<u64>, offset: u64, len: usize) -> Option<Range<usize>> {
    let end = offset.checked_add(len as u64).filter(|end| *end <= part.end)?;
    let from = usize::try_from(offset.checked_sub(part.start)?).ok()?;
    Some(from..usize::try_from(end - part.start).ok()?)
}

/// Loops over short reads and writes.
pub trait FsFileExt {
    /// Reads exactly `buffer.len()` bytes; `UnexpectedEof` where the file is shorter.
    #[track_caller]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Reads until `buffer` is full or the file ends; answers how many bytes.
    #[track_caller]
    fn read_full_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes`; `WriteZero` where the file takes no more.
    #[track_caller]
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
}

impl<F: FsFile + ?Sized> FsFileExt for F {
    #[track_caller]
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if self.read_full_at(buffer, offset)? < buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    #[track_caller]
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

    #[track_caller]
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
/// ```
/// use kv_vfs::{Clock, Fs, ManualClock, MemFs};
/// use std::{sync::Arc, time::Duration};
///
/// /// Waits for `done`, but not for ever.
/// fn wait(clock: &dyn Clock, limit: Duration, done: impl Fn() -> bool) -> bool {
///     let end = clock.monotonic() + limit;
///     while !done() && clock.monotonic() < end {
///         clock.sleep(Duration::from_secs(1));
///     }
///     done()
/// }
///
/// // On the clock of a test, no time passes but the one that is slept.
/// let fs = MemFs::with_clock(Arc::new(ManualClock::new()));
/// let clock: Arc<dyn Clock> = fs.clock();
/// let before = clock.wall();
/// assert!(!wait(&*clock, Duration::from_secs(3600), || false));
/// assert_eq!(clock.wall(), before + Duration::from_secs(3600));
/// ```
pub trait Clock: Send + Sync + fmt::Debug {
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
    /// The time of day; may jump.
    fn wall(&self) -> SystemTime;
    /// Lets `duration` pass on this thread.
    fn sleep(&self, duration: Duration);
}

/// A started thread.
/// ```
/// use kv_vfs::{Fs, Job, MemFs, Thread};
/// use std::sync::{Arc, atomic::{AtomicBool, Ordering}};
/// let done = Arc::new(AtomicBool::new(false));
/// let flag = Arc::clone(&done);
/// let job: Job = Box::new(move || flag.store(true, Ordering::Relaxed));
/// let thread: Box<dyn Thread> = MemFs::new().spawn("flush", job)?;
/// assert!(thread.join() && done.load(Ordering::Relaxed));
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Thread: Send + Sync {
    /// Waits for the thread's end; `false` where it panicked.
    fn join(self: Box<Self>) -> bool;
}
