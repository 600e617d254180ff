//! A volume whose power can be cut: the crash model in memory, under inode numbers.
//!
//! Every operation that changes something, and every sync, counts. When its number is up, or when
//! its owner says so, the power goes: the program that writes is killed before it can see an
//! answer, and every operation from then on is an I/O error.

use kv_vfs::{FileKind, Fs, FsFile, FsFileExt, MemFs, Mode};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The number of the root directory.
pub(super) const ROOT: u64 = 1;

/// What is told of an inode.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) number: u64,
    pub(super) dir: bool,
    pub(super) len: u64,
    pub(super) names: u32,
}

/// When the power goes.
#[derive(Debug)]
struct Fuse {
    /// Operations until then, this one included.
    left: u64,
    /// Whether that operation is still done.
    done: bool,
    victim: Option<Pid>,
}

#[derive(Debug)]
struct Inode {
    /// Its names; none once they are all gone.
    paths: Vec<PathBuf>,
    /// Open as long as the kernel knows the number, so that it stays without a name.
    file: Option<Arc<dyn FsFile>>,
    lookups: u64,
}

#[derive(Debug)]
pub(super) struct Volume {
    disk: MemFs,
    inodes: HashMap<u64, Inode>,
    numbers: HashMap<PathBuf, u64>,
    next: u64,
    fuse: Option<Fuse>,
    dark: bool,
    /// A sync of a file makes all names durable too.
    names_follow: bool,
    /// The operation at which the power went.
    site: Option<String>,
}

impl Volume {
    pub(super) fn new(disk: MemFs) -> Volume {
        let root = Inode { paths: vec![PathBuf::from("/")], file: None, lookups: 1 };
        Volume {
            disk,
            inodes: HashMap::from([(ROOT, root)]),
            numbers: HashMap::from([(PathBuf::from("/"), ROOT)]),
            next: ROOT + 1,
            fuse: None,
            dark: false,
            names_follow: false,
            site: None,
        }
    }

    pub(super) fn disk(&self) -> &MemFs {
        &self.disk
    }

    /// Lets the power go at the n-th operation from now, before or after it.
    pub(super) fn arm(&mut self, nth: u64, done: bool, victim: Option<Pid>) {
        self.fuse = Some(Fuse { left: nth, done, victim });
    }

    /// Cuts the power now; answers whether it was on.
    pub(super) fn cut(&mut self, victim: Option<Pid>) -> bool {
        let was = !std::mem::replace(&mut self.dark, true);
        if was && let Some(victim) = victim {
            // Where it is dead already nothing is lost.
            let _ = kill_process(victim, Signal::KILL);
        }
        was
    }

    /// At which operation the power went, if it was one.
    pub(super) fn site(&self) -> Option<&str> {
        self.site.as_deref()
    }

    fn lit(&self) -> io::Result<()> {
        if self.dark { Err(rustix::io::Errno::IO.into()) } else { Ok(()) }
    }

    /// Does an operation that counts.
    fn change<R>(
        &mut self,
        name: &str,
        number: u64,
        change: impl FnOnce(&mut Volume) -> io::Result<R>,
    ) -> io::Result<R> {
        self.lit()?;
        let Some(fuse) = &mut self.fuse else { return change(self) };
        fuse.left = fuse.left.saturating_sub(1);
        if fuse.left > 0 {
            return change(self);
        }
        let (done, victim) = (fuse.done, fuse.victim);
        let class = self.path(number).ok().and_then(|path| class(&path));
        let when = if done { "after" } else { "before" };
        self.site = Some(format!("{name} {} {when}", class.unwrap_or_default()));
        if done {
            let _ = change(self);
        }
        self.cut(victim);
        Err(rustix::io::Errno::IO.into())
    }

    fn inode(&self, number: u64) -> io::Result<&Inode> {
        self.inodes.get(&number).ok_or_else(|| rustix::io::Errno::STALE.into())
    }

    fn path(&self, number: u64) -> io::Result<PathBuf> {
        let path = self.inode(number)?.paths.last().cloned();
        path.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&self, number: u64) -> io::Result<Arc<dyn FsFile>> {
        let file = self.inode(number)?.file.clone();
        file.ok_or_else(|| io::ErrorKind::IsADirectory.into())
    }

    fn within(&self, parent: u64, name: &OsStr) -> io::Result<PathBuf> {
        Ok(self.path(parent)?.join(name))
    }

    pub(super) fn facts(&self, number: u64) -> io::Result<Facts> {
        self.lit()?;
        let inode = self.inode(number)?;
        let len = inode.file.as_ref().map_or(Ok(0), |file| file.len())?;
        let names = u32::try_from(inode.paths.len()).unwrap_or(u32::MAX);
        Ok(Facts { number, dir: inode.file.is_none(), len, names })
    }

