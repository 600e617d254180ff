//! The entries that are not in the ordered list yet: a stack that many threads push to, and that
//! is taken whole.

use crate::node::{NodeId, Nodes, TaggedLink};

/// Alone in its cache line: every insert writes it, and what lies around it is only read.
#[repr(align(64))]
pub(crate) struct Pending {
    /// The top of the stack. Beside it, how many entries were ever pushed.
    top: TaggedLink,
}

impl Pending {
    pub(crate) fn new() -> Pending {
        Pending { top: TaggedLink::new() }
    }

    /// Pushes nodes that hang together by [`Nodes::below`], `count` of them from `top` to
    /// `bottom`.
    #[inline]
    pub(crate) fn push(&self, nodes: &Nodes, top: NodeId, bottom: NodeId, count: u32) {
        let link = self.top.get();
        let mut now = link.load();
        loop {
            nodes.below(bottom).init(now.1);
            match link.replace(now, (now.0.wrapping_add(count), Some(top))) {
                Ok(()) => return,
                Err(other) => now = other,
            }
        }
    }

    /// Takes all nodes off.
    pub(crate) fn take(&self) -> Option<NodeId> {
        let link = self.top.get();
        let mut now = link.load();
        while let Err(other) = link.replace(now, (now.0, None)) {
            now = other;
        }
        now.1
    }

    /// The top of the stack, which stays as it is.
    pub(crate) fn top(&self) -> Option<NodeId> {
        self.top.get().load().1
    }

    /// How many entries were ever pushed.
    #[inline]
    pub(crate) fn pushed(&self) -> u32 {
        self.top.get().load().0
    }
}
