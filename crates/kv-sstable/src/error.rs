//! What can go wrong with a table.

use kv_core::Malformed;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// A failed call on a table or its builder. It never holds a key or a value.
///
/// ```
/// use kv_sstable::Error;
/// /// Whether it is worth while to try again.
/// fn may_pass(error: &Error) -> bool {
///     matches!(error, Error::Io { .. })
/// }
/// ```
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read, written or synced.
    #[error("i/o on {} {} at offset {offset} failed: {source}", what(path), path.display())]
    Io {
        /// The table's file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What the file system answered.
        source: Arc<io::Error>,
    },
    /// The file does not hold what was written to it.
    #[error(
        "{} {} is damaged at offset {offset}: {reason}; restore the file from a backup",
        what(path), path.display()
    )]
    Corrupt {
        /// The table's file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The table is whole, and this build cannot read it.
    #[error("{} {} cannot be read by this build: {reason}", what(path), path.display())]
    Unsupported {
        /// The table's file.
        path: PathBuf,
        /// What is missing.
        reason: &'static str,
    },
    /// A newer release wrote the table.
    #[error(
        "{} {} has an unknown format ({format}); open it with the release that wrote it",
        what(path), path.display()
    )]
    IncompatibleFormat {
        /// The table's file.
        path: PathBuf,
        /// The format that its footer names.
        format: u16,
    },
    /// An entry was added that does not come behind the one before it.
    #[error("table {}: entries must be added in strictly ascending order", path.display())]
    Order {
        /// The table's file.
        path: PathBuf,
    },
    /// An entry was added that a table does not hold.
    #[error("table {}: the entry was refused: {reason}", path.display())]
    Refused {
        /// The table's file.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
}

/// What a file is, by its name.
fn what(path: &Path) -> &'static str {
    if path.extension().is_some_and(|ending| ending == "val") { "value file" } else { "table" }
}

/// The result of a call on a table.
///
/// ```
/// fn check(table: &kv_sstable::Table) -> kv_sstable::Result<()> {
///     table.verify().into_iter().next().map_or(Ok(()), Err)
/// }
/// ```
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: &Path, offset: u64, source: io::Error) -> Error {
        Error::Io { path: path.to_path_buf(), offset, source: Arc::new(source) }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, reason: &'static str) -> Error {
        Error::Corrupt { path: path.to_path_buf(), offset, reason }
    }

    /// `base` is where the malformed bytes begin in the file. Inside a compressed block the sum
    /// is not a place in the file, but it still tells the block.
    pub(crate) fn malformed(path: &Path, base: u64, malformed: Malformed) -> Error {
        Error::corrupt(path, base.saturating_add(malformed.at as u64), malformed.what)
    }

    pub(crate) fn refused(path: &Path, reason: &'static str) -> Error {
        Error::Refused { path: path.to_path_buf(), reason }
    }
}