    /// The number of what a path names, known to the kernel once more.
    fn enter(&mut self, path: PathBuf) -> io::Result<Facts> {
        let number = match self.numbers.get(&path) {
            Some(number) => *number,
            None => {
                let file = match self.disk.metadata(&path)?.kind {
                    FileKind::Dir => None,
                    _ => Some(self.disk.open(&path, Mode::ReadWrite)?),
                };
                let number = self.next;
                self.next += 1;
                self.inodes.insert(number, Inode { paths: vec![path.clone()], file, lookups: 0 });
                self.numbers.insert(path, number);
                number
            }
        };
        if let Some(inode) = self.inodes.get_mut(&number) {
            inode.lookups += 1;
        }
        self.facts(number)
    }

    pub(super) fn lookup(&mut self, parent: u64, name: &OsStr) -> io::Result<Facts> {
        self.lit()?;
        let path = self.within(parent, name)?;
        self.enter(path)
    }

    pub(super) fn forget(&mut self, number: u64, lookups: u64) {
        let Some(inode) = self.inodes.get_mut(&number) else { return };
        inode.lookups = inode.lookups.saturating_sub(lookups);
        if inode.lookups == 0 && number != ROOT {
            for path in &inode.paths {
                self.numbers.remove(path);
            }
            self.inodes.remove(&number);
        }
    }

    pub(super) fn create(&mut self, parent: u64, name: &OsStr) -> io::Result<Facts> {
        self.change("create", parent, |volume| {
            let path = volume.within(parent, name)?;
            drop(volume.disk.create_new(&path)?);
            volume.enter(path)
        })
    }

    pub(super) fn make_dir(&mut self, parent: u64, name: &OsStr) -> io::Result<Facts> {
        self.change("mkdir", parent, |volume| {
            let path = volume.within(parent, name)?;
            volume.disk.create_dir(&path)?;
            volume.enter(path)
        })
    }

    pub(super) fn remove(&mut self, parent: u64, name: &OsStr, dir: bool) -> io::Result<()> {
        let path = self.within(parent, name)?;
        let number = self.numbers.get(&path).copied().unwrap_or(parent);
        self.change(if dir { "rmdir" } else { "remove" }, number, |volume| {
            if dir {
                volume.disk.remove_dir(&path)?;
            } else {
                volume.disk.remove(&path)?;
            }
            volume.nameless(&path);
            Ok(())
        })
    }

    /// A path names nothing any more.
    fn nameless(&mut self, path: &Path) {
        if let Some(number) = self.numbers.remove(path)
            && let Some(inode) = self.inodes.get_mut(&number)
        {
            inode.paths.retain(|name| name != path);
        }
    }

    pub(super) fn rename(
        &mut self,
        (parent, name): (u64, &OsStr),
        (to_parent, to_name): (u64, &OsStr),
    ) -> io::Result<()> {
        let from = self.within(parent, name)?;
        let to = self.within(to_parent, to_name)?;
        let number = self.numbers.get(&from).copied().unwrap_or(parent);
        self.change("rename", number, |volume| {
            volume.disk.rename(&from, &to)?;
            let same = volume.numbers.get(&from) == volume.numbers.get(&to);
            if from == to || (same && volume.numbers.contains_key(&from)) {
                // Two names of one file: nothing happened, says POSIX.
                return Ok(());
            }
            volume.nameless(&to);
            let below = |path: &PathBuf| {
                let rest = path.strip_prefix(&from).ok()?;
                Some(if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) })
            };
            for inode in volume.inodes.values_mut() {
                for path in &mut inode.paths {
                    if let Some(moved) = below(path) {
                        *path = moved;
                    }
                }
            }
            let numbers = std::mem::take(&mut volume.numbers);
            let moved = numbers.into_iter().map(|(path, n)| (below(&path).unwrap_or(path), n));
            volume.numbers = moved.collect();
            Ok(())
        })
    }

    pub(super) fn link(&mut self, number: u64, parent: u64, name: &OsStr) -> io::Result<Facts> {
        self.change("link", number, |volume| {
            let to = volume.within(parent, name)?;
            volume.disk.hard_link(&volume.path(number)?, &to)?;
            volume.numbers.insert(to.clone(), number);
            if let Some(inode) = volume.inodes.get_mut(&number) {
                inode.paths.push(to.clone());
            }
            volume.enter(to)
        })
    }

    pub(super) fn read(&self, number: u64, offset: u64, size: u32) -> io::Result<Vec<u8>> {
        self.lit()?;
        let file = self.file(number)?;
        let rest = file.len()?.saturating_sub(offset).min(u64::from(size));
        let mut bytes = vec![0; usize::try_from(rest).unwrap_or(0)];
        let read = file.read_full_at(&mut bytes, offset)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    pub(super) fn write(&mut self, number: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change("write", number, |volume| volume.file(number)?.write_all_at(bytes, offset))
    }

    pub(super) fn set_len(&mut self, number: u64, len: u64) -> io::Result<()> {
        self.change("cut", number, |volume| volume.file(number)?.set_len(len))
    }

    pub(super) fn allocate(&mut self, number: u64, len: u64) -> io::Result<()> {
        self.change("allocate", number, |volume| volume.file(number)?.allocate(len))
    }

    pub(super) fn sync(&mut self, number: u64) -> io::Result<()> {
        self.change("sync", number, |volume| {
            volume.file(number)?.sync_all()?;
            if volume.names_follow { volume.sync_names(Path::new("/")) } else { Ok(()) }
        })
    }

    /// The same volume, on which a sync of a file makes all names durable too, as a sync on ext4
    /// does, because it commits the journal.
    pub(super) fn names_follow(mut self, follow: bool) -> Volume {
        self.names_follow = follow;
        self
    }

    fn sync_names(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)?;
        for entry in self.disk.list(dir)? {
            if entry.kind == FileKind::Dir {
                self.sync_names(&dir.join(entry.name))?;
            }
        }
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, number: u64) -> io::Result<()> {
        self.change("syncdir", number, |volume| volume.disk.sync_dir(&volume.path(number)?))
    }

    /// The names in a directory, and whether each is a directory.
    pub(super) fn list(&self, number: u64) -> io::Result<Vec<(String, bool)>> {
        self.lit()?;
        let entries = self.disk.list(&self.path(number)?)?;
        Ok(entries.into_iter().map(|entry| (entry.name, entry.kind == FileKind::Dir)).collect())
    }
}

