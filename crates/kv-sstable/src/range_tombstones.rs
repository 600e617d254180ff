//! The range-tombstone block: one entry per fragment and sequence number. The key is the first
//! key covered, the value the first key behind, the kind `RangeDelete`.

use crate::block::{Block, BlockBuilder};
use bytes::Bytes;
use kv_core::{Fragment, Kind, Malformed, RangeTombstones, Trailer};

/// The block that holds `set`; `None` where it is too long for the format.
pub(crate) fn encode(set: &RangeTombstones) -> Option<Vec<u8>> {
    let mut builder = BlockBuilder::default();
    for fragment in set.fragments() {
        for (i, seq) in fragment.seqs.iter().enumerate() {
            let trailer = Trailer::new(*seq, Kind::RangeDelete);
            builder.add(&fragment.start, trailer, &fragment.end, i > 0);
        }
    }
    let mut out = Vec::new();
    builder.finish(&mut out)?;
    Some(out)
}

/// Reads what [`encode`] wrote. The keys are copied: they outlive the block.
pub(crate) fn decode(block: &Block) -> Result<RangeTombstones, Malformed> {
    let bad = Malformed { what: "range tombstones that are not sorted fragments", at: 0 };
    let mut fragments: Vec<Fragment> = Vec::new();
    for i in 0..block.count() {
        let (trailer, end) = (block.trailer(i), block.value(i));
        if trailer.kind() != Some(Kind::RangeDelete) {
            return Err(bad);
        }
        match fragments.last_mut() {
            Some(last) if block.key_equals(i, &last.start) && last.end == end => {
                last.seqs.push(trailer.seq());
            }
            _ => fragments.push(Fragment {
                start: Bytes::from(block.key(i)),
                end: Bytes::copy_from_slice(end),
                seqs: vec![trailer.seq()],
            }),
        }
    }
    RangeTombstones::from_fragments(fragments).ok_or(bad)
}
