//! Finds the versions of a key by its hash.
//!
//! Each bucket holds a chain of entries, newest first, whatever their keys. So the first entry of
//! a key that a snapshot sees is the newest that it sees, and an insert is one exchange of the
//! chain's head, unless a writer with a greater sequence number was faster.
//!
//! Beside the head lie a few bits of each hash in the chain. A bit is set before its entry can be
//! found, so that a key without its bits is not there, and mostly costs no look at an entry.
//!
//! Buckets do not grow in number: a memtable is small beside what it would cost to move them while
//! others read. A chain is walked only so far at once ([`Found::Far`]): a key that is written again
//! and again makes a long one, and the ordered list, once it is made, finds in fewer steps what lies
//! at its end.

use crate::node::{Link, NodeId, Nodes, Tagged, TaggedLinks};
use crate::sync::{AtomicU64, Ordering};
use kv_core::Trailer;

/// Bytes of capacity for each bucket. The capacity is twice what an ordinary memtable takes in, so
/// that a bucket has less than one entry of 140 bytes or more.
const BUCKET_SHARE: usize = if cfg!(all(loom, test)) { 512 } else { 256 };

/// Alone in its cache line: every insert writes it, and what lies around it is only read.
#[repr(align(64))]
struct Newest(AtomicU64);

pub(crate) struct Index {
    buckets: TaggedLinks,
    /// The greatest trailer that an insert has begun with.
    newest: Newest,
}

/// Where a search along a chain ended.
pub(crate) enum Found {
    /// At the entry.
    Entry(NodeId),
    /// At the end: there is none.
    Nothing,
    /// At the limit: it may be this entry, or further on.
    Far(NodeId),
}

impl Index {
    /// An index for the entries of an arena of `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Index {
        Index {
            buckets: TaggedLinks::new(capacity / BUCKET_SHARE),
            newest: Newest(AtomicU64::new(0)),
        }
    }

    /// Which bucket, by the high half of the hash.
    #[inline]
    fn place(&self, hash: u64) -> usize {
        (((hash >> 32) as u128 * self.buckets.len() as u128) >> 32) as usize
    }

    #[inline]
    fn bucket(&self, hash: u64) -> Tagged<'_> {
        self.buckets.get(self.place(hash))
    }

    /// Asks the processor for the bucket of a hash.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.buckets.prefetch(self.place(hash));
    }

    /// Links a written node.
    #[inline]
    pub(crate) fn insert(&self, nodes: &Nodes, node: NodeId, hash: u64, trailer: Trailer) {
        // Before the bucket is read: who finds there an entry that is newer than all that have
        // begun knows that it is not, without looking at it.
        self.newest.0.fetch_max(trailer.raw(), Ordering::Relaxed);
        let bucket = self.bucket(hash);
        let bits = bits(hash);
        let mut now = bucket.load();
        loop {
            let (tag, first) = now;
            if let Some(first) = first
                && self.newest.0.load(Ordering::Relaxed) != trailer.raw()
                && nodes.trailer(first) > trailer
            {
                // Before the link, so that whoever is to find the entry finds the bits.
                bucket.set_bits(bits);
                return insert_behind(nodes, first, node, trailer);
            }
            nodes.chain(node).init(first);
            match bucket.replace(now, (tag | bits, Some(node))) {
                Ok(()) => return,
                Err(other) => now = other,
            }
        }
    }

    /// The head of the chain that may have an entry with the hash, if one may.
    #[inline]
    pub(crate) fn chain(&self, hash: u64) -> Option<NodeId> {
        let (tag, head) = self.bucket(hash).load();
        let bits = bits(hash);
        head.filter(|_| tag & bits == bits)
    }

    pub(crate) fn memory(&self) -> usize {
        self.buckets.len() * size_of::<u64>()
    }
}

/// The first entry of a chain, from `at` on, that `is_it` says is it, among so many. That is asked
/// of other keys' entries too.
#[inline]
pub(crate) fn find(
    nodes: &Nodes,
    mut at: NodeId,
    steps: usize,
    is_it: impl Fn(NodeId) -> bool,
) -> Found {
    for _ in 0..steps {
        if is_it(at) {
            return Found::Entry(at);
        }
        let Some(next) = nodes.chain(at).load() else { return Found::Nothing };
        at = next;
    }
    Found::Far(at)
}

/// Links a node into a chain behind `before`, which is newer.
#[cold]
fn insert_behind(nodes: &Nodes, mut before: NodeId, node: NodeId, trailer: Trailer) {
    loop {
        let link: Link<'_> = nodes.chain(before);
        let behind = link.load();
        if let Some(newer) = behind.filter(|&behind| nodes.trailer(behind) > trailer) {
            before = newer;
            continue;
        }
        nodes.chain(node).init(behind);
        if link.replace(behind, node).is_ok() {
            return;
        }
    }
}

/// Three of the 32 bits beside a chain's head.
#[inline]
fn bits(hash: u64) -> u32 {
    1 << (hash & 31) | 1 << (hash >> 5 & 31) | 1 << (hash >> 10 & 31)
}
