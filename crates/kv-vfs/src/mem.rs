//! A file system in memory that knows what a power cut would take.
//!
//! Each file has its contents as a reader sees them, the contents that are durable, and the
//! operations between the two, in order; so has each directory its names. A sync of a file makes
//! its contents durable, not its name; a sync of a directory its names, not their contents.

use crate::clock::StdClock;
use crate::fs::{Clock, DirEntry, FileKind, Fs, FsFile, FsLock, Job, Metadata, Mode, Thread};
use crate::os;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file system in memory. A clone is the same file system.
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
    tree: Mutex<Tree>,
    space: Arc<Space>,
    clock: Arc<dyn Clock>,
    /// Whether it remembers what is not durable.
    remembers: bool,
}

#[derive(Debug)]
struct Space {
    capacity: AtomicU64,
    used: AtomicU64,
}

impl Space {
    /// Takes the place of `more` bytes, or answers that there is none.
    fn take(&self, more: u64) -> io::Result<()> {
        let used = self.used.fetch_add(more, Ordering::Relaxed) + more;
        if used > self.capacity.load(Ordering::Relaxed) && more > 0 {
            self.give(more);
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Tree {
    dirs: BTreeMap<PathBuf, Names>,
    locks: HashSet<PathBuf>,
}

/// The names in a directory.
#[derive(Debug, Default)]
struct Names {
    now: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    pending: Vec<NameOp>,
}

#[derive(Clone, Debug)]
enum Node {
    File(Arc<Inode>),
    Dir,
}

/// A change of a directory that is not durable yet.
#[derive(Clone, Debug)]
enum NameOp {
    Link(String, Node),
    Unlink(String),
    Rename(String, String, Node),
}

impl NameOp {
    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            NameOp::Link(name, node) => {
                names.insert(name.clone(), node.clone());
            }
            NameOp::Unlink(name) => {
                names.remove(name);
            }
            NameOp::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), node.clone());
            }
        }
    }
}

impl Names {
    fn change(&mut self, op: NameOp, remembers: bool) {
        op.apply(&mut self.now);
        if remembers {
            self.pending.push(op);
        }
    }

    fn sync(&mut self) {
        for op in self.pending.drain(..) {
            op.apply(&mut self.durable);
        }
    }
}

#[derive(Debug)]
struct Inode {
    data: RwLock<Data>,
    links: AtomicU64,
    space: Arc<Space>,
    remembers: bool,
}

#[derive(Debug, Default)]
struct Data {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<DataOp>,
}

/// A change of a file's contents that is not durable yet.
#[derive(Clone, Debug)]
enum DataOp {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl DataOp {
    fn apply(&self, contents: &mut Vec<u8>) {
        match self {
            DataOp::Write(offset, bytes) => write(contents, *offset as usize, bytes),
            DataOp::SetLen(len) => contents.resize(*len as usize, 0),
        }
    }
}

fn write(contents: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if contents.len() < end {
        contents.resize(end, 0);
    }
    if let Some(place) = contents.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

impl Inode {
    fn new(space: &Arc<Space>, remembers: bool) -> Arc<Inode> {
        Arc::new(Inode {
            data: RwLock::default(),
            links: AtomicU64::new(1),
            space: Arc::clone(space),
            remembers,
        })
    }

    fn change(&self, data: &mut Data, op: DataOp) {
        op.apply(&mut data.now);
        if self.remembers {
            data.pending.push(op);
        }
    }

    fn grow_to(&self, data: &Data, end: u64) -> io::Result<()> {
        self.space.take(end.saturating_sub(data.now.len() as u64))
    }

    /// Ends one name of the file; with the last one its space is free.
    fn unlink(&self) {
        if self.links.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.space.give(self.data.read().now.len() as u64);
        }
    }
}

/// An operation that a power cut may take, as [`MemFs::crash_with`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingOp {
    /// Bytes written to a file: offset and length.
    Write(PathBuf, u64, u64),
    /// A file's length set.
    SetLen(PathBuf, u64),
    /// A name made.
    Link(PathBuf),
    /// A name removed.
    Unlink(PathBuf),
    /// A name changed, from and to.
    Rename(PathBuf, PathBuf),
}

