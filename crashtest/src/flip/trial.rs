//! One damage to one store: opened, read in every way, verified, and now and then rewritten.

use super::damage::{Changes, Damage};
use super::judge::{self, Class, Judged, Verdict};
use super::subject::{Flavour, Subject, options};
use crate::contents::Contents;
use crate::image::{DIR, Image};
use anyhow::Result;
use kv_engine::Db;
use kv_manifest::{FileName, Manifest};
use kv_vfs::{Fs, FsFileExt, MemFs, Mode};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// What is tried besides reading.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Depth {
    pub(crate) flavour: Flavour,
    /// Also opens it read-only.
    pub(crate) read_only: bool,
    /// Also compacts it, writes to it and opens it again.
    pub(crate) rewrite: bool,
}

/// Damages a copy of the subject and judges; nothing where the damage changes nothing.
pub(crate) fn run(subject: &Subject, damage: &Damage, depth: Depth) -> Result<Option<Verdict>> {
    let changes = damage.apply(&subject.image, &subject.earlier)?;
    if changes.is_empty() {
        return Ok(None);
    }
    let mut damaged = subject.image.clone();
    for (name, bytes) in &changes {
        match bytes {
            Some(bytes) => damaged.files.insert(name.clone(), bytes.clone()),
            None => damaged.files.remove(name),
        };
    }
    let trial = Trial { subject, damage, changes: &changes, damaged: &damaged };
    let judged = catch_unwind(AssertUnwindSafe(|| trial.judge(depth)));
    Ok(Some(match judged {
        Ok(Ok(verdict) | Err(verdict)) => verdict,
        Err(_) => Verdict::new(Class::Panic, "it panicked"),
    }))
}

struct Trial<'a> {
    subject: &'a Subject,
    damage: &'a Damage,
    changes: &'a Changes,
    damaged: &'a Image,
}

impl Trial<'_> {
    fn files(&self) -> Judged<MemFs> {
        let fs = self.subject.fresh();
        lay(&fs, self.changes)
            .map_err(|error| Verdict::new(Class::WrongError, error.to_string()))?;
        Ok(fs)
    }

    fn judge(&self, depth: Depth) -> Judged<Verdict> {
        let verdict = self.open(depth)?;
        if depth.read_only {
            let flavour = Flavour { read_only: true, ..depth.flavour };
            let beside = self.open(Depth { flavour, read_only: false, rewrite: false })?;
            let (a, b) = (verdict.class, beside.class);
            let told = |class| {
                matches!(
                    class,
                    Class::DetectedAtOpen | Class::DetectedAtRead | Class::DetectedByVerify
                )
            };
            if a != b && !(told(a) && told(b)) {
                let told_by_verify = a == Class::Identical && told(b);
                if !told_by_verify {
                    let said = format!("{a:?} for a writer, {b:?} for a reader");
                    return Err(Verdict::new(Class::WrongError, said));
                }
            }
        }
        Ok(verdict)
    }

    fn open(&self, depth: Depth) -> Judged<Verdict> {
        let fs = self.files()?;
        let db = match Db::open(DIR, options(&fs, depth.flavour)) {
            Ok(db) => db,
            Err(error) => {
                let said = judge::told(&error)?;
                self.unchanged(&fs)?;
                return Ok(Verdict::new(Class::DetectedAtOpen, said));
            }
        };
        let seen = judge::read_all(self.subject, &db)?;
        let mut verdict = judge::judge(self.subject, self.damage, self.changes, &seen)?;
        let noticed = self.verify(&db)?;
        if verdict.class == Class::Identical {
            match noticed {
                Some(said) => verdict = Verdict::new(Class::DetectedByVerify, said),
                None if self.holds_damaged_table(&fs) => {
                    return Err(Verdict::new(Class::Unnoticed, "verify finds nothing"));
                }
                None => {}
            }
        }
        if depth.flavour.read_only {
            drop(db);
            self.unchanged(&fs)?;
        } else if depth.rewrite {
            self.rewrite(db, &fs, depth, verdict.class)?;
        }
        Ok(verdict)
    }

    /// Whether the manifest still names a table that is damaged: a compaction may have replaced it,
    /// with what is whole of it.
    fn holds_damaged_table(&self, fs: &MemFs) -> bool {
        let Ok(Some(state)) = Manifest::read(fs, Path::new(DIR)) else { return false };
        let live = |number| state.version.numbers().any(|named| named == number);
        self.changes.iter().any(|(name, _)| match FileName::parse(name) {
            Some(FileName::Table(number) | FileName::Values(number)) => live(number),
            _ => false,
        })
    }

    /// What `verify` says of damage.
    fn verify(&self, db: &Db) -> Judged<Option<String>> {
        match db.verify() {
            Ok(report) => {
                let text = format!("{report} {report:?}");
                judge::shows_nothing(&text)?;
                Ok((!report.is_ok()).then(|| report.to_string()))
            }
            Err(error) => judge::told(&error).map(Some),
        }
    }

    /// Nothing in the directory is other than it was before the open.
    fn unchanged(&self, fs: &MemFs) -> Judged<()> {
        match self.damaged.changed(fs, Path::new(DIR)) {
            Ok(None) => Ok(()),
            // The lock is the first thing that a writer takes.
            Ok(Some(what)) if what.starts_with("LOCK") && self.damage.file == "LOCK" => Ok(()),
            Ok(Some(what)) => Err(Verdict::new(Class::FilesModified, what)),
            Err(error) => Err(Verdict::new(Class::FilesModified, error.to_string())),
        }
    }

    /// Compacts, writes, closes and opens again: what was readable must stay so, and what was
    /// told as damage must not become silent.
    fn rewrite(&self, db: Db, fs: &MemFs, depth: Depth, class: Class) -> Judged<()> {
        let before = Contents::read(&db).ok();
        if let Err(error) = db.compact() {
            judge::told(&error)?;
        }
        let put = db.put("a new key", "a new value").and_then(|()| db.delete("a new key"));
        if let Err(error) = put {
            return Err(Verdict::new(Class::WrongError, format!("a write fails: {error}")));
        }
        if let Err(error) = db.close() {
            judge::told(&error)?;
        }
        let again = Db::open(DIR, options(fs, depth.flavour)).and_then(|db| Contents::read(&db));
        match (before, again) {
            (Some(before), Ok(after)) if before == after => Ok(()),
            (None, Ok(_)) | (Some(_), Ok(_)) => {
                let said = format!("{class:?} at first, and silent after a compaction");
                Err(Verdict::new(Class::MissingSilently, said))
            }
            (_, Err(error)) => judge::told(&error).map(drop),
        }
    }
}

/// Lays the changed files over those of the subject.
fn lay(fs: &MemFs, changes: &Changes) -> Result<()> {
    for (name, bytes) in changes {
        let path = Path::new(DIR).join(name);
        match bytes {
            None => fs.remove(&path)?,
            Some(bytes) => {
                let file = fs.open(&path, Mode::ReadWrite)?;
                file.set_len(bytes.len() as u64)?;
                file.write_all_at(bytes, 0)?;
                file.sync_all()?;
            }
        }
    }
    fs.sync_dir(Path::new(DIR))?;
    Ok(())
}
