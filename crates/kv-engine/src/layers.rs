//! From the errors of the layers to the one of the facade: a kind by remedy, the sentence kept.

use crate::error::{Error, ErrorKind};
use std::io;

/// The kind of an input or output error.
fn io_kind(source: &io::Error) -> ErrorKind {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    }
}

impl From<kv_wal::Error> for Error {
    fn from(error: kv_wal::Error) -> Error {
        use kv_wal::Error as Wal;
        let kind = match &error {
            Wal::Io { source, .. } | Wal::Poisoned { source, .. } => io_kind(source),
            Wal::NoSpace { .. } => ErrorKind::NoSpace,
            Wal::Corrupt { .. } => ErrorKind::Corruption,
            Wal::IncompatibleFormat { .. } => ErrorKind::IncompatibleFormat,
            Wal::TooLarge { .. } => ErrorKind::InvalidArgument,
            Wal::Exhausted { .. } => ErrorKind::Unsupported,
            Wal::Finished { .. } => ErrorKind::Closed,
        };
        Error::from_source(kind, error)
    }
}

impl From<kv_manifest::Error> for Error {
    fn from(error: kv_manifest::Error) -> Error {
        use kv_manifest::Error as Manifest;
        let kind = match &error {
            Manifest::Io { source, .. } => io_kind(source),
            Manifest::NoSpace { .. } => ErrorKind::NoSpace,
            Manifest::Corrupt { .. } | Manifest::Broken(_) => ErrorKind::Corruption,
            Manifest::IncompatibleFormat { .. } => ErrorKind::IncompatibleFormat,
            Manifest::Poisoned { .. } => ErrorKind::ReadOnly,
        };
        Error::from_source(kind, error)
    }
}

impl From<kv_sstable::Error> for Error {
    fn from(error: kv_sstable::Error) -> Error {
        use kv_sstable::Error as Table;
        let kind = match &error {
            Table::Io { source, .. } => io_kind(source),
            Table::Corrupt { .. } => ErrorKind::Corruption,
            Table::Unsupported { .. } => ErrorKind::Unsupported,
            Table::IncompatibleFormat { .. } => ErrorKind::IncompatibleFormat,
            _ => ErrorKind::InvalidArgument,
        };
        Error::from_source(kind, error)
    }
}