impl Default for MemFs {
    fn default() -> Self {
        MemFs::new()
    }
}

impl MemFs {
    /// An empty file system with the real clock and no limit.
    pub fn new() -> MemFs {
        MemFs::build(Arc::new(StdClock::new()), u64::MAX, true)
    }

    /// An empty file system that does not remember what is durable: nothing is kept twice, and a
    /// crash takes everything.
    pub fn volatile() -> MemFs {
        MemFs::build(Arc::new(StdClock::new()), u64::MAX, false)
    }

    /// An empty file system with another clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> MemFs {
        MemFs::build(clock, u64::MAX, true)
    }

    /// An empty file system for that many bytes of contents.
    pub fn with_capacity(bytes: u64) -> MemFs {
        MemFs::build(Arc::new(StdClock::new()), bytes, true)
    }

    fn build(clock: Arc<dyn Clock>, capacity: u64, remembers: bool) -> MemFs {
        let space = Arc::new(Space { capacity: AtomicU64::new(capacity), used: AtomicU64::new(0) });
        let mut tree = Tree::default();
        for root in ["/", ""] {
            tree.dirs.insert(PathBuf::from(root), Names::default());
        }
        MemFs { shared: Arc::new(Shared { tree: Mutex::new(tree), space, clock, remembers }) }
    }

    /// Changes how many bytes of contents fit.
    pub fn set_capacity(&self, bytes: u64) {
        self.shared.space.capacity.store(bytes, Ordering::Relaxed);
    }

    /// Bytes of contents held.
    pub fn used(&self) -> u64 {
        self.shared.space.used.load(Ordering::Relaxed)
    }

    /// The file system as it is after a power cut that takes everything that was not synced. This
    /// one goes on unchanged; no lock is held in the other.
    pub fn crash(&self) -> MemFs {
        self.crash_with(&mut |_| false)
    }

    /// The file system after a power cut that takes the operations for which `survives` answers
    /// false. It is asked for each operation of a file or directory in order.
    pub fn crash_with(&self, survives: &mut dyn FnMut(&PendingOp) -> bool) -> MemFs {
        let after = MemFs::build(Arc::clone(&self.shared.clock), u64::MAX, true);
        after.set_capacity(self.shared.space.capacity.load(Ordering::Relaxed));
        let tree = self.shared.tree.lock();
        let mut to = after.shared.tree.lock();
        let mut files: Vec<(*const Inode, Arc<Inode>)> = Vec::new();
        for (dir, names) in &tree.dirs {
            // A directory whose own name is gone is not reached.
            if !to.dirs.contains_key(dir) {
                continue;
            }
            let mut left = names.durable.clone();
            for op in &names.pending {
                if survives(&describe_name(dir, op)) {
                    op.apply(&mut left);
                }
            }
            let mut survivors = BTreeMap::new();
            for (name, node) in left {
                let path = dir.join(&name);
                let node = match node {
                    Node::Dir => {
                        to.dirs.insert(path, Names::default());
                        Node::Dir
                    }
                    Node::File(inode) => {
                        let known = files.iter().find(|(old, _)| *old == Arc::as_ptr(&inode));
                        let copy = match known {
                            Some((_, copy)) => {
                                copy.links.fetch_add(1, Ordering::Relaxed);
                                Arc::clone(copy)
                            }
                            None => {
                                let copy = survive(&inode, &path, &after, survives);
                                files.push((Arc::as_ptr(&inode), Arc::clone(&copy)));
                                copy
                            }
                        };
                        Node::File(copy)
                    }
                };
                survivors.insert(name, node);
            }
            if let Some(names) = to.dirs.get_mut(dir) {
                names.durable = survivors.clone();
                names.now = survivors;
            }
        }
        drop(to);
        after
    }

    /// Runs `change` on the directory that holds `path`, with the last name of it.
    fn in_dir<T>(
        &self,
        path: &Path,
        change: impl FnOnce(&mut Names, String, PathBuf) -> io::Result<T>,
    ) -> io::Result<T> {
        let path = clean(path);
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let name = name.to_string_lossy().into_owned();
        let dir = path.parent().unwrap_or(Path::new(""));
        let mut tree = self.shared.tree.lock();
        let names = tree.dirs.get_mut(dir).ok_or(io::ErrorKind::NotFound)?;
        change(names, name, path)
    }

    fn file_at(&self, path: &Path) -> io::Result<Arc<Inode>> {
        self.in_dir(path, |names, name, _| match names.now.get(&name) {
            Some(Node::File(inode)) => Ok(Arc::clone(inode)),
            Some(Node::Dir) => Err(io::ErrorKind::InvalidInput.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        })
    }
}

