//! Files and directories, each with what a power cut leaves of it kept apart from what is seen.

use super::fate::{Fates, Keep, Size};
use super::fill::{Filler, Holes};
use super::image::Image;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The longest file, as the offsets of a real one are signed.
const MAX_LEN: u64 = i64::MAX as u64;

/// How many removed files a volume remembers, and how long one may be.
const STALE_FILES: usize = 8;
const STALE_LEN: u64 = 256 << 10;

/// What all files and directories of one file system share.
#[derive(Debug)]
pub(super) struct Volume {
    capacity: AtomicU64,
    used: AtomicU64,
    next: AtomicU64,
    /// Whether pending operations are kept for a power cut.
    remembers: bool,
    /// What files held that were removed lately: their blocks are not wiped.
    stale: Mutex<VecDeque<Image>>,
    /// Held shared by whatever changes contents or makes something durable, and exclusively by a
    /// power cut, which happens at one moment for all files.
    power: RwLock<()>,
}

impl Volume {
    /// Whether it forgets everything with the process, and keeps nothing for a power cut.
    pub(super) fn is_volatile(&self) -> bool {
        !self.remembers
    }

    pub(super) fn new(capacity: u64, remembers: bool) -> Volume {
        Volume {
            capacity: AtomicU64::new(capacity),
            used: AtomicU64::new(0),
            next: AtomicU64::new(1),
            remembers,
            stale: Mutex::default(),
            power: RwLock::new(()),
        }
    }

    /// What a power cut leaves of this one: it numbers on from here, and holds no file yet.
    pub(super) fn cut(&self) -> Volume {
        Volume {
            next: AtomicU64::new(self.next.load(Ordering::Relaxed)),
            stale: Mutex::new(self.stale.lock().clone()),
            ..Volume::new(self.capacity(), true)
        }
    }

    /// Bytes of files that were removed lately.
    pub(super) fn stale(&self) -> Vec<Image> {
        self.stale.lock().iter().cloned().collect()
    }

