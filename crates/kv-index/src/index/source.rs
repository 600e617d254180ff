//! Where an index reads: at a snapshot, or inside a transaction.

use crate::error::Result;
use kv_engine::{Bytes, Iter, Keyspace, Snapshot, Transaction};
use std::ops::Bound;

/// A range of keys.
pub(crate) type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// Something that answers reads of one moment: [`Moment`], or a transaction ([`Inside`]).
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
/// use kv_index::{Index, Source};
/// fn known<S: Source>(index: Index<S>, word: &str) -> bool {
///     index.get(word).next().is_some()
/// }
/// assert!(known(words.index("by_value")?, "one"));
/// let mut tx = db.transaction();
/// assert!(known(words.within(&mut tx).index("by_value")?, "one"));
/// # Ok::<(), kv_index::Error>(())
/// ```
pub trait Source: sealed::Reads {}

pub(crate) mod sealed {
    use super::{Bytes, Iter, Keyspace, Range, Result};

    /// The reads that it takes to go through an index.
    pub trait Reads {
        fn entries(&mut self, index: &Keyspace, range: Range) -> Iter;
        fn entry(&mut self, index: &Keyspace, key: &[u8]) -> Result<Option<Bytes>>;
        fn row(&mut self, rows: &Keyspace, key: &[u8]) -> Result<Option<Bytes>>;
    }
}

/// One moment of a table and an index of it.
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
/// use kv_index::{Index, Moment};
/// let before: Index<Moment> = words.index("by_value")?;
/// words.delete("1")?;
/// assert_eq!(before.get("one").count(), 1);
/// # Ok::<(), kv_index::Error>(())
/// ```
#[derive(Debug)]
pub struct Moment {
    rows: Snapshot,
    index: Snapshot,
}

impl Moment {
    pub(crate) fn new(moment: &Snapshot, rows: &Keyspace, index: &Keyspace) -> Moment {
        Moment { rows: moment.within(rows), index: moment.within(index) }
    }
}

impl Source for Moment {}

impl sealed::Reads for Moment {
    fn entries(&mut self, _: &Keyspace, range: Range) -> Iter {
        self.index.range(range)
    }

    fn entry(&mut self, _: &Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.index.get(key)?)
    }

    fn row(&mut self, _: &Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.rows.get(key)?)
    }
}

/// A table and an index of it as a transaction sees them. Between two reads the transaction is
/// within the default keyspace.
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
/// use kv_index::{Index, Inside};
/// let mut tx = db.transaction();
/// words.within(&mut tx).delete("1")?;
/// let index: Index<Inside<'_>> = words.within(&mut tx).index("by_value")?;
/// assert_eq!(index.get("one").count(), 0);
/// # Ok::<(), kv_index::Error>(())
/// ```
#[derive(Debug)]
pub struct Inside<'a> {
    tx: &'a mut Transaction,
    home: &'a Keyspace,
}

impl<'a> Inside<'a> {
    pub(crate) fn new(tx: &'a mut Transaction, home: &'a Keyspace) -> Inside<'a> {
        Inside { tx, home }
    }

    fn at<T>(&mut self, keyspace: &Keyspace, read: impl FnOnce(&mut Transaction) -> T) -> T {
        let answer = read(self.tx.within(keyspace));
        self.tx.within(self.home);
        answer
    }
}

impl Source for Inside<'_> {}

impl sealed::Reads for Inside<'_> {
    fn entries(&mut self, index: &Keyspace, range: Range) -> Iter {
        self.at(index, |tx| tx.range(range))
    }

    fn entry(&mut self, index: &Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.at(index, |tx| tx.get(key))?)
    }

    fn row(&mut self, rows: &Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.at(rows, |tx| tx.get(key))?)
    }
}
