//! Power cuts: what is pending, and the file system that is found afterwards.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::MemFs;
use super::fate::{Atom, Dice, Fates, Keep, What, decide};
use super::fill::Filler;
use super::image::mix;
use super::node::{DataOp, Dir, DirState, FileState, Inode, NameOp, Node, Volume};
use super::policy::{CutFill, CutPolicy};

/// An operation that a power cut may take, as [`MemFs::crash_with`] shows it. Files and
/// directories go by the path under which they were created.
/// ```
/// use kv_vfs::{Fs, FsFileExt, MemFs, PendingOp};
/// use std::path::Path;
/// let (fs, path) = (MemFs::new(), Path::new("/a"));
/// fs.create_new(path)?.write_all_at(b"hello", 0)?;
/// let pending = [PendingOp::Link(path.into()), PendingOp::Write(path.into(), 0, 5)];
/// assert_eq!(fs.pending(), pending);
///
/// // Nothing was synced, so that a power cut may take all of it, or spare the name alone.
/// assert!(fs.crash().metadata(path).is_err());
/// let name_only = fs.crash_with(&mut |op| matches!(op, PendingOp::Link(_)));
/// assert_eq!(name_only.metadata(path)?.len, 0);
///
/// // All that can be left of these two operations, one by one.
/// let left = |mask| fs.power_cut_subset(mask).fingerprint();
/// assert_eq!(left(0b00), fs.crash().fingerprint());
/// assert_eq!(left(0b01), name_only.fingerprint());
/// assert_eq!(left(0b11), fs.fingerprint());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingOp {
    /// Bytes written to a file: offset and length.
    Write(PathBuf, u64, u64),
    /// A file's length set, or space allocated up to it.
    SetLen(PathBuf, u64),
    /// A name made.
    Link(PathBuf),
    /// A name removed. A file that moves to another directory is a link there and this here.
    Unlink(PathBuf),
    /// A name changed within a directory, from and to.
    Rename(PathBuf, PathBuf),
}

impl MemFs {
    /// What a power cut now might take, in the order in which it was done. Contents of files that
    /// no power cut can bring back are left out.
    pub fn pending(&self) -> Vec<PendingOp> {
        let root = self.shared.root.lock();
        let _power = self.shared.volume.power().write();
        pending_below(&root).into_values().collect()
    }

    /// The file system after a power cut in which nothing survived that was not synced.
    ///
    /// No lock is held in it; clock and capacity are the same. This one goes on as if nothing
    /// had happened.
    pub fn crash(&self) -> MemFs {
        self.crash_with(&mut |_| false)
    }

    /// The file system after a power cut that spared those pending operations for which `survives`
    /// says so. It is asked once for each, in the order in which they were done, and must not use
    /// this file system.
    ///
    /// The operations that survive are done in their order on top of what was durable. On a name,
    /// the last one decides: a file whose creation was lost may so have survived by its renaming.
    pub fn crash_with(&self, survives: &mut dyn FnMut(&PendingOp) -> bool) -> MemFs {
        self.cut(|root| {
            let spared = pending_below(root).into_iter().filter(|(_, op)| survives(op));
            (Fates::kept(spared.map(|(order, _)| order)), CutFill::Zero, 0)
        })
    }

    /// The file system after a power cut that spared exactly those of [`MemFs::pending`] whose
    /// bit, the lowest for the first, is set; of more than 64, only the first can be spared.
    pub fn power_cut_subset(&self, mask: u64) -> MemFs {
        self.cut(|root| {
            let atoms = atoms_below(root);
            let bits = atoms.iter().take(64).enumerate().filter(|(bit, _)| mask >> bit & 1 == 1);
            (Fates::kept(bits.map(|(_, atom)| atom.order)), CutFill::Zero, 0)
        })
    }

