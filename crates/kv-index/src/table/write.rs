//! Writing a row and its entries inside a transaction.

use super::Table;
use super::schema::{Declared, Kept, Stage, State, generation_of, schema_key};
use crate::error::{Error, Result, damaged};
use crate::index::declare::{Kind, Row};
use crate::index::entry::{Stored, owner, stored};
use crate::index::read::Index;
use crate::index::source::Inside;
use kv_engine::{Bytes, Keyspace, Transaction};
use kv_vfs::testing::{bug, planted};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::sync::Arc;

/// A [`Table`] inside a transaction: [`Table::within`].
///
/// ```
/// # use kv_index::{Ordered, Row, Table};
/// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
/// # let by_value = Ordered::new("by_value", |row: Row<'_>, columns| {
/// #     columns.push(std::str::from_utf8(row.value).ok()?);
/// #     Some(())
/// # });
/// # let words = Table::builder("words").index(by_value).open(&db)?;
/// let mut tx = db.transaction();
/// words.within(&mut tx).insert("1", "one")?;
/// tx.put("last", "1"); // the same transaction, in the default keyspace
/// tx.commit()?;
/// # Ok::<(), kv_index::Error>(())
/// ```
#[derive(Debug)]
pub struct TableIn<'a> {
    table: &'a Table,
    tx: &'a mut Transaction,
}

/// What becomes of an entry.
struct Change {
    index: Arc<Declared>,
    old: Option<Stored>,
    new: Option<Stored>,
}