/// What sort of file a path names: numbers are left out.
fn class(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    Some(name.chars().filter(|letter| !letter.is_ascii_digit()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    fn names(volume: &Volume) -> Vec<String> {
        volume.list(ROOT).unwrap().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_file_goes_on_without_a_name_until_it_is_forgotten() {
        let mut volume = Volume::new(MemFs::new());
        let file = volume.create(ROOT, name("a")).unwrap().number;
        volume.write(file, 0, b"hello").unwrap();
        volume.remove(ROOT, name("a"), false).unwrap();
        assert!(volume.lookup(ROOT, name("a")).is_err());
        assert_eq!(volume.read(file, 0, 99).unwrap(), b"hello");
        assert_eq!(volume.facts(file).unwrap().names, 0);
        volume.forget(file, 1);
        assert!(volume.read(file, 0, 99).is_err());
    }

    #[test]
    fn a_rename_keeps_numbers_also_below_a_directory() {
        let mut volume = Volume::new(MemFs::new());
        let dir = volume.make_dir(ROOT, name("d")).unwrap().number;
        let inner = volume.create(dir, name("x")).unwrap().number;
        let old = volume.create(ROOT, name("old")).unwrap().number;
        volume.rename((ROOT, name("d")), (ROOT, name("e"))).unwrap();
        assert_eq!(volume.lookup(ROOT, name("e")).unwrap().number, dir);
        assert_eq!(volume.lookup(dir, name("x")).unwrap().number, inner);
        volume.rename((dir, name("x")), (ROOT, name("old"))).unwrap();
        assert_eq!(volume.lookup(ROOT, name("old")).unwrap().number, inner);
        assert_eq!(volume.facts(old).unwrap().names, 0);
        volume.link(inner, dir, name("y")).unwrap();
        assert_eq!(volume.facts(inner).unwrap().names, 2);
        assert_eq!(volume.lookup(dir, name("y")).unwrap().number, inner);
        assert_eq!(names(&volume), ["e", "old"]);
    }

    #[test]
    fn the_power_goes_at_the_nth_operation_before_or_after_it() {
        for done in [false, true] {
            let mut volume = Volume::new(MemFs::new());
            volume.arm(3, done, None);
            let file = volume.create(ROOT, name("a")).unwrap().number;
            volume.write(file, 0, b"one").unwrap();
            assert_eq!(volume.read(file, 0, 9).unwrap(), b"one");
            assert!(volume.sync(file).is_err());
            assert!(volume.read(file, 0, 9).is_err() && volume.lookup(ROOT, name("a")).is_err());
            assert!(!volume.cut(None), "it went already");
            let when = if done { "after" } else { "before" };
            assert_eq!(volume.site(), Some(format!("sync a {when}").as_str()));
            volume.disk().sync_dir(Path::new("/")).unwrap();
            let left = volume.disk().crash().metadata(Path::new("/a")).unwrap();
            assert_eq!(left.len, if done { 3 } else { 0 });
        }
    }
}
