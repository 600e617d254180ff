//! What a program says of an index: a name, a kind, and closures that take columns out of rows.

use crate::Tuple;
use crate::error::{Error, Result};
use std::fmt;
use std::sync::Arc;

/// A row as an index sees it.
///
/// ```
/// use kv_index::Row;
/// fn year(row: Row<'_>) -> Option<i32> {
///     std::str::from_utf8(row.value).ok()?.split_once(' ')?.1.parse().ok()
/// }
/// assert_eq!(year(Row { key: b"ada", value: b"London 1815" }), Some(1815));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The primary key.
    pub key: &'a [u8],
    /// The row itself.
    pub value: &'a [u8],
}

/// Pushes a row's columns; `None` where the row is not in the index.
type Extract = Arc<dyn Fn(Row<'_>, &mut Tuple) -> Option<()> + Send + Sync>;

/// What separates the name of a table from that of an index in the name of a keyspace.
pub(crate) const SEPARATOR: char = '#';

/// How the entries of an index are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ordered,
    Unique,
    Hash,
}

/// An index in the order of its columns: found by equality, by the first columns, and by ranges.
///
/// The closure pushes the columns of a row; rows with equal columns come in the order of their
/// primary keys. Where it answers `None` the row is not in the index. It must answer the same for
/// the same row, in this and in every later run of the program: a closure that changes what it
/// answers is a new [`revision`](Ordered::revision).
///
/// ```
/// use kv_index::{Desc, Ordered, Row};
/// let by_city = Ordered::new("by_city", |row: Row<'_>, columns| {
///     let (city, year) = std::str::from_utf8(row.value).ok()?.split_once(' ')?;
///     columns.push(city).push(Desc(year.parse::<i32>().ok()?));
///     Some(())
/// });
/// ```
#[derive(Clone)]
pub struct Ordered(IndexSpec);

/// An index by the hash of its columns: found by equality of all of them, and nothing else. Its
/// entries have 8 bytes and the primary key, however long the columns are; each row that it finds
/// is read and compared, so it answers rows and never entries alone.
///
/// ```
/// use kv_index::{Hash, Row};
/// let by_address = Hash::new("by_address", |row: Row<'_>, columns| {
///     columns.push(row.value);
///     Some(())
/// });
/// ```
#[derive(Clone)]
pub struct Hash(IndexSpec);

/// An [`Ordered`] or a [`struct@Hash`] index.
///
/// ```
/// use kv_index::{Hash, IndexSpec, Ordered, Row};
/// fn whole(row: Row<'_>, columns: &mut kv_index::Tuple) -> Option<()> {
///     columns.push(row.value);
///     Some(())
/// }
/// let indexes: [IndexSpec; 2] = [Ordered::new("in_order", whole).into(), Hash::new("by_hash", whole).into()];
/// ```
#[derive(Clone)]
pub struct IndexSpec {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) revision: u32,
    columns: Extract,
    covering: Option<Extract>,
}

