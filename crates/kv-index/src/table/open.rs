//! Opening a table: what is declared is compared with what is stored.

use super::schema::{
    Declared, Kept, Known, SEPARATOR, Schema, State, catalog_name, index_name, index_of,
    schema_key, state_key, states,
};
use super::{Shared, Table};
use crate::error::{Error, Result};
use crate::index::declare::{IndexSpec, check_name};
use kv_engine::{Db, ErrorKind, Keyspace};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A declaration of a table: [`Table::builder`].
///
/// ```
/// # use kv_index::{Ordered, Row, Table};
/// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
/// # let by_value = Ordered::new("by_value", |row: Row<'_>, columns| {
/// #     columns.push(row.value);
/// #     Some(())
/// # });
/// let builder = Table::builder("words").index(by_value);
/// let words = builder.open(&db)?;
/// # Ok::<(), kv_index::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TableBuilder {
    name: String,
    indexes: Vec<IndexSpec>,
    build_memory: usize,
}

/// What a build sorts in memory where nothing else is said.
const BUILD_MEMORY: usize = 64 << 20;

impl TableBuilder {
    pub(super) fn new(name: &str) -> TableBuilder {
        TableBuilder { name: name.to_owned(), indexes: Vec::new(), build_memory: BUILD_MEMORY }
    }

    /// Adds an index: an [`Ordered`](crate::Ordered) or a [`Hash`](crate::Hash).
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// # let by_value = Ordered::new("by_value", |row: Row<'_>, columns| {
    /// #     columns.push(row.value);
    /// #     Some(())
    /// # });
    /// let words = Table::builder("words").index(by_value).open(&db)?;
    /// assert_eq!(words.indexes(), ["by_value"]);
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn index(mut self, index: impl Into<IndexSpec>) -> TableBuilder {
        self.indexes.push(index.into());
        self
    }

    /// How many bytes of entries [`Table::build`] sorts at once; 64 MiB where nothing is said. More
    /// entries are sorted in pieces, which lie in the store until the index is built.
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// # let by_value = Ordered::new("by_value", |row: Row<'_>, columns| {
    /// #     columns.push(row.value);
    /// #     Some(())
    /// # });
    /// let words = Table::builder("words").index(by_value).build_memory(8 << 20).open(&db)?;
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn build_memory(mut self, bytes: usize) -> TableBuilder {
        self.build_memory = bytes;
        self
    }

    /// Opens the table, and creates what is declared and not there. An index that is created where
    /// rows are is not ready until [`Table::build`] has gone over them. All indexes that are
    /// stored must be declared, and as they are stored; [`drop_index`](crate::drop_index) takes
    /// one away without declaring it. Drops that a crash interrupted are finished, and what builds and
    /// creations of indexes that are gone have left is dropped.
    ///
    /// Any number of handles may be open, with the same indexes; once one of them creates or drops
    /// one, writes through the others (but not through its clones) answer [`Error::Outdated`].
    ///
    /// ```
    /// # use kv_index::Table;
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// Table::builder("words").open(&db)?.insert("1", "one")?;
    /// assert!(Table::builder("words").open(&db)?.get("1")?.is_some());
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn open(self, db: &Db) -> Result<Table> {
        check_name("a table", &self.name)?;
        let catalog = db.keyspace(&catalog_name(&self.name))?;
        finish_drops(db, &self.name, &catalog)?;
        let schema = Schema::decode(catalog.get(schema_key())?.as_deref())?;
        drop_strays(db, &self.name, &schema)?;
        for known in &schema.indexes {
            if !self.indexes.iter().any(|spec| spec.name == known.name) {
                let message = format!(
                    "the table {:?} has the index {:?}, which is not declared: declare it, or drop it \
                     with drop_index",
                    self.name, known.name
                );
                return Err(Error::Declaration(message));
            }
        }
        let mut kept = Kept { generation: schema.generation, indexes: Vec::new() };
        let mut missing = Vec::new();
        for spec in self.indexes {
            match schema.find(&spec.name) {
                Some(known) => kept.indexes.push(declared(db, &self.name, &catalog, known, spec)?),
                None => missing.push(spec),
            }
        }
        let shared = Shared {
            db: db.clone(),
            home: db.keyspace("")?,
            rows: db.keyspace(&self.name)?,
            catalog,
            build_memory: self.build_memory,
            kept: RwLock::new(Arc::new(kept)),
            name: self.name,
        };
        let table = Table { shared: Arc::new(shared) };
        missing.into_iter().try_for_each(|spec| table.create_index(spec))?;
        Ok(table)
    }
}

/// An index that is declared and stored; they must say the same.
fn declared(
    db: &Db,
    table: &str,
    catalog: &Keyspace,
    known: &Known,
    spec: IndexSpec,
) -> Result<Arc<Declared>> {
    if *known != Known::of(&spec, known.number) {
        let message = format!(
            "the index {:?} of the table {table:?} is stored with another kind, revision or covering than \
             declared: declare it as it was, or drop it with drop_index and build it again",
            spec.name
        );
        return Err(Error::Declaration(message));
    }
    let state = catalog.get(state_key(&known.name, known.number))?;
    let state = state.map(|state| State::decode(&state)).transpose()?;
    Ok(Arc::new(Declared {
        space: db.keyspace(&index_name(table, &known.name, known.number))?,
        number: known.number,
        ready: AtomicBool::new(state == Some(State::Ready)),
        spec,
    }))
}

/// Drops the keyspaces of indexes that are none any more: where the process ended while an index was
/// dropped that another thread was building, or a creation lost to another one. A number that is not
/// greater than the generation is never given again.
fn drop_strays(db: &Db, table: &str, schema: &Schema) -> Result<()> {
    let start = catalog_name(table);
    for name in db.keyspaces()? {
        let mut parts = name.strip_prefix(&start).unwrap_or_default().split(SEPARATOR);
        let (index, number) = (parts.next(), parts.next().and_then(|text| text.parse().ok()));
        let Some((index, number)) = index.zip(number) else { continue };
        let known = schema.find(index).is_some_and(|known| known.number == number);
        if known || number > schema.generation {
            continue;
        }
        match db.drop_keyspace(&name) {
            // Whoever may write does it.
            Err(error) if error.kind() == ErrorKind::ReadOnly => return Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Goes on with drops that a crash interrupted.
fn finish_drops(db: &Db, table: &str, catalog: &Keyspace) -> Result<()> {
    for pair in catalog.prefix(states()) {
        let (key, state) = pair?;
        if State::decode(&state)? == State::Dropping {
            let (index, number) = index_of(&key)?;
            match super::drop::finish(db, table, catalog, (&index, number)) {
                // Whoever may write does it.
                Err(error) if error.kind() == ErrorKind::ReadOnly => {}
                finished => finished?,
            }
        }
    }
    Ok(())
}