fn describe_name(dir: &Path, op: &NameOp) -> PendingOp {
    match op {
        NameOp::Link(name, _) => PendingOp::Link(dir.join(name)),
        NameOp::Unlink(name) => PendingOp::Unlink(dir.join(name)),
        NameOp::Rename(from, to, _) => PendingOp::Rename(dir.join(from), dir.join(to)),
    }
}

/// What is left of a file.
fn survive(
    inode: &Inode,
    path: &Path,
    after: &MemFs,
    survives: &mut dyn FnMut(&PendingOp) -> bool,
) -> Arc<Inode> {
    let data = inode.data.read();
    let mut contents = data.durable.clone();
    for op in &data.pending {
        let shown = match op {
            DataOp::Write(offset, bytes) => {
                PendingOp::Write(path.to_owned(), *offset, bytes.len() as u64)
            }
            DataOp::SetLen(len) => PendingOp::SetLen(path.to_owned(), *len),
        };
        if survives(&shown) {
            op.apply(&mut contents);
        }
    }
    let copy = Inode::new(&after.shared.space, true);
    after.shared.space.used.fetch_add(contents.len() as u64, Ordering::Relaxed);
    let mut left = copy.data.write();
    left.durable = contents.clone();
    left.now = contents;
    drop(left);
    copy
}

