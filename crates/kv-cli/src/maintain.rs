//! The store as a whole: `flush`, `compact`, `stats`, `verify`.

use crate::failure::Failure;
use crate::output::Output;
use crate::{progress, store};
use serde_json::Map;
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

pub(crate) fn verify(dir: &Path, out: &mut Output) -> Result<(), Failure> {
    let db = store::for_reading(dir)?;
    let bar = progress::waiting("verifying");
    let report = db.verify()?;
    bar.finish_and_clear();
    let text = report.to_string();
    if out.json {
        let mut lines = text.lines();
        let summary = lines.next().unwrap_or_default();
        let mut object = Map::new();
        object.insert("ok".to_owned(), report.is_ok().into());
        object.insert("summary".to_owned(), summary.into());
        object.insert("damage".to_owned(), lines.collect::<Vec<_>>().into());
        out.object(object)?;
    } else {
        out.line(text.as_bytes())?;
    }
    if report.is_ok() {
        return Ok(());
    }
    Err(Failure::broken("the store is damaged; restore it from a backup"))
}
