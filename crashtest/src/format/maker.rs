//! A store in the making: every write goes to the engine and to the model beside it.

use super::expect::Expect;
use crate::contents::Contents;
use crate::image::{DIR, Image, Kind};
use crate::jobs;
use anyhow::{Context, Result, bail};
use kv_engine::{Db, Durability, Keyspace, Options, WriteBatch};
use kv_manifest::Manifest;
use kv_vfs::{Fault, FaultFs, Fs, ManualClock, MemFs, OpKind};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longer than any fixture will be read: a hundred years.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A finished store: its files and what they must hold.
pub(crate) struct Made {
    pub(crate) image: Image,
    pub(crate) expect: Expect,
    /// The files as they were at earlier moments, oldest first.
    pub(crate) earlier: Vec<Image>,
}

/// Makes a store write by write.
pub(crate) struct Maker {
    note: &'static str,
    memory: MemFs,
    clock: Arc<ManualClock>,
    faults: FaultFs,
    options: Options,
    db: Option<Db>,
    contents: Contents,
    states: Vec<u64>,
    /// Indices in `states` of what is durable, and of what a record says to be durable.
    synced: usize,
    proven: usize,
    earlier: Vec<Image>,
}

impl Maker {
    pub(crate) fn new(note: &'static str, options: Options) -> Result<Maker> {
        Maker::with(note, options, true)
    }

    /// On a file system that cannot reserve space, so that files end with what was written.
    pub(crate) fn unreserved(note: &'static str, options: Options) -> Result<Maker> {
        Maker::with(note, options, false)
    }

    fn with(note: &'static str, options: Options, reserves: bool) -> Result<Maker> {
        let clock = Arc::new(ManualClock::new());
        let memory = MemFs::with_clock(Arc::clone(&clock) as _);
        let faults = FaultFs::new(Arc::new(memory.clone()));
        if !reserves {
            faults.arm(Fault::new(OpKind::Allocate, std::io::ErrorKind::Unsupported));
        }
        let contents = Contents::default();
        let mut maker = Maker {
            note,
            memory,
            clock,
            faults: faults.clone(),
            options: options.file_system(Arc::new(faults)),
            db: None,
            states: vec![contents.digest()],
            contents,
            synced: 0,
            proven: 0,
            earlier: Vec::new(),
        };
        maker.open()?;
        Ok(maker)
    }

    fn open(&mut self) -> Result<()> {
        self.db = Some(Db::open(DIR, self.options.clone())?);
        Ok(())
    }

    fn db(&self) -> Result<&Db> {
        self.db.as_ref().context("the store is closed")
    }

    fn space(&mut self, name: &str) -> Result<Keyspace> {
        let space = self.db()?.keyspace(name)?;
        if !self.contents.spaces.contains_key(name) {
            self.contents.spaces.insert(name.to_owned(), Default::default());
            self.wrote(true);
        }
        Ok(space)
    }

    /// Notes a write that was acknowledged: its record says how far the log was durable before.
    fn wrote(&mut self, synced: bool) {
        self.proven = self.synced;
        self.states.push(self.contents.digest());
        if synced {
            self.synced = self.states.len() - 1;
        }
    }

    /// Writes the pairs in one batch; without a value it deletes.
    pub(crate) fn write(
        &mut self,
        space: &str,
        pairs: &[(Vec<u8>, Option<Vec<u8>>)],
        durability: Durability,
    ) -> Result<()> {
        let keyspace = self.space(space)?;
        let mut batch = WriteBatch::new();
        let model = self.contents.spaces.entry(space.to_owned()).or_default();
        for (key, value) in pairs {
            match value {
                Some(value) => {
                    batch.put(key, value);
                    model.insert(key.clone(), value.clone());
                }
                None => {
                    batch.delete(key);
                    model.remove(key);
                }
            }
        }
        keyspace.write_with(batch, durability)?;
        self.wrote(durability == Durability::Sync);
        Ok(())
    }

    pub(crate) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<()> {
        self.write("", &[(key, Some(value))], Durability::Sync)
    }

