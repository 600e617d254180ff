//! sled: two trees; batches are transactions over both; a synced write is followed by a flush.

use anyhow::{Result, anyhow};
use kv_crashtest::torture::{Change, Engine, Place, Store};
use sled::Transactional;
use sled::transaction::{ConflictableTransactionError, TransactionError};
use std::path::Path;

pub(crate) struct Sled;

struct Open {
    db: sled::Db,
    trees: [sled::Tree; 2],
}

impl Engine for Sled {
    fn open(&self, dir: &Path, _draw: u64) -> Result<Box<dyn Store>> {
        let db = sled::Config::new()
            .path(dir)
            .mode(sled::Mode::HighThroughput)
            .flush_every_ms(None)
            .open()?;
        let trees = [db.open_tree("first")?, db.open_tree("second")?];
        Ok(Box::new(Open { db, trees }))
    }
}

impl Open {
    fn tree(&self, place: &Place) -> &sled::Tree {
        if place.0 == 0 { &self.trees[0] } else { &self.trees[1] }
    }

    fn flush(&self, sync: bool) -> Result<()> {
        if sync {
            self.db.flush()?;
        }
        Ok(())
    }
}

impl Store for Open {
    fn put(&self, place: &Place, value: &[u8], sync: bool) -> Result<()> {
        self.tree(place).insert(&place.1, value)?;
        self.flush(sync)
    }

    fn delete(&self, place: &Place, sync: bool) -> Result<()> {
        self.tree(place).remove(&place.1)?;
        self.flush(sync)
    }

    fn batch(&self, changes: &[Change], sync: bool) -> Result<()> {
        let done = (&self.trees[0], &self.trees[1]).transaction(|(first, second)| {
            for change in changes {
                let tree = if change.place.0 == 0 { first } else { second };
                match &change.value {
                    Some(value) => tree.insert(&change.place.1[..], &value[..])?,
                    None => tree.remove(&change.place.1[..])?,
                };
            }
            Ok::<(), ConflictableTransactionError<()>>(())
        });
        match done {
            Ok(()) => self.flush(sync),
            Err(TransactionError::Storage(error)) => Err(error.into()),
            Err(TransactionError::Abort(())) => Err(anyhow!("a transaction gave up")),
        }
    }

    fn scan(&self, each: &mut dyn FnMut(Place, &[u8])) -> Result<()> {
        for (number, tree) in (0..).zip(&self.trees) {
            for pair in tree.iter() {
                let (key, value) = pair?;
                each((number, key.to_vec()), &value);
            }
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.flush(true)
    }
}
