//! Where a repair writes: never into the old store, over no file that is there, and nothing half
//! stays behind.

use super::RepairReport;
use crate::error::{Error, Result};
use kv_manifest::FileName;
use kv_vfs::{FileKind, Fs, FsFile, FsFileExt};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// So many reports may lie beside a new store.
const MAX_REPORTS: u32 = 1000;

/// The one name of the directory for the new store. One that holds anything, or that lies in the
/// old store, by whatever name, is refused.
pub(super) fn check(fs: &dyn Fs, from: &Path, into: &Path) -> Result<PathBuf> {
    let listed = match fs.list(into) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    };
    let from = fs.canonical(from).map_err(|e| unreachable(from, e))?;
    let target = resolve(fs, into)?;
    if target.starts_with(&from) {
        return Err(Error::invalid(format!(
            "{}: the new store cannot lie in the old one, in which nothing is changed",
            into.display()
        )));
    }
    if target.file_name().is_none() {
        return Err(Error::invalid(format!(
            "{}: the report lies beside the new store, so name a directory below this one",
            into.display()
        )));
    }
    match listed {
        Ok(entries) if entries.is_empty() => Ok(target),
        Ok(_) => Err(Error::invalid(format!(
            "{}: the directory for the new store is not empty; name another one",
            into.display()
        ))),
        Err(e) => Err(Error::io(format!("{}: cannot be listed", into.display()), e)),
    }
}

/// The name without links of what may not be there yet: of its nearest parent that is there, and
/// the rest behind it.
fn resolve(fs: &dyn Fs, path: &Path) -> Result<PathBuf> {
    match fs.canonical(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        found => return found.map_err(|e| unreachable(path, e)),
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::invalid(format!(
            "{}: there is no such directory; name the new one without `..`",
            path.display()
        )));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    Ok(resolve(fs, parent)?.join(name))
}

fn unreachable(path: &Path, error: io::Error) -> Error {
    Error::io(format!("{}: cannot be reached", path.display()), error)
}

/// A new store that is being made. Unless it is finished, it is removed again, with its report:
/// a half of a store must not pass for one.
pub(super) struct Unfinished<'a> {
    fs: &'a dyn Fs,
    into: &'a Path,
    path: PathBuf,
    report: Arc<dyn FsFile>,
    done: bool,
}

impl<'a> Unfinished<'a> {
    /// Takes a name for the report before the work begins.
    pub(super) fn begin(fs: &'a dyn Fs, into: &'a Path) -> Result<Unfinished<'a>> {
        let mut n = 1;
        loop {
            let path = report_path(into, n);
            match fs.create_new(&path) {
                Ok(report) => return Ok(Unfinished { fs, into, path, report, done: false }),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && n < MAX_REPORTS => n += 1,
                Err(e) => {
                    return Err(Error::io(
                        format!(
                            "{}: the report cannot be written; name a new store in a directory \
                             that takes files",
                            path.display()
                        ),
                        e,
                    ));
                }
            }
        }
    }

    /// Keeps the new store and writes the report. Where that fails, the store stays all the same.
    pub(super) fn finish(mut self, report: &mut RepairReport) {
        self.done = true;
        let text = format!("{report}\n");
        let written = self.report.write_all_at(text.as_bytes(), 0);
        match written.and_then(|()| self.report.sync_all()) {
            Ok(()) => report.file = Some(self.path.clone()),
            Err(error) => report.note(format!(
                "{}: the report could not be written, so keep this text: {error}",
                self.path.display()
            )),
        }
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let _ = self.fs.remove(&self.path);
        let entries = self.fs.list(self.into).unwrap_or_default();
        for entry in entries.iter().filter(|entry| entry.kind == FileKind::File) {
            if FileName::parse(&entry.name).is_some() {
                let _ = self.fs.remove(&self.into.join(&entry.name));
            }
        }
    }
}

/// Where the `n`th report of a repair into `into` is written.
fn report_path(into: &Path, n: u32) -> PathBuf {
    let mut name = into.file_name().unwrap_or_default().to_owned();
    name.push(".repair");
    if n > 1 {
        name.push(format!("-{n}"));
    }
    name.push(".txt");
    into.with_file_name(name)
}
