//! This project's own engine, for the driver.

use crate::seen::Seen;
use crate::store::{Direction, Engine, Session, Settings, Store};
use anyhow::{Context, Result};
use kv_engine::{Cursor, Db, ErrorKind, Options, WriteBatch};
use std::path::Path;
use std::time::Duration;

/// The engine of this project.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kv;

/// The store keeps up to three memtables, and lets them have half of the budget at most.
fn write_buffer(settings: &Settings) -> u64 {
    settings.write_buffer_bytes.min(settings.cache_bytes / 3).max(16 << 10)
}

fn options(settings: &Settings) -> Options {
    let write_buffer = write_buffer(settings);
    Options::default()
        .sync_on_write(settings.sync)
        .write_buffer(write_buffer)
        .memory_budget(settings.cache_bytes + 3 * write_buffer)
        .wal_limit(settings.log_limit_bytes)
}

impl Engine for Kv {
    fn name(&self) -> &str {
        "kv"
    }

    fn version(&self) -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    fn options(&self, settings: &Settings) -> String {
        let write_buffer = write_buffer(settings);
        format!(
            "sync_on_write {}, write_buffer {write_buffer}, memory_budget {}, wal_limit {}, all else default",
            settings.sync,
            settings.cache_bytes + 3 * write_buffer,
            settings.log_limit_bytes
        )
    }

    fn open(&self, dir: &Path, settings: &Settings) -> Result<Box<dyn Store>> {
        Ok(Box::new(KvStore { db: Db::open(dir, options(settings))? }))
    }
}

/// The engine of this project, whose stores are shown to somebody who wants to look at them.
pub struct Shown<F>(
    /// Called with each store that is opened.
    pub F,
);

impl<F: Fn(&Db) + Sync> Engine for Shown<F> {
    fn name(&self) -> &str {
        Kv.name()
    }

    fn version(&self) -> String {
        Kv.version()
    }

    fn options(&self, settings: &Settings) -> String {
        Kv.options(settings)
    }

    fn open(&self, dir: &Path, settings: &Settings) -> Result<Box<dyn Store>> {
        let db = Db::open(dir, options(settings))?;
        (self.0)(&db);
        Ok(Box::new(KvStore { db }))
    }
}

struct KvStore {
    db: Db,
}

impl KvStore {
    /// One figure of the store's own statistics.
    fn figure(&self, name: &str) -> Option<u64> {
        let text = self.db.stats().prometheus();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.parse().ok()
    }
}

impl Store for KvStore {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(KvSession { db: &self.db, cursor: None, batch_bytes: 0 }))
    }

    fn flush(&self) -> Result<()> {
        Ok(self.db.flush()?)
    }

    /// A background thread takes the next job at once when there is one, so that two looks which
    /// find none under way, with time between them to take one, mean that none is left.
    fn settle(&self) -> Result<()> {
        let mut quiet = 0;
        while quiet < 2 {
            let running = self.figure("kv_running_jobs").context("no figure of running jobs")?;
            quiet = if running == 0 { quiet + 1 } else { 0 };
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn compact(&self) -> Result<()> {
        Ok(self.db.compact()?)
    }

    fn bytes_written(&self) -> Option<u64> {
        Some(
            self.figure("kv_log_bytes_total")?
                + self.figure("kv_flush_bytes_total")?
                + self.figure("kv_compaction_write_bytes_total")?,
        )
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.db.close()?)
    }
}

struct KvSession<'a> {
    db: &'a Db,
    /// Kept until the next refresh.
    cursor: Option<Cursor>,
    /// The size of the last batch: the next one is made with that capacity.
    batch_bytes: usize,
}

impl Session for KvSession<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.db.put(key, value)?)
    }

    fn put_batch(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<()> {
        let mut batch = WriteBatch::with_capacity(self.batch_bytes);
        self.batch_bytes = 0;
        for (key, value) in pairs {
            batch.put(key, value);
            self.batch_bytes += key.len() + value.len() + 12;
        }
        Ok(self.db.write(batch)?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        Ok(self.db.delete(key)?)
    }

    fn delete_range(&mut self, start: &[u8], end: &[u8]) -> Result<()> {
        Ok(self.db.delete_range(start..end)?)
    }

    fn get(&mut self, key: &[u8], seen: &mut Seen) -> Result<bool> {
        let value = self.db.get(key)?;
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
        let cursor = self.cursor.get_or_insert_with(|| self.db.cursor());
        match (from, direction) {
            (Some(key), Direction::Forward) => cursor.seek(key)?,
            (Some(key), Direction::Backward) => cursor.seek_for_prev(key)?,
            (None, Direction::Forward) => cursor.first()?,
            (None, Direction::Backward) => cursor.last()?,
        }
        let mut count = 0;
        while count < limit && cursor.valid() {
            seen.add(cursor.key(), cursor.value());
            count += 1;
            if count == limit {
                break;
            }
            match direction {
                Direction::Forward => cursor.next()?,
                Direction::Backward => cursor.prev()?,
            }
        }
        Ok(count)
    }

    fn update(&mut self, pairs: &[(&[u8], &[u8])], seen: &mut Seen) -> Result<bool> {
        let mut tx = self.db.transaction();
        for (key, value) in pairs {
            if let Some(held) = tx.get(key)? {
                seen.add(key, &held);
            }
            tx.put(key, value);
        }
        match tx.commit() {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn refresh(&mut self) -> Result<()> {
        self.cursor = None;
        Ok(())
    }
}
