//! The one error of tables and indexes.

use crate::TooDeep;
use kv_core::Malformed;
use kv_engine::ErrorKind;
use thiserror::Error;

/// The result of a call on a table.
///
/// ```
/// use kv_index::{Result, Table};
/// fn rename(users: &Table, id: &str, name: &str) -> Result<bool> {
///     Ok(users.upsert(id, name)?.is_some())
/// }
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call on a table failed. Its text never holds a key or a value.
///
/// ```
/// # use kv_index::{Error, Table};
/// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
/// let users = Table::builder("users").open(&db)?;
/// users.insert("1", "Ada")?;
/// assert!(matches!(users.insert("1", "Alan"), Err(Error::Exists)));
/// assert!(matches!(users.index("by_name"), Err(Error::NoIndex { .. })));
/// # Ok::<(), kv_index::Error>(())
/// ```
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The store's own error.
    #[error(transparent)]
    Store(#[from] kv_engine::Error),
    /// A row with this primary key is there; `upsert` replaces it.
    #[error("a row with this primary key is there already")]
    Exists,
    /// Another row has the same columns in a unique index. Nothing was written.
    #[error("another row has the same columns in the unique index {index:?}")]
    Duplicate {
        /// The index.
        index: String,
    },
    /// The table has no index of this name.
    #[error("the table has no index {index:?}")]
    NoIndex {
        /// What was asked for.
        index: String,
    },
    /// The index is not built yet: `Table::build` ends that.
    #[error("the index {index:?} is not built yet; build it first")]
    NotReady {
        /// The index.
        index: String,
    },
    /// An index was created or dropped since the transaction began. Run it again.
    #[error("the indexes of the table changed since the transaction began; run it again")]
    Changed,
    /// An index was created or dropped by another handle than this one and its clones.
    #[error("the indexes of the table were changed by another handle; open the table again")]
    Outdated,
    /// A row was to be written in a transaction of `Isolation::Snapshot`, which would not notice
    /// that an index was created or dropped meanwhile. Nothing was written.
    #[error("a table is written in serializable transactions only, and this one is not")]
    NotSerializable,
    /// What is declared and what is stored do not go together, or a name cannot be used.
    #[error("{0}")]
    Declaration(String),
    /// What is stored is not what this crate wrote.
    #[error("{what} of the table is damaged: {source}; verify_indexes tells how much is")]
    Damaged {
        /// What of the table.
        what: &'static str,
        /// What is wrong with it.
        source: Malformed,
    },
    /// A tuple that cannot be encoded.
    #[error(transparent)]
    TooDeep(#[from] TooDeep),
}

impl Error {
    /// What the caller can do about it.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let users = kv_index::Table::builder("users").open(&db)?;
    /// let error = users.index("by_name").unwrap_err();
    /// assert_eq!(error.kind(), kv_engine::ErrorKind::NotFound);
    /// # Ok::<(), kv_index::Error>(())
    /// ```
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Store(error) => error.kind(),
            Error::Exists | Error::Duplicate { .. } => ErrorKind::InvalidArgument,
            Error::Declaration(_) | Error::TooDeep(_) => ErrorKind::InvalidArgument,
            Error::NoIndex { .. } | Error::NotReady { .. } => ErrorKind::NotFound,
            Error::Changed => ErrorKind::Conflict,
            Error::Outdated | Error::NotSerializable => ErrorKind::InvalidArgument,
            Error::Damaged { .. } => ErrorKind::Corruption,
        }
    }
}

/// Names a part of a table in the errors of its decoder.
pub(crate) fn damaged(what: &'static str) -> impl Fn(Malformed) -> Error {
    move |source| Error::Damaged { what, source }
}
