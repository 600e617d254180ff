//! What stands in front of each value: its checksum, its lengths and its codec.

use crate::codec::{self, codec_by_id};
use crate::seal::{MAX_BLOCK_LEN, NO_CODEC, Unsealed};
use bytes::Bytes;
use kv_core::{Malformed, Take, checksum_with};
use kv_vfs::testing::{bug, planted};

/// The bytes in front of each payload.
pub(crate) const HEADER_LEN: usize = 16;
/// The type of a record, 0 being none, and the reserved bytes.
const VALUE: [u8; 3] = [1, 0, 0];

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// CRC-32 of the place, the rest of the header and the payload.
    pub(crate) checksum: u32,
    /// Bytes of the payload.
    pub(crate) stored: u32,
    /// Bytes of the value.
    pub(crate) len: u32,
    /// How the payload is compressed.
    pub(crate) codec: u8,
    /// What it is, and what this release leaves zero.
    pub(crate) kind: [u8; 3],
}

impl Header {
    /// The header of `payload` at its place.
    pub(crate) fn new(file: u64, offset: u64, payload: &[u8], len: u32, codec: u8) -> Option<Self> {
        let stored = u32::try_from(payload.len()).ok()?;
        let mut header = Header { checksum: 0, stored, len, codec, kind: VALUE };
        header.checksum = header.sum(file, offset, payload);
        Some(header)
    }

    fn covered(&self) -> [u8; 12] {
        let mut out = [0; 12];
        let (stored, rest) = out.split_at_mut(4);
        stored.copy_from_slice(&self.stored.to_le_bytes());
        let (len, rest) = rest.split_at_mut(4);
        len.copy_from_slice(&self.len.to_le_bytes());
        let [kind, reserved @ ..] = self.kind;
        let [second, third] = reserved;
        rest.copy_from_slice(&[self.codec, kind, second, third]);
        out
    }

    fn sum(&self, file: u64, offset: u64, payload: &[u8]) -> u32 {
        let (file, offset) =
            if planted(bug::CHECKSUM_WITHOUT_PLACE) { (0, 0) } else { (file, offset) };
        checksum_with(file, offset, &[&self.covered(), payload])
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        let (checksum, rest) = out.split_at_mut(4);
        checksum.copy_from_slice(&self.checksum.to_le_bytes());
        rest.copy_from_slice(&self.covered());
        out
    }

    /// Reads a header; nothing vouches for it until [`Header::check`] has.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, Malformed> {
        let mut take = Take::new(bytes);
        let (checksum, stored, len) = (take.u32()?, take.u32()?, take.u32()?);
        let (codec, kind) = (take.u8()?, take.array()?);
        Ok(Header { checksum, stored, len, codec, kind })
    }

    /// Whether the record lies where it was written, and is what was written.
    pub(crate) fn check(&self, file: u64, offset: u64, payload: &[u8]) -> Result<(), Unsealed> {
        if payload.len() as u64 != u64::from(self.stored) {
            return Err(Unsealed::Damaged("a record of another length than its pointer says"));
        }
        if self.sum(file, offset, payload) != self.checksum {
            return Err(Unsealed::Damaged("the record's checksum does not match"));
        }
        match self.kind {
            VALUE => Ok(()),
            [kind, ..] => Err(Unsealed::Newer(u16::from(kind))),
        }
    }

    /// The value that a checked payload stands for; uncompressed it is the payload itself.
    pub(crate) fn value(&self, payload: Bytes) -> Result<Bytes, Unsealed> {
        let len = self.len as usize;
        if self.codec == codec::NONE {
            return match payload.len() == len {
                true => Ok(payload),
                false => Err(Unsealed::Damaged("a value of another length than its record says")),
            };
        }
        let codec = codec_by_id(self.codec).ok_or(Unsealed::Unsupported(NO_CODEC))?;
        let bound = payload.len().saturating_mul(codec.max_expansion()).min(MAX_BLOCK_LEN);
        if len > bound && !planted(bug::LENGTH_TRUSTED) {
            return Err(Unsealed::Damaged("a compressed value with an impossible length"));
        }
        let mut raw = vec![0; len];
        codec
            .decompress(&payload, &mut raw)
            .ok_or(Unsealed::Damaged("a compressed value that does not decompress"))?;
        Ok(Bytes::from(raw))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_passes_only_in_its_place() {
        let header = Header::new(7, 40, b"payload", 7, 0).unwrap();
        assert_eq!(Header::decode(&header.encode()), Ok(header));
        assert_eq!(header.check(7, 40, b"payload"), Ok(()));
        assert!(header.check(8, 40, b"payload").is_err());
        assert!(header.check(7, 41, b"payload").is_err());
        assert!(header.check(7, 40, b"payloaf").is_err());
        assert!(header.check(7, 40, b"payloa").is_err());
    }

    #[test]
    fn a_record_of_an_unknown_type_is_not_taken_for_damage() {
        let mut header = Header::new(7, 40, b"payload", 7, 0).unwrap();
        header.kind = [9, 0, 0];
        assert!(matches!(header.check(7, 40, b"payload"), Err(Unsealed::Damaged(_))));
        header.checksum = header.sum(7, 40, b"payload");
        assert_eq!(header.check(7, 40, b"payload"), Err(Unsealed::Newer(9)));
    }

    #[test]
    fn every_byte_of_the_header_is_covered() {
        let header = Header::new(7, 40, b"payload", 7, 0).unwrap();
        let encoded = header.encode();
        for at in 0..HEADER_LEN {
            for bit in 0..8 {
                let mut damaged = encoded;
                damaged[at] ^= 1 << bit;
                let found = Header::decode(&damaged);
                assert!(found.is_err() || found.unwrap().check(7, 40, b"payload").is_err(), "{at}");
            }
        }
    }

    #[test]
    fn a_forged_length_allocates_no_more_than_the_codec_can_fill() {
        let forged = Header::new(1, 0, b"packed", u32::MAX, 1).unwrap();
        let refused = forged.value(Bytes::from_static(b"packed"));
        let reason = "a compressed value with an impossible length";
        assert_eq!(refused, Err(Unsealed::Damaged(reason)));
        let foreign = Header::new(1, 0, b"packed", 6, 99).unwrap();
        let refused = foreign.value(Bytes::from_static(b"packed"));
        assert_eq!(refused, Err(Unsealed::Unsupported(NO_CODEC)));
        let longer = Header::new(1, 0, b"plain", 6, 0).unwrap();
        assert!(longer.value(Bytes::from_static(b"plain")).is_err());
    }
}
