//! The directory of a store: making it, locking it, listing it, cleaning it.

use super::Opening;
use crate::error::{Error, ErrorKind, Result};
use kv_manifest::{FileName, Version};
use kv_vfs::{FileKind, FsLock};
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
        self.names.iter().any(|name| matches!(name, FileName::Table(_)))
    }

    /// Whether anything is there that a creation which was cut cannot have left.
    pub(super) fn holds_data(&self) -> bool {
        self.has_tables() || self.names.iter().any(|name| matches!(name, FileName::Current))
    }
}

impl Opening {
    /// Makes the directory and its missing parents, each name durable in its own parent.
    pub(super) fn create_dirs(&self) -> Result<()> {
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
                Ok(_) => break,
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
            let parent = match dir.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            self.fs
                .sync_dir(parent)
                .map_err(|e| Error::io(format!("{}: sync failed", parent.display()), e))?;
        }
        Ok(())
    }

    /// Takes the lock; a second opener, in this process or another, does not get it.
    pub(super) fn lock(&self) -> Result<Box<dyn FsLock>> {
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
        let max_number = names.iter().filter_map(|name| name.number()).max().unwrap_or(0);
        Ok(Files { names, max_number })
    }

    /// Removes what the new manifest does not name: replayed logs, tables of cut flushes and
    /// compactions, temporary files. Called after the switch is durable. Older manifests went
    /// with the switch.
    pub(super) fn clean_up(&self, files: &Files, version: &Version) -> Result<()> {
        let live: HashSet<u64> = version.files().map(|(_, meta)| meta.number).collect();
        for name in &files.names {
            let dead = match name {
                FileName::Table(number) => !live.contains(number),
                FileName::Log(_) | FileName::Temp => true,
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
