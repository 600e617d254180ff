//! fjall: two keyspaces; a synced write is followed by a persist of everything.

use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use kv_crashtest::torture::{Change, Engine, Place, Store};
use std::path::Path;

pub(crate) struct Fjall;

struct Open {
    db: Database,
    spaces: [Keyspace; 2],
}

impl Engine for Fjall {
    fn open(&self, dir: &Path, _draw: u64) -> Result<Box<dyn Store>> {
        let db = Database::builder(dir).open()?;
        let space = |name| db.keyspace(name, || {
            KeyspaceCreateOptions::default().max_memtable_size(256 << 10)
        });
        let spaces = [space("first")?, space("second")?];
        Ok(Box::new(Open { db, spaces }))
    }
}

impl Open {
    fn space(&self, place: &Place) -> &Keyspace {
        if place.0 == 0 { &self.spaces[0] } else { &self.spaces[1] }
    }

    fn persist(&self, sync: bool) -> Result<()> {
        if sync {
            self.db.persist(PersistMode::SyncAll)?;
        }
        Ok(())
    }
}

impl Store for Open {
    fn put(&self, place: &Place, value: &[u8], sync: bool) -> Result<()> {
        self.space(place).insert(&place.1[..], value)?;
        self.persist(sync)
    }

    fn delete(&self, place: &Place, sync: bool) -> Result<()> {
        self.space(place).remove(&place.1[..])?;
        self.persist(sync)
    }

    fn batch(&self, changes: &[Change], sync: bool) -> Result<()> {
        let mut batch = self.db.batch().durability(sync.then_some(PersistMode::SyncAll));
        for change in changes {
            let space = self.space(&change.place);
            match &change.value {
                Some(value) => batch.insert(space, &change.place.1[..], &value[..]),
                None => batch.remove(space, &change.place.1[..]),
            }
        }
        Ok(batch.commit()?)
    }

    fn scan(&self, each: &mut dyn FnMut(Place, &[u8])) -> Result<()> {
        for (number, space) in (0..).zip(&self.spaces) {
            for pair in space.iter() {
                let (key, value) = pair.into_inner()?;
                each((number, key.to_vec()), &value);
            }
        }
        Ok(())
    }

    fn maintain(&self, draw: u64) -> Result<bool> {
        let space = if draw % 2 == 0 { &self.spaces[0] } else { &self.spaces[1] };
        match draw / 2 % 4 {
            0 => space.major_compact()?,
            _ => space.rotate_memtable_and_wait()?,
        }
        Ok(false)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.persist(true)
    }
}
