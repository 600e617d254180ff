//! Tables: rows by primary key, with indexes that go with them.
//!
//! A row and its index entries are written in one transaction, so no reader and no crash ever
//! finds one without the other. Promises, and what they rest on:
//!
//! * **An entry never disagrees with its row.** All writes of a table go through it; each reads
//!   the row that it replaces and the schema's generation in its transaction, so a commit that
//!   changed either is a conflict.
//! * **A unique index has one row for each list of columns**: its entries' keys are the columns
//!   alone, so two that claim them write the same key.
//! * **An index is created and dropped while the table is used.** From its creation on every write
//!   keeps it (*building*); [`Table::build`] adds the rows from before; then it is read (*ready*).
//!   After a crash in a build the next one begins again; a drop is finished by the next open.

mod build;
mod create;
mod drop;
mod open;
pub(crate) mod schema;
mod sort;
mod verify;
mod write;

pub use drop::drop_index;
pub use open::TableBuilder;
pub use verify::{IndexReport, Problem};
pub use write::TableIn;

use crate::error::{Error, Result};
use crate::index::read::Index;
use crate::index::source::Moment;
use kv_engine::{Bytes, Db, ErrorKind, Keyspace, Snapshot, Transaction};
use parking_lot::RwLock;
use schema::{Declared, Kept, State};
use std::sync::Arc;

/// Rows by primary key, with indexes: cheap to clone, shared by threads.
///
/// Rows and primary keys are bytes; what they mean is the program's. A table is the keyspace of its
/// name, with keyspaces `name#…` beside it. Write to it through this type only: what is put into
/// the keyspace directly is in no index, which [`Table::verify_indexes`] tells. Reading it directly
/// is fine. Rows have no time to live.
///
/// ```
/// use kv_engine::{Db, Options};
/// use kv_index::{Ordered, Row, Table};
///
/// fn email(row: Row<'_>) -> Option<&str> {
///     std::str::from_utf8(row.value).ok()?.split(' ').next()
/// }
///
/// let db = Db::in_memory(Options::default())?;
/// let by_email = Ordered::new("by_email", |row: Row<'_>, columns| {
///     columns.push(email(row)?);
///     Some(())
/// });
/// let users = Table::builder("users").index(by_email.unique()).open(&db)?;
///
/// users.insert("1", "ada@example.org Ada")?;
/// users.upsert("1", "ada@example.com Ada")?;
/// let (key, _) = users.index("by_email")?.get("ada@example.com").next().unwrap()?;
/// assert_eq!(key, "1");
/// assert!(users.index("by_email")?.get("ada@example.org").next().is_none());
/// assert!(users.insert("2", "ada@example.com Another").is_err());
/// # Ok::<(), kv_index::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    db: Db,
    name: String,
    /// The default keyspace, where a transaction is left.
    home: Keyspace,
    rows: Keyspace,
    catalog: Keyspace,
    /// How much a build sorts in memory, in bytes.
    build_memory: usize,
    /// What the catalog says, while it is not being changed: held for writing over the commit of a
    /// change, so that nobody sees the one without the other.
    kept: RwLock<Arc<Kept>>,
}

impl Table {
    /// Declares a table with this name.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let users = kv_index::Table::builder("users").open(&db)?;
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn builder(name: &str) -> TableBuilder {
        TableBuilder::new(name)
    }

    /// The table inside a transaction, whose reads and writes are that one's. It must be
    /// serializable to write: under snapshot isolation it would miss an index that is created
    /// meanwhile, so [`Error::NotSerializable`] refuses that. Afterwards the transaction is within
    /// the default keyspace.
    ///
    /// ```
    /// # use kv_index::Table;
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let (users, logins) = (Table::builder("users").open(&db)?, db.keyspace("logins")?);
    /// let mut tx = db.transaction();
    /// users.within(&mut tx).insert("ada", "1815")?;
    /// tx.within(&logins).put("ada", "0");
    /// tx.commit()?;
    /// assert_eq!(users.get("ada")?.as_deref(), Some(&b"1815"[..]));
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn within<'a>(&'a self, transaction: &'a mut Transaction) -> TableIn<'a> {
        TableIn::new(self, transaction)
    }

    /// Runs `body` in a transaction and commits it, again after a conflict, as
    /// [`Db::transact`] does. After any other error nothing is written.
    ///
    /// ```
    /// # use kv_index::Table;
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let users = Table::builder("users").open(&db)?;
    /// users.transact(|tx| {
    ///     users.within(tx).insert("ada", "1815")?;
    ///     users.within(tx).insert("bob", "1900")
    /// })?;
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn transact<T>(&self, mut body: impl FnMut(&mut Transaction) -> Result<T>) -> Result<T> {
        /// How often a body meets a change of the indexes before that is told.
        const CHANGES: usize = 8;
        let mut changes = 0;
        loop {
            let generation = self.kept().generation;
            let outcome = self.transact_once(&mut body);
            let again = match &outcome {
                Err(Error::Changed) => true,
                // The keyspace of an index that was dropped meanwhile.
                Err(Error::Store(error)) if error.kind() == ErrorKind::NotFound => {
                    self.kept().generation != generation
                }
                _ => false,
            };
            if !again || changes == CHANGES {
                return outcome;
            }
            changes += 1;
        }
    }

