//! Writes one value file from front to back.

use super::file::StoredValue;
use super::footer::Footer;
use super::record::{HEADER_LEN, Header};
use crate::codec::{self, Codec, Compression};
use crate::error::{Error, Result};
use crate::sink::Sink;
use crate::writer::{LEAST_SAVING, MAX_VALUE_LEN};
use kv_core::ValuePointer;
use kv_vfs::FsFile;
use std::path::PathBuf;
use std::sync::Arc;

/// Memory above this is given back after an unusually long value.
const KEEP_CAPACITY: usize = 4 << 20;

/// Writes one value file. After a failed write it is of no more use.
///
/// ```
/// # use kv_sstable::{Compression, ValueSummary, ValueWriter};
/// # use kv_vfs::{Fs, MemFs};
/// # let path = std::path::PathBuf::from("/8.val");
/// # let file = MemFs::new().create_new(&path)?;
/// let mut writer = ValueWriter::new(file, path, 8, Compression::Lz4);
/// let pointer = writer.add(b"a long value")?;
/// assert_eq!((pointer.offset, pointer.len), (0, 12));
/// assert_eq!(writer.position(), u64::from(pointer.stored));
///
/// let summary: ValueSummary = writer.finish()?;
/// assert_eq!((summary.records, summary.bytes), (1, u64::from(pointer.stored)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ValueWriter {
    sink: Sink,
    number: u64,
    compression: Compression,
    codec: Option<Box<dyn Codec>>,
    packed: Vec<u8>,
    records: u64,
    value_bytes: u64,
}

/// What a finished value file is to whoever keeps track of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueSummary {
    /// The length of the file.
    pub size: u64,
    /// How many values.
    pub records: u64,
    /// Bytes of their records: what pointers to all of them add up to.
    pub bytes: u64,
    /// XXH3-64 of the whole file.
    pub checksum: u64,
}

impl ValueWriter {
    /// Writes to `file`, which must be empty; `number` goes into every checksum, so that the
    /// file can only be read under it.
    pub fn new(
        file: Arc<dyn FsFile>,
        path: PathBuf,
        number: u64,
        compression: Compression,
    ) -> ValueWriter {
        ValueWriter {
            sink: Sink::new(file, path),
            number,
            compression,
            codec: compression.codec(),
            packed: Vec::new(),
            records: 0,
            value_bytes: 0,
        }
    }

    /// Where the next record begins.
    pub fn position(&self) -> u64 {
        self.sink.position()
    }

    /// Appends a value and answers where it lies.
    pub fn add(&mut self, value: &[u8]) -> Result<ValuePointer> {
        if value.len() > MAX_VALUE_LEN {
            return Err(Error::refused(self.sink.path(), "its value is too long"));
        }
        let packed = std::mem::take(&mut self.packed);
        let (codec, mut packed) = self.pack(value, packed);
        let payload = if codec == codec::NONE { value } else { &packed };
        let pointer = self.append(payload, value.len() as u32, codec);
        packed.clear();
        packed.shrink_to(KEEP_CAPACITY);
        self.packed = packed;
        pointer
    }

    /// Appends a value as another value file stores it.
    ///
    /// ```
    /// # use kv_core::ValuePointer;
    /// # use kv_sstable::{ValueFile, ValueWriter};
    /// /// Moves a value to another file without taking it apart.
    /// fn copy(
    ///     from: &ValueFile,
    ///     pointer: &ValuePointer,
    ///     to: &mut ValueWriter,
    /// ) -> kv_sstable::Result<ValuePointer> {
    ///     let value = from.read_stored(pointer)?;
    ///     to.add_stored(&value)
    /// }
    /// ```
    pub fn add_stored(&mut self, value: &StoredValue) -> Result<ValuePointer> {
        self.append(&value.payload, value.len, value.codec)
    }

    /// Compresses the value where that saves enough.
    fn pack(&mut self, value: &[u8], mut packed: Vec<u8>) -> (u8, Vec<u8>) {
        let Some(codec) = &mut self.codec else { return (codec::NONE, packed) };
        let done = codec.compress(value, &mut packed);
        let saves = packed.len() <= value.len() - value.len() / LEAST_SAVING;
        let expands = packed.len().saturating_mul(codec.max_expansion());
        match done.is_some() && saves && value.len() <= expands {
            true => (self.compression.id(), packed),
            false => (codec::NONE, packed),
        }
    }

    fn append(&mut self, payload: &[u8], len: u32, codec: u8) -> Result<ValuePointer> {
        let offset = self.sink.position();
        let too_long = || Error::refused(self.sink.path(), "its value is too long");
        let header = Header::new(self.number, offset, payload, len, codec).ok_or_else(too_long)?;
        let stored = header.stored.checked_add(HEADER_LEN as u32).ok_or_else(too_long)?;
        self.sink.append(&header.encode())?;
        self.sink.append(payload)?;
        self.records += 1;
        self.value_bytes += u64::from(len);
        Ok(ValuePointer { file: self.number, offset, stored, len })
    }

    /// Writes the footer and makes the file durable; its name in the directory is up to the
    /// caller.
    pub fn finish(mut self) -> Result<ValueSummary> {
        let bytes = self.sink.position();
        let footer = Footer {
            compression: self.compression.id(),
            file_number: self.number,
            records: self.records,
            records_len: bytes,
            value_bytes: self.value_bytes,
        };
        self.sink.append(&footer.encode())?;
        let size = self.sink.position();
        Ok(ValueSummary { size, records: self.records, bytes, checksum: self.sink.finish()? })
    }
}
