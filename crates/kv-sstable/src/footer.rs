//! The last bytes of a table: where everything else lies.
//!
//! The same bytes stand in the manifest, so that opening a table reads nothing. The sections
//! behind the index follow each other without a gap, so their lengths tell their places:
//!
//! ```text
//! [data block]* [index partition]* [top index] [filter]? [range tombstones]? [properties] [footer]
//! ```

use crate::handle::Handle;
use kv_core::{Malformed, Take, checksum};

/// The length of an encoded footer.
pub(crate) const FOOTER_LEN: usize = 64;
/// The first bytes of a footer.
pub(crate) const MAGIC: [u8; 8] = *b"kv-table";
/// The format that this code writes, and the only one so far.
pub(crate) const FORMAT_VERSION: u16 = 1;

/// Where the sections of a table lie. Of an absent section the length is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Footer {
    /// The codec of the data blocks that are compressed.
    pub(crate) compression: u8,
    /// The number of the file: part of every checksum.
    pub(crate) file_number: u64,
    /// How many entries; range tombstones are not counted.
    pub(crate) entries: u64,
    /// Where the data blocks end and the index partitions begin.
    pub(crate) index_offset: u64,
    /// Where the index partitions end and the top index begins.
    pub(crate) top_index_offset: u64,
    /// Stored length of the top index.
    pub(crate) top_index_len: u32,
    /// Stored length of the filter.
    pub(crate) filter_len: u32,
    /// Stored length of the range tombstones.
    pub(crate) range_tombstones_len: u32,
    /// Stored length of the properties.
    pub(crate) properties_len: u32,
}

/// Why bytes are no footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoFooter {
    /// They are not what was written.
    Damaged(Malformed),
    /// They are of this format, which this code does not know.
    Newer(u16),
}

impl From<Malformed> for NoFooter {
    fn from(malformed: Malformed) -> NoFooter {
        NoFooter::Damaged(malformed)
    }
}

impl Footer {
    pub(crate) fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut out = Vec::with_capacity(FOOTER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.push(self.compression);
        out.push(0);
        for n in [self.file_number, self.entries, self.index_offset, self.top_index_offset] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        let lens =
            [self.top_index_len, self.filter_len, self.range_tombstones_len, self.properties_len];
        for n in lens {
            out.extend_from_slice(&n.to_le_bytes());
        }
        let sum = checksum(self.file_number, self.offset().unwrap_or(u64::MAX), &out);
        out.extend_from_slice(&sum.to_le_bytes());
        let mut bytes = [0; FOOTER_LEN];
        bytes.copy_from_slice(&out);
        bytes
    }

    /// Reads the footer of a file of `file_len` bytes. Behind this, every section lies inside
    /// the file, and the footer at its end.
    pub(crate) fn decode(bytes: &[u8], file_len: u64) -> Result<Footer, NoFooter> {
        let mut take = Take::new(bytes);
        if take.array()? != MAGIC {
            return Err(take.malformed("no footer of a table").into());
        }
        let format = take.u16()?;
        if format != FORMAT_VERSION {
            return Err(NoFooter::Newer(format));
        }
        let compression = take.u8()?;
        let reserved = take.u8()?;
        let footer = Footer {
            compression,
            file_number: take.u64()?,
            entries: take.u64()?,
            index_offset: take.u64()?,
            top_index_offset: take.u64()?,
            top_index_len: take.u32()?,
            filter_len: take.u32()?,
            range_tombstones_len: take.u32()?,
            properties_len: take.u32()?,
        };
        let covered = bytes.get(..take.position()).unwrap_or_default();
        let offset = footer.offset().ok_or(take.malformed("sections longer than any file"))?;
        if take.u32()? != checksum(footer.file_number, offset, covered) {
            return Err(take.malformed("the footer's checksum does not match").into());
        }
        if reserved != 0
            || !take.is_empty()
            || footer.index_offset > footer.top_index_offset
            || offset.checked_add(FOOTER_LEN as u64) != Some(file_len)
        {
            return Err(take.malformed("a footer that does not fit the file").into());
        }
        Ok(footer)
    }

    pub(crate) fn top_index(&self) -> Handle {
        Handle { offset: self.top_index_offset, len: self.top_index_len }
    }

    pub(crate) fn filter(&self) -> Option<Handle> {
        self.section(self.top_index().end(), self.filter_len)
    }

    pub(crate) fn range_tombstones(&self) -> Option<Handle> {
        self.section(self.filter_end(), self.range_tombstones_len)
    }

    pub(crate) fn properties(&self) -> Option<Handle> {
        self.section(self.range_tombstones_end(), self.properties_len)
    }

    /// Where the footer itself lies, `None` where the sections do not fit any file.
    pub(crate) fn offset(&self) -> Option<u64> {
        end_of(self.properties(), self.range_tombstones_end())
    }

    fn filter_end(&self) -> Option<u64> {
        end_of(self.filter(), self.top_index().end())
    }

    fn range_tombstones_end(&self) -> Option<u64> {
        end_of(self.range_tombstones(), self.filter_end())
    }

    fn section(&self, offset: Option<u64>, len: u32) -> Option<Handle> {
        if len == 0 { None } else { Some(Handle { offset: offset?, len }) }
    }
}

/// The end of a section, or where it would be.
fn end_of(section: Option<Handle>, offset: Option<u64>) -> Option<u64> {
    match section {
        Some(handle) => handle.end(),
        None => offset,
    }
}