    /// The store's own retries; an error of this crate takes the writes back and goes through it.
    fn transact_once<T>(&self, body: &mut dyn FnMut(&mut Transaction) -> Result<T>) -> Result<T> {
        let answer = self.shared.db.transact(|tx| {
            let before = tx.savepoint();
            match body(tx) {
                Err(Error::Store(error)) => Err(error),
                Err(error) => {
                    tx.rollback_to(&before)?;
                    Ok(Err(error))
                }
                Ok(answer) => Ok(Ok(answer)),
            }
        })?;
        write::late()?;
        answer
    }

    /// A row, `None` where there is none.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let users = kv_index::Table::builder("users").open(&db)?;
    /// assert_eq!(users.get("ada")?, None);
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        Ok(self.shared.rows.get(key)?)
    }

    /// The rows, as a keyspace to read: ranges, prefixes, cursors. Not to write: see [`Table`].
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let users = kv_index::Table::builder("users").open(&db)?;
    /// assert_eq!(users.rows().range("a".."b").count(), 0);
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn rows(&self) -> &Keyspace {
        &self.shared.rows
    }

    /// Adds a row; [`Error::Exists`] where its primary key has one, [`Error::Duplicate`] where
    /// a unique index has its columns.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let users = kv_index::Table::builder("users").open(&db)?;
    /// users.insert("ada", "1815")?;
    /// assert!(matches!(users.insert("ada", "1852"), Err(kv_index::Error::Exists)));
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn insert(&self, key: impl AsRef<[u8]>, row: impl AsRef<[u8]>) -> Result<()> {
        self.transact(|tx| self.within(tx).insert(key.as_ref(), row.as_ref()))
    }

    /// Adds or replaces a row; answers the one that was there.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let users = kv_index::Table::builder("users").open(&db)?;
    /// assert_eq!(users.upsert("ada", "1815")?, None);
    /// assert_eq!(users.upsert("ada", "1852")?.as_deref(), Some(&b"1815"[..]));
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn upsert(&self, key: impl AsRef<[u8]>, row: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.transact(|tx| self.within(tx).upsert(key.as_ref(), row.as_ref()))
    }

    /// Deletes a row; answers the one that was there.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let users = kv_index::Table::builder("users").open(&db)?;
    /// users.insert("ada", "1815")?;
    /// assert!(users.delete("ada")?.is_some());
    /// assert_eq!(users.delete("ada")?, None);
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.transact(|tx| self.within(tx).delete(key.as_ref()))
    }

    /// An index as it is now, with the rows of the same moment. [`Error::NotReady`] until it is
    /// built.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let users = kv_index::Table::builder("users").open(&db)?;
    /// assert!(users.index("by_email").is_err());
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn index(&self, name: &str) -> Result<Index<Moment>> {
        let declared = Arc::clone(self.kept().find(name)?);
        let snapshot = self.shared.db.snapshot();
        match self.state_at(&snapshot, &declared)? {
            Some(State::Ready) => declared.set_ready(),
            Some(State::Building(_)) => return Err(Error::NotReady { index: name.to_owned() }),
            Some(State::Dropping) | None => return Err(Error::NoIndex { index: name.to_owned() }),
        }
        let moment = Moment::new(&snapshot, &self.shared.rows, &declared.space);
        Ok(Index::new(moment, self.shared.rows.clone(), declared))
    }

    /// The names of the indexes that this handle keeps.
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// # let by_value = Ordered::new("by_value", |row: Row<'_>, columns| {
    /// #     columns.push(std::str::from_utf8(row.value).ok()?);
    /// #     Some(())
    /// # });
    /// # let words = Table::builder("words").index(by_value).open(&db)?;
    /// assert_eq!(words.indexes(), ["by_value"]);
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn indexes(&self) -> Vec<String> {
        self.kept().indexes.iter().map(|index| index.spec.name.clone()).collect()
    }

    fn kept(&self) -> Arc<Kept> {
        Arc::clone(&self.shared.kept.read())
    }

    /// What an index was at a moment. What it is by now says nothing of what that moment sees of it.
    fn state_at(&self, moment: &Snapshot, index: &Declared) -> Result<Option<State>> {
        let state = moment.within(&self.shared.catalog).get(index.state_key())?;
        state.map(|state| State::decode(&state)).transpose()
    }
}

fn is_conflict(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict
}
