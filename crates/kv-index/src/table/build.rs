//! Building an index: the rows of a snapshot, sorted and ingested, then what writers changed
//! meanwhile.
//!
//! An ingest is newer than what writers put while it ran, so behind it an entry may be that of a
//! row as it was in the snapshot. Writers leave a mark for each row whose entry they change between
//! the snapshot and the ingest; the build goes over these rows once more. See
//! docs/design/indexes.md.

use super::schema::{Declared, SEPARATOR, Stage, State, index_name, marks, state_key};
use super::sort::{Sorter, Unsorted};
use super::write::{current, entry_of, is_free_for, stage_of};
use super::{Table, is_conflict};
use crate::error::{Error, Result};
use crate::index::declare::{Kind, Row};
use crate::index::entry::stored;
use kv_core::successor;
use kv_engine::{Bytes, Db, ErrorKind, Keyspace, Snapshot, Transaction};
use parking_lot::Mutex;
use std::sync::Arc;

/// How many rows a transaction goes over that looks at rows again.
const BATCH_ROWS: usize = 256;

/// How many builds this process has begun. Its lock is held by the one that runs: they take turns,
/// so that each has the memory for its sort, and no two work on one index.
static BUILDS: Mutex<u64> = Mutex::new(0);

impl Table {
    /// Adds the rows from before an index was created to it, and makes it ready. The table is in
    /// use meanwhile. The entries of a snapshot are sorted, with at most
    /// [`TableBuilder::build_memory`](crate::TableBuilder::build_memory) at once, and ingested past
    /// the log; then the rows that writers have changed meanwhile are looked at again. After a
    /// crash, or any error, the next call begins again. The builds of one process take turns.
    ///
    /// Where two rows have the same columns in a unique index the answer is [`Error::Duplicate`];
    /// the index goes on being kept. Change one of the rows and build again, or drop the index. Until
    /// an index is built, a writer may take columns that a row from before has; the build tells.
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// Table::builder("words").open(&db)?.insert("1", "one")?;
    ///
    /// let by_value = Ordered::new("by_value", |row: Row<'_>, columns| {
    ///     columns.push(row.value);
    ///     Some(())
    /// });
    /// let words = Table::builder("words").index(by_value).open(&db)?;
    /// words.build("by_value")?;
    /// assert_eq!(words.index("by_value")?.get(b"one").count(), 1);
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn build(&self, name: &str) -> Result<()> {
        let index = Arc::clone(self.kept().find(name)?);
        let mut builds = BUILDS.lock();
        *builds += 1;
        if self.begin_build(&index)? {
            let moment = self.shared.db.snapshot();
            if let Err(error) = self.ingest_entries(&index, &moment) {
                let _ = self.drop_pieces(&index);
                if matches!(error, Error::Duplicate { .. }) {
                    // Nothing was ingested, so no marks are needed.
                    self.set_stage(&index, Stage::Waits)?;
                }
                return Err(error);
            }
            self.set_stage(&index, Stage::Ingested)?;
            while !self.end_build(&index)? {
                self.look_again(&index, &moment)?;
            }
        }
        // Also those that a build left which a crash ended here.
        self.drop_pieces(&index)?;
        index.set_ready();
        drop(builds);
        Ok(())
    }

    fn set_stage(&self, index: &Declared, stage: Stage) -> Result<()> {
        self.transact(|tx| {
            current(self, tx)?;
            stage_of(tx, self, index)?;
            let state = State::Building(stage);
            tx.within(&self.shared.catalog).put(index.state_key(), state.encode());
            tx.within(&self.shared.home);
            Ok(())
        })
    }

    /// Lets writers leave marks; answers whether there is something to build. What an earlier build
    /// has left goes first: its entries are as old as a snapshot that is gone.
    fn begin_build(&self, index: &Declared) -> Result<bool> {
        let stage = self.transact(|tx| {
            let stage = stage_of(tx, self, index);
            tx.within(&self.shared.home);
            stage
        })?;
        match stage {
            Stage::Done => return Ok(false),
            Stage::Waits => {}
            Stage::Marks | Stage::Ingested => {
                // What writers put meanwhile and loses its place here is in the snapshot.
                index.space.delete_range::<&[u8]>(..)?;
                forget_marks(&self.shared.catalog, index.marks())?;
                self.set_stage(index, Stage::Waits)?;
            }
        }
        self.drop_pieces(index)?;
        self.set_stage(index, Stage::Marks)?;
        Ok(true)
    }

