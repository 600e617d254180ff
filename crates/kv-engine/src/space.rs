//! What a keyspace is inside: a number, written in front of each of its keys.
//!
//! All keyspaces share one log, one memtable and one tree, so a batch over several is atomic by
//! itself, an idle one costs nothing, and dropping one is a range delete. The names are ordinary
//! entries of a keyspace of their own, so that creating and dropping are writes like any other.

use crate::error::{Error, ErrorKind, Result};
use kv_core::put_varint;
use kv_vfs::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// The number of the default keyspace.
pub(crate) const DEFAULT_ID: u64 = 0;
/// The number of the keyspace that maps names to numbers. The empty name maps to the next number
/// to be given; a number is never given twice.
pub(crate) const CATALOG_ID: u64 = 1;
/// The first number for a named keyspace.
pub(crate) const FIRST_NAMED_ID: u64 = 2;

/// What the stored keys of the default keyspace begin with.
pub(crate) const DEFAULT_PREFIX: &[u8] = &[0];

/// One keyspace of one open store.
#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) name: String,
    /// The keyspace's number as LEB128: what its stored keys begin with. Such numbers are
    /// prefix-free, so a keyspace is a contiguous range of stored keys.
    pub(crate) prefix: Vec<u8>,
    /// Which open store it belongs to.
    pub(crate) store: u64,
    dropped: AtomicBool,
}

impl Space {
    pub(crate) fn new(store: u64, id: u64, name: &str) -> Arc<Space> {
        let mut prefix = Vec::new();
        put_varint(&mut prefix, id);
        Arc::new(Space { name: name.to_owned(), prefix, store, dropped: AtomicBool::new(false) })
    }

    /// The prefix of a batch's target; the default one where it has none yet.
    pub(crate) fn prefix_of(space: &Option<Arc<Space>>) -> &[u8] {
        space.as_ref().map_or(DEFAULT_PREFIX, |space| &space.prefix)
    }

    /// The keyspace's number.
    pub(crate) fn id(&self) -> u64 {
        kv_core::Take::new(&self.prefix).varint().unwrap_or(DEFAULT_ID)
    }

    pub(crate) fn is_default(&self) -> bool {
        self.prefix == DEFAULT_PREFIX
    }

    /// Marks the keyspace as gone; called where no write can come between (under the log's lock).
    pub(crate) fn mark_dropped(&self) {
        self.dropped.store(true, Ordering::Release);
    }

    /// Takes the mark back: the drop failed, and what the keyspace holds is still read.
    pub(crate) fn unmark_dropped(&self) {
        self.dropped.store(false, Ordering::Release);
    }

    /// `NotFound` once the keyspace was dropped.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        if self.dropped.load(Ordering::Acquire) {
            return Err(self.gone());
        }
        Ok(())
    }

    /// The answer to its use in another store.
    pub(crate) fn foreign(&self) -> Error {
        Error::invalid(format!("the keyspace {:?} belongs to another store", self.name))
    }

    fn gone(&self) -> Error {
        Error::new(ErrorKind::NotFound, format!("the keyspace {:?} was dropped", self.name))
    }
}
