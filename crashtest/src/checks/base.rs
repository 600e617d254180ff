//! What the checks share: a small store, its pairs, and counting.

use crate::oracle::DIR;
use crate::settings::Settings;
use anyhow::{Context as _, Result};
use kv_engine::{Db, Iter, Options};
use kv_vfs::{Fs, FsFileExt, MemFs, Mode};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many trials ran and what they violated.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) ran: u64,
    pub(super) violations: Vec<String>,
}

impl Tally {
    pub(super) fn violated(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    /// Counts a trial; a text is what it violated.
    pub(super) fn trial(&mut self, outcome: std::result::Result<(), String>) {
        self.ran += 1;
        if let Err(what) = outcome {
            self.violated(what);
        }
    }
}

pub(super) type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// The least of everything, on this file system.
pub(super) fn options(fs: impl Fs) -> Options {
    Settings::small().options(Arc::new(fs))
}

pub(super) fn open(fs: impl Fs) -> Result<Db> {
    Db::open(DIR, options(fs)).context("a store is opened")
}

pub(super) fn key(n: u64) -> Vec<u8> {
    format!("key{n:06}").into_bytes()
}

/// A value of `len` bytes that its key and round tell from every other, and that does not
/// compress well.
pub(super) fn value(n: u64, round: u64, len: usize) -> Vec<u8> {
    let mut rng = crate::rng::Rng::new(n << 20 | round);
    (0..len.div_ceil(8)).flat_map(|_| rng.next().to_le_bytes()).take(len).collect()
}

/// Writes a pair, and notes it once it was acknowledged.
pub(super) fn put(db: &Db, model: &mut Pairs, n: u64, round: u64, len: usize) -> Result<()> {
    let (key, value) = (key(n), value(n, round, len));
    db.put(&key, &value)?;
    model.insert(key, value);
    Ok(())
}

pub(super) fn collect(iter: Iter) -> Result<Pairs> {
    let pairs = iter.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())));
    Ok(pairs.collect::<kv_engine::Result<_>>()?)
}

/// Whether a store holds exactly these pairs.
pub(super) fn holds(db: &Db, model: &Pairs) -> std::result::Result<(), String> {
    let found = collect(db.iter()).map_err(|e| format!("a scan failed: {e:#}"))?;
    if found == *model {
        return Ok(());
    }
    let missing = model.iter().filter(|(key, _)| !found.contains_key(*key)).count();
    let strange = found.iter().filter(|(key, _)| !model.contains_key(*key)).count();
    let wrong = model.iter().filter(|(k, v)| found.get(*k).is_some_and(|f| f != *v)).count();
    Err(format!("{missing} pairs are missing, {strange} returned, {wrong} have a wrong value"))
}

/// The paths of the store's files that end so, in order.
pub(super) fn files(fs: &MemFs, suffix: &str) -> Result<Vec<PathBuf>> {
    let entries = fs.list(Path::new(DIR))?;
    let named = entries.iter().filter(|entry| entry.name.ends_with(suffix));
    Ok(named.map(|entry| Path::new(DIR).join(&entry.name)).collect())
}

pub(super) fn read(fs: &MemFs, path: &Path) -> Result<Vec<u8>> {
    let file = fs.open(path, Mode::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

pub(super) fn rewrite(fs: &MemFs, path: &Path, bytes: &[u8]) -> Result<()> {
    let file = fs.open(path, Mode::ReadWrite)?;
    file.write_all_at(bytes, 0)?;
    Ok(file.sync_all()?)
}
