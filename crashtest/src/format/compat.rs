//! Fixtures are opened as a user would, and must be what they were.

use super::expect::Expect;
use super::fixture::{self, Fixture};
use super::newer;
use crate::contents::Contents;
use crate::image::DIR;
use crate::report::Row;
use anyhow::{Context, Result, ensure};
use kv_engine::{Db, Options};
use kv_manifest::Manifest;
use kv_vfs::{Fs, StdFs};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// The checks on every fixture, in memory and on the disk of this machine.
pub(crate) fn rows() -> Result<Vec<Row>> {
    let fixtures = fixture::load_all()?;
    let mut opened = Row::new("format compat", "fixtures");
    let mut newer = Row::new("format newer", "twins");
    opened.floor = 15;
    newer.floor = 80;
    for fixture in &fixtures {
        let begin = Instant::now();
        opened.ran += 1;
        if let Err(error) = in_memory(fixture).and_then(|()| on_disk(fixture)) {
            opened.violations.push(format!("{}: {error:#}", fixture.name));
        }
        opened.elapsed += begin.elapsed();
        let begin = Instant::now();
        for twin in newer::twins(fixture)? {
            newer.ran += 1;
            if let Err(error) = refuses(&twin) {
                newer.violations.push(format!("{}: {}: {error:#}", fixture.name, twin.what));
            }
        }
        newer.elapsed += begin.elapsed();
    }
    Ok(vec![opened, newer])
}

fn in_memory(fixture: &Fixture) -> Result<()> {
    let fs: Arc<dyn Fs> = Arc::new(fixture.image.to_memory()?);
    check(fixture, &fs, Path::new(DIR)).context("in memory")
}

fn on_disk(fixture: &Fixture) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (fs, dir): (Arc<dyn Fs>, _) = (Arc::new(StdFs::new()), dir.path().join("store"));
    fixture.image.write(&*fs, &dir)?;
    check(fixture, &fs, &dir).context("on disk")
}

fn options(fs: &Arc<dyn Fs>) -> Options {
    Options::default().file_system(Arc::clone(fs)).background_threads(1)
}

/// A copy of the fixture in `dir`: read-only it changes nothing; then it is a store like others.
fn check(fixture: &Fixture, fs: &Arc<dyn Fs>, dir: &Path) -> Result<()> {
    let Fixture { image, expect, .. } = fixture;
    let db = Db::open(dir, options(fs).read_only(true)).context("read-only open")?;
    expect.check_contents(&Contents::read(&db)?).context("read-only")?;
    let report = db.verify()?;
    ensure!(report.is_ok(), "read-only: {report}");
    drop(db);
    let changed = image.changed(&**fs, dir)?;
    ensure!(changed.is_none(), "a read-only open: {}", changed.unwrap_or_default());

    let db = Db::open(dir, options(fs)).context("open")?;
    expect.check_contents(&Contents::read(&db)?).context("open")?;
    check_sequence(expect, fs, dir)?;
    let report = db.verify()?;
    ensure!(report.is_ok(), "open: {report}");
    db.compact().context("compact")?;
    expect.check_contents(&Contents::read(&db)?).context("compacted")?;
    let report = db.verify()?;
    ensure!(report.is_ok(), "compacted: {report}");
    db.put("a new key", "a new value")?;
    db.delete("a new key")?;
    db.close().context("close")?;

    let db = Db::open(dir, options(fs)).context("open again")?;
    expect.check_contents(&Contents::read(&db)?).context("opened again")
}

/// The sequence of the store that was just opened.
fn check_sequence(expect: &Expect, fs: &Arc<dyn Fs>, dir: &Path) -> Result<()> {
    let state = Manifest::read(&**fs, dir)?.context("there is no manifest")?;
    let (found, expected) = (state.last_seq, expect.sequence);
    ensure!(found == expected, "the sequence number is {found}, and {expected} is expected");
    Ok(())
}

/// A file of a newer release is refused by name, and nothing is changed.
fn refuses(twin: &newer::Twin) -> Result<()> {
    let fs: Arc<dyn Fs> = Arc::new(twin.image.to_memory()?);
    for read_only in [true, false] {
        let db = Db::open(DIR, options(&fs).read_only(read_only));
        let error = match db.and_then(|db| Contents::read(&db).map(drop)) {
            Err(error) => error,
            Ok(()) => anyhow::bail!("it was opened and read (read-only: {read_only})"),
        };
        ensure!(error.kind() == twin.kind, "{:?}: {error}", error.kind());
        let said = error.to_string();
        ensure!(said.contains(&twin.file), "the message does not name {}: {said}", twin.file);
        ensure!(said.contains(twin.shows), "the message does not say {}: {said}", twin.shows);
        let changed = twin.image.changed(&*fs, Path::new(DIR))?;
        // A table's footer is met when the table is read, and by then the open is over.
        ensure!(changed.is_none() || twin.in_table, "{}", changed.unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;

    #[test]
    fn every_fixture_is_what_it_was() {
        for fixture in fixture::load_all().unwrap() {
            in_memory(&fixture).with_context(|| fixture.name.clone()).unwrap();
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        for fixture in fixture::load_all().unwrap() {
            for twin in newer::twins(&fixture).unwrap() {
                refuses(&twin).with_context(|| format!("{}: {}", fixture.name, twin.what)).unwrap();
            }
        }
    }

    #[test]
    fn a_fixture_is_never_written_again() {
        let error = fixture::make("plain").unwrap_err().to_string();
        assert!(error.contains("never again"), "{error}");
    }

    #[test]
    fn another_value_is_noticed() {
        let fixture = fixture::load(&fixture::home().join("plain")).unwrap();
        let fs = Arc::new(fixture.image.to_memory().unwrap()) as Arc<dyn Fs>;
        Db::open(DIR, options(&fs)).unwrap().put("key~0001", "another").unwrap();
        let image = Image::read(&*fs, Path::new(DIR)).unwrap();
        let other = Fixture { image, ..fixture };
        assert!(in_memory(&other).is_err());
    }
}
