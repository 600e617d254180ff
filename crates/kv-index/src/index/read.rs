//! Reading through an index: entries alone, or the rows that they lead to.

use crate::error::{Error, Result, damaged};
use crate::index::declare::{Kind, Row};
use crate::index::entry::{BEHIND, ended, hash_key, parts};
use crate::index::source::{Range, Source};
use crate::table::schema::Declared;
use crate::tuple::{Columns, Items, Tuple};
use kv_engine::{Bytes, Iter, Keyspace};
use std::iter::FusedIterator;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

/// A built index of a table, at one moment or in a transaction: `Table::index` and
/// `TableIn::index`.
///
/// Columns are given as one value, or as a Rust tuple of the first ones. Where a column is
/// descending, it is given with [`Desc`](crate::Desc) here too, and ranges are in that order: from
/// the later to the earlier.
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
/// let index = words.index("by_value")?;
/// assert_eq!(index.get("one").count(), 1);
/// # Ok::<(), kv_index::Error>(())
/// ```
#[derive(Debug)]
pub struct Index<S> {
    source: S,
    rows: Keyspace,
    declared: Arc<Declared>,
}

impl<S: Source> Index<S> {
    pub(crate) fn new(source: S, rows: Keyspace, declared: Arc<Declared>) -> Index<S> {
        Index { source, rows, declared }
    }

