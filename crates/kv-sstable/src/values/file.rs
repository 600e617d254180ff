//! Reads values by their pointers.

use super::footer::{FOOTER_LEN, Footer};
use super::record::{HEADER_LEN, Header};
use crate::error::{Error, Result};
use crate::fetch::Source;
use crate::footer::NoFooter;
use crate::seal::Unsealed;
use bytes::Bytes;
use kv_core::ValuePointer;
use kv_vfs::FsFile;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An immutable value file. Every call may be made from several threads at once.
///
/// ```
/// # use kv_sstable::{Compression, ValueFile, ValueWriter};
/// # use kv_vfs::{Fs, MemFs};
/// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/8.val"));
/// # let file = fs.create_new(&path)?;
/// # let mut writer = ValueWriter::new(file.clone(), path.clone(), 8, Compression::None);
/// # let pointer = writer.add(b"a long value")?;
/// # let summary = writer.finish()?;
/// assert_eq!(ValueFile::number_in(&file, &path)?, Some(8));
/// let values = ValueFile::open(file.clone(), path.clone(), 8, summary.size)?;
/// assert_eq!(values.read(&pointer)?, "a long value");
///
/// // One that was cut short still has what is whole.
/// file.set_len(summary.size - 1)?;
/// let rest = ValueFile::open_alone(file, path, 8)?;
/// rest.check_pointer(&pointer)?;
/// assert_eq!((rest.number(), rest.path(), rest.size()), (8, values.path(), values.size() - 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ValueFile {
    pub(super) source: Source,
    pub(super) size: u64,
}

/// A value as it is stored, its checksum verified.
///
/// ```
/// # use kv_core::ValuePointer;
/// # use kv_sstable::{StoredValue, ValueFile};
/// fn stored(file: &ValueFile, pointer: &ValuePointer) -> kv_sstable::Result<StoredValue> {
///     file.read_stored(pointer)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredValue {
    pub(super) payload: Bytes,
    pub(super) len: u32,
    pub(super) codec: u8,
}

impl ValueFile {
    /// Opens the value file; reads nothing but the file's length, which must be `size`. Damage
    /// further in is found when it is read.
    pub fn open(
        file: Arc<dyn FsFile>,
        path: PathBuf,
        number: u64,
        size: u64,
    ) -> Result<Arc<ValueFile>> {
        let len = file.len().map_err(|e| Error::io(&path, 0, e))?;
        if len != size {
            return Err(Error::corrupt(&path, len.min(size), "the file has another length"));
        }
        Ok(Arc::new(ValueFile { source: Source { file, path, number }, size }))
    }

    /// Opens what there is of a value file, whatever its length: each record vouches for itself.
    pub fn open_alone(file: Arc<dyn FsFile>, path: PathBuf, number: u64) -> Result<Arc<ValueFile>> {
        let size = file.len().map_err(|e| Error::io(&path, 0, e))?;
        Ok(Arc::new(ValueFile { source: Source { file, path, number }, size }))
    }

    /// The number that the footer of a file names, for one whose name does not tell it.
    pub fn number_in(file: &Arc<dyn FsFile>, path: &Path) -> Result<Option<u64>> {
        let alone = ValueFile::open_alone(Arc::clone(file), path.to_path_buf(), 0)?;
        Ok(alone.footer().ok().map(|footer| footer.file_number))
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The file's number.
    pub fn number(&self) -> u64 {
        self.source.number
    }

    /// The file's length.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The value that a pointer names.
    pub fn read(&self, pointer: &ValuePointer) -> Result<Bytes> {
        let (header, payload) = self.record(pointer)?;
        header.value(payload).map_err(|refused| self.refused(pointer.offset, refused))
    }

    /// The value that a pointer names, as it is stored: to be moved to another file.
    pub fn read_stored(&self, pointer: &ValuePointer) -> Result<StoredValue> {
        let (header, payload) = self.record(pointer)?;
        Ok(StoredValue { payload, len: header.len, codec: header.codec })
    }

    /// Whether a record as the pointer describes it begins where it points to; reads the header
    /// only, whose checksum is that of the whole record and not looked at.
    pub fn check_pointer(&self, pointer: &ValuePointer) -> Result<()> {
        let len = self.room(pointer)?.min(HEADER_LEN);
        let header = self.header(pointer, &self.source.read(pointer.offset, len)?)?;
        if u64::from(header.stored) + HEADER_LEN as u64 != u64::from(pointer.stored) {
            return Err(self.source.corrupt(pointer.offset, "a pointer that points nowhere"));
        }
        self.same_value(pointer, &header)
    }

    fn record(&self, pointer: &ValuePointer) -> Result<(Header, Bytes)> {
        let bytes = self.source.read(pointer.offset, self.room(pointer)?)?;
        let header = self.header(pointer, &bytes)?;
        let payload = bytes.slice(HEADER_LEN.min(bytes.len())..);
        header
            .check(self.source.number, pointer.offset, &payload)
            .map_err(|refused| self.refused(pointer.offset, refused))?;
        self.same_value(pointer, &header)?;
        Ok((header, payload))
    }

    fn same_value(&self, pointer: &ValuePointer, header: &Header) -> Result<()> {
        match header.len == pointer.len {
            true => Ok(()),
            false => {
                Err(self.source.corrupt(pointer.offset, "another value than the pointer names"))
            }
        }
    }

    /// How long the record is, if it lies inside the file: a forged length reads nothing else.
    fn room(&self, pointer: &ValuePointer) -> Result<usize> {
        let end = pointer.offset.checked_add(u64::from(pointer.stored));
        let inside = end.is_some_and(|end| end <= self.size);
        let whole = pointer.stored as usize >= HEADER_LEN && pointer.file == self.source.number;
        match inside && whole {
            true => Ok(pointer.stored as usize),
            false => Err(self.source.corrupt(pointer.offset, "a pointer that points nowhere")),
        }
    }

    fn header(&self, pointer: &ValuePointer, bytes: &[u8]) -> Result<Header> {
        let bytes = bytes.get(..HEADER_LEN).unwrap_or(bytes);
        Header::decode(bytes)
            .map_err(|malformed| Error::malformed(&self.source.path, pointer.offset, malformed))
    }

    pub(super) fn footer(&self) -> Result<Footer> {
        let at = self
            .size
            .checked_sub(FOOTER_LEN as u64)
            .ok_or_else(|| self.source.corrupt(0, "the file is too short to be a value file"))?;
        Footer::decode(&self.source.read(at, FOOTER_LEN)?, self.size).map_err(|refused| {
            match refused {
                NoFooter::Damaged(malformed) => Error::malformed(&self.source.path, at, malformed),
                NoFooter::Newer(format) => {
                    Error::IncompatibleFormat { path: self.source.path.clone(), format }
                }
            }
        })
    }

    pub(super) fn refused(&self, offset: u64, refused: Unsealed) -> Error {
        match refused {
            Unsealed::Damaged(reason) => self.source.corrupt(offset, reason),
            Unsealed::Unsupported(reason) => {
                Error::Unsupported { path: self.source.path.clone(), reason }
            }
            Unsealed::Newer(format) => {
                Error::IncompatibleFormat { path: self.source.path.clone(), format }
            }
        }
    }
}
