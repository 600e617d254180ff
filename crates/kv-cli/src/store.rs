//! Opening the store in the way that a command needs.

use crate::args::Space;
use crate::failure::Failure;
use kv_engine::{Db, ErrorKind, Follower, Keyspace, Options};
use std::path::Path;

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
        Err(error) if error.kind() == ErrorKind::Locked => for_reading(dir),
        opened => told(dir, opened),
    }
}

/// For a command that writes; creates the store where there is none.
pub(crate) fn for_writing(dir: &Path) -> Result<Db, Failure> {
    open(dir, Options::default())
}

fn open(dir: &Path, options: Options) -> Result<Db, Failure> {
    told(dir, Db::open(dir, options))
}

fn told<T>(dir: &Path, opened: kv_engine::Result<T>) -> Result<T, Failure> {
    opened.map_err(|error| match error.kind() {
        // The engine's remedy is one for programmers.
        ErrorKind::NotFound => Failure::missing(format!(
            "there is no store at {}; --data-dir or KV_DATA_DIR names another place",
            dir.display()
        )),
        _ => error.into(),
    })
}

/// A keyspace that must exist.
pub(crate) fn existing(db: &Db, space: &Space) -> Result<Keyspace, Failure> {
    // Asking for it by name would create it.
    if space.name.is_empty() || db.keyspaces()?.contains(&space.name) {
        return Ok(db.keyspace(&space.name)?);
    }
    Err(Failure::missing(format!("there is no keyspace {:?}", space.name)))
}
