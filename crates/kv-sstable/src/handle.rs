//! Where a block lies in its file.

use kv_core::{Malformed, Take};

/// The bytes of an encoded handle: `offset u64 | len u32`.
pub(crate) const HANDLE_LEN: usize = 12;

/// The place of a sealed block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handle {
    /// Where its payload begins.
    pub(crate) offset: u64,
    /// The length of its stored payload; the block trailer follows.
    pub(crate) len: u32,
}

impl Handle {
    pub(crate) fn encode(self) -> [u8; HANDLE_LEN] {
        let mut bytes = [0; HANDLE_LEN];
        let (offset, len) = bytes.split_at_mut(8);
        offset.copy_from_slice(&self.offset.to_le_bytes());
        len.copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Handle, Malformed> {
        let mut take = Take::new(bytes);
        let handle = Handle { offset: take.u64()?, len: take.u32()? };
        if !take.is_empty() {
            return Err(take.malformed("bytes behind a block's place"));
        }
        Ok(handle)
    }

    /// The first byte behind the sealed block; `None` where no file is that long.
    pub(crate) fn end(self) -> Option<u64> {
        self.offset.checked_add(self.sealed_len())
    }

    /// The length of payload and trailer.
    pub(crate) fn sealed_len(self) -> u64 {
        u64::from(self.len) + crate::seal::TRAILER_LEN as u64
    }
}
