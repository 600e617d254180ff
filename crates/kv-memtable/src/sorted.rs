//! One walk over a whole memtable: what writes it out needs.

use crate::Memtable;
use crate::node::NodeId;
use kv_core::Trailer;
use std::sync::Arc;

/// How many entries ahead of use the processor is asked for one.
const AHEAD: usize = 8;

/// The entries of a memtable from first to last: all that were inserted before the walk began.
///
/// Sorting them for this is cheaper than ordering the memtable, and leaves it as it is.
pub struct Sorted {
    table: Arc<Memtable>,
    way: Way,
}

enum Way {
    /// The nodes in order, and how many are done.
    Nodes(Vec<NodeId>, usize),
    /// The next node of the list.
    List(Option<NodeId>),
}

impl Sorted {
    pub(crate) fn new(table: Arc<Memtable>) -> Sorted {
        let ordered = table.ordered();
        let way = match ordered.sorted() {
            Some(nodes) => Way::Nodes(nodes, 0),
            None => Way::List(ordered.list().first()),
        };
        Sorted { table, way }
    }

    /// The next entry: key, trailer and value.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "what it answers is borrowed from it")]
    pub fn next(&mut self) -> Option<(&[u8], Trailer, &[u8])> {
        let list = self.table.ordered().list();
        let nodes = list.nodes();
        let node = match &mut self.way {
            Way::Nodes(all, done) => {
                if let Some(&ahead) = all.get(*done + AHEAD) {
                    nodes.prefetch_entry(ahead);
                }
                let node = *all.get(*done)?;
                *done += 1;
                node
            }
            Way::List(next) => {
                let node = (*next)?;
                *next = list.next(node);
                // One ahead: its link is not known before it is there itself.
                if let Some(next) = *next {
                    nodes.prefetch_entry(next);
                }
                node
            }
        };
        Some((nodes.key(node), nodes.trailer(node), nodes.value(node)))
    }
}