    /// The rows with exactly these columns, all of them, in the order of their primary keys.
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let by_value = Ordered::new("by_value", |row: Row<'_>, columns| {
    ///     columns.push(row.value);
    ///     Some(())
    /// });
    /// let table = Table::builder("words").index(by_value).open(&db)?;
    /// table.insert("1", "one")?;
    /// let (key, value) = table.index("by_value")?.get(b"one").next().unwrap()?;
    /// assert_eq!((&key[..], &value[..]), (&b"1"[..], &b"one"[..]));
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn get(mut self, columns: impl Columns) -> Rows<S> {
        let columns = Tuple::of(columns);
        let space = &self.declared.space;
        match self.declared.spec.kind {
            Kind::Ordered => {
                let begin = ended(columns);
                let pairs = Pairs::Many(self.source.entries(space, beginning(begin)));
                self.rows_of(pairs, None)
            }
            Kind::Unique => {
                let key = ended(columns);
                let pair = match self.source.entry(space, &key) {
                    Ok(value) => value.map(|value| Ok((Bytes::from(key), value))),
                    Err(error) => Some(Err(error)),
                };
                self.rows_of(Pairs::One(pair), None)
            }
            Kind::Hash => {
                let begin = hash_key(&columns, &[]);
                let pairs = Pairs::Many(self.source.entries(space, beginning(begin)));
                self.rows_of(pairs, Some(columns))
            }
        }
    }

    /// The entries whose columns are in a range, in their order. A bound of fewer columns than the
    /// index has stands for all that begin with them: `"a"..="b"` holds `("b", 7)`.
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let by_len = Ordered::new("by_len", |row: Row<'_>, columns| {
    ///     columns.push(row.value.len());
    ///     Some(())
    /// });
    /// let table = Table::builder("words").index(by_len).open(&db)?;
    /// for (key, word) in [("1", "a"), ("2", "abc"), ("3", "ab")] {
    ///     table.insert(key, word)?;
    /// }
    /// let short = table.index("by_len")?.range(..=2)?.rows();
    /// let words = short.rev().map(|row| row.map(|(_, word)| word));
    /// assert_eq!(words.collect::<Result<Vec<_>, _>>()?, ["ab", "a"]);
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn range<C: Columns>(self, range: impl RangeBounds<C>) -> Result<Entries<S>> {
        let behind = |columns: &C| {
            let mut key = Tuple::of(columns).into_bytes();
            key.push(BEHIND);
            key
        };
        let low = match range.start_bound() {
            Bound::Included(columns) => Bound::Included(Tuple::of(columns).into_bytes()),
            Bound::Excluded(columns) => Bound::Included(behind(columns)),
            Bound::Unbounded => Bound::Unbounded,
        };
        let high = match range.end_bound() {
            Bound::Included(columns) => Bound::Excluded(behind(columns)),
            Bound::Excluded(columns) => Bound::Excluded(Tuple::of(columns).into_bytes()),
            Bound::Unbounded => Bound::Unbounded,
        };
        self.entries((low, high))
    }

    /// The entries whose first columns are these; `()` for all entries.
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
    /// assert_eq!(words.index("by_value")?.prefix("one")?.count(), 1);
    /// assert_eq!(words.index("by_value")?.prefix(())?.count(), 1);
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn prefix(self, columns: impl Columns) -> Result<Entries<S>> {
        self.entries(beginning(Tuple::of(columns).into_bytes()))
    }

    /// The entries whose first columns are `columns`, and whose next one is ascending text that
    /// begins with `text`.
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let by_name = Ordered::new("by_name", |row: Row<'_>, columns| {
    ///     columns.push(std::str::from_utf8(row.value).ok()?);
    ///     Some(())
    /// });
    /// let table = Table::builder("people").index(by_name).open(&db)?;
    /// table.insert("1", "Ada")?;
    /// table.insert("2", "Adele")?;
    /// table.insert("3", "Bob")?;
    /// assert_eq!(table.index("by_name")?.starting_with((), "Ad")?.count(), 2);
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn starting_with(self, columns: impl Columns, text: &str) -> Result<Entries<S>> {
        let begin = Tuple::of(columns).text_prefix(text);
        // Behind the text comes any byte of it, 0xFF for a zero included.
        let end = kv_core::successor(&begin).map_or(Bound::Unbounded, Bound::Excluded);
        self.entries((Bound::Included(begin), end))
    }

    fn entries(mut self, range: Range) -> Result<Entries<S>> {
        if self.declared.spec.kind == Kind::Hash {
            let name = &self.declared.spec.name;
            let message = format!("the index {name:?} is by hash: it has no order, only `get`");
            return Err(Error::Declaration(message));
        }
        let pairs = Pairs::Many(self.source.entries(&self.declared.space, range));
        Ok(Entries { pairs, index: self })
    }

    fn rows_of(self, pairs: Pairs, wanted: Option<Tuple>) -> Rows<S> {
        Rows { entries: Entries { pairs, index: self }, wanted }
    }

    fn row(&mut self, primary: &[u8]) -> Result<Option<Bytes>> {
        self.source.row(&self.rows, primary)
    }
}

/// The keys that begin with an encoded tuple, or with one and its end, or with a hash.
fn beginning(begin: Vec<u8>) -> Range {
    let end = kv_core::successor(&begin).map_or(Bound::Unbounded, Bound::Excluded);
    (Bound::Included(begin), end)
}

/// The entries as they are stored.
enum Pairs {
    Many(Iter),
    One(Option<Result<(Bytes, Bytes)>>),
}

impl Pairs {
    fn next(&mut self, forward: bool) -> Option<Result<(Bytes, Bytes)>> {
        match self {
            Pairs::Many(iter) if forward => Some(iter.next()?.map_err(Error::from)),
            Pairs::Many(iter) => Some(iter.next_back()?.map_err(Error::from)),
            Pairs::One(pair) => pair.take(),
        }
    }

    fn end(&mut self) {
        *self = Pairs::One(None);
    }
}

/// An entry of an ordered index: what it says of its row without reading it.
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
/// let entry = words.index("by_value")?.prefix(())?.next().unwrap()?;
/// assert_eq!(entry.key(), "1");
/// # Ok::<(), kv_index::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Entry {
    columns: Bytes,
    covering: Bytes,
    key: Bytes,
}

impl Entry {
    /// The columns that the index is ordered by.
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
    /// use kv_index::Value;
    /// let entry = words.index("by_value")?.prefix(())?.next().unwrap()?;
    /// assert_eq!(entry.columns().next().unwrap().unwrap().value, Value::from("one"));
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn columns(&self) -> Items<'_> {
        Items::new(&self.columns)
    }

    /// The covering columns.
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
    /// let entry = words.index("by_value")?.prefix(())?.next().unwrap()?;
    /// assert_eq!(entry.covering().count(), 0); // the index has none
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn covering(&self) -> Items<'_> {
        Items::new(&self.covering)
    }

