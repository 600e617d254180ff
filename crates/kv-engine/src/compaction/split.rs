//! Where the outputs of a merge are cut.

use kv_manifest::FileMeta;
use std::sync::Arc;

/// Up to so many times its size a table may overlap the level below, before it is cut short: a
/// later merge of it rewrites all of that.
pub(crate) const OVERLAP_LIMIT: u64 = 10;
/// Once an output is so full (in eighths), it is cut where a table below ends, so that a later
/// merge does not take a table for a few of its keys.
const ALIGN_FROM: u64 = 6;

/// Says before which keys a new table begins. Keys come in ascending order.
#[derive(Debug)]
pub(crate) struct Cutter<'a> {
    /// The tables of the level below the output that do not end before the last key.
    below: &'a [Arc<FileMeta>],
    table_size: u64,
    /// Bytes of the tables below that ended since the last cut.
    passed: u64,
}

impl<'a> Cutter<'a> {
    /// `below` are the tables of the level below the output that the merge overlaps, by key.
    pub(crate) fn new(below: &'a [Arc<FileMeta>], table_size: u64) -> Cutter<'a> {
        Cutter { below, table_size, passed: 0 }
    }

    /// Whether a new table begins with `key`, the current one having `size` bytes. Asked once
    /// for each user key, so that no key is split.
    pub(crate) fn cut_before(&mut self, key: &[u8], size: u64) -> bool {
        let mut boundary = false;
        while let Some((first, rest)) = self.below.split_first()
            && first.ends_before(key)
        {
            self.passed = self.passed.saturating_add(first.size);
            self.below = rest;
            boundary = true;
        }
        let full = size >= self.table_size;
        let aligned = boundary && size >= self.table_size / 8 * ALIGN_FROM;
        let heavy = self.passed >= self.table_size.saturating_mul(OVERLAP_LIMIT);
        let cut = size > 0 && (full || aligned || heavy);
        if cut || size == 0 {
            self.passed = 0;
        }
        cut
    }
}
