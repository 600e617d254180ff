//! What a repair reads: which tables count, which logs, and in what runs the tables are merged.
//!
//! A file that is listed and cannot be opened or read ends the repair: too many open files, a
//! missing right or a loose cable pass, and what they hid would be given up for good.

use super::Repair;
use super::on_demand::OnDemand;
use super::report::Part;
use crate::changes::CONSUMERS;
use crate::error::{Error, ErrorKind, Result};
use bytes::Bytes;
use kv_core::RangeTombstone;
use kv_manifest::{Examined, FileMeta, FileName};
use kv_sstable::Salvage;
use kv_vfs::{FileKind, Fs, FsFile, Mode};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the old directory holds that counts.
pub(super) struct Found {
    pub(super) tables: BTreeSet<u64>,
    pub(super) logs: BTreeSet<u64>,
    /// The tables that are there.
    present: BTreeSet<u64>,
    /// Logs that the manifest names and that are not there.
    pub(super) missing_logs: Vec<u64>,
    pub(super) notes: Vec<String>,
    /// Which tables count is not known for sure.
    pub(super) uncertain: bool,
}

impl Found {
    /// `NotFound` where the directory holds no store at all.
    pub(super) fn list(fs: &dyn Fs, from: &Path, examined: &Examined) -> Result<Found> {
        let entries = fs
            .list(from)
            .map_err(|e| Error::io(format!("{}: cannot be listed", from.display()), e))?;
        let (mut tables, mut logs, mut notes) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        let mut ours = false;
        for entry in &entries {
            match FileName::parse(&entry.name) {
                None if entry.name == CONSUMERS => {
                    let kept = "how far consumers of changes had come, left out: they begin anew";
                    notes.push(format!("{}: {kept}", entry.name));
                }
                _ if entry.kind != FileKind::File => {
                    notes.push(format!("{}: not a file, left out", entry.name));
                }
                Some(FileName::Table(number)) => {
                    ours = true;
                    tables.insert(number);
                }
                Some(FileName::Log(number)) => {
                    ours = true;
                    logs.insert(number);
                }
                Some(FileName::Current | FileName::Manifest(_) | FileName::Values(_)) => {
                    ours = true;
                }
                Some(FileName::Lock | FileName::Temp) => {}
                None => notes.push(format!("{}: unknown, left out", entry.name)),
            }
        }
        if !ours {
            return Err(nothing(from));
        }
        let mut adopted = BTreeSet::new();
        for number in examined.unknown.intersection(&tables) {
            if is_whole(fs, from, *number)? {
                adopted.insert(*number);
            }
        }
        let present = tables.clone();
        let counts = |number: &u64| match &examined.state {
            Some(_) => examined.tables.contains_key(number) || adopted.contains(number),
            None => !examined.gone.contains(number),
        };
        for dead in tables.iter().filter(|number| !counts(number)) {
            let name = FileName::Table(*dead);
            notes.push(format!("{name}: the manifest does not count it, left out"));
        }
        tables.retain(counts);
        tables.extend(examined.tables.keys());
        let named = examined.state.iter().flat_map(|state| state.logs.iter());
        let missing_logs = named.filter(|number| !logs.contains(number)).copied().collect();
        logs.retain(|number| *number >= examined.log_floor);
        let uncertain = examined.state.is_none() || !adopted.is_empty();
        Ok(Found { tables, logs, present, missing_logs, notes, uncertain })
    }
}

/// Whether a table has a footer of its own that names its number.
fn is_whole(fs: &dyn Fs, dir: &Path, number: u64) -> Result<bool> {
    let path = FileName::Table(number).path(dir);
    let file = open(fs, &path)?;
    let size = file.len().map_err(|e| refused(&path, "has no length", e))?;
    Ok(Salvage::own_footer(file, path, number, size)?)
}

/// Opens a file that is there.
pub(super) fn open(fs: &dyn Fs, path: &Path) -> Result<Arc<dyn FsFile>> {
    fs.open(path, Mode::Read).map_err(|e| refused(path, "cannot be opened", e))
}

/// The operating system refuses what it may allow later.
pub(super) fn refused(path: &Path, what: &str, error: io::Error) -> Error {
    let text = format!(
        "{}: {what}; nothing was given up for lost: try again, or where a disk has bad places, \
         repair a copy made by a tool that goes on past them",
        path.display()
    );
    Error::io(text, error)
}

pub(super) fn nothing(from: &Path) -> Error {
    Error::new(ErrorKind::NotFound, format!("{}: there is no store here", from.display()))
}

