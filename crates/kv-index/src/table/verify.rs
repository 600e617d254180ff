//! Comparing rows with entries, in both directions.

use super::Table;
use super::schema::{Declared, Stage, State};
use crate::error::Result;
use crate::index::declare::Row;
use crate::index::entry::{parts, stored};
use kv_engine::{Bytes, Snapshot};
use std::fmt;

/// How many problems a report lists; all are counted.
const LISTED: usize = 1000;

/// What is wrong with an entry.
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
/// use kv_index::Problem;
/// db.keyspace("words")?.put("2", "past the table")?;
/// let report = words.verify_indexes()?;
/// assert_eq!(report.problems, [("by_value".to_owned(), Problem::Missing, "2".into())]);
/// # Ok::<(), kv_index::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// A row has no entry.
    Missing,
    /// A row's entry has another value than it should: another owner, or other covering columns.
    Different,
    /// An entry leads to a row that has other columns, or none.
    Stale,
    /// An entry leads to no row.
    Orphan,
    /// An entry is not what this crate writes.
    Malformed,
}

/// What [`Table::verify_indexes`] found. `Display` names indexes and numbers, never a key.
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
/// let report = words.verify_indexes()?;
/// assert_eq!(report.to_string(), "1 rows, 1 entries, 0 problems");
/// # Ok::<(), kv_index::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct IndexReport {
    /// How many rows were compared.
    pub rows: u64,
    /// How many entries were compared.
    pub entries: u64,
    /// How many problems there are.
    pub count: u64,
    /// The first 1,000 of them: index, what is wrong, and the primary key, or the entry's key where
    /// that is malformed.
    pub problems: Vec<(String, Problem, Bytes)>,
}

impl IndexReport {
    /// Whether nothing is wrong.
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
    /// assert!(words.verify_indexes()?.is_ok());
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn is_ok(&self) -> bool {
        self.count == 0
    }

    fn note(&mut self, index: &Declared, problem: Problem, key: Bytes) {
        self.count += 1;
        if self.problems.len() < LISTED {
            self.problems.push((index.spec.name.clone(), problem, key));
        }
    }
}

impl fmt::Display for IndexReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {} entries, {} problems", self.rows, self.entries, self.count)?;
        for (index, problem, _) in &self.problems {
            let what = match problem {
                Problem::Missing => "a row has no entry",
                Problem::Different => "the entry of a row has another value than it should",
                Problem::Stale => "an entry leads to a row with other columns",
                Problem::Orphan => "an entry leads to no row",
                Problem::Malformed => "an entry cannot be read",
            };
            write!(f, "\n{index}: {what}")?;
        }
        Ok(())
    }
}

impl Table {
    /// Compares each row with its entries and each entry with its row, at one moment. An index
    /// that is not built yet is compared in the second direction only, and while a build of it has
    /// begun and not ended, in none. An error is a comparison that could not be made.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let users = kv_index::Table::builder("users").open(&db)?;
    /// assert!(users.verify_indexes()?.is_ok());
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn verify_indexes(&self) -> Result<IndexReport> {
        let kept = self.kept();
        let moment = self.shared.db.snapshot();
        let rows = moment.within(&self.shared.rows);
        let mut kept_then = Vec::new();
        for index in &kept.indexes {
            // One that was dropped by then, or created later, is none.
            if let Some(state @ (State::Ready | State::Building(_))) =
                self.state_at(&moment, index)?
            {
                kept_then.push((index, moment.within(&index.space), state));
            }
        }
        let mut report = IndexReport::default();
        for pair in rows.iter() {
            let (key, value) = pair?;
            report.rows += 1;
            for (index, space, _) in kept_then.iter().filter(|kept| kept.2 == State::Ready) {
                let row = Row { key: &key, value: &value };
                let Some(entry) = stored(&index.spec, row) else { continue };
                match space.get(&entry.key)? {
                    None => report.note(index, Problem::Missing, key.clone()),
                    Some(found) if found != entry.value => {
                        report.note(index, Problem::Different, key.clone());
                    }
                    Some(_) => {}
                }
            }
        }
        for (index, space, state) in &kept_then {
            if !matches!(state, State::Building(Stage::Marks | Stage::Ingested)) {
                entries(&mut report, index, space, &rows)?;
            }
        }
        Ok(report)
    }
}

/// Compares the entries of an index with the rows.
fn entries(
    report: &mut IndexReport,
    index: &Declared,
    space: &Snapshot,
    rows: &Snapshot,
) -> Result<()> {
    for pair in space.iter() {
        let (key, value) = pair?;
        report.entries += 1;
        let Ok(parts) = parts(index.spec.kind, &key, &value) else {
            report.note(index, Problem::Malformed, key);
            continue;
        };
        let Some(row) = rows.get(&parts.primary)? else {
            report.note(index, Problem::Orphan, parts.primary);
            continue;
        };
        let row = Row { key: &parts.primary, value: &row };
        let wanted = stored(&index.spec, row);
        if wanted.is_none_or(|wanted| wanted.key != key || wanted.value != value) {
            report.note(index, Problem::Stale, parts.primary);
        }
    }
    Ok(())
}
