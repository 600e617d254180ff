//! fjall.

use crate::transactions::{OnlyUpdates, Update};
use anyhow::Result;
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, OptimisticTxDatabase, OptimisticTxKeyspace,
    PersistMode, Readable,
};
use kv_benches::seen::Seen;
use kv_benches::store::{Direction, Engine, Session, Settings, Store};
use std::ops::Bound;
use std::path::Path;
use std::time::Duration;

pub(crate) struct Fjall;

impl Engine for Fjall {
    fn name(&self) -> &str {
        "fjall"
    }

    fn version(&self) -> String {
        "3.1.13".to_owned()
    }

    fn options(&self, settings: &Settings) -> String {
        let persist = if settings.sync { "SyncData after each write" } else { "Buffer (default)" };
        format!(
            "persist mode {persist}, max_memtable_size {}, cache_size {}, max_journaling_size {}, all \
             else default: 2 workers, LZ4 from level 2 on, filters of 10 bits, and more in level 0",
            settings.write_buffer_bytes,
            settings.cache_bytes,
            journal(settings)
        )
    }

    fn open(&self, dir: &Path, settings: &Settings) -> Result<Box<dyn Store>> {
        let memtable = settings.write_buffer_bytes;
        let create = || KeyspaceCreateOptions::default().max_memtable_size(memtable);
        if settings.transactions {
            let db = OptimisticTxDatabase::builder(dir)
                .cache_size(settings.cache_bytes)
                .max_journaling_size(journal(settings))
                .open()?;
            let keyspace = db.keyspace("default", create)?;
            return Ok(Box::new(Transactions { db, keyspace, sync: settings.sync }));
        }
        let db = Database::builder(dir)
            .cache_size(settings.cache_bytes)
            .max_journaling_size(journal(settings))
            .open()?;
        let keyspace = db.keyspace("default", create)?;
        Ok(Box::new(FjallStore { db, keyspace, sync: settings.sync }))
    }
}

/// It wants room for several of its journals, which are longer than the memtables.
fn journal(settings: &Settings) -> u64 {
    settings.log_limit_bytes.max(512 << 20)
}

/// It has no call for this; two looks at its counters that find nothing under way.
fn settle(db: &Database) {
    let mut quiet = 0;
    while quiet < 2 {
        let busy = db.outstanding_flushes() > 0 || db.active_compactions() > 0;
        quiet = if busy { 0 } else { quiet + 1 };
        std::thread::sleep(Duration::from_millis(10));
    }
}

struct FjallStore {
    db: Database,
    keyspace: Keyspace,
    sync: bool,
}

impl Store for FjallStore {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(FjallSession { store: self }))
    }

    fn flush(&self) -> Result<()> {
        Ok(self.keyspace.rotate_memtable_and_wait()?)
    }

    fn settle(&self) -> Result<()> {
        settle(&self.db);
        Ok(())
    }

    fn compact(&self) -> Result<()> {
        self.flush()?;
        Ok(self.keyspace.major_compact()?)
    }

    fn bytes_written(&self) -> Option<u64> {
        None
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.flush()?;
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }
}

struct FjallSession<'a> {
    store: &'a FjallStore,
}

impl FjallSession<'_> {
    fn written(&self) -> Result<()> {
        if self.store.sync {
            self.store.db.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }
}

impl Session for FjallSession<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.store.keyspace.insert(key, value)?;
        self.written()
    }

    fn put_batch(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<()> {
        let mode = if self.store.sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.store.db.batch().durability(Some(mode));
        for (key, value) in pairs {
            batch.insert(&self.store.keyspace, *key, *value);
        }
        Ok(batch.commit()?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.store.keyspace.remove(key)?;
        self.written()
    }

    /// It has no range deletes: the keys are read, and removed in one batch.
    fn delete_range(&mut self, start: &[u8], end: &[u8]) -> Result<()> {
        let mode = if self.store.sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.store.db.batch().durability(Some(mode));
        for entry in self.store.keyspace.range(start..end) {
            batch.remove(&self.store.keyspace, entry.key()?);
        }
        Ok(batch.commit()?)
    }

    fn get(&mut self, key: &[u8], seen: &mut Seen) -> Result<bool> {
        let value = self.store.keyspace.get(key)?;
        if let Some(value) = &value {
            seen.add(key, value);
        }
        Ok(value.is_some())
    }

    /// Its iterators cannot seek: each scan makes one.
    fn scan(
        &mut self,
        from: Option<&[u8]>,
        direction: Direction,
        limit: u64,
        seen: &mut Seen,
    ) -> Result<u64> {
        let bound = from.map_or(Bound::Unbounded, Bound::Included);
        let mut entries = match direction {
            Direction::Forward => self.store.keyspace.range::<&[u8], _>((bound, Bound::Unbounded)),
            Direction::Backward => self.store.keyspace.range::<&[u8], _>((Bound::Unbounded, bound)),
        };
        let mut count = 0;
        while count < limit {
            let next = match direction {
                Direction::Forward => entries.next(),
                Direction::Backward => entries.next_back(),
            };
            let Some(entry) = next else { break };
            let (key, value) = entry.into_inner()?;
            seen.add(&key, &value);
            count += 1;
        }
        Ok(count)
    }

    fn refresh(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Its database of optimistic transactions, which are serializable.
struct Transactions {
    db: OptimisticTxDatabase,
    keyspace: OptimisticTxKeyspace,
    sync: bool,
}

impl Store for Transactions {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(OnlyUpdates(Transactor { store: self })))
    }

    fn flush(&self) -> Result<()> {
        Ok(self.keyspace.inner().rotate_memtable_and_wait()?)
    }

    fn settle(&self) -> Result<()> {
        settle(self.db.inner());
        Ok(())
    }

    fn compact(&self) -> Result<()> {
        self.flush()?;
        Ok(self.keyspace.inner().major_compact()?)
    }

    fn bytes_written(&self) -> Option<u64> {
        None
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.flush()?;
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }
}

struct Transactor<'a> {
    store: &'a Transactions,
}

impl Update for Transactor<'_> {
    fn update(&mut self, pairs: &[(&[u8], &[u8])], seen: &mut Seen) -> Result<bool> {
        let mode = if self.store.sync { PersistMode::SyncData } else { PersistMode::Buffer };
        let keyspace = &self.store.keyspace;
        let mut transaction = self.store.db.write_tx()?.durability(Some(mode));
        for (key, value) in pairs {
            if let Some(held) = transaction.get(keyspace, key)? {
                seen.add(key, &held);
            }
            transaction.insert(keyspace, *key, *value);
        }
        Ok(transaction.commit()?.is_ok())
    }
}
