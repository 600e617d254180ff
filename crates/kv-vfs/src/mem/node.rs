//! Files and directories, each with what a power cut leaves of it kept apart from what is seen.

use super::image::Image;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The longest file, as the offsets of a real one are signed.
const MAX_LEN: u64 = i64::MAX as u64;

/// What all files and directories of one file system share.
#[derive(Debug)]
pub(super) struct Volume {
    capacity: AtomicU64,
    used: AtomicU64,
    next: AtomicU64,
    /// Whether pending operations are kept for a power cut.
    remembers: bool,
    /// Held shared by whatever changes contents or makes something durable, and exclusively by a
    /// power cut, which happens at one moment for all files.
    power: RwLock<()>,
}

impl Volume {
    pub(super) fn new(capacity: u64, remembers: bool) -> Volume {
        Volume {
            capacity: AtomicU64::new(capacity),
            used: AtomicU64::new(0),
            next: AtomicU64::new(1),
            remembers,
            power: RwLock::new(()),
        }
    }

    /// A number that was never given before: the name of a file or directory, or the place of an
    /// operation in the order of all.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn power(&self) -> &RwLock<()> {
        &self.power
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Relaxed)
    }

    pub(super) fn set_capacity(&self, bytes: u64) {
        self.capacity.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn free(&self) -> u64 {
        self.capacity().saturating_sub(self.used())
    }

    /// Keeps an operation until it is durable. It is only made where it is kept.
    fn remember<T>(&self, pending: &mut Vec<(u64, T)>, op: impl FnOnce() -> T) {
        if self.remembers {
            pending.push((self.number(), op()));
        }
    }

    /// Takes `bytes` of space, or as much as there is.
    fn take(&self, bytes: u64) -> u64 {
        let mut granted = 0;
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            granted = bytes.min(self.capacity().saturating_sub(used));
            Some(used + granted)
        });
        granted
    }

    fn take_all(&self, bytes: u64) -> io::Result<()> {
        let granted = self.take(bytes);
        if granted < bytes {
            self.give_back(granted);
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// An operation on a file's contents that no sync has made durable yet.
#[derive(Clone, Debug)]
pub(super) enum DataOp {
    Write { offset: u64, bytes: Arc<[u8]> },
    SetLen(u64),
    Allocate(u64),
}

/// A file, apart from its names.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) id: u64,
    /// Where it was created, for descriptions.
    pub(super) path: PathBuf,
    pub(super) locked: AtomicBool,
    volume: Arc<Volume>,
    state: RwLock<FileState>,
}

#[derive(Debug, Default)]
pub(super) struct FileState {
    current: Image,
    pub(super) durable: Image,
    pub(super) pending: Vec<(u64, DataOp)>,
    links: u64,
    handles: u64,
}

impl Inode {
    /// A file without names and handles, whose contents are durable.
    pub(super) fn new(volume: &Arc<Volume>, path: &Path, contents: Image) -> Inode {
        // What survived a power cut fits, whatever the capacity was set to since.
        volume.used.fetch_add(contents.len(), Ordering::Relaxed);
        Inode {
            id: volume.number(),
            path: path.to_owned(),
            locked: AtomicBool::new(false),
            volume: Arc::clone(volume),
            state: RwLock::new(FileState {
                durable: contents.clone(),
                current: contents,
                ..FileState::default()
            }),
        }
    }

    pub(super) fn state(&self) -> RwLockReadGuard<'_, FileState> {
        self.state.read()
    }

    pub(super) fn len(&self) -> u64 {
        self.state.read().current.len()
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        self.state.read().current.read(buffer, offset)
    }

    /// Writes, and where the space does not suffice writes only what fits.
    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let end = within_max(offset.checked_add(bytes.len() as u64))?;
        let _power = self.volume.power.read();
        let mut state = self.state.write();
        let growth = end.saturating_sub(state.current.len());
        let granted = self.volume.take(growth);
        let missing = growth - granted;
        if missing >= bytes.len() as u64 {
            self.volume.give_back(granted);
            return Err(io::ErrorKind::StorageFull.into());
        }
        let bytes = &bytes[..bytes.len() - missing as usize];
        state.current.write(bytes, offset);
        let op = || DataOp::Write { offset, bytes: bytes.into() };
        self.volume.remember(&mut state.pending, op);
        Ok(bytes.len())
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        let len = within_max(Some(len))?;
        let _power = self.volume.power.read();
        let mut state = self.state.write();
        let old = state.current.len();
        self.volume.take_all(len.saturating_sub(old))?;
        self.volume.give_back(old.saturating_sub(len));
        state.current.set_len(len);
        self.volume.remember(&mut state.pending, || DataOp::SetLen(len));
        Ok(())
    }

    pub(super) fn allocate(&self, len: u64) -> io::Result<()> {
        let len = within_max(Some(len))?;
        let _power = self.volume.power.read();
        let mut state = self.state.write();
        self.volume.take_all(len.saturating_sub(state.current.len()))?;
        state.current.grow(len);
        self.volume.remember(&mut state.pending, || DataOp::Allocate(len));
        Ok(())
    }

    /// Makes the durable image equal to the current one, at the cost of what was pending only.
    pub(super) fn sync(&self) {
        let _power = self.volume.power.read();
        let mut state = self.state.write();
        let FileState { current, durable, pending, .. } = &mut *state;
        // Lengths first: what no write touched is then as in the current image, and the pages
        // that one touched are taken from there.
        for (_, op) in pending.iter() {
            match op {
                DataOp::Write { offset, bytes } => durable.grow(offset + bytes.len() as u64),
                DataOp::SetLen(len) => durable.set_len(*len),
                DataOp::Allocate(len) => durable.grow(*len),
            }
        }
        for (_, op) in pending.drain(..) {
            if let DataOp::Write { offset, bytes } = op {
                durable.share(current, offset, bytes.len() as u64);
            }
        }
    }

    pub(super) fn link(&self) {
        self.state.write().links += 1;
    }

    pub(super) fn unlink(&self) {
        let mut state = self.state.write();
        state.links -= 1;
        self.free_if_gone(&state);
    }

    pub(super) fn opened(&self) {
        self.state.write().handles += 1;
    }

    pub(super) fn closed(&self) {
        let mut state = self.state.write();
        state.handles -= 1;
        self.free_if_gone(&state);
    }

    fn free_if_gone(&self, state: &FileState) {
        if state.links == 0 && state.handles == 0 {
            self.volume.give_back(state.current.len());
        }
    }
}