/// A table to be merged.
pub(super) struct Planned {
    pub(super) number: u64,
    pub(super) path: PathBuf,
    /// Its name in the report; none for a table that the repair made from logs.
    pub(super) name: Option<String>,
    known: Option<Arc<FileMeta>>,
    size: u64,
    /// The first and the last key of its entries.
    bounds: Option<(Bytes, Bytes)>,
    pub(super) tombstones: Vec<RangeTombstone>,
}

impl Planned {
    /// A table that was made from logs.
    pub(super) fn made(meta: &Arc<FileMeta>, dir: &Path) -> Planned {
        Planned {
            number: meta.number,
            path: FileName::Table(meta.number).path(dir),
            name: None,
            known: Some(Arc::clone(meta)),
            size: meta.size,
            bounds: None,
            tombstones: Vec::new(),
        }
    }

    /// Opens the table, whatever is wrong with it. Where there are many, its file is open only
    /// while it is read from.
    pub(super) fn open(&self, fs: &Arc<dyn Fs>, many: bool) -> Result<Salvage> {
        let file = match many {
            true => OnDemand::file(fs, &self.path)?,
            false => open(&**fs, &self.path)?,
        };
        let known = self.known.as_ref().map(|meta| (meta.footer.as_ref(), meta.size));
        Ok(Salvage::open(file, self.path.clone(), self.number, known)?)
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// How many entries it holds, as the manifest knows.
    pub(super) fn known_entries(&self) -> Option<u64> {
        self.known.as_ref().map(|meta| meta.entries)
    }

    fn look(&mut self, salvage: &Salvage) {
        self.size = salvage.size();
        self.tombstones = salvage.range_tombstones().iter().collect();
        let stored = salvage.properties().filter(|properties| properties.entries > 0);
        let stored = stored.map(|found| (found.first_key.clone(), found.last_key.clone()));
        let named = self.known.as_ref().map(|meta| (meta.smallest.clone(), meta.largest.clone()));
        self.bounds = stored.or(named);
    }
}

impl Repair<'_> {
    /// Opens every table once, for its bounds and its range tombstones. One that is not there
    /// goes into the report.
    pub(super) fn plan_tables(&mut self, found: &Found) -> Result<Vec<Planned>> {
        let mut planned = Vec::new();
        for number in &found.tables {
            let path = FileName::Table(*number).path(self.from);
            let known = self.examined.tables.get(number).map(|(_, meta)| Arc::clone(meta));
            let name = FileName::Table(*number).to_string();
            let mut table = Planned {
                number: *number,
                path,
                name: Some(name.clone()),
                known,
                size: 0,
                bounds: None,
                tombstones: Vec::new(),
            };
            if found.present.contains(number) {
                let salvage = table.open(self.fs, false)?;
                table.look(&salvage);
                self.progress.expect(table.size);
                planned.push(table);
                continue;
            }
            let keys = table.known.as_ref();
            let keys = keys.map(|meta| (meta.smallest.clone(), meta.largest.clone()));
            let reason = "the table is missing".to_owned();
            let end = table.known.as_ref().map_or(0, |meta| meta.size);
            self.report.lose(&name, Part { offset: 0, end, reason, data: true, keys });
            if let Some(meta) = &table.known {
                self.report.lose_entries(&name, meta.entries);
            }
        }
        Ok(planned)
    }
}

/// Sorts tables into as few runs as may be, each of disjoint tables in key order.
pub(super) fn runs(mut tables: Vec<Planned>, fs: &Arc<dyn Fs>) -> Result<Vec<Vec<Planned>>> {
    for table in tables.iter_mut().filter(|table| table.name.is_none()) {
        let salvage = table.open(fs, false)?;
        table.look(&salvage);
    }
    let (mut bounded, unbounded): (Vec<Planned>, Vec<Planned>) =
        tables.into_iter().partition(|table| table.bounds.is_some());
    bounded.sort_by(|a, b| a.bounds.cmp(&b.bounds));
    let mut runs: Vec<Vec<Planned>> = Vec::new();
    for table in bounded {
        let first = table.bounds.as_ref().map(|(first, _)| first);
        let fits = |run: &&mut Vec<Planned>| {
            let last = run.last().and_then(|last| last.bounds.as_ref());
            last.map(|(_, last)| last) < first
        };
        match runs.iter_mut().find(fits) {
            Some(run) => run.push(table),
            None => runs.push(vec![table]),
        }
    }
    runs.extend(unbounded.into_iter().map(|table| vec![table]));
    Ok(runs)
}
