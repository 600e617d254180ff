//! A file system in memory that knows what a power cut would take.
//!
//! Contents become durable by a sync of the file, names by a sync of the directory, and neither
//! by the other. [`MemFs::crash`] gives the file system as it would be found after a power cut
//! in which nothing survived that was not synced; [`MemFs::crash_with`] lets a chooser spare
//! single operations, and [`MemFs::power_cut`] draws from all that real disks and file systems
//! are known to do. The copy shares its pages with the original, so that it costs little.

mod crash;
mod fate;
mod fill;
mod image;
mod node;
mod policy;

use crate::clock::StdClock;
use crate::fs::{
    Clock, DirEntry, FileKind, Fs, FsFile, FsLock, FsWindow, Job, Metadata, Mode, Thread, place_in,
};
use crate::os;
use image::Image;
use node::{Dir, Inode, NameOp, Names, Node, Volume};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Range;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use crash::PendingOp;
pub use policy::{CutFill, CutGrain, CutOrder, CutPolicy};

/// A file system in memory. A clone is the same file system.
///
/// Directories are not moved to other directories: `CrossesDevices`.
///
/// ```
/// use kv_vfs::{Fs, FsFileExt, MemFs};
/// use std::path::Path;
/// let fs = MemFs::new();
/// let file = fs.create_new(Path::new("/a"))?;
/// file.write_all_at(b"lost", 0)?;
/// file.sync_data()?;
/// // The name was not synced, so a power cut takes it, contents and all.
/// assert!(fs.crash().metadata(Path::new("/a")).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemFs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    volume: Arc<Volume>,
    clock: Arc<dyn Clock>,
    /// Locked by everything that looks at or changes names, for as long as it takes.
    root: Mutex<Arc<Dir>>,
}

impl Default for MemFs {
    fn default() -> Self {
        MemFs::new()
    }
}

impl MemFs {
    /// An empty file system with the real clock and no limit.
    pub fn new() -> MemFs {
        MemFs::build(Arc::new(StdClock::new()), Volume::new(u64::MAX, true))
    }

    /// An empty file system that does not remember what is durable: nothing is kept twice, and a
    /// crash takes everything.
    /// ```
    /// use kv_vfs::{Fs, MemFs};
    /// use std::path::Path;
    /// let (fs, root) = (MemFs::volatile(), Path::new("/"));
    /// fs.create_new(Path::new("/a"))?;
    /// fs.sync_dir(root)?;
    /// assert!(fs.is_volatile());
    /// assert!(fs.crash().list(root)?.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn volatile() -> MemFs {
        MemFs::build(Arc::new(StdClock::new()), Volume::new(u64::MAX, false))
    }

    /// An empty file system with another clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> MemFs {
        MemFs::build(clock, Volume::new(u64::MAX, true))
    }

    /// An empty file system that is full when the lengths of its files sum up to `bytes`.
    /// ```
    /// use kv_vfs::{Fs, FsFileExt, MemFs};
    /// use std::{io, path::Path};
    /// let fs = MemFs::with_capacity(5);
    /// let file = fs.create_new(Path::new("/a"))?;
    /// file.write_all_at(b"hello", 0)?;
    /// let full = file.write_all_at(b"!", 5).unwrap_err();
    /// assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    ///
    /// fs.set_capacity(10);
    /// file.write_all_at(b"!", 5)?;
    /// assert_eq!((fs.used(), fs.free_space(Path::new("/"))?), (6, 4));
    /// # Ok::<(), io::Error>(())
    /// ```
    pub fn with_capacity(bytes: u64) -> MemFs {
        MemFs::build(Arc::new(StdClock::new()), Volume::new(bytes, true))
    }

    fn build(clock: Arc<dyn Clock>, volume: Volume) -> MemFs {
        let root = Arc::new(Dir::new(&volume, Path::new("/").into(), Names::new()));
        MemFs::assemble(clock, Arc::new(volume), root)
    }

    fn assemble(clock: Arc<dyn Clock>, volume: Arc<Volume>, root: Arc<Dir>) -> MemFs {
        MemFs { shared: Arc::new(Shared { volume, clock, root: Mutex::new(root) }) }
    }

    /// The same file system with another clock, for a run that goes on elsewhere in time.
    /// ```
    /// use kv_vfs::{Fs, ManualClock, MemFs};
    /// use std::{sync::Arc, time::Duration};
    /// let clock = Arc::new(ManualClock::new());
    /// let fs = MemFs::with_clock(clock.clone());
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(fs.clock().monotonic(), Duration::from_secs(60));
    ///
    /// // The machine that starts after a power cut counts from its own beginning.
    /// let restarted = fs.crash().on_clock(Arc::new(ManualClock::new()));
    /// assert_eq!(restarted.clock().monotonic(), Duration::ZERO);
    /// ```
    pub fn on_clock(self, clock: Arc<dyn Clock>) -> MemFs {
        let root = Arc::clone(&self.shared.root.lock());
        MemFs::assemble(clock, Arc::clone(&self.shared.volume), root)
    }

    /// Changes how many bytes of contents fit. What is there already stays.
    pub fn set_capacity(&self, bytes: u64) {
        self.shared.volume.set_capacity(bytes);
    }

    /// Bytes of contents held.
    pub fn used(&self) -> u64 {
        self.shared.volume.used()
    }

    /// Makes a file under a name that is free.
    fn make_file(&self, path: &Path, dir: &Dir, name: OsString) -> Arc<Inode> {
        let inode = Arc::new(Inode::new(&self.shared.volume, path.into(), Image::default()));
        inode.link();
        let node = Node::File(Arc::clone(&inode));
        dir.change(&self.shared.volume, NameOp::Link { name, node });
        inode
    }
}

