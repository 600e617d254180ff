//! A second, openable store of the same files: what is in tables at one moment.
//!
//! Order: the memtable to tables; every file of that version under a second name, durable; then a
//! manifest and, last of all, CURRENT. A directory with tables and without CURRENT does not open.

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::open::{Opening, new_db_id};
use kv_manifest::{FileName, Manifest, State};
use kv_vfs::{FileKind, Fs, FsFileExt, FsLock, Mode};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// How much is copied at once where files cannot be linked.
const COPY: usize = 1 << 20;

impl Engine {
    /// Makes the store in `path`; see [`Db::checkpoint`](crate::Db::checkpoint).
    pub(crate) fn checkpoint(&self, path: &Path) -> Result<()> {
        let writer = self.writer()?;
        self.health.check_write()?;
        let fs = &self.options.file_system;
        if fs.is_volatile() {
            let message = "a store in memory has no files that a checkpoint could share";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let target = Target::begin(&**fs, path, &Opening::new(path, self.options.clone()))?;
        self.flush()?;
        // While the state lives, so do the files of its version: they are not removed.
        let mut state = writer.manifest.lock().state().clone();
        for number in state.version.files().map(|(_, file)| file.number) {
            target.take(&self.dir, FileName::Table(number))?;
        }
        for values in state.version.values() {
            target.take(&self.dir, FileName::Values(values.meta.number))?;
        }
        target.sync()?;
        state.db_id = new_db_id();
        state.log_floor = state.next_file;
        state.logs.clear();
        target.finish(Arc::clone(fs), state)
    }
}

/// A directory that becomes a store. Unless it is finished, what was made in it goes again.
pub(crate) struct Target<'a> {
    fs: &'a dyn Fs,
    path: &'a Path,
    /// Whether the directory was not there before.
    created: bool,
    /// Keeps others from making a store of the unfinished one.
    lock: Option<Box<dyn FsLock>>,
    finished: bool,
}

impl<'a> Target<'a> {
    pub(crate) fn begin(fs: &'a dyn Fs, path: &'a Path, opening: &Opening) -> Result<Target<'a>> {
        let created = match fs.list(path) {
            Ok(entries) if entries.is_empty() => false,
            Ok(entries) => {
                let unfinished = entries.iter().all(|entry| {
                    let known = FileName::parse(&entry.name);
                    known.is_some_and(|name| name != FileName::Current)
                });
                let remedy = match unfinished {
                    true => "what lies there is a copy that was not finished: remove it",
                    false => "name another one",
                };
                return Err(Error::invalid(format!(
                    "{}: the directory for the new store is not empty; {remedy}",
                    path.display()
                )));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => true,
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                return Err(Error::invalid(format!(
                    "{}: a file is where the new store should be; name another path",
                    path.display()
                )));
            }
            Err(e) => return Err(Error::io(format!("{}: cannot be listed", path.display()), e)),
        };
        let mut target = Target { fs, path, created, lock: None, finished: false };
        opening.create_dirs()?;
        target.lock = Some(opening.lock()?);
        Ok(target)
    }

    /// Gives a file of the store in `from` a second name here; where that cannot be, copies it.
    fn take(&self, from: &Path, name: FileName) -> Result<()> {
        let (from, to) = (name.path(from), name.path(self.path));
        match self.fs.hard_link(&from, &to) {
            Ok(()) => Ok(()),
            Err(e) if cannot_link(e.kind()) => copy(self.fs, &from, &to),
            Err(e) => Err(Error::io(format!("{}: cannot be linked", to.display()), e)),
        }
    }

    pub(crate) fn sync(&self) -> Result<()> {
        let synced = self.fs.sync_dir(self.path);
        synced.map_err(|e| Error::io(format!("{}: sync failed", self.path.display()), e))
    }

    pub(crate) fn finish(mut self, fs: Arc<dyn Fs>, state: State) -> Result<()> {
        let number = state.next_file;
        Manifest::create(fs, self.path, state, number)?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // First the one that would make a store of the rest. What cannot be removed does not open.
        let _ = self.fs.remove(&FileName::Current.path(self.path));
        if self.lock.is_some() {
            let entries = self.fs.list(self.path).unwrap_or_default();
            for entry in entries.iter().filter(|entry| entry.kind == FileKind::File) {
                if FileName::parse(&entry.name).is_some() {
                    let _ = self.fs.remove(&self.path.join(&entry.name));
                }
            }
        }
        if self.created {
            let _ = self.fs.remove_dir(self.path);
        }
    }
}

/// Whether a link is refused for what the file systems are, not for what happened.
fn cannot_link(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(kind, CrossesDevices | PermissionDenied | TooManyLinks | Unsupported)
}

fn copy(fs: &dyn Fs, from: &Path, to: &Path) -> Result<()> {
    let read = |e| Error::io(format!("{}: read failed", from.display()), e);
    let written = |e| Error::io(format!("{}: write failed", to.display()), e);
    let source = fs.open(from, Mode::Read).map_err(read)?;
    let target = fs.create_new(to).map_err(written)?;
    let mut buffer = vec![0; COPY];
    let mut offset = 0;
    loop {
        let len = source.read_full_at(&mut buffer, offset).map_err(read)?;
        let Some(part) = buffer.get(..len).filter(|part| !part.is_empty()) else { break };
        target.write_all_at(part, offset).map_err(written)?;
        offset += len as u64;
    }
    target.sync_all().map_err(written)
}
