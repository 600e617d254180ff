//! The store as a whole: `flush`, `compact`, `checkpoint`, `stats`.

use crate::failure::Failure;
use crate::output::Output;
use crate::{progress, store};
use std::path::Path;

pub(crate) fn flush(dir: &Path) -> Result<(), Failure> {
    let db = store::for_upkeep(dir)?;
    let bar = progress::waiting("flushing");
    db.flush()?;
    db.close()?;
    bar.finish_and_clear();
    Ok(())
}

pub(crate) fn compact(dir: &Path) -> Result<(), Failure> {
    let db = store::for_upkeep(dir)?;
    let bar = progress::waiting("compacting");
    db.compact()?;
    db.close()?;
    bar.finish_and_clear();
    Ok(())
}

pub(crate) fn checkpoint(dir: &Path, path: &Path) -> Result<(), Failure> {
    store::outside(path, dir, "the directory of the store")?;
    let db = store::for_upkeep(dir)?;
    let bar = progress::waiting("making the checkpoint");
    db.checkpoint(path)?;
    db.close()?;
    bar.finish_and_clear();
    Ok(())
}

pub(crate) fn stats(dir: &Path, prometheus: bool, out: &mut Output) -> Result<(), Failure> {
    let stats = store::for_reading(dir)?.stats();
    if prometheus {
        return out.bytes(stats.prometheus().as_bytes());
    }
    if !out.json {
        return out.line(stats.to_string().trim_end().as_bytes());
    }
    let text = stats.prometheus();
    let metrics = text.lines().filter(|line| !line.starts_with('#'));
    let members = metrics.filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), serde_json::from_str(value).ok()?))
    });
    out.object(members.collect())
}