    fn remember_stale(&self, contents: &Image) {
        if self.remembers && (1..=STALE_LEN).contains(&contents.len()) {
            let mut stale = self.stale.lock();
            stale.truncate(STALE_FILES - 1);
            stale.push_front(contents.clone());
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
    pub(super) path: Arc<Path>,
    pub(super) locked: AtomicBool,
    volume: Arc<Volume>,
    state: RwLock<FileState>,
}

#[derive(Debug, Default)]
pub(super) struct FileState {
    pub(super) current: Image,
    pub(super) durable: Image,
    pub(super) pending: Vec<(u64, DataOp)>,
    /// How many of the pending ones, the oldest, are from before a power cut and not in `current`.
    pub(super) late: usize,
    /// Whether `current` holds what no sync can make durable any more.
    adrift: bool,
    links: u64,
    handles: u64,
}

impl Inode {
    /// A file without names and handles, whose contents are durable.
    pub(super) fn new(volume: &Arc<Volume>, path: Arc<Path>, contents: Image) -> Inode {
        Inode::with_late(volume, path, contents, Vec::new())
    }

    /// The same, with operations that a later power cut may bring to light.
    pub(super) fn with_late(
        volume: &Arc<Volume>,
        path: Arc<Path>,
        contents: Image,
        late: Vec<(u64, DataOp)>,
    ) -> Inode {
        // What survived a power cut fits, whatever the capacity was set to since.
        volume.used.fetch_add(contents.len(), Ordering::Relaxed);
        Inode {
            id: volume.number(),
            path,
            locked: AtomicBool::new(false),
            volume: Arc::clone(volume),
            state: RwLock::new(FileState {
                durable: contents.clone(),
                current: contents,
                late: late.len(),
                pending: late,
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
        let FileState { current, durable, pending, late, adrift, .. } = &mut *state;
        // What is late and has not surfaced by now never will.
        pending.drain(..std::mem::take(late));
        if *adrift {
            for (_, op) in pending.drain(..) {
                op.apply(durable);
            }
            return;
        }
        // Lengths first: what no write touched is then as in the current image, and the pages
        // that one touched are taken from there.
        for (_, op) in pending.iter() {
            match op {
                DataOp::Write { offset, bytes } => durable.grow(offset + bytes.len() as u64),
                DataOp::SetLen(_) | DataOp::Allocate(_) => op.apply(durable),
            }
        }
        for (_, op) in pending.drain(..) {
            if let DataOp::Write { offset, bytes } = op {
                durable.share(current, offset, bytes.len() as u64);
            }
        }
    }

    /// What a failed sync may do: all that is pending stays readable and is durable never.
    pub(super) fn lose(&self) {
        let _power = self.volume.power.read();
        let mut state = self.state.write();
        state.adrift |= state.pending.len() > state.late;
        let late = state.late;
        state.pending.truncate(late);
    }

    pub(super) fn link(&self) {
        self.state.write().links += 1;
    }

    pub(super) fn unlink(&self) {
        let mut state = self.state.write();
        state.links -= 1;
        if state.links == 0 {
            self.volume.remember_stale(&state.current);
        }
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

impl DataOp {
    fn apply(&self, image: &mut Image) {
        match self {
            DataOp::Write { offset, bytes } => image.write(bytes, *offset),
            DataOp::SetLen(len) => image.set_len(*len),
            DataOp::Allocate(len) => image.grow(*len),
        }
    }
}

impl FileState {
    /// The contents after a power cut.
    pub(super) fn after_cut(&self, fates: &Fates, filler: &mut Filler) -> Image {
        let mut image = self.durable.clone();
        let mut holes = Holes::new(image.len());
        for (order, op) in &self.pending {
            let fate = fates.of(*order);
            let DataOp::Write { offset, bytes } = op else {
                if fate.size == Size::Whole {
                    op.apply(&mut image);
                    holes.cut(image.len());
                }
                continue;
            };
            let end = offset + bytes.len() as u64;
            let (from, to) = match fate.data {
                Keep::Nothing => (*offset, *offset),
                Keep::All => (*offset, end),
                Keep::Run(from, to) => (from, to),
            };
            let to = if fate.size == Size::Same { to.min(image.len()).max(from) } else { to };
            image.write(&bytes[(from - offset) as usize..(to - offset) as usize], from);
            if fate.size == Size::Whole {
                image.grow(end);
            }
            holes.written((*offset, end), from, to);
        }
        holes.fill(&mut image, &self.durable, filler);
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
    pub(super) path: Arc<Path>,
    pub(super) state: Mutex<DirState>,
}

#[derive(Debug, Default)]
pub(super) struct DirState {
    pub(super) current: Names,
    pub(super) durable: Names,
    pub(super) pending: Vec<(u64, NameOp)>,
    /// How many of the pending ones, the oldest, are from before a power cut and not in `current`.
    pub(super) late: usize,
}

impl Dir {
    /// A directory whose names are durable.
    pub(super) fn new(volume: &Volume, path: Arc<Path>, names: Names) -> Dir {
        Dir {
            id: volume.number(),
            path,
            state: Mutex::new(DirState {
                durable: names.clone(),
                current: names,
                ..DirState::default()
            }),
        }
    }

    /// The same, with operations that a later power cut may bring to light.
    pub(super) fn with_late(self, late: Vec<(u64, NameOp)>) -> Dir {
        let (known, pending) = (late.len(), late);
        let DirState { current, durable, .. } = self.state.into_inner();
        Dir { state: Mutex::new(DirState { current, durable, pending, late: known }), ..self }
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
        let DirState { durable, pending, late, .. } = &mut *self.state.lock();
        pending.drain(..std::mem::take(late));
        for (_, op) in pending.drain(..) {
            op.apply(durable);
        }
    }

    /// What a failed sync may do: the names stay as they are seen and are durable never.
    pub(super) fn lose(&self) {
        let DirState { pending, late, .. } = &mut *self.state.lock();
        pending.truncate(*late);
    }
}
