//! RocksDB: two column families, flushed together; a synced write is `WriteOptions::sync`. The log is
//! recovered to a point in time, its default.

use anyhow::{Context, Result};
use kv_crashtest::torture::{Change, Engine, Place, Store};
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBRecoveryMode, IteratorMode, Options, WriteBatch,
    WriteOptions,
};
use std::path::Path;

const FAMILIES: [&str; 2] = ["first", "second"];

pub(crate) struct Rocks;

struct Open {
    db: DB,
}

impl Engine for Rocks {
    fn open(&self, dir: &Path, _draw: u64) -> Result<Box<dyn Store>> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_atomic_flush(true);
        options.set_paranoid_checks(true);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        let families = FAMILIES.map(|name| {
            let mut options = Options::default();
            options.set_write_buffer_size(256 << 10);
            ColumnFamilyDescriptor::new(name, options)
        });
        let db = DB::open_cf_descriptors(&options, dir, families)?;
        Ok(Box::new(Open { db }))
    }
}

fn durability(sync: bool) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(sync);
    options
}

impl Open {
    fn family(&self, number: u8) -> Result<&ColumnFamily> {
        let name = if number == 0 { FAMILIES[0] } else { FAMILIES[1] };
        self.db.cf_handle(name).context("a column family is missing")
    }
}

impl Store for Open {
    fn put(&self, place: &Place, value: &[u8], sync: bool) -> Result<()> {
        Ok(self.db.put_cf_opt(self.family(place.0)?, &place.1, value, &durability(sync))?)
    }

    fn delete(&self, place: &Place, sync: bool) -> Result<()> {
        Ok(self.db.delete_cf_opt(self.family(place.0)?, &place.1, &durability(sync))?)
    }

    fn batch(&self, changes: &[Change], sync: bool) -> Result<()> {
        let mut batch = WriteBatch::default();
        for change in changes {
            let family = self.family(change.place.0)?;
            match &change.value {
                Some(value) => batch.put_cf(family, &change.place.1, value),
                None => batch.delete_cf(family, &change.place.1),
            }
        }
        Ok(self.db.write_opt(batch, &durability(sync))?)
    }

    fn scan(&self, each: &mut dyn FnMut(Place, &[u8])) -> Result<()> {
        for number in 0..2 {
            for pair in self.db.iterator_cf(self.family(number)?, IteratorMode::Start) {
                let (key, value) = pair?;
                each((number, key.to_vec()), &value);
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<bool> {
        self.db.flush_wal(true)?;
        Ok(true)
    }

    fn maintain(&self, draw: u64) -> Result<bool> {
        let families = [self.family(0)?, self.family(1)?];
        match draw % 3 {
            0 => families.into_iter().for_each(|family| {
                self.db.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
            }),
            _ => families.into_iter().try_for_each(|family| self.db.flush_cf(family))?,
        }
        Ok(false)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.db.cancel_all_background_work(true);
        Ok(())
    }
}
