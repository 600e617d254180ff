//! The newest version of one key.

use crate::error::Result;
use crate::seal::BlockType;
use crate::table::Table;
use bytes::Bytes;
use kv_core::{SeqNo, Trailer};
use kv_vfs::testing::{Mark, mark};

impl Table {
    /// The newest entry of `key` with a sequence number of at most `snapshot`; `hash` is the
    /// key's [`kv_core::hash64`]. The value shares the cached block's memory. Range tombstones
    /// are not looked at.
    pub fn get(&self, key: &[u8], hash: u64, snapshot: SeqNo) -> Result<Option<(Trailer, Bytes)>> {
        if !self.may_contain(hash)? {
            mark(Mark::BloomSaysNo);
            return Ok(None);
        }
        let target = Trailer::upper_bound(snapshot);
        let top = self.top()?;
        let i = top.lower_bound(key, target);
        if i >= top.count() {
            return Ok(None);
        }
        let partition = self.partition(&top, i, true)?;
        let i = partition.lower_bound(key, target);
        if i >= partition.count() {
            return Ok(None);
        }
        let handle = self.data_handle(&partition, i)?;
        let block = self.block(handle, BlockType::Data, true)?;
        // Should every entry of this block sort before the target, so does its separator unless
        // it was shortened, and then the next block begins with another, greater key.
        let i = block.lower_bound(key, target);
        if i >= block.count() || !block.key_equals(i, key) {
            if self.footer.filter().is_some() {
                mark(Mark::BloomFalsePositive);
            }
            return Ok(None);
        }
        Ok(Some((block.trailer(i), block.into_value_bytes(i))))
    }
}
