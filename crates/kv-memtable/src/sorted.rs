//! One walk over a whole memtable: what writes it out needs.

use crate::Memtable;
use crate::node::NodeId;
use kv_core::Trailer;
use std::ops::Range;
use std::sync::Arc;

/// How many entries ahead of use the processor is asked for one.
const AHEAD: usize = 8;

/// The entries of a memtable from first to last: all that were inserted before the walk began.
///
/// Sorting them for this is cheaper than ordering the memtable, and leaves it as it is.
///
/// ```
/// use kv_core::{Kind, Trailer, hash64};
/// use kv_memtable::{Memtable, Sorted};
/// use std::sync::Arc;
///
/// let table = Arc::new(Memtable::new(64 << 10));
/// for (seq, key) in (1..).zip(["pear", "pear", "lime"]) {
///     let key = key.as_bytes();
///     table.insert(key, hash64(key), Trailer::new(seq, Kind::Put), b"ripe")?;
/// }
/// // Every version of every key, the newest of each first.
/// let mut walk: Sorted = table.sorted();
/// let mut written = Vec::new();
/// while let Some((key, trailer, _)) = walk.next() {
///     written.push((key.to_vec(), trailer.seq()));
/// }
/// assert_eq!(written, [(b"lime".to_vec(), 3), (b"pear".to_vec(), 2), (b"pear".to_vec(), 1)]);
/// # Ok::<(), kv_memtable::Full>(())
/// ```
#[derive(Clone)]
pub struct Sorted {
    table: Arc<Memtable>,
    way: Way,
}

#[derive(Clone)]
enum Way {
    /// The nodes in order, and those of them that are still to come.
    Nodes(Arc<[NodeId]>, Range<usize>),
    /// The next node of the list.
    List(Option<NodeId>),
}

impl Way {
    fn nodes(nodes: Vec<NodeId>) -> Way {
        let left = 0..nodes.len();
        Way::Nodes(nodes.into(), left)
    }
}

impl Sorted {
    pub(crate) fn new(table: Arc<Memtable>) -> Sorted {
        let ordered = table.ordered();
        let way = match ordered.sorted() {
            Some(nodes) => Way::nodes(nodes),
            None => Way::List(ordered.list().first()),
        };
        Sorted { table, way }
    }

    /// Cuts what is left of the walk into at most `parts` walks, of about equally many entries, one
    /// behind the other; no key is in two of them, and none is empty. O(1) for each part where
    /// keys are written few times; where the memtable is ordered already, one step for each entry.
    ///
    /// ```
    /// # use kv_core::{Kind, Trailer, hash64};
    /// # use kv_memtable::Memtable;
    /// # use std::sync::Arc;
    /// let table = Arc::new(Memtable::new(64 << 10));
    /// for (seq, key) in (1..).zip([b"a", b"b", b"c", b"d"]) {
    ///     table.insert(key, hash64(key), Trailer::new(seq, Kind::Put), b"1").unwrap();
    /// }
    /// let parts = table.sorted().split(2);
    /// let first_keys: Vec<_> = parts.iter().filter_map(|part| part.first_key()).collect();
    /// assert_eq!(first_keys, [b"a", b"c"]);
    /// ```
    pub fn split(self, parts: usize) -> Vec<Sorted> {
        let list = self.table.ordered().list();
        let (all, left) = match self.way {
            Way::Nodes(all, left) => (all, left),
            Way::List(next) => {
                let nodes = std::iter::successors(next, |&node| list.next(node));
                let nodes: Arc<[NodeId]> = nodes.collect();
                (Arc::clone(&nodes), 0..nodes.len())
            }
        };
        let key = |at: usize| all.get(at).map(|&node| list.nodes().key(node));
        let step = left.len().div_ceil(parts.max(1)).max(1);
        let mut walks = Vec::new();
        let mut start = left.start;
        while start < left.end {
            let mut end = (start + step).min(left.end);
            while end < left.end && key(end) == key(end - 1) {
                end += 1;
            }
            let way = Way::Nodes(Arc::clone(&all), start..end);
            walks.push(Sorted { table: Arc::clone(&self.table), way });
            start = end;
        }
        walks
    }

    /// The key of the next entry.
    pub fn first_key(&self) -> Option<&[u8]> {
        let node = match &self.way {
            Way::Nodes(all, left) => *all.get(left.start).filter(|_| !left.is_empty())?,
            Way::List(next) => (*next)?,
        };
        Some(self.table.ordered().list().nodes().key(node))
    }

    /// The next entry: key, trailer and value.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "what it answers is borrowed from it")]
    pub fn next(&mut self) -> Option<(&[u8], Trailer, &[u8])> {
        let list = self.table.ordered().list();
        let nodes = list.nodes();
        let node = match &mut self.way {
            Way::Nodes(all, left) => {
                let at = left.next()?;
                if let Some(&ahead) = all.get(at + AHEAD) {
                    nodes.prefetch_entry(ahead);
                }
                *all.get(at)?
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