impl<'a> TableIn<'a> {
    pub(super) fn new(table: &'a Table, tx: &'a mut Transaction) -> TableIn<'a> {
        TableIn { table, tx }
    }

    /// A row as the transaction sees it.
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// # let by_value = Ordered::new("by_value", |row: Row<'_>, columns| {
    /// #     columns.push(std::str::from_utf8(row.value).ok()?);
    /// #     Some(())
    /// # });
    /// # let words = Table::builder("words").index(by_value).open(&db)?;
    /// # words.insert("1", "one")?;
    /// let mut tx = db.transaction();
    /// assert_eq!(words.within(&mut tx).get("1")?.as_deref(), Some(&b"one"[..]));
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn get(&mut self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        let row = self.tx.within(&self.table.shared.rows).get(key);
        self.leave();
        Ok(row?)
    }

    /// As [`Table::insert`]. After an error of this crate the transaction has written nothing of
    /// it, and can go on.
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// # let by_value = Ordered::new("by_value", |row: Row<'_>, columns| {
    /// #     columns.push(std::str::from_utf8(row.value).ok()?);
    /// #     Some(())
    /// # });
    /// # let words = Table::builder("words").index(by_value).open(&db)?;
    /// # words.insert("1", "one")?;
    /// use kv_index::Error;
    /// let mut tx = db.transaction();
    /// assert!(matches!(words.within(&mut tx).insert("1", "again"), Err(Error::Exists)));
    /// words.within(&mut tx).insert("2", "two")?;
    /// tx.commit()?;
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn insert(&mut self, key: impl AsRef<[u8]>, row: impl AsRef<[u8]>) -> Result<()> {
        self.write(key.as_ref(), Some(row.as_ref()), false).map(|_| ())
    }

    /// As [`Table::upsert`].
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// # let by_value = Ordered::new("by_value", |row: Row<'_>, columns| {
    /// #     columns.push(std::str::from_utf8(row.value).ok()?);
    /// #     Some(())
    /// # });
    /// # let words = Table::builder("words").index(by_value).open(&db)?;
    /// # words.insert("1", "one")?;
    /// let mut tx = db.transaction();
    /// let old = words.within(&mut tx).upsert("1", "uno")?;
    /// assert_eq!(old.as_deref(), Some(&b"one"[..]));
    /// tx.commit()?;
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn upsert(
        &mut self,
        key: impl AsRef<[u8]>,
        row: impl AsRef<[u8]>,
    ) -> Result<Option<Bytes>> {
        self.write(key.as_ref(), Some(row.as_ref()), true)
    }

    /// As [`Table::delete`].
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// # let by_value = Ordered::new("by_value", |row: Row<'_>, columns| {
    /// #     columns.push(std::str::from_utf8(row.value).ok()?);
    /// #     Some(())
    /// # });
    /// # let words = Table::builder("words").index(by_value).open(&db)?;
    /// # words.insert("1", "one")?;
    /// let mut tx = db.transaction();
    /// assert!(words.within(&mut tx).delete("1")?.is_some());
    /// tx.commit()?;
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.write(key.as_ref(), None, true)
    }

    /// An index as the transaction sees it, its own writes included. What it shows counts as read.
    /// [`Error::NotReady`] where it was not built yet when the transaction began.
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// # let by_value = Ordered::new("by_value", |row: Row<'_>, columns| {
    /// #     columns.push(std::str::from_utf8(row.value).ok()?);
    /// #     Some(())
    /// # });
    /// # let words = Table::builder("words").index(by_value).open(&db)?;
    /// let mut tx = db.transaction();
    /// words.within(&mut tx).insert("1", "one")?;
    /// assert_eq!(words.within(&mut tx).index("by_value")?.get("one").count(), 1);
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn index(mut self, name: &str) -> Result<Index<Inside<'a>>> {
        let shared = &self.table.shared;
        let declared = Arc::clone(self.table.kept().find(name)?);
        let stage = stage_of(self.tx, self.table, &declared);
        self.leave();
        if stage? != Stage::Done {
            return Err(Error::NotReady { index: name.to_owned() });
        }
        Ok(Index::new(Inside::new(self.tx, &shared.home), shared.rows.clone(), declared))
    }

    fn write(
        &mut self,
        key: &[u8],
        row: Option<&[u8]>,
        may_replace: bool,
    ) -> Result<Option<Bytes>> {
        let answer = self.replace(key, row, may_replace);
        self.leave();
        answer
    }

    /// Reads and checks everything first, and writes only then, so that a refusal leaves nothing.
    fn replace(
        &mut self,
        key: &[u8],
        row: Option<&[u8]>,
        may_replace: bool,
    ) -> Result<Option<Bytes>> {
        if !self.tx.is_serializable() {
            return Err(Error::NotSerializable);
        }
        let kept = current(self.table, self.tx)?;
        let rows = &self.table.shared.rows;
        let old = self.tx.within(rows).get(key)?;
        if old.is_some() && !may_replace {
            return Err(Error::Exists);
        }
        let mut changes = Vec::with_capacity(kept.indexes.len());
        let mut marked = Vec::new();
        for index in &kept.indexes {
            let entry = |value| stored(&index.spec, Row { key, value });
            let change = Change {
                index: Arc::clone(index),
                old: old.as_deref().and_then(entry),
                new: row.and_then(entry),
            };
            if change.old == change.new {
                continue;
            }
            if !index.is_ready() && stage_of(self.tx, self.table, index)? == Stage::Marks {
                marked.push(index.mark_key(key));
            }
            changes.extend(check(self.tx, self.table, key, change)?);
        }
        if planted(bug::INDEX_WRITTEN_AFTER_ROW) {
            LATE.with_borrow_mut(|late| late.append(&mut changes));
        }
        for Change { index, old, new } in changes {
            let tx = self.tx.within(&index.space);
            if let Some(old) = old {
                tx.delete(old.key);
            }
            if let Some(new) = new {
                tx.put(new.key, new.value);
            }
        }
        for mark in marked {
            self.tx.within(&self.table.shared.catalog).put(mark, "");
        }
        let tx = self.tx.within(rows);
        match row {
            Some(row) => tx.put(key, row),
            None if old.is_some() => tx.delete(key),
            None => {}
        }
        Ok(old)
    }

    /// Where the transaction is left, whatever happened.
    fn leave(&mut self) {
        self.tx.within(&self.table.shared.home);
    }
}