    /// The row's primary key.
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
    /// let entry = words.index("by_value")?.prefix("one")?.next().unwrap()?;
    /// assert_eq!(entry.key(), "1");
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn key(&self) -> &Bytes {
        &self.key
    }
}

/// Entries of an ordered index, in its order, from both ends. After an error it ends.
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
/// let mut entries = words.index("by_value")?.range("a".."z")?;
/// assert_eq!(entries.next_back().unwrap()?.key(), "1");
/// assert!(entries.next().is_none());
/// # Ok::<(), kv_index::Error>(())
/// ```
pub struct Entries<S> {
    pairs: Pairs,
    index: Index<S>,
}

impl<S: Source> Entries<S> {
    /// The rows of these entries.
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
    /// let (key, word) = words.index("by_value")?.range("a".."z")?.rows().next().unwrap()?;
    /// assert_eq!((key, word), ("1".into(), "one".into()));
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn rows(self) -> Rows<S> {
        Rows { entries: self, wanted: None }
    }

    fn step(&mut self, forward: bool) -> Option<Result<Entry>> {
        let kind = self.index.declared.spec.kind;
        let entry = self.pairs.next(forward)?.and_then(|(key, value)| {
            let parts = parts(kind, &key, &value).map_err(damaged("an index entry"))?;
            Ok(Entry { columns: parts.columns, covering: parts.covering, key: parts.primary })
        });
        if entry.is_err() {
            self.pairs.end();
        }
        Some(entry)
    }
}

/// Rows that an index found: primary key and row. After an error it ends.
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
/// for row in words.index("by_value")?.get("one") {
///     let (key, word) = row?;
///     println!("{key:?}: {word:?}");
/// }
/// # Ok::<(), kv_index::Error>(())
/// ```
pub struct Rows<S> {
    entries: Entries<S>,
    /// For an index by hash: the columns that a row must have, since another may have their hash.
    wanted: Option<Tuple>,
}

impl<S: Source> Rows<S> {
    fn step(&mut self, forward: bool) -> Option<Result<(Bytes, Bytes)>> {
        loop {
            let found = self.entries.step(forward)?.and_then(|entry| self.check(entry.key));
            match found {
                Ok(None) => {}
                Ok(Some(row)) => return Some(Ok(row)),
                Err(error) => {
                    self.entries.pairs.end();
                    return Some(Err(error));
                }
            }
        }
    }

    /// The row, unless it has the hash alone in common with what is wanted.
    fn check(&mut self, key: Bytes) -> Result<Option<(Bytes, Bytes)>> {
        let index = &mut self.entries.index;
        let Some(value) = index.row(&key)? else {
            return Err(damaged("an index entry")(kv_core::Malformed {
                what: "no row of the primary key",
                at: 0,
            }));
        };
        if let Some(wanted) = &self.wanted {
            let columns = index.declared.spec.columns(Row { key: &key, value: &value });
            if columns.as_ref() != Some(wanted) {
                return Ok(None);
            }
        }
        Ok(Some((key, value)))
    }
}

macro_rules! iterators {
    ($($type:ident: $item:ty;)*) => {$(
        impl<S: Source> Iterator for $type<S> {
            type Item = Result<$item>;

            fn next(&mut self) -> Option<Self::Item> {
                self.step(true)
            }
        }

        impl<S: Source> DoubleEndedIterator for $type<S> {
            fn next_back(&mut self) -> Option<Self::Item> {
                self.step(false)
            }
        }

        impl<S: Source> FusedIterator for $type<S> {}

        impl<S> std::fmt::Debug for $type<S> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type)).finish_non_exhaustive()
            }
        }
    )*};
}

iterators! {
    Entries: Entry;
    Rows: (Bytes, Bytes);
}
