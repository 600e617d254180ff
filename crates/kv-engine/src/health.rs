//! Whether the store takes writes, and if not, why.
//!
//! A failed write or sync of the log or the manifest, and a failed sync of the directory, are
//! final for this handle: what the disk holds is no longer known, so only a fresh open may decide. A failed flush or compaction is
//! not: the log still holds the data, the work is tried again, and writes are refused only once
//! they would have to wait for it.

use crate::error::{Error, Result};
use kv_vfs::sync::Mutex;
use kv_vfs::sync::atomic::{AtomicBool, Ordering};
use std::fmt;
use std::sync::OnceLock;

/// A kind of background work that may fail and be tried again.
///
/// ```
/// # use kv_engine::{Event, Work};
/// fn flush_failed(event: &Event) -> bool {
///     matches!(event, Event::WorkFailed { work: Work::Flush, .. })
/// }
/// assert_eq!(Work::Flush.to_string(), "flush");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Work {
    /// Writing memtables out, and making the logs that this needs.
    Flush,
    /// Merging tables.
    Compaction,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Work::Flush => "flush",
            Work::Compaction => "compaction",
        })
    }
}

/// The state of one open store.
#[derive(Default)]
pub(crate) struct Health {
    fatal: OnceLock<Error>,
    /// Why the last work of a kind failed, until one succeeds.
    flush: Mutex<Option<Error>>,
    compaction: Mutex<Option<Error>>,
    closed: AtomicBool,
}

impl Health {
    /// Refuses every later write with this reason; answers the reason that holds (the first), and
    /// whether it is this one.
    pub(crate) fn fail(&self, cause: &Error) -> (Error, bool) {
        let mut first = false;
        let reason = self.fatal.get_or_init(|| {
            first = true;
            Error::poisoned(cause)
        });
        (reason.clone(), first)
    }

    /// The reason why no write is taken any more.
    pub(crate) fn fatal(&self) -> Option<&Error> {
        self.fatal.get()
    }

    /// Answers an error unless the store is open and takes writes.
    #[inline]
    pub(crate) fn check_write(&self) -> Result<()> {
        self.check_open()?;
        match self.fatal.get() {
            None => Ok(()),
            Some(reason) => Err(reason.clone()),
        }
    }

    /// Answers an error unless the store is open.
    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) { Err(Error::closed()) } else { Ok(()) }
    }

    /// Closes the store; answers whether it was open.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::AcqRel)
    }

    fn slot(&self, work: Work) -> &Mutex<Option<Error>> {
        match work {
            Work::Flush => &self.flush,
            Work::Compaction => &self.compaction,
        }
    }

    /// Notes how the last work of a kind ended.
    pub(crate) fn note(&self, work: Work, outcome: Option<Error>) {
        *self.slot(work).lock() = outcome;
    }

    /// Why work of a kind fails at present.
    pub(crate) fn failing(&self, work: Work) -> Option<Error> {
        self.slot(work).lock().clone()
    }
}