thread_local! {
    /// Entries that a planted bug kept from their transaction.
    static LATE: RefCell<Vec<Change>> = const { RefCell::new(Vec::new()) };
}

/// Writes the entries that a planted bug kept back: there are none in a usual build.
pub(super) fn late() -> Result<()> {
    if !planted(bug::INDEX_WRITTEN_AFTER_ROW) {
        return Ok(());
    }
    for Change { index, old, new } in LATE.take() {
        if let Some(old) = old {
            index.space.delete(old.key)?;
        }
        if let Some(new) = new {
            index.space.put(new.key, new.value)?;
        }
    }
    Ok(())
}

/// What the handle keeps, if that is what the transaction sees: the generation counts as read.
pub(super) fn current(table: &Table, tx: &mut Transaction) -> Result<Arc<Kept>> {
    let stored = tx.within(&table.shared.catalog).get(schema_key())?;
    let seen = generation_of(stored.as_deref())?;
    // After the read: who changes the schema holds the lock until the handle knows of it.
    let kept = table.kept();
    match seen.cmp(&kept.generation) {
        Ordering::Equal => Ok(kept),
        Ordering::Less => Err(Error::Changed),
        Ordering::Greater => Err(Error::Outdated),
    }
}

/// What is really to be done for a change, `None` where nothing is. A unique index is asked whose
/// the entries are.
fn check(
    tx: &mut Transaction,
    table: &Table,
    key: &[u8],
    change: Change,
) -> Result<Option<Change>> {
    let Change { index, mut old, new } = change;
    // An entry that stays where it is, is replaced by putting the new one.
    let same_place = match (&old, &new) {
        (Some(old), Some(new)) => old.key == new.key,
        _ => false,
    };
    if index.spec.kind == Kind::Unique {
        if let Some(new) = &new
            && !is_free_for(tx, table, &index, &new.key, key)?
        {
            return Err(Error::Duplicate { index: index.spec.name.clone() });
        }
        // While it is built, rows of the time before may share columns, and one of them has the
        // entry: another one's is left alone.
        if let Some(entry) = &old
            && !same_place
            && !is_free_for(tx, table, &index, &entry.key, key)?
        {
            old = None;
        }
    }
    if same_place {
        old = None;
    }
    Ok((old.is_some() || new.is_some()).then_some(Change { index, old, new }))
}

/// Whether an entry of a unique index is absent, or that of the row with this primary key.
pub(super) fn is_free_for(
    tx: &mut Transaction,
    table: &Table,
    index: &Declared,
    entry: &[u8],
    primary: &[u8],
) -> Result<bool> {
    let Some(value) = tx.within(&index.space).get(entry)? else { return Ok(true) };
    let owner = owner(&value).map_err(damaged("an index entry"))?;
    if owner == primary {
        return Ok(true);
    }
    if stage_of(tx, table, index)? == Stage::Done {
        return Ok(false);
    }
    // Behind the ingest of a build it may be an entry that the row had before.
    let held = entry_of(tx, &table.shared.rows, index, owner)?;
    Ok(held.is_none_or(|held| held.key != entry))
}

/// The entry of a row as the transaction sees the row.
pub(super) fn entry_of(
    tx: &mut Transaction,
    rows: &Keyspace,
    index: &Declared,
    key: &[u8],
) -> Result<Option<Stored>> {
    let value = tx.within(rows).get(key)?;
    Ok(value.and_then(|value| stored(&index.spec, Row { key, value: &value })))
}

/// How far the build of an index is, as the transaction sees it.
pub(super) fn stage_of(tx: &mut Transaction, table: &Table, index: &Declared) -> Result<Stage> {
    let state = tx.within(&table.shared.catalog).get(index.state_key())?;
    match state.as_deref().map(State::decode).transpose()? {
        Some(State::Building(stage)) => Ok(stage),
        Some(State::Ready) => Ok(Stage::Done),
        Some(State::Dropping) | None => Err(Error::NoIndex { index: index.spec.name.clone() }),
    }
}
