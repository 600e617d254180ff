//! Opening the store in the way that a command needs.

use crate::args::Space;
use crate::failure::Failure;
use kv_engine::{Db, Error, ErrorKind, Follower, Keyspace, Options};
use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};

/// For a command that only reads: works beside a live writer, and never creates anything.
pub(crate) fn for_reading(dir: &Path) -> Result<Db, Failure> {
    open(dir, Options::default().read_only(true))
}

/// For a command that reads again and again, beside whoever writes.
pub(crate) fn follow(dir: &Path) -> Result<Follower, Failure> {
    told(dir, Follower::open(dir, Options::default()))
}

/// For a command that changes what is there.
pub(crate) fn for_upkeep(dir: &Path) -> Result<Db, Failure> {
    open(dir, Options::default().create_if_missing(false))
}

/// For a backup: as for upkeep, and beside whoever has the store open already.
pub(crate) fn for_backup(dir: &Path) -> Result<Db, Failure> {
    match Db::open(dir, Options::default().create_if_missing(false)) {
        // Somebody writes it, or nobody can: a full disk, one that is mounted read-only, a missing right.
        Err(error)
            if matches!(error.kind(), ErrorKind::Locked | ErrorKind::NoSpace)
                || is_read_only(&error) =>
        {
            for_reading(dir)
        }
        opened => told(dir, opened),
    }
}

/// Whether it was the system that lets nobody write here.
fn is_read_only(error: &Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| {
        matches!(source.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
    })
}

/// For a command that writes; creates the store where there is none.
pub(crate) fn for_writing(dir: &Path) -> Result<Db, Failure> {
    open(dir, Options::default())
}

fn open(dir: &Path, options: Options) -> Result<Db, Failure> {
    told(dir, Db::open(dir, options))
}

fn told<T>(dir: &Path, opened: kv_engine::Result<T>) -> Result<T, Failure> {
    opened.map_err(|error| unopened(dir, error))
}

/// Why a store does not open, in the terms of this program: the engine's remedies are for programmers.
pub(crate) fn unopened(dir: &Path, error: Error) -> Failure {
    const ELSEWHERE: &str = "--data-dir or KV_DATA_DIR names another place";
    const READS: &str = "commands that only read work all the same";
    let (is_file, dir) = (dir.is_file(), dir.display());
    match error.kind() {
        ErrorKind::NotFound => Failure::missing(format!("there is no store at {dir}; {ELSEWHERE}")),
        ErrorKind::Locked => Failure::broken(format!(
            "{dir}: another program has the store open for writing; end it first; {READS}, and backup"
        )),
        _ if is_read_only(&error) => Failure::from(error).after(READS),
        _ if is_file => {
            Failure::missing(format!("{dir} is a file, and a store is a directory; {ELSEWHERE}"))
        }
        _ => error.into(),
    }
}

/// A keyspace that must exist.
pub(crate) fn existing(db: &Db, space: &Space) -> Result<Keyspace, Failure> {
    // Asking for it by name would create it.
    if space.name.is_empty() || db.keyspaces()?.contains(&space.name) {
        return Ok(db.keyspace(&space.name)?);
    }
    Err(Failure::missing(format!("there is no keyspace {:?}", space.name)))
}

/// Refuses a place for a copy that lies in `dir`, which is described by `what`.
pub(crate) fn outside(place: &Path, dir: &Path, what: &str) -> Result<(), Failure> {
    let (Ok(dir), Some(found)) = (dir.canonicalize(), nearest(place)) else { return Ok(()) };
    // The place itself is judged by who uses it.
    if found.starts_with(&dir) && place.canonicalize().ok().as_ref() != Some(&dir) {
        return Err(Failure::usage(format!(
            "{} lies in {what}; name a place outside of it",
            place.display()
        )));
    }
    Ok(())
}

/// The nearest directory on the way to what may not be there yet, without links.
fn nearest(place: &Path) -> Option<PathBuf> {
    let place = std::path::absolute(place).ok()?;
    place.ancestors().find_map(|path| path.canonicalize().ok())
}
