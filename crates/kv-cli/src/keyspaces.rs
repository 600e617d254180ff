//! `keyspaces`, `drop-keyspace`.

use crate::failure::Failure;
use crate::output::Output;
use crate::store;
use kv_engine::Db;
use serde_json::Map;
use std::path::Path;

pub(crate) fn list(dir: &Path, out: &mut Output) -> Result<(), Failure> {
    show(&store::for_reading(dir)?, out)
}

pub(crate) fn show(db: &Db, out: &mut Output) -> Result<(), Failure> {
    for name in db.keyspaces()? {
        if out.json {
            out.object(Map::from_iter([("keyspace".to_owned(), name.into())]))?;
        } else {
            out.line(name.as_bytes())?;
        }
    }
    Ok(())
}

pub(crate) fn remove(dir: &Path, name: &str) -> Result<(), Failure> {
    let db = store::for_upkeep(dir)?;
    db.drop_keyspace(name)?;
    Ok(db.close()?)
}
