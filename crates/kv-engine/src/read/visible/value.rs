//! Where the value of an entry lies, and how one is read that lies in a value file.

use super::{At, Visible};
use crate::error::{Error, Result};
use crate::read::merge::Skip;
use crate::values::ValueFiles;
use kv_core::{Kind, Trailer, expiry_of, split_expiry};
use kv_manifest::Version;
use std::sync::Arc;

/// An expiring put's stored value begins with its expiry.
const EXPIRY_LEN: usize = 8;

/// How the value of a shown entry is had.
pub(super) enum Shown {
    /// It begins there in what is stored.
    From(usize),
    /// What is stored points to it.
    Pointer,
}

impl<C: Skip<Error = Error>> Visible<C> {
    /// Reads what lies in value files of `version` through `files`: with `eager` when its key is
    /// shown, else when [`Visible::fetch`] asks for it.
    pub(crate) fn reading(
        self,
        files: Arc<ValueFiles>,
        version: Arc<Version>,
        eager: bool,
    ) -> Visible<C> {
        Visible { values: Some(files), _version: Some(version), eager, ..self }
    }

    /// Reads the value where it lies in a value file and was not read yet.
    #[inline]
    pub(crate) fn fetch(&mut self) -> Result<()> {
        match self.at {
            At::Pointer | At::PointerBefore => self.fetch_pointer(),
            _ => Ok(()),
        }
    }

    #[cold]
    fn fetch_pointer(&mut self) -> Result<()> {
        let (stored, fetched) = match self.at {
            At::Pointer => (self.inner.value(), At::Fetched),
            _ => (self.value.as_ref(), At::Before),
        };
        let refused = || Error::corrupt("an entry points to a value where none can be");
        let done = self.values.as_ref().ok_or_else(refused).and_then(|files| files.scan(stored));
        match done {
            Ok(value) => {
                self.value = value;
                self.at = fetched;
                Ok(())
            }
            Err(error) => self.latch(Err(error)),
        }
    }

    /// Notes that the key shown has its value in a value file.
    #[cold]
    pub(super) fn show_pointer(&mut self, at: At) -> Result<()> {
        self.arrive(at);
        if self.eager { self.fetch_pointer() } else { Ok(()) }
    }
}

/// How the user's value is had; `None` where the entry hides its key.
#[inline]
pub(super) fn shown<'a>(
    trailer: Trailer,
    stored: impl FnOnce() -> &'a [u8],
    now_ms: u64,
) -> Result<Option<Shown>> {
    match trailer.kind() {
        Some(Kind::Put) => Ok(Some(Shown::From(0))),
        Some(Kind::Delete) => Ok(None),
        Some(Kind::PutExpiring) => match split_expiry(stored()) {
            Some((expiry, _)) => Ok((now_ms < expiry).then_some(Shown::From(EXPIRY_LEN))),
            None => Err(Error::corrupt(
                "an expiring entry is too short to hold its expiry; run verify to find its file",
            )),
        },
        Some(kind @ Kind::ValuePointer) => {
            let expiry = expiry_of(kind, stored());
            Ok(expiry.is_none_or(|expiry| now_ms < expiry).then_some(Shown::Pointer))
        }
        _ => Err(Error::corrupt(format!(
            "an entry has the kind {}, which this release does not read; run verify to find its \
             file",
            trailer.raw() as u8
        ))),
    }
}