impl FileState {
    /// The contents after a power cut that spared those operations that `survives` names.
    pub(super) fn after_cut(&self, survives: impl Fn(u64) -> bool) -> Image {
        let mut image = self.durable.clone();
        for (_, op) in self.pending.iter().filter(|(order, _)| survives(*order)) {
            match op {
                DataOp::Write { offset, bytes } => image.write(bytes, *offset),
                DataOp::SetLen(len) => image.set_len(*len),
                DataOp::Allocate(len) => image.grow(*len),
            }
        }
        image
    }
}

fn within_max(end: Option<u64>) -> io::Result<u64> {
    end.filter(|end| *end <= MAX_LEN).ok_or_else(|| io::ErrorKind::FileTooLarge.into())
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Node {
    File(Arc<Inode>),
    Dir(Arc<Dir>),
}

impl Node {
    /// Whether both are one and the same, by whatever names.
    pub(super) fn is(&self, other: &Node) -> bool {
        match (self, other) {
            (Node::File(a), Node::File(b)) => Arc::ptr_eq(a, b),
            (Node::Dir(a), Node::Dir(b)) => Arc::ptr_eq(a, b),
            (Node::File(_), Node::Dir(_)) | (Node::Dir(_), Node::File(_)) => false,
        }
    }
}

pub(super) type Names = BTreeMap<OsString, Node>;

/// An operation on a directory's names that no sync has made durable yet.
#[derive(Clone, Debug)]
pub(super) enum NameOp {
    Link { name: OsString, node: Node },
    Unlink { name: OsString },
    Rename { from: OsString, to: OsString, node: Node },
}

impl NameOp {
    /// The last operation on a name decides, whatever became of the ones before.
    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            NameOp::Link { name, node } => {
                names.insert(name.clone(), node.clone());
            }
            NameOp::Unlink { name } => {
                names.remove(name);
            }
            NameOp::Rename { from, to, node } => {
                names.remove(from);
                names.insert(to.clone(), node.clone());
            }
        }
    }

    pub(super) fn node(&self) -> Option<&Node> {
        match self {
            NameOp::Link { node, .. } | NameOp::Rename { node, .. } => Some(node),
            NameOp::Unlink { .. } => None,
        }
    }
}

/// A directory. Its lock is only ever taken under the lock on the root, which all walks hold.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) id: u64,
    /// Where it was created, for descriptions.
    pub(super) path: PathBuf,
    pub(super) state: Mutex<DirState>,
}

#[derive(Debug, Default)]
pub(super) struct DirState {
    pub(super) current: Names,
    pub(super) durable: Names,
    pub(super) pending: Vec<(u64, NameOp)>,
}

impl Dir {
    /// A directory whose names are durable.
    pub(super) fn new(volume: &Volume, path: &Path, names: Names) -> Dir {
        Dir {
            id: volume.number(),
            path: path.to_owned(),
            state: Mutex::new(DirState {
                durable: names.clone(),
                current: names,
                pending: Vec::new(),
            }),
        }
    }

    pub(super) fn get(&self, name: &OsStr) -> Option<Node> {
        self.state.lock().current.get(name).cloned()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().current.is_empty()
    }

    pub(super) fn change(&self, volume: &Volume, op: NameOp) {
        let mut state = self.state.lock();
        op.apply(&mut state.current);
        volume.remember(&mut state.pending, || op);
    }

    pub(super) fn sync(&self) {
        let DirState { durable, pending, .. } = &mut *self.state.lock();
        for (_, op) in pending.drain(..) {
            op.apply(durable);
        }
    }
}
