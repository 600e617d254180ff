//! The index: which block an internal key lies in.
//!
//! An index entry is a separator and the handle of a block: the separator is at or behind the
//! block's last entry and before the next block's first. Where the two have different keys it is
//! the shortest key between them, with the trailer that sorts behind every version; where one
//! key's versions span both it is the last entry's key and trailer. The last block's separator
//! has its last key.

use crate::block::{Block, BlockBuilder, common_prefix_len};
use crate::handle::Handle;
use kv_core::{Kind, Malformed, Trailer};

/// How many blocks a partition indexes.
pub(crate) const PARTITION_ENTRIES: usize = 256;

/// Sorts behind every version of its key.
pub(crate) const LAST_TRAILER: Trailer = Trailer::new(0, Kind::Put);

/// Writes to `out` a shortest key `s` with `last <= s < next`. Precondition: `last < next`.
pub(crate) fn separator(last: &[u8], next: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let shared = common_prefix_len(last, next);
    let (Some(low), Some(high)) = (last.get(shared), next.get(shared)) else {
        out.extend_from_slice(last);
        return;
    };
    if let Some((head, [_, ..])) = next.split_at_checked(shared + 1) {
        out.extend_from_slice(head);
        return;
    }
    // `next` ends with the byte that differs, so the separator begins like `last` and ends with
    // the first byte that can be raised: that one, if `next` is not reached by it, or one behind.
    let from = if high.saturating_sub(*low) > 1 { shared } else { shared + 1 };
    let raised = last.iter().skip(from).position(|byte| *byte != 0xFF).map(|at| from + at);
    let keep = raised.map_or(last.len(), |at| at + 1);
    out.extend_from_slice(last.get(..keep).unwrap_or_default());
    if keep < last.len()
        && let Some(byte) = out.last_mut()
    {
        *byte += 1;
    }
}

/// Collects the index of a table while its data blocks are written.
pub(crate) struct IndexBuilder {
    partition: BlockBuilder,
    finished: Vec<Partition>,
    finished_bytes: usize,
    last_key: Vec<u8>,
    last_trailer: Trailer,
}

/// A partition that is ready to be written.
pub(crate) struct Partition {
    /// The block.
    pub(crate) payload: Vec<u8>,
    /// Its last separator: its key in the top index.
    pub(crate) last: (Vec<u8>, Trailer),
}

impl Default for IndexBuilder {
    fn default() -> IndexBuilder {
        IndexBuilder {
            partition: BlockBuilder::default(),
            finished: Vec::new(),
            finished_bytes: 0,
            last_key: Vec::new(),
            last_trailer: LAST_TRAILER,
        }
    }
}

impl IndexBuilder {
    /// Adds the next block; `None` where the index is too long for the format.
    pub(crate) fn add(&mut self, key: &[u8], trailer: Trailer, handle: Handle) -> Option<()> {
        let same_key = !self.partition.is_empty() && self.last_key == key;
        self.partition.add(key, trailer, &handle.encode(), same_key);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.last_trailer = trailer;
        if self.partition.len() >= PARTITION_ENTRIES { self.close() } else { Some(()) }
    }

    fn close(&mut self) -> Option<()> {
        let mut payload = Vec::new();
        self.partition.finish(&mut payload)?;
        self.partition.clear();
        self.finished_bytes += payload.len() + self.last_key.len();
        let last = (self.last_key.clone(), self.last_trailer);
        self.finished.push(Partition { payload, last });
        Some(())
    }

    /// About how long the index would be.
    pub(crate) fn estimate(&self) -> usize {
        self.finished_bytes + self.partition.estimate()
    }

    /// The partitions in order; `None` where the last one is too long for the format.
    pub(crate) fn finish(mut self) -> Option<Vec<Partition>> {
        if !self.partition.is_empty() {
            self.close()?;
        }
        Some(self.finished)
    }
}

/// The handle that an index entry holds.
pub(crate) fn handle_at(index: &Block, i: usize) -> Result<Handle, Malformed> {
    Handle::decode(index.value(i))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_lies_between_and_is_shortest() {
        let alphabet = [0u8, 1, 2, 0xFE, 0xFF];
        let mut keys = vec![vec![]];
        for _ in 0..3 {
            let longer: Vec<Vec<u8>> = keys
                .iter()
                .flat_map(|key: &Vec<u8>| {
                    alphabet.iter().map(|b| key.iter().copied().chain([*b]).collect())
                })
                .collect();
            keys.extend(longer);
            keys.sort();
            keys.dedup();
        }
        let mut out = Vec::new();
        for (i, last) in keys.iter().enumerate() {
            for next in &keys[i + 1..] {
                separator(last, next, &mut out);
                assert!(last <= &out && &out < next, "{last:?} {out:?} {next:?}");
                let shorter = keys.iter().any(|k| k.len() < out.len() && k >= last && k < next);
                assert!(!shorter, "{last:?} {out:?} {next:?}");
            }
        }
    }
}
