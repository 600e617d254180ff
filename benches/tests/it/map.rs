//! An engine over a map in memory.

use anyhow::{Result, bail};
use kv_benches::seen::Seen;
use kv_benches::store::{Direction, Engine, Session, Settings, Store};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    LosesPuts,
    MixesValues,
    ForgetsDeletes,
    CutsScans,
    FindsAll,
    Fails,
}

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// What it holds outlives its stores, as files would.
pub(crate) struct Map {
    lie: Option<Lie>,
    entries: Arc<Mutex<Entries>>,
}

impl Map {
    pub(crate) fn new(lie: Option<Lie>) -> Map {
        Map { lie, entries: Arc::default() }
    }
}

impl Engine for Map {
    fn name(&self) -> &str {
        "map"
    }

    fn version(&self) -> String {
        "1".to_owned()
    }

    fn options(&self, _: &Settings) -> String {
        String::new()
    }

    fn open(&self, dir: &Path, _: &Settings) -> Result<Box<dyn Store>> {
        let is_new = !dir.exists();
        std::fs::create_dir_all(dir)?;
        if is_new {
            self.entries.lock().unwrap().clear();
        }
        Ok(Box::new(MapStore { lie: self.lie, entries: Arc::clone(&self.entries) }))
    }
}

struct MapStore {
    lie: Option<Lie>,
    entries: Arc<Mutex<Entries>>,
}

impl Store for MapStore {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(MapSession { store: self, puts: 0 }))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn compact(&self) -> Result<()> {
        Ok(())
    }

    fn bytes_written(&self) -> Option<u64> {
        None
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct MapSession<'a> {
    store: &'a MapStore,
    puts: u64,
}

impl MapSession<'_> {
    fn lies(&self, lie: Lie) -> bool {
        self.store.lie == Some(lie)
    }
}

impl Session for MapSession<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.puts += 1;
        if self.lies(Lie::Fails) && self.puts == 500 {
            bail!("the engine fails");
        }
        if self.lies(Lie::LosesPuts) && self.puts % 100 == 50 {
            return Ok(());
        }
        let value = if self.lies(Lie::MixesValues) { vec![0; value.len()] } else { value.to_vec() };
        self.store.entries.lock().unwrap().insert(key.to_vec(), value);
        Ok(())
    }

    fn put_batch(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<()> {
        pairs.iter().try_for_each(|(key, value)| self.put(key, value))
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        if !self.lies(Lie::ForgetsDeletes) {
            self.store.entries.lock().unwrap().remove(key);
        }
        Ok(())
    }

    fn delete_range(&mut self, start: &[u8], end: &[u8]) -> Result<()> {
        if !self.lies(Lie::ForgetsDeletes) {
            self.store.entries.lock().unwrap().retain(|key, _| &key[..] < start || &key[..] >= end);
        }
        Ok(())
    }

    fn get(&mut self, key: &[u8], seen: &mut Seen) -> Result<bool> {
        let entries = self.store.entries.lock().unwrap();
        if let Some(value) = entries.get(key) {
            seen.add(key, value);
            return Ok(true);
        }
        Ok(self.lies(Lie::FindsAll))
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        direction: Direction,
        limit: u64,
        seen: &mut Seen,
    ) -> Result<u64> {
        let limit = if self.lies(Lie::CutsScans) { limit.min(1000) - 1 } else { limit };
        let entries = self.store.entries.lock().unwrap();
        let bound = from.map_or(Bound::Unbounded, Bound::Included);
        let mut count = 0;
        let mut show = |(key, value): (&Vec<u8>, &Vec<u8>)| {
            seen.add(key, value);
            count += 1;
        };
        let limit = usize::try_from(limit)?;
        match direction {
            Direction::Forward => {
                let range = entries.range::<[u8], _>((bound, Bound::Unbounded));
                range.take(limit).for_each(&mut show);
            }
            Direction::Backward => {
                let range = entries.range::<[u8], _>((Bound::Unbounded, bound));
                range.rev().take(limit).for_each(&mut show);
            }
        }
        Ok(count)
    }

    fn update(&mut self, pairs: &[(&[u8], &[u8])], seen: &mut Seen) -> Result<bool> {
        // One lock over all of it: nobody comes between.
        let mut entries = self.store.entries.lock().unwrap();
        for (key, value) in pairs {
            if let Some(old) = entries.get(*key) {
                seen.add(key, old);
            }
            entries.insert(key.to_vec(), value.to_vec());
        }
        Ok(true)
    }

    fn refresh(&mut self) -> Result<()> {
        Ok(())
    }
}
