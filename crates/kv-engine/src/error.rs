//! The one error of the facade: a kind named by what the caller can do about it, and a sentence.

use std::fmt;
use std::sync::Arc;

/// The result of a call on the store.
///
/// ```
/// fn count(db: &kv_engine::Db) -> kv_engine::Result<usize> {
///     db.iter().try_fold(0, |count, pair| pair.map(|_| count + 1))
/// }
/// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
/// assert_eq!(count(&db)?, 0);
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an [`Error`].
///
/// ```
/// # use kv_engine::{Db, ErrorKind};
/// fn save(db: &Db, key: &str) -> Result<(), String> {
///     db.put(key, "value").map_err(|error| match error.kind() {
///         ErrorKind::NoSpace => "make room and try again".to_owned(),
///         ErrorKind::InvalidArgument => "a shorter key, please".to_owned(),
///         _ => error.to_string(),
///     })
/// }
/// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
/// assert_eq!(save(&db, &"k".repeat(70_000)).unwrap_err(), "a shorter key, please");
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused a read, a write or a sync. Look at the disk.
    Io,
    /// The disk, or the store's own limit, is full. Reads go on; make room and try again.
    NoSpace,
    /// A file is not what was written. Other keys stay readable; restore from a backup.
    Corruption,
    /// An argument or a setting is out of its range. Nothing was written.
    InvalidArgument,
    /// Someone else has this directory open. Close it there.
    Locked,
    /// Another commit came first. Nothing was written, try again.
    Conflict,
    /// The handle takes no writes, by choice or after a failure that it names.
    ReadOnly,
    /// The store was closed. Open it again.
    Closed,
    /// The store or the keyspace does not exist.
    NotFound,
    /// A newer release wrote these files. Use that release.
    IncompatibleFormat,
    /// This build or this kind of store cannot do that.
    Unsupported,
}

/// Why a call failed.
///
/// Its text names the file, the offset and the remedy where there is one, and never a key or a
/// value. It is cheap to clone: a store that went read-only answers the same reason every time.
///
/// ```
/// use kv_engine::{Db, ErrorKind, Options};
/// let error = Db::open("/nowhere/at/all", Options::default().read_only(true)).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// What the caller can do about it.
    ///
    /// ```
    /// # use kv_engine::ErrorKind;
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let error = db.drop_keyspace("never made").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Arc::new(Inner { kind, message: message.into(), source: None }))
    }

    /// A layer's error, with its own sentence.
    pub(crate) fn from_source(
        kind: ErrorKind,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Error {
        let message = source.to_string();
        Error(Arc::new(Inner { kind, message, source: Some(Box::new(source)) }))
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidArgument, message)
    }

    pub(crate) fn closed() -> Error {
        Error::new(ErrorKind::Closed, "the store is closed; open it again")
    }

    pub(crate) fn read_only() -> Error {
        Error::new(ErrorKind::ReadOnly, "the store was opened read-only; open it for writing")
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Corruption, message)
    }

    /// An input or output error on `what` (a sentence's subject with the file in it).
    pub(crate) fn io(what: impl fmt::Display, source: std::io::Error) -> Error {
        use std::io::ErrorKind as Io;
        let kind = match source.kind() {
            Io::StorageFull | Io::QuotaExceeded => ErrorKind::NoSpace,
            _ => ErrorKind::Io,
        };
        let message = format!("{what}: {source}");
        Error(Arc::new(Inner { kind, message, source: Some(Box::new(source)) }))
    }

    /// The reason that a handle repeats after `cause` took its ability to write.
    pub(crate) fn poisoned(cause: &Error) -> Error {
        Error(Arc::new(Inner {
            kind: ErrorKind::ReadOnly,
            message: format!("the store takes no more writes until it is reopened: {cause}"),
            source: Some(Box::new(cause.clone())),
        }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.0.kind, self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| s.as_ref() as _)
    }
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Error {
        match never {}
    }
}
