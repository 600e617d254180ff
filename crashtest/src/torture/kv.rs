//! This engine behind the adapter.

use crate::torture::draw::Draw;
use crate::torture::model::Change;
use crate::torture::store::{Engine, Place, Store};
use anyhow::{Result, bail, ensure};
use kv_engine::{Compression, Db, Durability, Keyspace, Options, WriteBatch};
use kv_manifest::FileName;
use kv_vfs::Fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// This engine, on a given file system.
#[derive(Debug)]
pub struct Kv {
    /// What it reads and writes through.
    pub file_system: Arc<dyn Fs>,
}

impl Engine for Kv {
    fn open(&self, dir: &Path, draw: u64) -> Result<Box<dyn Store>> {
        let mut draw = Draw::new(&[draw]);
        let compression = [Compression::None, Compression::Lz4, Compression::Snappy];
        let compression = compression.get(draw.below(3) as usize).copied();
        let synced = draw.chance(50);
        let options = Options::default()
            .file_system(Arc::clone(&self.file_system))
            .sync_on_write(synced)
            .write_buffer(4096 << draw.below(6))
            .memory_budget(1 << (20 + draw.below(4)))
            .table_size(1024 << draw.below(8))
            .block_size(256 << draw.below(6))
            .wal_limit(16_384 << draw.below(8))
            .level0_runs(1 + draw.below(6) as usize)
            .bloom_bits(if draw.chance(20) { 0.0 } else { 10.0 })
            .max_open_files(if draw.chance(30) { 4 } else { 64 })
            .background_threads(1 + draw.below(3) as usize)
            .mmap_reads(draw.chance(15))
            .compression(compression.unwrap_or(Compression::None));
        let db = Db::open(dir, options)?;
        let spaces = [db.keyspace("")?, db.keyspace("second")?];
        Ok(Box::new(KvStore { db, spaces, synced }))
    }
}

struct KvStore {
    db: Db,
    spaces: [Keyspace; 2],
    /// What a write does that does not say.
    synced: bool,
}

impl KvStore {
    fn space(&self, place: &Place) -> &Keyspace {
        if place.0 == 0 { &self.spaces[0] } else { &self.spaces[1] }
    }
}

impl Store for KvStore {
    fn put(&self, place: &Place, value: &[u8], sync: bool) -> Result<()> {
        if sync == self.synced {
            return Ok(self.space(place).put(&place.1, value)?);
        }
        let mut batch = WriteBatch::new();
        batch.within(self.space(place)).put(&place.1, value);
        Ok(self.db.write_with(batch, durability(sync))?)
    }

    fn delete(&self, place: &Place, sync: bool) -> Result<()> {
        if sync == self.synced {
            return Ok(self.space(place).delete(&place.1)?);
        }
        let mut batch = WriteBatch::new();
        batch.within(self.space(place)).delete(&place.1);
        Ok(self.db.write_with(batch, durability(sync))?)
    }

    fn batch(&self, changes: &[Change], sync: bool) -> Result<()> {
        let mut batch = WriteBatch::new();
        for Change { place, value, .. } in changes {
            let batch = batch.within(self.space(place));
            match value {
                Some(value) => batch.put(&place.1, value),
                None => batch.delete(&place.1),
            }
        }
        Ok(self.db.write_with(batch, durability(sync))?)
    }

    fn scan(&self, each: &mut dyn FnMut(Place, &[u8])) -> Result<()> {
        for (number, space) in (0..).zip(&self.spaces) {
            for pair in space.iter() {
                let (key, value) = pair?;
                // What the scan shows, a look-up shows too.
                ensure!(space.get(&key)?.as_ref() == Some(&value), "get and scan differ");
                each((number, key.to_vec()), &value);
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<bool> {
        self.db.sync()?;
        Ok(true)
    }

    fn maintain(&self, draw: u64) -> Result<bool> {
        match draw % 3 {
            0 => self.db.compact()?,
            _ => self.db.flush()?,
        }
        // Either leaves nothing that was acknowledged outside the tables.
        Ok(true)
    }

    fn verify(&self, dir: &Path) -> Result<()> {
        let report = self.db.verify()?;
        ensure!(report.is_ok(), "{report}");
        for round in 0.. {
            let left = strangers(dir)?;
            match left.first() {
                None => break,
                // One may be in use just now; then it soon goes.
                Some(_) if round < 20 => std::thread::sleep(Duration::from_millis(10)),
                Some(name) => bail!("{name} was left in the directory"),
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        let KvStore { db, spaces, .. } = *self;
        drop(spaces);
        Ok(db.close()?)
    }
}

fn durability(sync: bool) -> Durability {
    if sync { Durability::Sync } else { Durability::Os }
}

/// Files that do not belong to a store at rest.
fn strangers(dir: &Path) -> Result<Vec<String>> {
    let mut strangers = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(FileName::Log(_)) = name.strip_suffix(".cut").and_then(FileName::parse) {
            // The end of a log that recovery did not understand, and keeps.
            continue;
        }
        if matches!(FileName::parse(&name), None | Some(FileName::Temp)) {
            strangers.push(name);
        }
    }
    Ok(strangers)
}
