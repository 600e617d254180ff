//! The real file system, clock and threads.

use crate::clock::StdClock;
use crate::fs::{
    Clock, DirEntry, FileKind, Fs, FsFile, FsFileExt, FsLock, FsWindow, Job, Metadata, Mode, Thread,
};
use crate::mmap::{MappedFile, MappedWindow};
use crate::testing::{bug, planted};
use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The operating system's files, its clock and its threads.
/// ```
/// use kv_vfs::{Fs, FsFileExt, StdFs};
/// let dir = tempfile::tempdir()?;
/// let (fs, path) = (StdFs::new(), dir.path().join("a"));
/// let file = fs.create_new(&path)?;
/// file.write_all_at(b"hello", 0)?;
/// file.sync_data()?;
/// fs.sync_dir(dir.path())?;
/// let mut read = [0; 5];
/// fs.map(&path)?.read_exact_at(&mut read, 0)?;
/// assert_eq!(&read, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StdFs {}

impl StdFs {
    /// The file system of this process.
    pub fn new() -> StdFs {
        StdFs {}
    }

    fn open_file(&self, path: &Path, mode: Mode) -> io::Result<File> {
        open_regular(OpenOptions::new().read(true).write(mode == Mode::ReadWrite), path)
    }
}

const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits() as i32;
const NO_WAIT: i32 = OFlags::NONBLOCK.bits() as i32;
const DIRECTORY: i32 = OFlags::DIRECTORY.bits() as i32;

/// By how much [`Fs::give_way`] lowers: beside a busy thread of the usual priority, one of these
/// gets a tenth of a processor.
const LOWERED_BY: i32 = 10;

/// Opens a regular file and nothing else: looks at what was opened, not at what the name meant
/// before, and does not wait for the other end where that is a pipe.
#[expect(clippy::disallowed_methods, reason = "the seam itself")]
fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(NO_FOLLOW | NO_WAIT).open(path).map_err(|error| {
        // What open(2) answers for a link, a directory and a socket.
        match Errno::from_io_error(&error) {
            Some(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => not_regular(),
            _ => error,
        }
    })?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(not_regular()),
    }
}

pub(crate) fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

fn kind(t: std::fs::FileType) -> FileKind {
    if t.is_file() {
        FileKind::File
    } else if t.is_dir() {
        FileKind::Dir
    } else {
        FileKind::Other
    }
}

#[expect(clippy::disallowed_methods, reason = "the seam itself")]
impl Fs for StdFs {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(NO_FOLLOW)
            .open(path)?;
        Ok(Arc::new(StdFile { file }))
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        Ok(Arc::new(StdFile { file: self.open_file(path, mode)? }))
    }

    fn map(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let file = self.open_file(path, Mode::Read)?;
        if file.metadata()?.len() == 0 {
            // An empty file cannot be mapped.
            return Ok(Arc::new(StdFile { file }));
        }
        Ok(Arc::new(MappedFile::new(&file)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::canonicalize(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            entries.push(DirEntry { name, kind: kind(entry.file_type()?) });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let found = std::fs::symlink_metadata(path)?;
        Ok(Metadata { kind: kind(found.file_type()), len: found.len() })
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().mode(0o700).create(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        OpenOptions::new().read(true).custom_flags(DIRECTORY).open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = open_regular(&mut options, path)?;
        if planted(bug::LOCK_BY_PROCESS) {
            let exclusive = FlockOperation::NonBlockingLockExclusive;
            rustix::fs::fcntl_lock(&file, exclusive).map_err(|_| io::ErrorKind::WouldBlock)?;
            return Ok(Box::new(StdLock { file }));
        }
        match file.try_lock() {
            Ok(()) => Ok(Box::new(StdLock { file })),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let found = rustix::fs::statvfs(dir)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(StdClock::new())
    }

    fn spawn(&self, name: &str, job: Job) -> io::Result<Box<dyn Thread>> {
        spawn(name, job)
    }

    /// Only on Linux is that a matter of the thread; elsewhere it would be the whole process.
    fn give_way(&self) {
        if cfg!(target_os = "linux") {
            let _ = rustix::process::nice(LOWERED_BY);
        }
    }
}

static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

/// Whether a copy into mapped pages, whose space is reserved and which are locked in memory, is
/// safe in every state of the file system: where it has shut itself down too, the fault on a page
/// that was written back asks for neither space nor a transaction.
///
/// So it is on ext4 that journals metadata only. Journalled data is in a transaction; such files
/// cannot be read and written directly, which is how they are told (from Linux 6.1 on). Files in
/// persistent memory (`dax`) have no page cache, and their faults begin transactions too. File
/// systems that copy on write, xfs, those of a network and of user space may answer a fault with
/// an error.
fn faults_cannot_fail(file: &File) -> bool {
    const EXT4: u64 = 0xef53;
    let on_ext4 = || rustix::fs::fstatfs(file).is_ok_and(|found| found.f_type as u64 == EXT4);
    let direct = || {
        let found = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN);
        found.is_ok_and(|found| {
            found.stx_mask & StatxFlags::DIOALIGN.bits() != 0
                && found.stx_dio_mem_align != 0
                && !found.stx_attributes.contains(StatxAttributes::DAX)
        })
    };
    on_ext4() && direct()
}

#[derive(Debug)]
struct StdFile {
    file: File,
}

impl FsFile for StdFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        // Not through libc, whose calls look for a cancelled thread first.
        Ok(rustix::io::pwrite(&self.file, bytes, offset)?)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        // From the start of the file: a hole below the present length gets its space too.
        let allocate = || rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len);
        rustix::io::retry_on_intr(allocate).map_err(|error| match error {
            Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL => io::ErrorKind::Unsupported.into(),
            error => error.into(),
        })
    }

    fn window(&self, part: Range<u64>) -> Option<Box<dyn FsWindow>> {
        if !faults_cannot_fail(&self.file) {
            return None;
        }
        // A write fills the page cache in big pieces. Faults on space without them would do it
        // page by page, at three times the cost.
        let mut at = part.start;
        while at < part.end {
            let zeros = ZEROS.get(..(part.end - at) as usize).unwrap_or(&ZEROS);
            self.write_all_at(zeros, at).ok()?;
            at += zeros.len() as u64;
        }
        Some(Box::new(MappedWindow::new(&self.file, part).ok()?))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }
}

