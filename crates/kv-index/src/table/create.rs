//! Creating an index on a table that is in use.

use super::Table;
use super::schema::{
    Declared, Kept, Known, Schema, Stage, State, generation_of, index_name, schema_key, state_key,
};
use crate::error::{Error, Result};
use crate::index::declare::{IndexSpec, check_name};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
            let state = if is_empty { State::Ready } else { State::Building(Stage::Waits) };
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
}
