//! What can go wrong with a manifest, each with the file and, where there is one, the remedy.

use crate::Broken;
use crate::tag::Refused;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// The answer of everything in this crate that can fail.
///
/// ```
/// use kv_manifest::{Manifest, Result, State};
/// use kv_vfs::{Fs, MemFs};
/// use std::{path::Path, sync::Arc};
///
/// // Opens the database in a directory for writing, or makes one there.
/// fn open(fs: &Arc<dyn Fs>, dir: &Path) -> Result<Manifest> {
///     let state = Manifest::read(&**fs, dir)?.unwrap_or_else(|| State::new(42));
///     let number = state.next_file;
///     Manifest::create(Arc::clone(fs), dir, state, number)
/// }
///
/// let fs: Arc<dyn Fs> = Arc::new(MemFs::new());
/// let dir = Path::new("/db");
/// fs.create_dir(dir)?;
/// assert_eq!(open(&fs, dir)?.number(), 1);
/// assert_eq!(open(&fs, dir)?.number(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the manifest. It never holds keys or values.
///
/// ```
/// use kv_manifest::{Error, Manifest, State, VersionEdit};
/// use kv_vfs::{Fs, MemFs};
/// # use std::{path::Path, sync::Arc};
/// # let (fs, dir) = (Arc::new(MemFs::new()), Path::new("/db"));
/// # fs.create_dir(dir)?;
/// let mut manifest = Manifest::create(fs.clone(), dir, State::new(42), 1)?;
/// let settings = Some(vec![0_u8; 300_000].into());
/// let edit = VersionEdit { settings, ..VersionEdit::default() };
///
/// // A full disk is met before anything is written.
/// fs.set_capacity(fs.used());
/// let error = manifest.apply(edit.clone()).unwrap_err();
/// assert!(matches!(error, Error::NoSpace { .. }) && error.is_retryable());
/// fs.set_capacity(u64::MAX);
/// manifest.apply(edit)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {op} {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a verb.
        op: &'static str,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// No space could be reserved. Nothing changed; the same call may succeed later.
    #[error("no space left for {}; free some, then try again", path.display())]
    NoSpace {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// The bytes are not what was written.
    #[error("{} is damaged at offset {offset}: {reason}; restore it from a backup", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where its readable part ends.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A newer release wrote the file.
    #[error("{} has an unknown {what} ({number}); open it with the release that wrote it", path.display())]
    IncompatibleFormat {
        /// The file.
        path: PathBuf,
        /// Of what an unknown one was met.
        what: &'static str,
        /// Its number.
        number: u64,
    },
    /// An edit that does not fit was refused; nothing was written.
    #[error("an edit of the manifest breaks the rule {0}; nothing was changed")]
    Broken(#[from] Broken),
    /// A write or a sync failed before, so nobody knows what the disk holds: the manifest takes
    /// nothing more.
    #[error("the manifest takes no more edits until the database is opened again: {cause}")]
    Poisoned {
        /// What failed.
        cause: Arc<Error>,
    },
}

impl Error {
    /// Whether nothing was changed and the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::NoSpace { .. })
    }

    pub(crate) fn io(path: &Path, op: &'static str, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::NoSpace { path: path.into() }
            }
            _ => Error::Io { path: path.into(), op, source: Arc::new(source) },
        }
    }

    pub(crate) fn corrupt(path: &Path, offset: u64, reason: impl Into<String>) -> Error {
        Error::Corrupt { path: path.into(), offset, reason: reason.into() }
    }

    /// The answer to a payload at `offset` that is not understood.
    pub(crate) fn refused(path: &Path, offset: u64, refused: Refused) -> Error {
        match refused {
            Refused::Malformed(malformed) => {
                Error::corrupt(path, offset, format!("its record is no record: {malformed}"))
            }
            Refused::Unknown { what, number } => {
                Error::IncompatibleFormat { path: path.into(), what, number }
            }
        }
    }
}

impl From<kv_wal::Error> for Error {
    fn from(error: kv_wal::Error) -> Error {
        use kv_wal::Error as Wal;
        match error {
            Wal::Io { path, op, source } | Wal::Poisoned { path, op, source } => {
                Error::Io { path, op, source }
            }
            Wal::NoSpace { path } => Error::NoSpace { path },
            Wal::Corrupt { path, offset, reason } => Error::Corrupt { path, offset, reason },
            Wal::IncompatibleFormat { path, what, number, .. } => {
                Error::IncompatibleFormat { path, what, number }
            }
            Wal::TooLarge { path, .. } | Wal::Exhausted { path } | Wal::Finished { path } => {
                let source = io::ErrorKind::FileTooLarge.into();
                Error::Io { path, op: "append to", source: Arc::new(source) }
            }
        }
    }
}
