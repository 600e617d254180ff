//! Checkpoints and backups beside a scenario: what was acknowledged of them is whole, whatever
//! failed meanwhile.

use crate::oracle::scan;
use crate::settings::Settings;
use anyhow::{Result, ensure};
use kv_engine::{BackupDir, Backups, Db};
use kv_vfs::{FaultKind, Fs, MemFs, OpKind, Struck};
use std::path::Path;
use std::sync::Arc;

const BACKUPS: &str = "/parent/backups";
/// How many points stay.
const KEPT: usize = 2;

/// What was copied of one store.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// How many directories were begun.
    begun: u32,
    /// The points that must be there.
    pub(crate) points: Vec<u64>,
}

impl Copies {
    fn place(&mut self) -> String {
        self.begun += 1;
        format!("/parent/copy{}", self.begun)
    }

    /// Makes a checkpoint, and looks at it.
    pub(crate) fn checkpoint(
        &mut self,
        db: &Db,
        fs: &Arc<dyn Fs>,
        settings: &Settings,
    ) -> Result<()> {
        let path = self.place();
        db.checkpoint(&path)?;
        compare(db, &path, fs, settings)
    }

    /// Makes a backup, removes the oldest, and restores the newest.
    pub(crate) fn backup(&mut self, db: &Db, fs: &Arc<dyn Fs>, settings: &Settings) -> Result<()> {
        let backups = backups(Arc::clone(fs));
        let point = backups.create(db)?.number();
        // The others may go from here on.
        self.points = vec![point];
        backups.keep(KEPT)?;
        // What is left stays until the next call: also a point whose backup answered an error.
        if let Ok(left) = backups.list() {
            self.points = left.iter().map(|point| point.number()).collect();
            ensure!(self.points.contains(&point), "point {point} is gone");
        }
        let path = self.place();
        backups.restore(point, &path, settings.options(Arc::clone(fs)))?;
        compare(db, &path, fs, settings)
    }
}

fn backups(fs: Arc<dyn Fs>) -> Backups {
    Backups::open(BackupDir::on(fs, BACKUPS))
}

/// Whether a copy shows what the store does.
fn compare(db: &Db, path: &str, fs: &Arc<dyn Fs>, settings: &Settings) -> Result<()> {
    let copy = Db::open(path, settings.options(Arc::clone(fs)).read_only(true))?;
    // A read that fails has its cause in the disk, which the caller looks at.
    if let (Ok(here), Ok(there)) = (scan(db), scan(&copy)) {
        ensure!(here == there, "{path} is not what the store is");
    }
    Ok(())
}

/// Whether the points that were acknowledged are there and whole on this disk.
pub(crate) fn check(disk: &MemFs, points: &[u64], struck: &[Struck]) -> Result<(), String> {
    let lost = struck.iter().any(is_lost_name_of_the_place) || is_lost_name_kept(struck);
    if points.is_empty() || lost {
        return Ok(());
    }
    let backups = backups(Arc::new(disk.clone()));
    let listed = backups.list().map_err(|e| format!("the backups are gone: {e}"))?;
    let there = |point: &u64| listed.iter().any(|listed| listed.number() == *point);
    if !points.iter().all(there) {
        return Err(format!("of the points {points:?} there are only {listed:?}"));
    }
    let report = backups.verify().map_err(|e| format!("the backups cannot be verified: {e}"))?;
    if report.is_ok() { Ok(()) } else { Err(format!("the backups: {report}")) }
}

/// The name of the directory of backups, or of the one above it, once lost, is saved by no sync.
fn is_lost_name_of_the_place(struck: &Struck) -> bool {
    let lost = struck.kind == FaultKind::LostReadable && struck.op == OpKind::SyncDir;
    lost && Path::new(BACKUPS).ancestors().skip(1).any(|above| above == struck.path)
}

/// Whether a name in the directory of backups was lost, though it is seen, and could not be taken back
/// either: the call answered an error, and the next one cannot know of what it finds.
fn is_lost_name_kept(struck: &[Struck]) -> bool {
    let lost = |dir: Option<&Path>| {
        struck.iter().any(|fault| {
            fault.kind == FaultKind::LostReadable
                && fault.op == OpKind::SyncDir
                && Some(fault.path.as_path()) == dir
        })
    };
    let removals = struck.iter().filter(|fault| fault.op == OpKind::Remove);
    removals.filter(|fault| fault.path.starts_with(BACKUPS)).any(|fault| lost(fault.path.parent()))
}
