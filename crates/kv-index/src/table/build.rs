//! Creating an index on a table that is in use, and adding the rows from before.

use super::schema::{
    Declared, Kept, Known, Schema, State, generation_of, index_name, schema_key, state_key,
};
use super::write::{current, is_free_for};
use super::{Table, is_conflict};
use crate::error::{Error, Result};
use crate::index::declare::{IndexSpec, Kind, Row, check_name};
use crate::index::entry::stored;
use kv_engine::{Bytes, Transaction};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// How many rows a transaction of a build goes over, and after how many bytes of them it ends.
const BATCH_ROWS: usize = 256;
const BATCH_BYTES: usize = 4 << 20;

impl Table {
    /// Adds an index to the table, for this handle and its clones. Writes keep it from now on; it
    /// is read once [`Table::build`] has gone over the rows from before, at once where there are
    /// none.
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let table = Table::builder("words").open(&db)?;
    /// table.insert("1", "one")?;
    /// table.create_index(Ordered::new("by_value", |row: Row<'_>, columns| {
    ///     columns.push(row.value);
    ///     Some(())
    /// }))?;
    /// assert!(table.index("by_value").is_err());
    /// table.build("by_value")?;
    /// assert_eq!(table.index("by_value")?.get(b"one").count(), 1);
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn create_index(&self, index: impl Into<IndexSpec>) -> Result<()> {
        let spec = index.into();
        check_name("an index", &spec.name)?;
        let shared = &self.shared;
        let mut kept = shared.kept.write();
        if kept.find(&spec.name).is_ok() {
            let message = format!("the table has an index {:?} already", spec.name);
            return Err(Error::Declaration(message));
        }
        let number = kept.generation + 1;
        let space = shared.db.keyspace(&index_name(&shared.name, &spec.name, number))?;
        let known = Known::of(&spec, number);
        // Not `transact`, which would wait for the lock that is held here.
        let ready = self.transact_once(&mut |tx| {
            let stored = tx.within(&shared.catalog).get(schema_key())?;
            if generation_of(stored.as_deref())? != kept.generation {
                return Err(Error::Outdated);
            }
            let mut schema = Schema::decode(stored.as_deref())?;
            if tx.within(&space).range::<&[u8]>(..).next().transpose()?.is_some() {
                let message = format!("the keyspace {:?} is not empty", space.name());
                return Err(Error::Declaration(message));
            }
            let is_empty = tx.within(&shared.rows).range::<&[u8]>(..).next().transpose()?.is_none();
            let state = if is_empty { State::Ready } else { State::Building(None) };
            schema.generation = number;
            schema.indexes.push(known.clone());
            let tx = tx.within(&shared.catalog);
            tx.put(schema_key(), schema.encode());
            tx.put(state_key(&spec.name, number), state.encode());
            Ok(is_empty)
        })?;
        let declared = Declared { spec, number, space, ready: AtomicBool::new(ready) };
        let indexes = kept.indexes.iter().cloned().chain([Arc::new(declared)]).collect();
        *kept = Arc::new(Kept { generation: number, indexes });
        Ok(())
    }

    /// Adds the rows from before an index was created to it, and makes it ready. The table is in
    /// use meanwhile. It goes over the rows in the order of their primary keys, in transactions of
    /// at most 256 rows that read each row again and note how far they are: after a crash, or any
    /// error, the next call goes on from there. A row that a writer changes meanwhile is that
    /// writer's to add.
    ///
    /// Where two rows have the same columns in a unique index the answer is [`Error::Duplicate`];
    /// the index goes on being kept. Change one of the rows and build on, or drop the index. Until
    /// an index is built, a writer may take columns that a row from before has; the build tells.
    ///
    /// The entries are ordinary writes through the log; they are not sorted first.
    pub fn build(&self, name: &str) -> Result<()> {
        let declared = Arc::clone(self.kept().find(name)?);
        let mut limit = BATCH_ROWS;
        loop {
            match self.build_some(&declared, limit) {
                Ok(true) => {
                    declared.set_ready();
                    return Ok(());
                }
                Ok(false) => limit = (limit * 2).min(BATCH_ROWS),
                // Fewer rows meet fewer writers.
                Err(error) if is_conflict(&error) && limit > 1 => limit /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// One step of a build; answers whether it was the last. [`Table::build`] calls it until then,
    /// and a program that wants to do something between the steps may do the same.
    pub fn build_step(&self, name: &str) -> Result<bool> {
        let declared = Arc::clone(self.kept().find(name)?);
        let ready = self.build_some(&declared, BATCH_ROWS)?;
        if ready {
            declared.set_ready();
        }
        Ok(ready)
    }

    /// Adds at most `limit` rows; answers whether none were left.
    fn build_some(&self, index: &Declared, limit: usize) -> Result<bool> {
        let state_key = state_key(&index.spec.name, index.number);
        let state = self.shared.catalog.get(&state_key)?;
        let done = match state.as_deref().map(State::decode).transpose()? {
            Some(State::Ready) => return Ok(true),
            Some(State::Building(done)) => done,
            Some(State::Dropping) | None => {
                return Err(Error::NoIndex { index: index.spec.name.clone() });
            }
        };
        let keys = self.keys_behind(done.as_deref(), limit)?;
        self.transact(|tx| {
            current(self, tx)?;
            // Another build may have gone on from here: then this step is nothing.
            if tx.within(&self.shared.catalog).get(&state_key)? != state {
                return Ok(false);
            }
            for key in &keys {
                self.add(tx, index, key)?;
            }
            let next = match keys.last() {
                Some(last) => State::Building(Some(last.clone())),
                None => State::Ready,
            };
            tx.within(&self.shared.catalog).put(&state_key, next.encode());
            tx.within(&self.shared.home);
            Ok(keys.is_empty())
        })
    }

    /// The primary keys of the next rows. Which they are need not be from the transaction: rows
    /// that come later are added by who writes them, and rows that go are read again.
    fn keys_behind(&self, done: Option<&[u8]>, limit: usize) -> Result<Vec<Bytes>> {
        let start = done.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.shared.db.snapshot().within(&self.shared.rows);
        let mut keys = Vec::new();
        let mut bytes = 0_usize;
        for pair in rows.range::<&[u8]>((start, Bound::Unbounded)).take(limit) {
            let (key, row) = pair?;
            bytes = bytes.saturating_add(key.len() + row.len());
            keys.push(key);
            if bytes > BATCH_BYTES {
                break;
            }
        }
        Ok(keys)
    }

    /// Adds the entry of a row, if the transaction sees the row.
    fn add(&self, tx: &mut Transaction, index: &Declared, key: &[u8]) -> Result<()> {
        let Some(value) = tx.within(&self.shared.rows).get(key)? else { return Ok(()) };
        let Some(entry) = stored(&index.spec, Row { key, value: &value }) else { return Ok(()) };
        if index.spec.kind == Kind::Unique && !is_free_for(tx, index, &entry.key, key)? {
            return Err(Error::Duplicate { index: index.spec.name.clone() });
        }
        tx.within(&index.space).put(entry.key, entry.value);
        Ok(())
    }
}
