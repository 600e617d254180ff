//! Ordered access to a memtable.

use crate::Memtable;
use crate::ladder::Ladder;
use crate::node::NodeId;
use crate::skiplist::Target;
use kv_core::{Cursor, Trailer};
use std::convert::Infallible;
use std::sync::Arc;

/// Walks the entries of a memtable, which it keeps alive. A step either way is O(1).
///
/// ```
/// use kv_core::{Cursor, Kind, Trailer, hash64};
/// use kv_memtable::{MemCursor, Memtable};
/// use std::sync::Arc;
///
/// let table = Arc::new(Memtable::new(64 << 10));
/// for (seq, key) in (1..).zip([b"a", b"a", b"b", b"c"]) {
///     table.insert(key, hash64(key), Trailer::new(seq, Kind::Put), b"1")?;
/// }
/// let mut cursor: MemCursor = table.cursor();
/// cursor.first()?;
/// assert!(cursor.is_newest());
/// cursor.next()?;
/// // The older version of "a"; from here the way to "c" is short.
/// assert_eq!((cursor.key(), cursor.trailer().seq(), cursor.is_newest()), (&b"a"[..], 1, false));
/// cursor.pass(b"c", Trailer::MAX);
/// assert_eq!((cursor.key(), cursor.is_newest()), (&b"c"[..], true));
/// cursor.prev()?;
/// assert_eq!(cursor.key(), b"b");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemCursor {
    table: Arc<Memtable>,
    /// Holds most of what the cursor has to meet.
    ladder: Option<Arc<Ladder>>,
    at: Option<NodeId>,
}

impl MemCursor {
    pub(crate) fn new(table: Arc<Memtable>) -> MemCursor {
        let ladder = table.ordered().ladder();
        MemCursor { table, ladder, at: None }
    }

    /// An entry before the target, mostly the last one.
    #[inline]
    fn near(&self, target: &Target<'_>) -> Option<NodeId> {
        self.ladder.as_ref()?.before(self.table.ordered().list(), target)
    }

    #[expect(clippy::expect_used, reason = "the trait promises the panic")]
    #[inline]
    fn node(&self) -> NodeId {
        self.at.expect("the cursor stands on an entry")
    }

    /// Stands on a node, and has the processor fetch the one behind it: a merge compares it as soon
    /// as the cursor goes there.
    #[inline]
    fn stand_forward(&mut self, at: Option<NodeId>) {
        let list = self.table.ordered().list();
        if let Some(ahead) = at.and_then(|at| list.next(at)) {
            list.nodes().prefetch_entry(ahead);
        }
        self.at = at;
    }

    /// The same for a cursor that goes backward.
    #[inline]
    fn stand_backward(&mut self, at: Option<NodeId>) {
        let nodes = self.table.ordered().list().nodes();
        if let Some(ahead) = at.and_then(|at| nodes.prev(at).load()) {
            nodes.prefetch_entry(ahead);
        }
        self.at = at;
    }
}

impl MemCursor {
    /// [`Cursor::seek`] to a target that lies behind the present entry: the nearer, the faster.
    pub fn pass(&mut self, key: &[u8], trailer: Trailer) {
        let list = self.table.ordered().list();
        let at = list.seek_from(self.at, &list.target(key, trailer));
        self.stand_forward(at);
    }

    /// Whether no newer entry of the present key lies before this one. Those that come meanwhile
    /// may be missed: a reader that began before does not see them.
    #[inline]
    pub fn is_newest(&self) -> bool {
        let list = self.table.ordered().list();
        self.at.is_some_and(|at| list.prev(at).is_none_or(|newer| list.has_smaller_key(newer, at)))
    }
}

impl Cursor for MemCursor {
    type Error = Infallible;

    fn first(&mut self) -> Result<(), Infallible> {
        self.stand_forward(self.table.ordered().list().first());
        Ok(())
    }

    fn last(&mut self) -> Result<(), Infallible> {
        self.stand_backward(self.table.ordered().list().last());
        Ok(())
    }

    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<(), Infallible> {
        let list = self.table.ordered().list();
        let target = list.target(key, trailer);
        let at = list.seek_from(self.near(&target), &target);
        self.stand_forward(at);
        Ok(())
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<(), Infallible> {
        let list = self.table.ordered().list();
        let target = list.target(key, Trailer::MAX);
        let at = list.seek_before_from(self.near(&target), &target);
        self.stand_backward(at);
        Ok(())
    }

    #[inline]
    fn next(&mut self) -> Result<(), Infallible> {
        self.stand_forward(self.at.and_then(|at| self.table.ordered().list().next(at)));
        Ok(())
    }

    #[inline]
    fn prev(&mut self) -> Result<(), Infallible> {
        self.stand_backward(self.at.and_then(|at| self.table.ordered().list().prev(at)));
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
