//! The last bytes of a value file.

use crate::footer::NoFooter;
use kv_core::{Take, checksum};

/// The length of an encoded footer.
pub(crate) const FOOTER_LEN: usize = 48;
/// The first bytes of a footer.
pub(crate) const MAGIC: [u8; 8] = *b"kv-value";
/// The format that this code writes, and the only one so far.
pub(crate) const FORMAT_VERSION: u16 = 1;

/// What a value file holds, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    /// The codec of the records that are compressed.
    pub(crate) compression: u8,
    /// The number of the file: part of every checksum.
    pub(crate) file_number: u64,
    /// How many records.
    pub(crate) records: u64,
    /// Where the records end and the footer begins.
    pub(crate) records_len: u64,
    /// Bytes of all values, uncompressed.
    pub(crate) value_bytes: u64,
}

impl Footer {
    pub(crate) fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut out = Vec::with_capacity(FOOTER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.push(self.compression);
        out.push(0);
        for n in [self.file_number, self.records, self.records_len, self.value_bytes] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        let sum = checksum(self.file_number, self.records_len, &out);
        out.extend_from_slice(&sum.to_le_bytes());
        let mut bytes = [0; FOOTER_LEN];
        bytes.copy_from_slice(&out);
        bytes
    }

    /// Reads the footer of a file of `file_len` bytes.
    pub(crate) fn decode(bytes: &[u8], file_len: u64) -> Result<Footer, NoFooter> {
        let mut take = Take::new(bytes);
        if take.array()? != MAGIC {
            return Err(take.malformed("no footer of a value file").into());
        }
        let format = take.u16()?;
        if format != FORMAT_VERSION {
            return Err(NoFooter::Newer(format));
        }
        let (compression, reserved) = (take.u8()?, take.u8()?);
        let footer = Footer {
            compression,
            file_number: take.u64()?,
            records: take.u64()?,
            records_len: take.u64()?,
            value_bytes: take.u64()?,
        };
        let covered = bytes.get(..take.position()).unwrap_or_default();
        if take.u32()? != checksum(footer.file_number, footer.records_len, covered) {
            return Err(take.malformed("the footer's checksum does not match").into());
        }
        let end = footer.records_len.checked_add(FOOTER_LEN as u64);
        if reserved != 0 || !take.is_empty() || end != Some(file_len) {
            return Err(take.malformed("a footer that does not fit the file").into());
        }
        Ok(footer)
    }
}
