//! redb: two tables in one file; every write is a transaction with immediate durability, because
//! the other kind does not survive a kill.

use anyhow::Result;
use kv_crashtest::torture::{Change, Engine, Place, Store};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;

type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;
const TABLES: [Table; 2] = [TableDefinition::new("first"), TableDefinition::new("second")];

pub(crate) struct Redb;

struct Open {
    db: Database,
}

impl Engine for Redb {
    fn open(&self, dir: &Path, _draw: u64) -> Result<Box<dyn Store>> {
        std::fs::create_dir_all(dir)?;
        let db = Database::create(dir.join("store.redb"))?;
        let begin = db.begin_write()?;
        for table in TABLES {
            begin.open_table(table)?;
        }
        begin.commit()?;
        Ok(Box::new(Open { db }))
    }
}

fn table(place: &Place) -> Table {
    if place.0 == 0 { TABLES[0] } else { TABLES[1] }
}

impl Open {
    fn change(&self, changes: &[(&Place, Option<&[u8]>)]) -> Result<()> {
        let transaction = self.db.begin_write()?;
        for (place, value) in changes {
            let mut table = transaction.open_table(table(place))?;
            match value {
                Some(value) => table.insert(&place.1[..], *value)?,
                None => table.remove(&place.1[..])?,
            };
        }
        Ok(transaction.commit()?)
    }
}

impl Store for Open {
    fn put(&self, place: &Place, value: &[u8], _sync: bool) -> Result<()> {
        self.change(&[(place, Some(value))])
    }

    fn delete(&self, place: &Place, _sync: bool) -> Result<()> {
        self.change(&[(place, None)])
    }

    fn batch(&self, changes: &[Change], _sync: bool) -> Result<()> {
        let changes: Vec<_> = changes.iter().map(|c| (&c.place, c.value.as_deref())).collect();
        self.change(&changes)
    }

    fn scan(&self, each: &mut dyn FnMut(Place, &[u8])) -> Result<()> {
        let transaction = self.db.begin_read()?;
        for (number, table) in (0..).zip(TABLES) {
            for pair in transaction.open_table(table)?.iter()? {
                let (key, value) = pair?;
                each((number, key.value().to_vec()), value.value());
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
