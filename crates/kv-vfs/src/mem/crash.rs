//! Power cuts: what is pending, and the file system that is found afterwards.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::MemFs;
use super::node::{DataOp, Dir, Inode, NameOp, Names, Node, Volume};

/// An operation that a power cut may take, as [`MemFs::crash_with`] shows it. Files and
/// directories go by the path under which they were created.
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
        let volume = &self.shared.volume;
        let root = self.shared.root.lock();
        let _power = volume.power().write();
        let spared = pending_below(&root)
            .into_iter()
            .filter(|(_, op)| survives(op))
            .map(|(n, _)| n)
            .collect();
        let mut survivors = Survivors {
            spared,
            volume: Arc::new(Volume::new(volume.capacity(), true)),
            files: HashMap::new(),
        };
        let root = survivors.dir(&root);
        MemFs::assemble(Arc::clone(&self.shared.clock), survivors.volume, root)
    }
}

/// All that is pending in a directory and below, by its place in the order of all operations.
fn pending_below(root: &Arc<Dir>) -> BTreeMap<u64, PendingOp> {
    let mut ops = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut left = vec![Node::Dir(Arc::clone(root))];
    while let Some(node) = left.pop() {
        match node {
            Node::File(inode) if seen.insert(inode.id) => {
                let state = inode.state();
                let data = state.pending.iter();
                ops.extend(data.map(|(order, op)| (*order, describe_data(&inode.path, op))));
            }
            Node::Dir(dir) if seen.insert(dir.id) => {
                let state = dir.state.lock();
                let names = state.pending.iter();
                ops.extend(names.map(|(order, op)| (*order, describe_name(&dir.path, op))));
                left.extend(state.durable.values().cloned());
                left.extend(state.pending.iter().filter_map(|(_, op)| op.node().cloned()));
            }
            Node::File(_) | Node::Dir(_) => {}
        }
    }
    ops
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

/// Builds the file system that is found after the cut.
struct Survivors {
    spared: HashSet<u64>,
    volume: Arc<Volume>,
    /// By their number before the cut: a file with two names is still one file.
    files: HashMap<u64, Arc<Inode>>,
}

impl Survivors {
    fn dir(&mut self, old: &Dir) -> Arc<Dir> {
        let state = old.state.lock();
        let mut names = state.durable.clone();
        for (order, op) in &state.pending {
            if self.spared.contains(order) {
                op.apply(&mut names);
            }
        }
        let names: Names = names
            .into_iter()
            .map(|(name, node)| {
                let node = match node {
                    Node::File(inode) => Node::File(self.file(&inode)),
                    Node::Dir(dir) => Node::Dir(self.dir(&dir)),
                };
                (name, node)
            })
            .collect();
        Arc::new(Dir::new(&self.volume, &old.path, names))
    }

    fn file(&mut self, old: &Inode) -> Arc<Inode> {
        let inode = self.files.entry(old.id).or_insert_with(|| {
            let contents = old.state().after_cut(|order| self.spared.contains(&order));
            Arc::new(Inode::new(&self.volume, &old.path, contents))
        });
        inode.link();
        Arc::clone(inode)
    }
}