    /// The file system after a power cut of this kind; the same seed makes the same choices.
    ///
    /// No lock is held in it; clock and capacity are the same. This one goes on as if nothing
    /// had happened. After [`CutOrder::Delayed`](super::CutOrder::Delayed), what has not surfaced
    /// in the result is still pending there, so that the next cut may show it.
    /// ```
    /// use kv_vfs::{CutPolicy, Fs, FsFileExt, MemFs};
    /// use std::path::Path;
    /// let (fs, path) = (MemFs::new(), Path::new("/a"));
    /// let file = fs.create_new(path)?;
    /// file.write_all_at(b"hello", 0)?;
    /// file.sync_data()?;
    /// fs.sync_dir(Path::new("/"))?;
    /// file.write_all_at(b"HELLO", 0)?;
    /// fs.create_new(Path::new("/b"))?;
    ///
    /// for policy in CutPolicy::ALL {
    ///     for seed in 0..8 {
    ///         let after = fs.power_cut(*policy, seed);
    ///         // Whatever became of the rest, what was synced is there.
    ///         assert_eq!(after.metadata(path)?.len, 5, "{policy}, seed {seed}");
    ///         assert_eq!(after.fingerprint(), fs.power_cut(*policy, seed).fingerprint());
    ///         // Another cut at once finds what this one left.
    ///         assert_eq!(after.fingerprint(), after.cut_again().fingerprint());
    ///     }
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn power_cut(&self, policy: CutPolicy, seed: u64) -> MemFs {
        self.cut(|root| {
            let mut dice = Dice::new(seed);
            let fates = decide(policy, &atoms_below(root), &mut dice);
            (fates, policy.fill, dice.roll())
        })
    }

    /// Another cut before anything else was done: a copy of a file system that a power cut left, in
    /// which what has not surfaced yet is late still. What was done since the cut is late, too.
    pub fn cut_again(&self) -> MemFs {
        self.cut(|root| {
            let atoms = atoms_below(root);
            (Fates::late(atoms.iter().map(|atom| atom.order)), CutFill::Zero, 0)
        })
    }

    /// A hash of all names and contents as a reader sees them now, whatever is durable.
    pub fn fingerprint(&self) -> u64 {
        fingerprint_dir(&self.shared.root.lock())
    }

    fn cut(&self, choose: impl FnOnce(&Arc<Dir>) -> (Fates, CutFill, u64)) -> MemFs {
        let volume = &self.shared.volume;
        let root = self.shared.root.lock();
        let _power = volume.power().write();
        let (fates, kind, seed) = choose(&root);
        let filler = Filler { kind, dice: Dice::new(seed), stale: volume.stale() };
        let mut survivors = Survivors {
            fates,
            filler,
            volume: Arc::new(volume.cut()),
            files: HashMap::new(),
            dirs: HashMap::new(),
        };
        let root = survivors.dir(&root);
        MemFs::assemble(Arc::clone(&self.shared.clock), survivors.volume, root)
    }
}

/// A file or directory that a power cut may show, with what is pending in it.
enum Found<'a> {
    File(&'a Inode, &'a FileState),
    Dir(&'a Dir, &'a DirState),
}

