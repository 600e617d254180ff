//! The entries in order, made when somebody asks for it.
//!
//! An insert only pushes its node on a stack. Whoever needs the order calls [`Ordered::order`]:
//! one thread at a time takes the whole stack, sorts it and links it into the list, where sorted
//! nodes find their places fast. So a memtable that nobody reads in order is sorted once, when it
//! is written out, and an entry costs its writer no search.
//!
//! INVARIANT: what was pushed before [`Ordered::order`] was called is in the list when it returns,
//! also if another thread did the work: `linked` counts up to `pushed` only after the last node of
//! a stack is in the list.

use crate::ladder::{Ladder, Late};
use crate::node::NodeId;
use crate::pending::Pending;
use crate::skiplist::Skiplist;
use crate::sort;
use crate::sync::{AtomicU32, AtomicUsize, Mutex, Ordering};
use std::sync::Arc;

/// From how many entries on that are not ordered an insert orders them, where order is wanted:
/// enough to share the way through the list, few enough that nobody waits long.
const LONG: u32 = 4096;

pub(crate) struct Ordered {
    list: Skiplist,
    pending: Pending,
    /// How many entries the list holds; changed by whoever holds the lock, after they are linked.
    linked: AtomicU32,
    linker: Mutex<Linker>,
    ladder: Mutex<Option<Arc<Ladder>>>,
    /// The bytes of the ladder.
    ladder_memory: AtomicUsize,
}

/// What the one thread that links knows.
#[derive(Default)]
struct Linker {
    /// How many entries the list holds.
    linked: u32,
    late: Late,
}

impl Ordered {
    pub(crate) fn new(list: Skiplist) -> Ordered {
        Ordered {
            list,
            pending: Pending::new(),
            linked: AtomicU32::new(0),
            linker: Mutex::new(Linker::default()),
            ladder: Mutex::new(None),
            ladder_memory: AtomicUsize::new(0),
        }
    }

    /// The list, and the nodes of all entries, whether they are in it or not.
    #[inline]
    pub(crate) fn list(&self) -> &Skiplist {
        &self.list
    }

    /// Adds nodes that hang together by `Nodes::below`, `count` of them from `top` to `bottom`.
    #[inline]
    pub(crate) fn push(&self, top: NodeId, bottom: NodeId, count: u32) {
        self.pending.push(self.list.nodes(), top, bottom, count);
    }

    /// How many entries were added.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.pending.pushed() as usize
    }

    /// The bytes of memory beside the list.
    pub(crate) fn memory(&self) -> usize {
        self.ladder_memory.load(Ordering::Relaxed)
    }

    /// The present ladder, if there is one.
    pub(crate) fn ladder(&self) -> Option<Arc<Ladder>> {
        match self.memory() {
            0 => None,
            _ => self.ladder.lock().clone(),
        }
    }

    /// Puts into the list what is not there yet.
    pub(crate) fn order(&self) {
        if self.waiting() > 0 {
            self.link_pending(&mut self.linker.lock());
        }
    }

    /// Orders if much waits for it and nobody else is at it.
    #[inline]
    pub(crate) fn order_if_long(&self) {
        if self.waiting() >= LONG
            && let Some(mut linker) = self.linker.try_lock()
        {
            self.link_pending(&mut linker);
        }
    }

    /// How many entries are not in the list, or only just.
    #[inline]
    pub(crate) fn waiting(&self) -> u32 {
        // In this order, so that the difference is never negative.
        let linked = self.linked.load(Ordering::Acquire);
        self.pending.pushed().wrapping_sub(linked)
    }

    fn link_pending(&self, linker: &mut Linker) {
        let nodes = self.list.nodes();
        let expected = self.pending.pushed().wrapping_sub(linker.linked) as usize;
        let all = sort::collect(nodes, self.pending.take(), expected);
        let sorted = sort::sort(nodes, all, self.list.prefix_len());
        self.list.link_all(&sorted);
        linker.linked = linker.linked.wrapping_add(sorted.len() as u32);
        self.linked.store(linker.linked, Ordering::Release);
        linker.late.add(&sorted);
        let old = self.ladder();
        if let Some(ladder) = linker.late.ladder(&self.list, old.as_deref()) {
            self.ladder_memory.store(ladder.memory(), Ordering::Relaxed);
            *self.ladder.lock() = Some(Arc::new(ladder));
        }
    }

    /// All entries so far in order, without the list; `None` where some are in the list, which
    /// then holds all.
    pub(crate) fn sorted(&self) -> Option<Vec<NodeId>> {
        let nodes = self.list.nodes();
        let linker = self.linker.lock();
        if linker.linked > 0 {
            drop(linker);
            self.order();
            return None;
        }
        // Under the lock, for whoever links a node changes the place of its link to the next.
        let all = sort::collect(nodes, self.pending.top(), self.len());
        drop(linker);
        Some(sort::sort(nodes, all, self.list.prefix_len()))
    }
}
