//! The newest version of one key.

use crate::block::Block;
use crate::error::{Error, Result};
use crate::table::Table;
use bytes::Bytes;
use kv_core::{SeqNo, Trailer};
use kv_vfs::testing::{Mark, mark};

/// Values up to this length are copied: that costs less than a reference to a block whose count
/// is not in the processor's cache, and holds on to no block.
const COPIED: usize = 1024;

impl Table {
    /// The newest entry of `key` with a sequence number of at most `snapshot`; `hash` is the
    /// key's [`kv_core::hash64`]. A short value is copied, a long one shares the cached block's
    /// memory. Range tombstones are not looked at.
    ///
    /// ```
    /// # use kv_core::{Kind, Trailer, hash64};
    /// # use kv_sstable::{BlockCache, Table, TableBuilder, TableOptions};
    /// # use kv_vfs::{Fs, MemFs};
    /// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/7.sst"));
    /// # let file = fs.create_new(&path)?;
    /// # let mut builder = TableBuilder::new(file.clone(), path.clone(), 7, TableOptions::default());
    /// # builder.add(b"apple", Trailer::new(4, Kind::Put), b"green")?;
    /// # builder.add(b"apple", Trailer::new(1, Kind::Put), b"red")?;
    /// # builder.finish()?;
    /// # let table = Table::open_alone(file, path, 7, BlockCache::new(1 << 20))?;
    /// let (trailer, value) = table.get(b"apple", hash64(b"apple"), 3)?.unwrap();
    /// assert_eq!((trailer.seq(), &value[..]), (1, &b"red"[..]));
    /// assert!(table.get(b"fig", hash64(b"fig"), 3)?.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
        let i = partition.index.lower_bound(key, target);
        if i >= partition.index.count() {
            return Ok(None);
        }
        let bytes = self.data(&partition, i)?;
        let Some(buffer) = bytes.buffer() else { return Ok(None) };
        let block = match Block::parse(&**buffer) {
            Ok(block) => block,
            Err(bad) => {
                let at = self.data_handle(&partition.index, i)?.offset;
                return Err(Error::malformed(&self.source.path, at, bad));
            }
        };
        // Should every entry of this block sort before the target, so does its separator unless
        // it was shortened, and then the next block begins with another, greater key.
        let Some(i) = block.find(key, target) else {
            if self.footer.filter().is_some() {
                mark(Mark::BloomFalsePositive);
            }
            return Ok(None);
        };
        let value = block.value(i);
        Ok(Some((
            block.trailer(i),
            if value.len() <= COPIED {
                Bytes::copy_from_slice(value)
            } else {
                let range = block.value_range(i);
                Bytes::from_owner(buffer.clone()).slice(range)
            },
        )))
    }
}
