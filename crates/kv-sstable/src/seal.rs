//! What stands around each block in the file: its codec, its type and its checksum.
//!
//! The checksum covers the payload and the rest of the trailer and begins with the file number
//! and the block's offset, so a block that lies in the wrong place does not pass.

use crate::cache::Buffer;
use crate::codec::codec_by_id;
use kv_core::{Take, checksum_with};
use kv_vfs::testing::{bug, planted};

/// The bytes behind each payload: `codec u8 | type u8 | reserved u16 | checksum u32`.
pub(crate) const TRAILER_LEN: usize = 8;
/// The bytes before a compressed payload: its uncompressed length.
pub(crate) const RAW_LEN: usize = 4;
/// The longest block: one entry with the longest key and value, and some columns.
pub(crate) const MAX_BLOCK_LEN: usize = (1 << 30) + (1 << 20);

pub(crate) const NO_CODEC: &str =
    "it is compressed in a way that this build lacks; Zstandard needs the feature `zstd`";

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BlockType {
    /// Entries.
    Data = 1,
    /// Handles of data blocks.
    Index = 2,
    /// Handles of index partitions.
    TopIndex = 3,
    /// The Bloom filter.
    Filter = 4,
    /// Range tombstones.
    RangeTombstones = 5,
    /// What the table holds, in numbers.
    Properties = 6,
}

/// Why a sealed block is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsealed {
    /// It is not what was written.
    Damaged(&'static str),
    /// This build lacks its codec.
    Unsupported(&'static str),
    /// A newer release wrote it, in this format.
    Newer(u16),
}

/// The checksum of `parts` at their place.
fn sum(file: u64, offset: u64, parts: &[&[u8]]) -> u32 {
    let (file, offset) = if planted(bug::CHECKSUM_WITHOUT_PLACE) { (0, 0) } else { (file, offset) };
    checksum_with(file, offset, parts)
}

/// The trailer of the payload that is the concatenation of `parts`.
pub(crate) fn seal(
    file: u64,
    offset: u64,
    parts: &[&[u8]; 2],
    codec: u8,
    block: BlockType,
) -> [u8; TRAILER_LEN] {
    let [first, second] = parts;
    let meta = [codec, block as u8, 0, 0];
    let [a, b, c, d] = sum(file, offset, &[first, second, &meta]).to_le_bytes();
    let [codec, block, ..] = meta;
    [codec, block, 0, 0, a, b, c, d]
}

/// Checks `sealed` (payload and trailer) and answers the uncompressed payload.
pub(crate) fn unseal(
    file: u64,
    offset: u64,
    sealed: &[u8],
    block: BlockType,
) -> Result<Buffer, Unsealed> {
    let short = Unsealed::Damaged("a block without its trailer");
    let at = sealed.len().checked_sub(TRAILER_LEN).ok_or(short)?;
    let (payload, trailer) = sealed.split_at(at);
    let mut take = Take::new(trailer);
    let meta: [u8; 4] = take.array().map_err(|_| short)?;
    let stored = take.u32().map_err(|_| short)?;
    if sum(file, offset, &[payload, &meta]) != stored {
        return Err(Unsealed::Damaged("the block's checksum does not match"));
    }
    let [codec, stored_type, reserved @ ..] = meta;
    if stored_type != block as u8 || reserved != [0, 0] {
        return Err(Unsealed::Damaged("a block of another type than expected"));
    }
    if codec == crate::codec::NONE {
        return Ok(Buffer::copy_of(payload));
    }
    decompress(codec, payload)
}

fn decompress(id: u8, payload: &[u8]) -> Result<Buffer, Unsealed> {
    let codec = codec_by_id(id).ok_or(Unsealed::Unsupported(NO_CODEC))?;
    let mut take = Take::new(payload);
    let raw_len = take.u32().map_err(|_| Unsealed::Damaged("a compressed block cut short"))?;
    let raw_len = raw_len as usize;
    let packed = take.rest();
    let bound = packed.len().saturating_mul(codec.max_expansion()).min(MAX_BLOCK_LEN);
    if raw_len > bound && !planted(bug::LENGTH_TRUSTED) {
        return Err(Unsealed::Damaged("a compressed block with an impossible length"));
    }
    let refused = Unsealed::Damaged("a compressed block that does not decompress");
    Buffer::build(raw_len, |raw| codec.decompress(packed, raw).ok_or(refused)).ok_or(refused)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_passes_only_in_its_place_and_with_its_type() {
        let mut sealed = b"payload".to_vec();
        sealed.extend_from_slice(&seal(7, 40, &[b"pay", b"load"], 0, BlockType::Data));
        assert_eq!(&unseal(7, 40, &sealed, BlockType::Data).unwrap()[..], b"payload");
        assert!(unseal(8, 40, &sealed, BlockType::Data).is_err());
        assert!(unseal(7, 41, &sealed, BlockType::Data).is_err());
        assert!(unseal(7, 40, &sealed, BlockType::Index).is_err());
        for cut in 0..sealed.len() {
            assert!(unseal(7, 40, &sealed[..cut], BlockType::Data).is_err());
        }
    }

    #[test]
    fn an_unknown_codec_is_not_taken_for_damage() {
        let mut sealed = b"payload".to_vec();
        sealed.extend_from_slice(&seal(1, 0, &[b"payload", b""], 99, BlockType::Data));
        let refused = unseal(1, 0, &sealed, BlockType::Data);
        assert_eq!(refused.err(), Some(Unsealed::Unsupported(NO_CODEC)));
    }

    #[test]
    fn a_forged_length_allocates_no_more_than_the_codec_can_fill() {
        let mut forged = u32::MAX.to_le_bytes().to_vec();
        forged.extend_from_slice(b"packed");
        let trailer = seal(1, 0, &[&forged, b""], 1, BlockType::Data);
        forged.extend_from_slice(&trailer);
        let refused = unseal(1, 0, &forged, BlockType::Data);
        assert_eq!(
            refused.err(),
            Some(Unsealed::Damaged("a compressed block with an impossible length"))
        );
    }
}
