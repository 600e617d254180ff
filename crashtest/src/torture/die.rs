//! A file system that kills its own process: at the n-th operation of a phase, before the call,
//! after it, or in the middle of a sync.

use crate::torture::ledger::Ledger;
use anyhow::{Context, Result, bail};
use kv_vfs::{Fs, FsFile, FsLock, FsWindow, Mode, OverFs, StdFs};
use rustix::process::{Signal, getpid, kill_process};
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What the program is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Phase {
    /// It opens the store.
    Open,
    /// It checks and writes.
    Run,
    /// It closes the store.
    Close,
}

/// Which operations count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// All that change something, and the syncs.
    Any,
    /// Syncs of files and directories.
    Sync,
    /// What changes names.
    Name,
}

/// At which moment of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    /// It is not made.
    Before,
    /// Another thread kills while it is made.
    Inside,
    /// It was made.
    After,
}

/// Where a process kills itself. As text: `open:sync:3:after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// In which phase.
    pub phase: Phase,
    /// At which operations.
    pub sort: Sort,
    /// At which of them, from 1.
    pub nth: u64,
    /// At which moment of it.
    pub when: When,
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:?}:{:?}:{}:{:?}", self.phase, self.sort, self.nth, self.when);
        f.write_str(&text.to_lowercase())
    }
}

impl FromStr for Death {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Death> {
        let parts: Vec<&str> = text.split(':').collect();
        let [phase, sort, nth, when] = parts.as_slice() else {
            bail!("{text} is not PHASE:SORT:NTH:WHEN");
        };
        Ok(Death {
            phase: value(phase)?,
            sort: value(sort)?,
            nth: nth.parse().context("NTH is not a number")?,
            when: value(when)?,
        })
    }
}

fn value<V: clap::ValueEnum>(text: &str) -> Result<V> {
    V::from_str(text, true).map_err(anyhow::Error::msg)
}

#[derive(Debug)]
struct Trigger {
    death: Option<Death>,
    phase: AtomicU8,
    count: AtomicU64,
    site: PathBuf,
}

/// The real file system, until its hour has come.
#[derive(Clone, Debug)]
pub struct DyingFs {
    real: StdFs,
    trigger: Arc<Trigger>,
}

impl DyingFs {
    /// A file system that kills this process at `death`, having noted where in the ledger.
    pub fn new(death: Option<Death>, ledger: &Ledger) -> DyingFs {
        let phase = AtomicU8::new(Phase::Open as u8);
        let trigger = Trigger { death, phase, count: AtomicU64::new(0), site: ledger.site() };
        DyingFs { real: StdFs::new(), trigger: Arc::new(trigger) }
    }

    /// Says what the program is about now.
    pub fn enter(&self, phase: Phase) {
        self.trigger.phase.store(phase as u8, Ordering::SeqCst);
    }
}

impl Trigger {
    /// Makes a call, and perhaps dies of it.
    fn call<R>(
        &self,
        (name, sort): (&str, Sort),
        path: &Path,
        call: impl Fn() -> io::Result<R>,
    ) -> io::Result<R> {
        let counts = |death: &Death| {
            death.phase as u8 == self.phase.load(Ordering::SeqCst)
                && (death.sort == Sort::Any || death.sort == sort)
                && self.count.fetch_add(1, Ordering::SeqCst) + 1 == death.nth
        };
        let Some(death) = self.death.filter(counts) else { return call() };
        let site = format!("{:?} {name} {} {:?}", death.phase, class(path), death.when);
        std::fs::write(&self.site, site.to_lowercase())?;
        match death.when {
            When::Before => {}
            When::Inside => {
                std::thread::spawn(die);
                // Again and again, until it is hit.
                while call().is_ok() && sort == Sort::Sync {}
            }
            When::After => {
                let _ = call();
            }
        }
        die()
    }
}

/// Ends this process as `kill -9` does.
fn die() -> ! {
    loop {
        let _ = kill_process(getpid(), Signal::KILL);
        std::thread::yield_now();
    }
}

/// What sort of file a path names: numbers are left out.
fn class(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_default().chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

const WRITE: Sort = Sort::Any;

impl OverFs for DyingFs {
    fn below(&self) -> &dyn Fs {
        &self.real
    }

    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let real =
            self.trigger.call(("create", Sort::Name), path, || self.real.create_new(path))?;
        Ok(self.file(real, path))
    }

    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>> {
        Ok(self.file(self.real.open(path, mode)?, path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.trigger.call(("rename", Sort::Name), to, || self.real.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.trigger.call(("remove", Sort::Name), path, || self.real.remove(path))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.trigger.call(("link", Sort::Name), to, || self.real.hard_link(from, to))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.trigger.call(("mkdir", Sort::Name), dir, || self.real.create_dir(dir))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.trigger.call(("rmdir", Sort::Name), dir, || self.real.remove_dir(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let place = Path::new("directory");
        self.trigger.call(("sync", Sort::Sync), place, || self.real.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>> {
        self.trigger.call(("lock", Sort::Name), path, || self.real.lock(path))
    }
}

impl DyingFs {
    fn file(&self, real: Arc<dyn FsFile>, path: &Path) -> Arc<dyn FsFile> {
        Arc::new(DyingFile { real, path: path.to_owned(), trigger: Arc::clone(&self.trigger) })
    }
}

#[derive(Debug)]
struct DyingFile {
    real: Arc<dyn FsFile>,
    path: PathBuf,
    trigger: Arc<Trigger>,
}

impl FsFile for DyingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.real.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.trigger.call(("write", WRITE), &self.path, || self.real.write_at(bytes, offset))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.trigger.call(("cut", WRITE), &self.path, || self.real.set_len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.trigger.call(("allocate", WRITE), &self.path, || self.real.allocate(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.trigger.call(("sync", Sort::Sync), &self.path, || self.real.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.trigger.call(("sync", Sort::Sync), &self.path, || self.real.sync_all())
    }

    fn window(&self, part: Range<u64>) -> Option<Box<dyn FsWindow>> {
        let real = self.real.window(part)?;
        let trigger = Arc::clone(&self.trigger);
        Some(Box::new(DyingWindow { real, path: self.path.clone(), trigger }))
    }

    fn len(&self) -> io::Result<u64> {
        self.real.len()
    }
}

#[derive(Debug)]
struct DyingWindow {
    real: Box<dyn FsWindow>,
    path: PathBuf,
    trigger: Arc<Trigger>,
}

impl FsWindow for DyingWindow {
    fn copy(&mut self, bytes: &[u8], offset: u64) -> bool {
        let real = RefCell::new(&mut self.real);
        let copy = || Ok(real.borrow_mut().copy(bytes, offset));
        self.trigger.call(("copy", WRITE), &self.path, copy).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_the_same_as_text() {
        let death = Death { phase: Phase::Close, sort: Sort::Sync, nth: 12, when: When::Inside };
        assert_eq!(death.to_string(), "close:sync:12:inside");
        assert_eq!(death.to_string().parse::<Death>().unwrap(), death);
        assert!("close:sync:x:inside".parse::<Death>().is_err());
    }
}