impl Ordered {
    /// An index with this name over the columns that `columns` pushes.
    ///
    /// ```
    /// use kv_index::{Ordered, Row};
    /// let by_row = Ordered::new("by_row", |row: Row<'_>, columns| {
    ///     columns.push(row.value);
    ///     Some(())
    /// });
    /// ```
    pub fn new(
        name: &str,
        columns: impl Fn(Row<'_>, &mut Tuple) -> Option<()> + Send + Sync + 'static,
    ) -> Ordered {
        Ordered(IndexSpec::new(name, Kind::Ordered, Arc::new(columns)))
    }

    /// No two rows may have the same columns. Null is equal to null; rows that may share it are
    /// left out by answering `None`.
    ///
    /// ```
    /// # use kv_index::{Error, Ordered, Row, Table};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let by_name = Ordered::new("by_name", |row: Row<'_>, columns| {
    ///     columns.push(row.value);
    ///     Some(())
    /// });
    /// let users = Table::builder("users").index(by_name.unique()).open(&db)?;
    /// users.insert("1", "Ada")?;
    /// assert!(matches!(users.insert("2", "Ada"), Err(Error::Duplicate { .. })));
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    #[must_use]
    pub fn unique(mut self) -> Ordered {
        self.0.kind = Kind::Unique;
        self
    }

    /// Keeps further columns in the entries, so that they are read without the row. Where the
    /// closure answers `None` there are none.
    ///
    /// ```
    /// # use kv_index::{Ordered, Row, Table, Value};
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let by_key = Ordered::new("by_key", |row: Row<'_>, columns| {
    ///     columns.push(row.key);
    ///     Some(())
    /// });
    /// let with_length = by_key.covering(|row: Row<'_>, columns| {
    ///     columns.push(row.value.len());
    ///     Some(())
    /// });
    /// let files = Table::builder("files").index(with_length).open(&db)?;
    /// files.insert("a", "12345")?;
    /// let entry = files.index("by_key")?.prefix(())?.next().unwrap()?;
    /// assert_eq!(entry.covering().next().unwrap().unwrap().value, Value::Int(5));
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    #[must_use]
    pub fn covering(
        mut self,
        columns: impl Fn(Row<'_>, &mut Tuple) -> Option<()> + Send + Sync + 'static,
    ) -> Ordered {
        self.0.covering = Some(Arc::new(columns));
        self
    }

    /// The number of the closures' meaning, 0 at first. An index that is stored with another one
    /// is refused, and has to be dropped and built again.
    ///
    /// ```
    /// use kv_index::{Ordered, Row};
    /// let by_name = Ordered::new("by_name", |row: Row<'_>, columns| {
    ///     columns.push(row.value.to_ascii_lowercase().as_slice()); // it was as written, before
    ///     Some(())
    /// })
    /// .revision(1);
    /// ```
    #[must_use]
    pub fn revision(mut self, revision: u32) -> Ordered {
        self.0.revision = revision;
        self
    }
}

impl Hash {
    /// An index with this name over the columns that `columns` pushes.
    ///
    /// ```
    /// use kv_index::{Hash, Row};
    /// let by_row = Hash::new("by_row", |row: Row<'_>, columns| {
    ///     columns.push(row.value);
    ///     Some(())
    /// });
    /// ```
    pub fn new(
        name: &str,
        columns: impl Fn(Row<'_>, &mut Tuple) -> Option<()> + Send + Sync + 'static,
    ) -> Hash {
        Hash(IndexSpec::new(name, Kind::Hash, Arc::new(columns)))
    }

    /// As [`Ordered::revision`].
    ///
    /// ```
    /// use kv_index::{Hash, Row};
    /// let by_length = Hash::new("by_length", |row: Row<'_>, columns| {
    ///     columns.push(row.value.len());
    ///     Some(())
    /// })
    /// .revision(1);
    /// ```
    #[must_use]
    pub fn revision(mut self, revision: u32) -> Hash {
        self.0.revision = revision;
        self
    }
}

impl From<Ordered> for IndexSpec {
    fn from(index: Ordered) -> IndexSpec {
        index.0
    }
}

impl From<Hash> for IndexSpec {
    fn from(index: Hash) -> IndexSpec {
        index.0
    }
}

impl IndexSpec {
    fn new(name: &str, kind: Kind, columns: Extract) -> IndexSpec {
        IndexSpec { name: name.to_owned(), kind, revision: 0, columns, covering: None }
    }

    /// Whether entries hold further columns.
    pub(crate) fn covers(&self) -> bool {
        self.covering.is_some()
    }

    /// The columns of a row, `None` where it is not in the index.
    pub(crate) fn columns(&self, row: Row<'_>) -> Option<Tuple> {
        let mut columns = Tuple::new();
        (self.columns)(row, &mut columns)?;
        Some(columns)
    }

    /// The covering columns of a row.
    pub(crate) fn covering(&self, row: Row<'_>) -> Tuple {
        let mut columns = Tuple::new();
        if let Some(covering) = &self.covering
            && covering(row, &mut columns).is_none()
        {
            columns.clear();
        }
        columns
    }
}

/// Refuses what cannot be part of a keyspace's name.
pub(crate) fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.contains(SEPARATOR) {
        let message = format!("the name {name:?} of {what} is empty or has a {SEPARATOR:?} in it");
        return Err(Error::Declaration(message));
    }
    Ok(())
}

macro_rules! debug {
    ($($type:ident: $spec:ident => $inner:expr;)*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $spec = self;
                let spec: &IndexSpec = $inner;
                let mut debug = f.debug_struct(stringify!($type));
                debug.field("name", &spec.name).field("kind", &spec.kind);
                debug.finish_non_exhaustive()
            }
        }
    )*};
}

debug! {
    Ordered: index => &index.0;
    Hash: index => &index.0;
    IndexSpec: index => index;
}
