//! The directory of a store: making it, locking it, listing it, cleaning it.

use super::Opening;
use crate::changes::HeldLog;
use crate::error::{Error, ErrorKind, Result};
use kv_manifest::{FileName, Version};
use kv_vfs::testing::{bug, planted};
use kv_vfs::{FileKind, Fs, FsLock};
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

/// The files of a store that were there when it was opened.
pub(super) struct Files {
    pub(super) names: Vec<FileName>,
    /// The largest number in any name.
    pub(super) max_number: u64,
}

impl Files {
    /// The numbers of the log segments, ascending.
    pub(super) fn logs(&self) -> Vec<u64> {
        let mut logs: Vec<u64> = self
            .names
            .iter()
            .filter_map(|name| if let FileName::Log(number) = name { Some(*number) } else { None })
            .collect();
        logs.sort_unstable();
        logs
    }

    fn has_tables(&self) -> bool {
        self.names.iter().any(|name| matches!(name, FileName::Table(_) | FileName::Values(_)))
    }

    /// Whether anything is there that a creation which was cut cannot have left.
    pub(super) fn holds_data(&self) -> bool {
        self.has_tables() || self.names.iter().any(|name| matches!(name, FileName::Current))
    }
}

impl Opening {
    /// Makes the directory and its missing parents, each name durable in its own parent.
    pub(crate) fn create_dirs(&self) -> Result<()> {
        let mut missing: Vec<PathBuf> = Vec::new();
        let mut at: &Path = &self.dir;
        loop {
            match self.fs.metadata(at) {
                Ok(found) if found.kind == FileKind::File => {
                    return Err(Error::invalid(format!(
                        "{}: a file is where a directory should be",
                        at.display()
                    )));
                }
                Ok(_) => {
                    if !missing.is_empty() {
                        self.sync_found(at)?;
                    }
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(at.to_owned()),
                Err(e) => return Err(Error::io(format!("{}: cannot be read", at.display()), e)),
            }
            match at.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => at = parent,
                _ => break,
            }
        }
        for dir in missing.iter().rev() {
            match self.fs.create_dir(dir) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::io(format!("{}: cannot be created", dir.display()), e));
                }
                _ => {}
            }
            sync_parent(&*self.fs, dir)?;
        }
        Ok(())
    }

    /// Makes the name of a directory durable that was there before anything of a store was: an
    /// earlier open may have made it and failed, or ended, before the name was durable. Whose
    /// parent may not be read did not make it.
    pub(crate) fn sync_found(&self, dir: &Path) -> Result<()> {
        // Past the latch: what is denied here is no failure.
        match sync_parent(&*self.options.file_system, dir) {
            Err(e) if e.kind() == ErrorKind::Io && is_denied(&e) => Ok(()),
            synced => synced,
        }
    }

    /// Takes the lock; a second opener, in this process or another, does not get it.
    pub(crate) fn lock(&self) -> Result<Box<dyn FsLock>> {
        let path = FileName::Lock.path(&self.dir);
        self.fs.lock(&path).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => Error::new(
                ErrorKind::Locked,
                format!(
                    "{}: the store is open already; close it there, or open it read-only here",
                    path.display()
                ),
            ),
            _ => Error::io(format!("{}: cannot be locked", path.display()), e),
        })
    }

    /// What is in the directory. Names that are not ours are left alone.
    pub(super) fn list(&self) -> Result<Files> {
        let entries = self
            .fs
            .list(&self.dir)
            .map_err(|e| Error::io(format!("{}: cannot be listed", self.dir.display()), e))?;
        let names: Vec<FileName> =
            entries.iter().filter_map(|entry| FileName::parse(&entry.name)).collect();
        let max_number = match planted(bug::FILE_NUMBER_REUSED) {
            true => 0,
            false => names.iter().filter_map(|name| name.number()).max().unwrap_or(0),
        };
        Ok(Files { names, max_number })
    }

    /// Removes the files that a recovery made before it failed, all numbered from `first` on: a
    /// failed open leaves the directory as it was. What cannot be removed does no harm, since no
    /// manifest names it, and the failure is what the caller must hear of.
    pub(super) fn take_back(&self, first: u64) {
        for entry in self.fs.list(&self.dir).unwrap_or_default() {
            match FileName::parse(&entry.name) {
                Some(name @ (FileName::Table(number) | FileName::Values(number)))
                    if number >= first =>
                {
                    let _ = self.fs.remove(&name.path(&self.dir));
                }
                _ => {}
            }
        }
    }

    /// Removes what the new manifest does not name, but the logs that are held for consumers of
    /// changes: replayed logs, tables and value files of cut
    /// flushes and compactions, temporary files. Called after the switch is durable. Older manifests went
    /// with the switch.
    pub(super) fn clean_up(
        &self,
        files: &Files,
        version: &Version,
        held: &[HeldLog],
    ) -> Result<()> {
        let live: HashSet<u64> = version.numbers().collect();
        for name in &files.names {
            let dead = match name {
                FileName::Table(number) | FileName::Values(number) => !live.contains(number),
                FileName::Log(number) => held.iter().all(|log| log.number != *number),
                FileName::Temp => true,
                _ => false,
            };
            if dead {
                let path = name.path(&self.dir);
                match self.fs.remove(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => {
                        let what = format!("{}: a dead file cannot be removed", path.display());
                        return Err(Error::io(what, e));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn sync_parent(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => return Ok(()),
    };
    fs.sync_dir(parent).map_err(|e| Error::io(format!("{}: sync failed", parent.display()), e))
}

fn is_denied(error: &Error) -> bool {
    use std::error::Error as _;
    let source = error.source().and_then(|e| e.downcast_ref::<io::Error>());
    source.is_some_and(|e| e.kind() == io::ErrorKind::PermissionDenied)
}
