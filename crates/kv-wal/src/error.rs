//! What can go wrong with a log, each with the file and, where there is one, the remedy.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// The answer of everything in this crate that can fail.
///
/// ```
/// fn durable(log: &kv_wal::Log) -> kv_wal::Result<()> {
///     log.sync_to(log.end())
/// }
/// ```
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the log or of reading it. It never holds payload bytes.
///
/// ```
/// use kv_wal::Error;
/// fn may_try_again(error: &Error) -> bool {
///     matches!(error, Error::NoSpace { .. })
/// }
/// ```
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// The operating system refused; nothing was appended, and the log goes on.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried, as a verb.
        op: &'static str,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// No space could be reserved. Nothing was appended; the same call may succeed later.
    #[error("no space left for {}; free some, then write again", path.display())]
    NoSpace {
        /// The segment that could not grow.
        path: PathBuf,
    },
    /// Bytes that had been made durable are not what was written.
    #[error("{} is damaged at offset {offset}: {reason}; restore the file from a backup", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where its readable part ends.
        offset: u64,
        /// What is wrong there, and how it is known that it was durable.
        reason: String,
    },
    /// A newer release wrote the file: the record is whole, and this code does not know it.
    #[error(
        "{} has an unknown {what} ({number}) at offset {offset}; open it with the release that \
         wrote it",
        path.display()
    )]
    IncompatibleFormat {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// Of what an unknown one was met.
        what: &'static str,
        /// Its number.
        number: u64,
    },
    /// A write or a sync failed, so nobody knows what the disk holds: the log takes nothing more.
    #[error(
        "the log is closed for good, because it could not {op} {}: {source}; open it again to go \
         on from what is durable",
        path.display()
    )]
    Poisoned {
        /// The segment.
        path: PathBuf,
        /// What failed, as a verb.
        op: &'static str,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The record does not fit the segment.
    #[error(
        "a record of {bytes} bytes does not fit {}, which may grow to {limit} bytes; begin \
         another segment or write less at once",
        path.display()
    )]
    TooLarge {
        /// The segment.
        path: PathBuf,
        /// Length of the payload.
        bytes: u64,
        /// The most that a segment may hold.
        limit: u64,
    },
    /// The sequence numbers do not suffice for the record.
    #[error("{} has no sequence numbers left", path.display())]
    Exhausted {
        /// The segment.
        path: PathBuf,
    },
    /// The log was finished.
    #[error("{} has its end record and takes no more", path.display())]
    Finished {
        /// The segment.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn io(path: &Path, op: &'static str, source: io::Error) -> Error {
        Error::Io { path: path.into(), op, source: Arc::new(source) }
    }

    pub(crate) fn poisoned(path: &Path, op: &'static str, source: io::Error) -> Error {
        Error::Poisoned { path: path.into(), op, source: Arc::new(source) }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, reason: impl Into<String>) -> Error {
        Error::Corrupt { path: path.into(), offset, reason: reason.into() }
    }
}