impl Fs for MemFs {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let root = self.shared.root.lock();
        let (dir, name) = free_name(&root, path)?;
        let inode = self.make_file(path, &dir, name);
        Ok(Arc::new(MemFile::open(inode, Mode::ReadWrite)))
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        let root = self.shared.root.lock();
        match find(&root, path)? {
            Node::File(inode) => Ok(Arc::new(MemFile::open(inode, mode))),
            Node::Dir(_) => Err(os::not_regular()),
        }
    }

    fn is_volatile(&self) -> bool {
        self.shared.volume.is_volatile()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let volume = &self.shared.volume;
        let root = self.shared.root.lock();
        let above = steps(from).starts_with(&steps(to)) && steps(from) != steps(to);
        let (from_dir, from) = parent(&root, from)?;
        let (to_dir, to) = parent(&root, to)?;
        let node = from_dir.get(&from).ok_or(io::ErrorKind::NotFound)?;
        let replaced = to_dir.get(&to);
        let same_dir = Arc::ptr_eq(&from_dir, &to_dir);
        if above {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if !same_dir && matches!(node, Node::Dir(_)) {
            // What a power cut in the middle of it leaves may not be a tree any more.
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        if replaced.as_ref().is_some_and(|replaced| replaced.is(&node)) {
            // Two names of one file, or twice the same name: nothing happens, says POSIX.
            return Ok(());
        }
        match (&node, replaced) {
            (Node::File(_), Some(Node::Dir(_))) => return Err(io::ErrorKind::IsADirectory.into()),
            (Node::Dir(_), Some(Node::File(_))) => return Err(io::ErrorKind::NotADirectory.into()),
            (Node::Dir(_), Some(Node::Dir(old))) if !old.is_empty() => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            (Node::File(_), Some(Node::File(old))) => old.unlink(),
            (Node::Dir(_), Some(Node::Dir(_))) | (_, None) => {}
        }
        if same_dir {
            to_dir.change(volume, NameOp::Rename { from, to, node });
        } else {
            to_dir.change(volume, NameOp::Link { name: to, node });
            from_dir.change(volume, NameOp::Unlink { name: from });
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let root = self.shared.root.lock();
        let (dir, name) = parent(&root, path)?;
        match dir.get(&name).ok_or(io::ErrorKind::NotFound)? {
            Node::File(inode) => inode.unlink(),
            Node::Dir(_) => return Err(io::ErrorKind::IsADirectory.into()),
        }
        dir.change(&self.shared.volume, NameOp::Unlink { name });
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let root = self.shared.root.lock();
        let node = find(&root, from)?;
        let (dir, name) = free_name(&root, to)?;
        match &node {
            Node::File(inode) => inode.link(),
            Node::Dir(_) => return Err(io::ErrorKind::PermissionDenied.into()),
        }
        dir.change(&self.shared.volume, NameOp::Link { name, node });
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let root = self.shared.root.lock();
        let dir = find_dir(&root, dir)?;
        let state = dir.state.lock();
        let mut entries: Vec<DirEntry> = state
            .current
            .iter()
            .map(|(name, node)| DirEntry {
                name: name.to_string_lossy().into_owned(),
                kind: kind(node),
            })
            .collect();
        // Lossy names may sort differently from what they stand for.
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let root = self.shared.root.lock();
        let node = find(&root, path)?;
        let len = match &node {
            Node::File(inode) => inode.len(),
            Node::Dir(_) => 0,
        };
        let kind = kind(&node);
        Ok(Metadata { kind, len })
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let volume = &self.shared.volume;
        let root = self.shared.root.lock();
        let (parent, name) = free_name(&root, dir)?;
        let node = Node::Dir(Arc::new(Dir::new(volume, dir.into(), Names::new())));
        parent.change(volume, NameOp::Link { name, node });
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let root = self.shared.root.lock();
        let found = find_dir(&root, dir)?;
        let (parent, name) = parent(&root, dir)?;
        if !found.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        parent.change(&self.shared.volume, NameOp::Unlink { name });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let root = self.shared.root.lock();
        find_dir(&root, dir)?.sync();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        let root = self.shared.root.lock();
        let (dir, name) = parent(&root, path)?;
        let inode = match dir.get(&name) {
            Some(Node::File(inode)) => inode,
            Some(Node::Dir(_)) => return Err(os::not_regular()),
            None => self.make_file(path, &dir, name),
        };
        if inode.locked.swap(true, Ordering::Acquire) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemLock(inode)))
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let root = self.shared.root.lock();
        find(&root, dir)?;
        Ok(self.shared.volume.free())
    }

    fn lose_unsynced_names(&self, dir: &Path) -> io::Result<()> {
        let root = self.shared.root.lock();
        find_dir(&root, dir)?.lose();
        Ok(())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    fn spawn(&self, name: &str, job: Job) -> io::Result<Box<dyn Thread>> {
        os::spawn(name, job)
    }
}

/// The names on the way from the root. There are no links, so that `..` needs no look-up.
fn steps(path: &Path) -> Vec<&OsStr> {
    let mut steps = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => steps.push(name),
            Component::ParentDir => {
                steps.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    steps
}

fn walk(root: &Arc<Dir>, steps: &[&OsStr]) -> io::Result<Node> {
    let mut node = Node::Dir(Arc::clone(root));
    for name in steps {
        node = match node {
            Node::Dir(dir) => dir.get(name).ok_or(io::ErrorKind::NotFound)?,
            Node::File(_) => return Err(io::ErrorKind::NotADirectory.into()),
        };
    }
    Ok(node)
}

fn find(root: &Arc<Dir>, path: &Path) -> io::Result<Node> {
    if path.as_os_str().is_empty() {
        return Err(io::ErrorKind::NotFound.into());
    }
    walk(root, &steps(path))
}

fn find_dir(root: &Arc<Dir>, path: &Path) -> io::Result<Arc<Dir>> {
    match find(root, path)? {
        Node::Dir(dir) => Ok(dir),
        Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// The directory in which `path` is a name, and the name.
fn parent(root: &Arc<Dir>, path: &Path) -> io::Result<(Arc<Dir>, OsString)> {
    let steps = steps(path);
    let Some((name, above)) = steps.split_last() else {
        // The root has no name.
        return Err(io::ErrorKind::ResourceBusy.into());
    };
    match walk(root, above)? {
        Node::Dir(dir) => Ok((dir, name.to_os_string())),
        Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
    }
}

/// The same, for a name that must be free.
fn free_name(root: &Arc<Dir>, path: &Path) -> io::Result<(Arc<Dir>, OsString)> {
    let (dir, name) = parent(root, path)?;
    match dir.get(&name) {
        Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        None => Ok((dir, name)),
    }
}

fn kind(node: &Node) -> FileKind {
    match node {
        Node::File(_) => FileKind::File,
        Node::Dir(_) => FileKind::Dir,
    }
}

#[derive(Debug)]
struct MemFile {
    inode: Arc<Inode>,
    mode: Mode,
}

impl MemFile {
    fn open(inode: Arc<Inode>, mode: Mode) -> MemFile {
        inode.opened();
        MemFile { inode, mode }
    }

    fn writable(&self) -> io::Result<&Inode> {
        match self.mode {
            Mode::ReadWrite => Ok(&self.inode),
            Mode::Read => Err(Errno::BADF.into()),
        }
    }
}

impl FsFile for MemFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.inode.read(buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.writable()?.write(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable()?.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.writable()?.allocate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inode.sync();
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn window(&self, part: Range<u64>) -> Option<Box<dyn FsWindow>> {
        self.writable().ok().filter(|inode| part.end <= inode.len())?;
        let file = MemFile::open(Arc::clone(&self.inode), self.mode);
        Some(Box::new(MemWindow { file, part }))
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inode.len())
    }

    fn lose_unsynced(&self) -> io::Result<()> {
        self.inode.lose();
        Ok(())
    }
}

/// A copy is a write that no power cut treats better.
#[derive(Debug)]
struct MemWindow {
    file: MemFile,
    part: Range<u64>,
}

impl FsWindow for MemWindow {
    fn copy(&mut self, bytes: &[u8], offset: u64) -> bool {
        place_in(&self.part, offset, bytes.len()).is_some()
            && self.file.inode.write(bytes, offset).is_ok_and(|written| written == bytes.len())
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        self.inode.closed();
    }
}

#[derive(Debug)]
struct MemLock(Arc<Inode>);

impl FsLock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.0.locked.store(false, Ordering::Release);
    }
}