/// The path without `.` and trailing slashes.
fn clean(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

impl Fs for MemFs {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let Shared { space, remembers, .. } = &*self.shared;
        self.in_dir(path, |names, name, _| {
            if names.now.contains_key(&name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let inode = Inode::new(space, *remembers);
            names.change(NameOp::Link(name, Node::File(Arc::clone(&inode))), *remembers);
            Ok(Arc::new(MemFile { inode, writable: true }) as Arc<dyn FsFile>)
        })
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        let inode = self.file_at(path)?;
        Ok(Arc::new(MemFile { inode, writable: mode == Mode::ReadWrite }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let remembers = self.shared.remembers;
        let inode = self.file_at(from)?;
        let (from, to) = (clean(from), clean(to));
        let same_dir = from.parent() == to.parent();
        let new_name = to.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let new_name = new_name.to_string_lossy().into_owned();
        let node = Node::File(inode);
        let replaced = self.in_dir(&to, |names, name, _| Ok(names.now.get(&name).cloned()))?;
        self.in_dir(&from, |names, name, _| {
            let op = match same_dir {
                true => NameOp::Rename(name, new_name.clone(), node.clone()),
                false => NameOp::Unlink(name),
            };
            names.change(op, remembers);
            Ok(())
        })?;
        if !same_dir {
            self.in_dir(&to, |names, name, _| {
                names.change(NameOp::Link(name, node.clone()), remembers);
                Ok(())
            })?;
        }
        if let Some(Node::File(old)) = replaced {
            old.unlink();
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let remembers = self.shared.remembers;
        let inode = self.file_at(path)?;
        self.in_dir(path, |names, name, _| {
            names.change(NameOp::Unlink(name), remembers);
            Ok(())
        })?;
        inode.unlink();
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let remembers = self.shared.remembers;
        let inode = self.file_at(from)?;
        self.in_dir(to, |names, name, _| {
            if names.now.contains_key(&name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            inode.links.fetch_add(1, Ordering::Relaxed);
            names.change(NameOp::Link(name, Node::File(Arc::clone(&inode))), remembers);
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let tree = self.shared.tree.lock();
        let names = tree.dirs.get(&clean(dir)).ok_or(io::ErrorKind::NotFound)?;
        let entry = |(name, node): (&String, &Node)| DirEntry {
            name: name.clone(),
            kind: if matches!(node, Node::Dir) { FileKind::Dir } else { FileKind::File },
        };
        Ok(names.now.iter().map(entry).collect())
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        if self.shared.tree.lock().dirs.contains_key(&clean(path)) {
            return Ok(Metadata { kind: FileKind::Dir, len: 0 });
        }
        let inode = self.file_at(path)?;
        let len = inode.data.read().now.len() as u64;
        Ok(Metadata { kind: FileKind::File, len })
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let remembers = self.shared.remembers;
        let path = self.in_dir(dir, |names, name, path| {
            if names.now.contains_key(&name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            names.change(NameOp::Link(name, Node::Dir), remembers);
            Ok(path)
        })?;
        self.shared.tree.lock().dirs.insert(path, Names::default());
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let remembers = self.shared.remembers;
        let path = clean(dir);
        match self.shared.tree.lock().dirs.get(&path) {
            None => return Err(io::ErrorKind::NotFound.into()),
            Some(names) if !names.now.is_empty() => {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            Some(_) => {}
        }
        self.in_dir(dir, |names, name, _| {
            names.change(NameOp::Unlink(name), remembers);
            Ok(())
        })?;
        self.shared.tree.lock().dirs.remove(&path);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut tree = self.shared.tree.lock();
        tree.dirs.get_mut(&clean(dir)).ok_or(io::ErrorKind::NotFound)?.sync();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        match self.create_new(path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let path = clean(path);
        if !self.shared.tree.lock().locks.insert(path.clone()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(MemLock { shared: Arc::clone(&self.shared), path }))
    }

    fn free_space(&self, _dir: &Path) -> io::Result<u64> {
        let Space { capacity, used } = &*self.shared.space;
        Ok(capacity.load(Ordering::Relaxed).saturating_sub(used.load(Ordering::Relaxed)))
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    fn spawn(&self, name: &str, job: Job) -> io::Result<Box<dyn Thread>> {
        os::spawn(name, job)
    }
}

#[derive(Debug)]
struct MemLock {
    shared: Arc<Shared>,
    path: PathBuf,
}

impl FsLock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.shared.tree.lock().locks.remove(&self.path);
    }
}

#[derive(Debug)]
struct MemFile {
    inode: Arc<Inode>,
    writable: bool,
}

impl MemFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl FsFile for MemFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let data = self.inode.data.read();
        let rest = usize::try_from(offset).ok().and_then(|at| data.now.get(at..));
        let rest = rest.unwrap_or_default();
        let len = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.check_writable()?;
        let mut data = self.inode.data.write();
        self.inode.grow_to(&data, offset + bytes.len() as u64)?;
        if self.inode.remembers {
            self.inode.change(&mut data, DataOp::Write(offset, bytes.to_vec()));
        } else {
            write(&mut data.now, offset as usize, bytes);
        }
        Ok(bytes.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut data = self.inode.data.write();
        self.inode.grow_to(&data, len)?;
        self.inode.space.give((data.now.len() as u64).saturating_sub(len));
        self.inode.change(&mut data, DataOp::SetLen(len));
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut data = self.inode.data.write();
        if len > data.now.len() as u64 {
            self.inode.grow_to(&data, len)?;
            self.inode.change(&mut data, DataOp::SetLen(len));
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut data = self.inode.data.write();
        let Data { durable, pending, .. } = &mut *data;
        for op in pending.drain(..) {
            op.apply(durable);
        }
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inode.data.read().now.len() as u64)
    }
}
