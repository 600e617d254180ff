//! Taking an index away: first nobody keeps it any more, then its entries go at once.

use super::Table;
use super::build::{drop_pieces, forget_marks, pieces};
use super::schema::{Kept, Schema, State, catalog_name, index_name, marks, schema_key, state_key};
use crate::error::{Error, Result};
use kv_engine::{Db, ErrorKind, Keyspace};
use std::sync::Arc;

impl Table {
    /// Drops an index, in a time that does not grow with its entries: they are one range delete.
    /// A crash in the middle leaves it whole, or gone with what is left of it finished by the next
    /// open.
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// # let by_value = Ordered::new("by_value", |row: Row<'_>, columns| {
    /// #     columns.push(row.value);
    /// #     Some(())
    /// # });
    /// let table = Table::builder("words").index(by_value).open(&db)?;
    /// table.drop_index("by_value")?;
    /// assert!(table.indexes().is_empty());
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn drop_index(&self, name: &str) -> Result<()> {
        let shared = &self.shared;
        let mut kept = shared.kept.write();
        kept.find(name)?;
        let (number, generation) = take_out(&shared.db, &shared.catalog, name)?;
        let others = kept.indexes.iter().filter(|index| index.spec.name != name);
        // Where another handle was faster, this one stays outdated, as its next write tells.
        let counted = kept.generation + 1 == generation;
        *kept = Arc::new(Kept {
            generation: if counted { generation } else { kept.generation },
            indexes: others.cloned().collect(),
        });
        drop(kept);
        finish(&shared.db, &shared.name, &shared.catalog, (name, number))
    }
}

/// Drops an index of a table that need not be open, nor the index declared. Handles that are open
/// answer [`Error::Outdated`] to writes from then on.
///
/// ```
/// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
/// assert!(kv_index::drop_index(&db, "users", "by_email").is_err());
/// # Ok::<(), kv_index::Error>(())
/// ```
pub fn drop_index(db: &Db, table: &str, index: &str) -> Result<()> {
    let catalog = db.keyspace(&catalog_name(table))?;
    let (number, _) = take_out(db, &catalog, index)?;
    finish(db, table, &catalog, (index, number))
}

/// Takes an index out of the schema; answers its number and the schema's generation since.
fn take_out(db: &Db, catalog: &Keyspace, name: &str) -> Result<(u64, u64)> {
    db.transact(|tx| {
        let tx = tx.within(catalog);
        let stored = tx.get(schema_key())?;
        Ok(Schema::decode(stored.as_deref()).and_then(|mut schema| {
            let no_index = || Error::NoIndex { index: name.to_owned() };
            let number = schema.find(name).ok_or_else(no_index)?.number;
            schema.indexes.retain(|index| index.name != name);
            schema.generation += 1;
            tx.put(schema_key(), schema.encode());
            tx.put(state_key(name, number), State::Dropping.encode());
            Ok((number, schema.generation))
        }))
    })?
}

/// Removes the entries of an index that is out of the schema, then what the catalog says of it.
pub(super) fn finish(
    db: &Db,
    table: &str,
    catalog: &Keyspace,
    (index, number): (&str, u64),
) -> Result<()> {
    drop_pieces(db, &pieces(table, index, number))?;
    forget_marks(catalog, marks(index, number))?;
    match db.drop_keyspace(&index_name(table, index, number)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    Ok(catalog.delete(state_key(index, number))?)
}