    pub(crate) fn put_unsynced(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<()> {
        self.write("", &[(key, Some(value))], Durability::Os)
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) -> Result<()> {
        self.write("", &[(key, None)], Durability::Sync)
    }

    pub(crate) fn delete_range(&mut self, range: Range<Vec<u8>>) -> Result<()> {
        self.db()?.delete_range(range.clone())?;
        let pairs = self.contents.spaces.entry(String::new()).or_default();
        pairs.retain(|key, _| !range.contains(key));
        self.wrote(true);
        Ok(())
    }

    /// Puts a pair that expires. One that is gone before anyone reads the fixture is in no model.
    pub(crate) fn put_expiring(&mut self, key: &[u8], value: &[u8], lasts: bool) -> Result<()> {
        let ttl = if lasts { FOR_EVER } else { Duration::from_secs(1) };
        self.db()?.put_with_ttl(key, value, ttl)?;
        let pairs = self.contents.spaces.entry(String::new()).or_default();
        pairs.remove(key);
        if lasts {
            pairs.insert(key.to_vec(), value.to_vec());
        }
        self.wrote(true);
        Ok(())
    }

    pub(crate) fn drop_space(&mut self, name: &str) -> Result<()> {
        self.db()?.drop_keyspace(name)?;
        self.contents.spaces.remove(name);
        self.wrote(true);
        Ok(())
    }

    /// Everything is in tables now, and the logs that are needed hold nothing.
    fn in_tables(&mut self) {
        self.states = vec![self.contents.digest()];
        (self.synced, self.proven) = (0, 0);
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        self.db()?.flush()?;
        self.in_tables();
        Ok(())
    }

    pub(crate) fn compact(&mut self) -> Result<()> {
        self.db()?.compact()?;
        self.in_tables();
        Ok(())
    }

    /// Makes all unsynced writes durable; no record says so yet.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.db()?.sync()?;
        self.synced = self.states.len() - 1;
        Ok(())
    }

    /// Closes and opens again.
    pub(crate) fn reopen(&mut self) -> Result<()> {
        self.db.take().context("the store is closed")?.close()?;
        self.in_tables();
        self.open()
    }

    /// From now on no table can be made, so that memtables wait and logs pile up.
    pub(crate) fn hold_flushes(&self) {
        let full = Fault::new(OpKind::Create, std::io::ErrorKind::StorageFull);
        self.faults.arm(full.on(".sst"));
    }

    /// Keeps a copy of the files as they are now.
    pub(crate) fn remember(&mut self) -> Result<()> {
        self.earlier.push(Image::read(&self.memory, Path::new(DIR))?);
        Ok(())
    }

    /// How many logs there are that something was written to.
    pub(crate) fn logs(&self) -> Result<usize> {
        let image = Image::read(&self.memory, Path::new(DIR))?;
        let written = |bytes: &[u8]| bytes.iter().any(|byte| *byte != 0);
        let logs = image.files.iter().filter(|(name, _)| Kind::of(name) == Kind::Log);
        Ok(logs.filter(|(_, bytes)| written(bytes)).count())
    }

    /// Waits until the logs that are in tables are gone.
    pub(crate) fn quiet(&self) -> Result<()> {
        for _ in 0..1000 {
            if self.logs()? <= 1 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("the logs that are in tables stay")
    }

    /// The name of the manifest.
    pub(crate) fn manifest(&self) -> Result<String> {
        let image = Image::read(&self.memory, Path::new(DIR))?;
        let name = image.files.into_keys().find(|name| Kind::of(name) == Kind::Manifest);
        name.context("there is no manifest")
    }

    /// The files as a kill leaves them that comes while no table is being written.
    pub(crate) fn killed(self) -> Result<Made> {
        jobs::settle(self.db.as_ref().context("the store is closed")?);
        let left = self.memory.crash_with(&mut |_| true);
        self.finish(&left, false)
    }

    /// The files as an orderly end leaves them.
    pub(crate) fn closed(mut self) -> Result<Made> {
        self.db.take().context("the store is closed")?.close()?;
        self.in_tables();
        let left = self.memory.crash();
        self.finish(&left, true)
    }

    fn finish(self, left: &MemFs, clean: bool) -> Result<Made> {
        // Nobody reads it before these moments have passed.
        self.clock.advance(Duration::from_secs(10));
        let image = Image::read(left, Path::new(DIR))?;
        let mut expect = Expect::new(self.note, &self.contents, &image);
        expect.clean = clean;
        expect.states = self.states;
        expect.proven = self.proven;
        expect.sequence = sequence(&image)?;
        Ok(Made { image, expect, earlier: self.earlier })
    }
}

/// The newest sequence number of the store in `image`: what the manifest says once it was opened.
pub(crate) fn sequence(image: &Image) -> Result<u64> {
    let fs = Arc::new(image.to_memory()?);
    let options = Options::default().file_system(Arc::clone(&fs) as Arc<dyn Fs>);
    drop(Db::open(DIR, options.background_threads(1))?);
    let state = Manifest::read(&*fs, Path::new(DIR))?.context("there is no manifest")?;
    Ok(state.last_seq)
}
