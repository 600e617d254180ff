//! Ordered access to a memtable.

use crate::Memtable;
use crate::node::NodeId;
use kv_core::{Cursor, Trailer};
use std::convert::Infallible;
use std::sync::Arc;

/// Walks the entries of a memtable, which it keeps alive. A step either way is O(1).
pub struct MemCursor {
    table: Arc<Memtable>,
    at: Option<NodeId>,
}

impl MemCursor {
    pub(crate) fn new(table: Arc<Memtable>) -> MemCursor {
        MemCursor { table, at: None }
    }

    #[expect(clippy::expect_used, reason = "the trait promises the panic")]
    #[inline]
    fn node(&self) -> NodeId {
        self.at.expect("the cursor stands on an entry")
    }
}

impl Cursor for MemCursor {
    type Error = Infallible;

    fn first(&mut self) -> Result<(), Infallible> {
        self.at = self.table.ordered().list().first();
        Ok(())
    }

    fn last(&mut self) -> Result<(), Infallible> {
        self.at = self.table.ordered().list().last();
        Ok(())
    }

    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<(), Infallible> {
        let list = self.table.ordered().list();
        self.at = list.seek(&list.target(key, trailer));
        Ok(())
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<(), Infallible> {
        let list = self.table.ordered().list();
        self.at = list.seek_before(&list.target(key, Trailer::MAX));
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Result<(), Infallible> {
        self.at = self.at.and_then(|at| self.table.ordered().list().next(at));
        Ok(())
    }

    #[inline]
    fn prev(&mut self) -> Result<(), Infallible> {
        self.at = self.at.and_then(|at| self.table.ordered().list().prev(at));
        Ok(())
    }

    #[inline]
    fn valid(&self) -> bool {
        self.at.is_some()
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.table.ordered().list().nodes().key(self.node())
    }

    #[inline]
    fn trailer(&self) -> Trailer {
        self.table.ordered().list().nodes().trailer(self.node())
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.table.ordered().list().nodes().value(self.node())
    }
}