/// Unlocked explicitly: a forked child shares the lock, and would keep it.
#[derive(Debug)]
struct StdLock {
    file: File,
}

impl FsLock for StdLock {}

impl Drop for StdLock {
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// Starts a real thread; under a model checker, one of its own.
#[cfg(not(shuttle))]
pub(crate) fn spawn(name: &str, job: Job) -> io::Result<Box<dyn Thread>> {
    let handle = std::thread::Builder::new().name(name.to_owned()).spawn(job)?;
    Ok(Box::new(StdThread { handle }))
}

#[cfg(shuttle)]
pub(crate) fn spawn(name: &str, job: Job) -> io::Result<Box<dyn Thread>> {
    let handle = shuttle::thread::Builder::new().name(name.to_owned()).spawn(job)?;
    Ok(Box::new(StdThread { handle }))
}

/// [`side_by_side`] where a model checker cannot lend to a thread: one item after the other.
#[cfg(shuttle)]
pub fn side_by_side<T: Sync, R: Send>(
    _: &str,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<Option<R>> {
    items.iter().map(|item| Some(work(item))).collect()
}

/// Calls `work` with every item, each on a thread of its own but the first, and answers in the
/// order of the items; `None` where a thread could not be started or panicked.
/// ```
/// let lengths = kv_vfs::side_by_side("lengths", &["a", "bb", "ccc"], |text| text.len());
/// assert_eq!(lengths, [Some(1), Some(2), Some(3)]);
/// ```
#[cfg(not(shuttle))]
pub fn side_by_side<T: Sync, R: Send>(
    name: &str,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<Option<R>> {
    let Some((first, rest)) = items.split_first() else { return Vec::new() };
    let work = &work;
    std::thread::scope(|scope| {
        let start = |item| {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn_scoped(scope, move || work(item))
                .ok()
        };
        let threads: Vec<_> = rest.iter().map(start).collect();
        let own = Some(work(first));
        let others = threads.into_iter().map(|thread| thread.and_then(|t| t.join().ok()));
        std::iter::once(own).chain(others).collect()
    })
}

struct StdThread {
    #[cfg(not(shuttle))]
    handle: std::thread::JoinHandle<()>,
    #[cfg(shuttle)]
    handle: shuttle::thread::JoinHandle<()>,
}

impl Thread for StdThread {
    fn join(self: Box<Self>) -> bool {
        self.handle.join().is_ok()
    }
}
