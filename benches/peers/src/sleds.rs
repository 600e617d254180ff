//! sled.

use anyhow::Result;
use kv_benches::seen::Seen;
use kv_benches::store::{Direction, Engine, Session, Settings, Store};
use sled::{Batch, Config, Db, Mode};
use std::path::Path;

pub(crate) struct Sled;

impl Engine for Sled {
    fn name(&self) -> &str {
        "sled"
    }

    fn version(&self) -> String {
        "0.34.7".to_owned()
    }

    fn options(&self, settings: &Settings) -> String {
        let flush = if settings.sync { "flush after each write" } else { "flush_every_ms default" };
        format!(
            "{flush}, cache_capacity {}, mode HighThroughput, all else default",
            settings.cache_bytes
        )
    }

    fn open(&self, dir: &Path, settings: &Settings) -> Result<Box<dyn Store>> {
        let config =
            Config::new().path(dir).cache_capacity(settings.cache_bytes).mode(Mode::HighThroughput);
        Ok(Box::new(SledStore { db: config.open()?, sync: settings.sync }))
    }
}

struct SledStore {
    db: Db,
    sync: bool,
}

impl Store for SledStore {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(SledSession { store: self }))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// What it puts off is writing its log.
    fn settle(&self) -> Result<()> {
        self.db.flush()?;
        Ok(())
    }

    fn compact(&self) -> Result<()> {
        self.settle()
    }

    fn bytes_written(&self) -> Option<u64> {
        None
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.settle()
    }
}

struct SledSession<'a> {
    store: &'a SledStore,
}

impl SledSession<'_> {
    fn written(&self) -> Result<()> {
        if self.store.sync {
            self.store.db.flush()?;
        }
        Ok(())
    }
}

impl Session for SledSession<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.store.db.insert(key, value)?;
        self.written()
    }

    fn put_batch(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<()> {
        let mut batch = Batch::default();
        for (key, value) in pairs {
            batch.insert(*key, *value);
        }
        self.store.db.apply_batch(batch)?;
        self.written()
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.store.db.remove(key)?;
        self.written()
    }

    fn delete_range(&mut self, start: &[u8], end: &[u8]) -> Result<()> {
        let mut batch = Batch::default();
        for key in self.store.db.range(start..end).keys() {
            batch.remove(key?);
        }
        self.store.db.apply_batch(batch)?;
        self.written()
    }

    fn get(&mut self, key: &[u8], seen: &mut Seen) -> Result<bool> {
        let value = self.store.db.get(key)?;
        if let Some(value) = &value {
            seen.add(key, value);
        }
        Ok(value.is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        direction: Direction,
        limit: u64,
        seen: &mut Seen,
    ) -> Result<u64> {
        let mut entries = match (from, direction) {
            (None, _) => self.store.db.iter(),
            (Some(key), Direction::Forward) => self.store.db.range(key..),
            (Some(key), Direction::Backward) => self.store.db.range(..=key),
        };
        let mut count = 0;
        while count < limit {
            let next = match direction {
                Direction::Forward => entries.next(),
                Direction::Backward => entries.next_back(),
            };
            let Some(entry) = next else { break };
            let (key, value) = entry?;
            seen.add(&key, &value);
            count += 1;
        }
        Ok(count)
    }

    fn refresh(&mut self) -> Result<()> {
        Ok(())
    }
}