/// Visits everything that is durable or may become so, once.
fn visit(root: &Arc<Dir>, mut look: impl FnMut(Found<'_>)) {
    let mut seen = HashSet::new();
    let mut left = vec![Node::Dir(Arc::clone(root))];
    while let Some(node) = left.pop() {
        match node {
            Node::File(inode) if seen.insert(inode.id) => {
                look(Found::File(&inode, &inode.state()));
            }
            Node::Dir(dir) if seen.insert(dir.id) => {
                let state = dir.state.lock();
                look(Found::Dir(&dir, &state));
                left.extend(state.durable.values().cloned());
                left.extend(state.pending.iter().filter_map(|(_, op)| op.node().cloned()));
            }
            Node::File(_) | Node::Dir(_) => {}
        }
    }
}

/// All that is pending in a directory and below, by its place in the order of all operations.
fn pending_below(root: &Arc<Dir>) -> BTreeMap<u64, PendingOp> {
    let mut ops = BTreeMap::new();
    visit(root, |found| match found {
        Found::File(inode, state) => {
            let data = state.pending.iter();
            ops.extend(data.map(|(order, op)| (*order, describe_data(&inode.path, op))));
        }
        Found::Dir(dir, state) => {
            let names = state.pending.iter();
            ops.extend(names.map(|(order, op)| (*order, describe_name(&dir.path, op))));
        }
    });
    ops
}

/// The same, as far as a decision needs it, in that order.
fn atoms_below(root: &Arc<Dir>) -> Vec<Atom> {
    let mut atoms = Vec::new();
    visit(root, |found| match found {
        Found::File(inode, state) => atoms.extend(state.pending.iter().map(|(order, op)| {
            let what = match op {
                DataOp::Write { offset, bytes } => {
                    What::Write { offset: *offset, len: bytes.len() as u64 }
                }
                DataOp::SetLen(_) | DataOp::Allocate(_) => What::Size,
            };
            Atom { order: *order, owner: inode.id, what }
        })),
        Found::Dir(dir, state) => {
            let atom = |order: u64| Atom { order, owner: dir.id, what: What::Name };
            atoms.extend(state.pending.iter().map(|(order, _)| atom(*order)));
        }
    });
    atoms.sort_unstable_by_key(|atom| atom.order);
    atoms
}

fn describe_data(file: &Path, op: &DataOp) -> PendingOp {
    let file = file.to_owned();
    match op {
        DataOp::Write { offset, bytes } => PendingOp::Write(file, *offset, bytes.len() as u64),
        DataOp::SetLen(len) | DataOp::Allocate(len) => PendingOp::SetLen(file, *len),
    }
}

fn describe_name(dir: &Path, op: &NameOp) -> PendingOp {
    match op {
        NameOp::Link { name, .. } => PendingOp::Link(dir.join(name)),
        NameOp::Unlink { name } => PendingOp::Unlink(dir.join(name)),
        NameOp::Rename { from, to, .. } => PendingOp::Rename(dir.join(from), dir.join(to)),
    }
}

fn fingerprint_dir(dir: &Dir) -> u64 {
    let state = dir.state.lock();
    state.current.iter().fold(2, |all, (name, node)| {
        let name = name.as_encoded_bytes().chunks(8).fold(all, |all, chunk| {
            let word = chunk.iter().fold(chunk.len() as u64, |word, b| word << 8 ^ u64::from(*b));
            mix(all, word)
        });
        let contents = match node {
            Node::File(inode) => inode.state().current.fingerprint(),
            Node::Dir(dir) => mix(fingerprint_dir(dir), 1),
        };
        mix(name, contents)
    })
}

/// Builds the file system that is found after the cut.
struct Survivors {
    fates: Fates,
    filler: Filler,
    volume: Arc<Volume>,
    /// By their number before the cut: a file with two names is still one file.
    files: HashMap<u64, Arc<Inode>>,
    dirs: HashMap<u64, Arc<Dir>>,
}

impl Survivors {
    fn dir(&mut self, old: &Dir) -> Arc<Dir> {
        if let Some(dir) = self.dirs.get(&old.id) {
            return Arc::clone(dir);
        }
        let state = old.state.lock();
        let mut names = state.durable.clone();
        for (order, op) in &state.pending {
            if self.fates.of(*order).data == Keep::All {
                op.apply(&mut names);
            }
        }
        let node = |this: &mut Survivors, node: Node| match node {
            Node::File(inode) => {
                let inode = this.file(&inode);
                inode.link();
                Node::File(inode)
            }
            Node::Dir(dir) => Node::Dir(this.dir(&dir)),
        };
        let names = names.into_iter().map(|(name, old)| (name, node(self, old))).collect();
        let late = state.pending.iter().filter(|(order, _)| self.fates.of(*order).late);
        let late: Vec<_> = late.cloned().collect();
        let late = late.into_iter().map(|(order, op)| (order, self.late(op))).collect();
        let dir = Arc::new(Dir::new(&self.volume, Arc::clone(&old.path), names).with_late(late));
        self.dirs.insert(old.id, Arc::clone(&dir));
        dir
    }

    /// An operation on names that has not surfaced: its file is there, and no name counts yet.
    fn late(&mut self, op: NameOp) -> NameOp {
        let mut node = |node: Node| match node {
            Node::File(inode) => Node::File(self.file(&inode)),
            Node::Dir(dir) => Node::Dir(self.dir(&dir)),
        };
        match op {
            NameOp::Link { name, node: old } => NameOp::Link { name, node: node(old) },
            NameOp::Rename { from, to, node: old } => NameOp::Rename { from, to, node: node(old) },
            NameOp::Unlink { name } => NameOp::Unlink { name },
        }
    }

    fn file(&mut self, old: &Inode) -> Arc<Inode> {
        let inode = self.files.entry(old.id).or_insert_with(|| {
            let state = old.state();
            let contents = state.after_cut(&self.fates, &mut self.filler);
            let late = state.pending.iter().filter(|(order, _)| self.fates.of(*order).late);
            let (path, late) = (Arc::clone(&old.path), late.cloned().collect());
            Arc::new(Inode::with_late(&self.volume, path, contents, late))
        });
        Arc::clone(inode)
    }
}
