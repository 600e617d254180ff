//! redb.

use anyhow::{Result, bail};
use kv_benches::seen::Seen;
use kv_benches::store::{Direction, Engine, Session, Settings, Store};
use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition, WriteTransaction,
};
use std::ops::Bound;
use std::path::Path;
use std::sync::{RwLock, RwLockReadGuard};

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;
type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;

const TABLE: Definition = TableDefinition::new("default");

pub(crate) struct Redb;

impl Engine for Redb {
    fn name(&self) -> &str {
        "redb"
    }

    fn version(&self) -> String {
        "4.5.0".to_owned()
    }

    fn options(&self, settings: &Settings) -> String {
        let durability = if settings.sync { "Immediate" } else { "None" };
        format!(
            "durability {durability}, cache_size {}, all else default; one read transaction and table \
             for each thread until it must see newer writes, one write transaction for each write",
            settings.cache_bytes
        )
    }

    fn open(&self, dir: &Path, settings: &Settings) -> Result<Box<dyn Store>> {
        std::fs::create_dir_all(dir)?;
        let mut builder = Database::builder();
        builder.set_cache_size(settings.cache_bytes as usize);
        let db = builder.create(dir.join("redb"))?;
        let transaction = db.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(Box::new(RedbStore { db: RwLock::new(db), sync: settings.sync }))
    }
}

struct RedbStore {
    /// Compaction wants it alone.
    db: RwLock<Database>,
    sync: bool,
}

impl RedbStore {
    fn db(&self) -> Result<RwLockReadGuard<'_, Database>> {
        self.db.read().or_else(|_| bail!("a thread panicked"))
    }
}

impl Store for RedbStore {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(RedbSession { db: self.db()?, sync: self.sync, table: None }))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// What was put off is the commit that makes everything durable, and frees pages.
    fn settle(&self) -> Result<()> {
        Ok(self.db()?.begin_write()?.commit()?)
    }

    fn compact(&self) -> Result<()> {
        let Ok(mut db) = self.db.write() else { bail!("a thread panicked") };
        while db.compact()? {}
        Ok(())
    }

    fn bytes_written(&self) -> Option<u64> {
        None
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.settle()?;
        let Ok(db) = self.db.into_inner() else { bail!("a thread panicked") };
        Ok(db.close()?)
    }
}

struct RedbSession<'a> {
    db: RwLockReadGuard<'a, Database>,
    sync: bool,
    /// Of a read transaction that is kept until the next refresh.
    table: Option<Table>,
}

impl RedbSession<'_> {
    fn write(&self) -> Result<WriteTransaction> {
        let mut transaction = self.db.begin_write()?;
        if !self.sync {
            transaction.set_durability(Durability::None)?;
        }
        Ok(transaction)
    }

    fn table(&mut self) -> Result<&Table> {
        if self.table.is_none() {
            self.table = Some(self.db.begin_read()?.open_table(TABLE)?);
        }
        match &self.table {
            Some(table) => Ok(table),
            None => bail!("there is no table"),
        }
    }
}

impl Session for RedbSession<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let transaction = self.write()?;
        transaction.open_table(TABLE)?.insert(key, value)?;
        Ok(transaction.commit()?)
    }

    fn put_batch(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<()> {
        let transaction = self.write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in pairs {
                table.insert(*key, *value)?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        let transaction = self.write()?;
        transaction.open_table(TABLE)?.remove(key)?;
        Ok(transaction.commit()?)
    }

    fn delete_range(&mut self, start: &[u8], end: &[u8]) -> Result<()> {
        let transaction = self.write()?;
        transaction.open_table(TABLE)?.retain_in(start..end, |_, _| false)?;
        Ok(transaction.commit()?)
    }

    fn get(&mut self, key: &[u8], seen: &mut Seen) -> Result<bool> {
        let value = self.table()?.get(key)?;
        if let Some(value) = &value {
            seen.add(key, value.value());
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
        let bound = from.map_or(Bound::Unbounded, Bound::Included);
        let table = self.table()?;
        let mut entries = match direction {
            Direction::Forward => table.range::<&[u8]>((bound, Bound::Unbounded))?,
            Direction::Backward => table.range::<&[u8]>((Bound::Unbounded, bound))?,
        };
        let mut count = 0;
        while count < limit {
            let next = match direction {
                Direction::Forward => entries.next(),
                Direction::Backward => entries.next_back(),
            };
            let Some(entry) = next else { break };
            let (key, value) = entry?;
            seen.add(key.value(), value.value());
            count += 1;
        }
        Ok(count)
    }

    fn refresh(&mut self) -> Result<()> {
        self.table = None;
        Ok(())
    }
}