    /// Ingests the entries of the rows at `moment`.
    fn ingest_entries(&self, index: &Declared, moment: &Snapshot) -> Result<()> {
        let shared = &self.shared;
        let pieces = pieces(&shared.name, &index.spec.name, index.number);
        let mut sorter = Sorter::new(&shared.db, pieces, shared.build_memory);
        let sorted = (|| {
            for pair in moment.within(&shared.rows).iter() {
                let (key, value) = pair?;
                if let Some(entry) = stored(&index.spec, Row { key: &key, value: &value }) {
                    sorter.push(&entry.key, &entry.value)?;
                }
            }
            sorter.finish(&index.space)
        })();
        sorted.map_err(|why| match why {
            Unsorted::Twice => Error::Duplicate { index: index.spec.name.clone() },
            // The index was dropped meanwhile.
            Unsorted::Failed(error) if error.kind() == ErrorKind::NotFound => {
                Error::NoIndex { index: index.spec.name.clone() }
            }
            Unsorted::Failed(error) => error,
        })
    }

    /// Goes over all rows that have a mark. Behind the ingest writers leave no more.
    fn look_again(&self, index: &Declared, moment: &Snapshot) -> Result<()> {
        let before = moment.within(&self.shared.rows);
        let mut limit = BATCH_ROWS;
        loop {
            let marked = self.shared.catalog.prefix(index.marks()).take(limit);
            let marked = marked.map(|pair| Ok(pair?.0)).collect::<Result<Vec<Bytes>>>()?;
            if marked.is_empty() {
                return Ok(());
            }
            let looked = self.transact(|tx| {
                current(self, tx)?;
                stage_of(tx, self, index)?;
                marked.iter().try_for_each(|mark| self.look_at(tx, index, &before, mark))?;
                tx.within(&self.shared.home);
                Ok(())
            });
            match looked {
                Ok(()) => limit = (limit * 2).min(BATCH_ROWS),
                // Fewer rows meet fewer writers.
                Err(error) if is_conflict(&error) && limit > 1 => limit /= 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the entry of one row what the row says, and takes away the one that it had in the
    /// snapshot.
    fn look_at(
        &self,
        tx: &mut Transaction,
        index: &Declared,
        before: &Snapshot,
        mark: &Bytes,
    ) -> Result<()> {
        let key = mark.get(index.marks().len()..).unwrap_or_default();
        tx.within(&self.shared.catalog).delete(mark);
        let now = entry_of(tx, &self.shared.rows, index, key)?;
        let old = before.get(key)?;
        let old = old.and_then(|value| stored(&index.spec, Row { key, value: &value }));
        if let Some(old) = old
            && now.as_ref().is_none_or(|now| now.key != old.key)
            && (index.spec.kind != Kind::Unique || is_free_for(tx, self, index, &old.key, key)?)
        {
            tx.within(&index.space).delete(old.key);
        }
        let Some(now) = now else { return Ok(()) };
        if index.spec.kind == Kind::Unique && !is_free_for(tx, self, index, &now.key, key)? {
            return Err(Error::Duplicate { index: index.spec.name.clone() });
        }
        tx.within(&index.space).put(now.key, now.value);
        Ok(())
    }

    /// Makes the index ready where no mark is left; answers whether it is.
    fn end_build(&self, index: &Declared) -> Result<bool> {
        self.transact(|tx| {
            current(self, tx)?;
            let stage = stage_of(tx, self, index)?;
            let catalog = tx.within(&self.shared.catalog);
            let none = catalog.prefix(index.marks()).next().transpose()?.is_none();
            if none && stage == Stage::Ingested {
                catalog.put(index.state_key(), State::Ready.encode());
            }
            tx.within(&self.shared.home);
            Ok(none)
        })
    }

    fn drop_pieces(&self, index: &Declared) -> Result<()> {
        let pieces = pieces(&self.shared.name, &index.spec.name, index.number);
        drop_pieces(&self.shared.db, &pieces)
    }
}

impl Declared {
    /// Where its state is in the catalog.
    pub(super) fn state_key(&self) -> Vec<u8> {
        state_key(&self.spec.name, self.number)
    }

    /// What the keys of its marks begin with.
    pub(super) fn marks(&self) -> Vec<u8> {
        marks(&self.spec.name, self.number)
    }

    /// Where the mark of a row is in the catalog.
    pub(super) fn mark_key(&self, primary: &[u8]) -> Vec<u8> {
        [self.marks().as_slice(), primary].concat()
    }
}

/// What the names of the keyspaces begin with in which a build sorts.
pub(super) fn pieces(table: &str, index: &str, number: u64) -> String {
    format!("{}{SEPARATOR}", index_name(table, index, number))
}

/// Drops the keyspaces that begin so.
pub(super) fn drop_pieces(db: &Db, prefix: &str) -> Result<()> {
    for name in db.keyspaces()?.iter().filter(|name| name.starts_with(prefix)) {
        match db.drop_keyspace(name) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Deletes all marks whose keys begin so.
pub(super) fn forget_marks(catalog: &Keyspace, start: Vec<u8>) -> Result<()> {
    match successor(&start) {
        Some(end) => catalog.delete_range(start..end)?,
        None => catalog.delete_range(start..)?,
    }
    Ok(())
}
