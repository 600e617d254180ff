//! `keyspaces`, `drop-keyspace`.

use crate::failure::Failure;
use crate::output::Output;
use crate::store;
use serde_json::Map;
use std::path::Path;

pub(crate) fn list(dir: &Path, out: &mut Output) -> Result<(), Failure> {
    for name in store::for_reading(dir)?.keyspaces()? {
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
