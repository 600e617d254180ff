//! Reading the records of one file. It never writes, and it never takes damage for an end.

use crate::error::{Error, Result};
use crate::frame::{HEADER_LEN, Header, RecordKind, Refused, chain};
use crate::survey::{Survey, survey};
use crate::window::Window;
use kv_vfs::FsFile;
use kv_vfs::testing::{bug, planted};
use std::path::Path;
use std::sync::Arc;

/// A record that is what was written.
///
/// ```
/// # use kv_wal::Step;
/// # use kv_vfs::{Fs, MemFs, Mode};
/// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
/// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
/// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
/// # writer.append(1, &[b"one"])?;
/// let mut reader = RecordReader::new(fs.open(path, Mode::Read)?, path, 1)?;
/// let Step::Record(record) = reader.next()? else { panic!("no record") };
/// assert_eq!((record.first_seq, record.payload), (1, &b"one"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is for.
    pub kind: RecordKind,
    /// The header's flags.
    pub flags: u8,
    /// Its first sequence number.
    pub first_seq: u64,
    /// How many bytes of the file were known to be durable when it was framed.
    pub synced: u32,
    /// How many records lie before it.
    pub index: u32,
    /// Where it begins.
    pub offset: u64,
    /// What was appended.
    pub payload: &'a [u8],
}

/// What comes next in a file. All but a record are final, and are answered again and again until
/// the reader is told to [look again](RecordReader::look_again).
///
/// ```
/// use kv_wal::Step;
/// # use kv_vfs::{Fs, MemFs, Mode};
/// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
/// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
/// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
/// # writer.append(1, &[b"one"])?;
/// let mut reader = RecordReader::new(fs.open(path, Mode::Read)?, path, 1)?;
/// loop {
///     match reader.next()? {
///         Step::Record(record) => println!("{} bytes", record.payload.len()),
///         Step::End { .. } => break,
///         other => panic!("{other:?}"),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A record.
    Record(Record<'a>),
    /// There is no more: the end of the file, or only zeros up to it, or an end record.
    End {
        /// The end of the last record.
        offset: u64,
    },
    /// What comes is no record, and nothing in this file says that it ever was durable: the tail
    /// of an interrupted write.
    Torn {
        /// The end of the last record.
        offset: u64,
        /// What is wrong behind it.
        reason: String,
    },
    /// What comes is no record, though a valid one was durable there.
    Corrupt {
        /// The end of the last record before the damage.
        offset: u64,
        /// What is wrong behind it, and how it is known.
        reason: String,
    },
}

/// Reads a file record by record, in memory bounded by 256 KiB or the longest record.
///
/// ```
/// # use kv_vfs::{Fs, MemFs, Mode};
/// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
/// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
/// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
/// # writer.append(1, &[b"one"])?;
/// let mut reader = RecordReader::new(fs.open(path, Mode::Read)?, path, 1)?;
/// reader.next()?;
/// assert_eq!(reader.offset(), writer.offset());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RecordReader {
    window: Window,
    number: u64,
    index: u32,
    offset: u64,
    checksum: u32,
    /// The file is a segment of a log.
    of_log: bool,
    /// Why there are no more records.
    ending: Option<Ending>,
    ended: bool,
}

#[derive(Clone, Debug)]
enum Ending {
    End,
    Torn(String),
    Corrupt(String),
    Failed(Error),
}

impl RecordReader {
    /// Reads from the beginning of a file whose records were framed for the segment `number`. The
    /// file is read as far as it is long now.
    ///
    /// ```
    /// # use kv_vfs::{Fs, MemFs, Mode};
    /// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
    /// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
    /// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
    /// # writer.append(1, &[b"one"])?;
    /// let mut reader = RecordReader::new(fs.open(path, Mode::Read)?, path, 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(file: Arc<dyn FsFile>, path: &Path, number: u64) -> Result<RecordReader> {
        let window = Window::new(file, path)?;
        Ok(RecordReader {
            window,
            number,
            index: 0,
            offset: 0,
            checksum: 0,
            of_log: false,
            ending: None,
            ended: false,
        })
    }

    /// The same for a file that a [`Log`](crate::Log) writes, and no [`FrameWriter`](crate::FrameWriter):
    /// only records that a log framed say that a place was durable. Where a power cut leaves bytes of a
    /// removed file in space that was reserved, and that file had the same number, its records say nothing.
    ///
    /// ```
    /// # use kv_vfs::{Fs, MemFs, Mode};
    /// # use kv_wal::{RecordReader, Segment};
    /// # let (fs, path) = (MemFs::new(), std::path::Path::new("/1.log"));
    /// # Segment::create(&fs, path, 1)?;
    /// let mut reader = RecordReader::new(fs.open(path, Mode::Read)?, path, 1)?.of_log();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of_log(mut self) -> RecordReader {
        self.of_log = true;
        self
    }

    /// The end of the last record read.
    ///
    /// ```
    /// # use kv_vfs::{Fs, MemFs, Mode};
    /// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
    /// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
    /// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
    /// # writer.append(1, &[b"one"])?;
    /// let mut reader = RecordReader::new(fs.open(path, Mode::Read)?, path, 1)?;
    /// assert_eq!(reader.offset(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The running checksum over the records read.
    ///
    /// ```
    /// # use kv_vfs::{Fs, MemFs, Mode};
    /// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
    /// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
    /// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
    /// # writer.append(1, &[b"one"])?;
    /// let mut reader = RecordReader::new(fs.open(path, Mode::Read)?, path, 1)?;
    /// let before = reader.checksum();
    /// reader.next()?;
    /// assert_ne!(reader.checksum(), before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Reads on in a file that may have been written to since: what comes next is looked for anew.
    /// What was read stays read.
    ///
    /// ```
    /// # use kv_wal::Step;
    /// # use kv_vfs::{Fs, MemFs, Mode};
    /// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
    /// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
    /// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
    /// # writer.append(1, &[b"one"])?;
    /// let mut reader = RecordReader::new(fs.open(path, Mode::Read)?, path, 1)?;
    /// reader.next()?;
    /// assert!(matches!(reader.next()?, Step::End { .. }));
    /// writer.append(2, &[b"two"])?;
    /// reader.look_again()?;
    /// assert!(matches!(reader.next()?, Step::Record(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn look_again(&mut self) -> Result<()> {
        self.window.look_again()?;
        self.ending = None;
        Ok(())
    }

    /// Whether nothing was written behind the last record, as far as the next record's header. A
    /// cheap look at a file that others write to: an end that is only known from this may be damage.
    ///
    /// ```
    /// # use kv_vfs::{Fs, MemFs, Mode};
    /// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
    /// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
    /// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
    /// # writer.append(1, &[b"one"])?;
    /// let mut reader = RecordReader::new(fs.open(path, Mode::Read)?, path, 1)?;
    /// assert!(!reader.is_unwritten()?);
    /// reader.next()?;
    /// assert!(reader.is_unwritten()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_unwritten(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(true);
        }
        let header = self.window.header(self.offset)?;
        Ok(header.is_none_or(|bytes| bytes.iter().all(|byte| *byte == 0)))
    }

    /// The next record, or why there is none. An error of the operating system, and a record of a
    /// newer format, is an error, not an end, and stays.
    ///
    /// ```
    /// # use kv_wal::Step;
    /// # use kv_vfs::{Fs, MemFs, Mode};
    /// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
    /// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
    /// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
    /// # writer.append(1, &[b"one"])?;
    /// let mut reader = RecordReader::new(fs.open(path, Mode::Read)?, path, 1)?;
    /// while let Step::Record(record) = reader.next()? {
    ///     println!("{}", record.first_seq);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::should_implement_trait, reason = "a record borrows the reader's buffer")]
    pub fn next(&mut self) -> Result<Step<'_>> {
        let found = if self.ending.is_some() { None } else { self.advance() };
        let offset = self.offset;
        match (found, &self.ending) {
            (Some((header, kind, begin)), _) => {
                let payload = self.window.loaded(begin + HEADER_LEN as u64, header.len as usize);
                Ok(Step::Record(Record {
                    kind,
                    flags: header.flags,
                    first_seq: header.first_seq,
                    synced: header.synced,
                    index: header.index,
                    offset: begin,
                    payload: payload.unwrap_or_default(),
                }))
            }
            (None, None | Some(Ending::End)) => Ok(Step::End { offset }),
            (None, Some(Ending::Torn(reason))) => Ok(Step::Torn { offset, reason: reason.clone() }),
            (None, Some(Ending::Corrupt(reason))) => {
                Ok(Step::Corrupt { offset, reason: reason.clone() })
            }
            (None, Some(Ending::Failed(error))) => Err(error.clone()),
        }
    }

    /// Moves past the next record and answers it, with its place; else sets the ending.
    fn advance(&mut self) -> Option<(Header, RecordKind, u64)> {
        match self.examine(self.offset) {
            Ok(Ok((header, kind))) => {
                let begin = self.offset;
                self.offset = begin + header.record_len();
                self.index = self.index.saturating_add(1);
                self.checksum = chain(self.checksum, header.crc);
                self.ended = kind == RecordKind::End;
                return Some((header, kind, begin));
            }
            Ok(Err(ending)) => self.ending = Some(ending),
            Err(_) if planted(bug::READ_ERROR_ENDS_LOG) => self.ending = Some(Ending::End),
            Err(error) => self.ending = Some(Ending::Failed(error)),
        }
        None
    }

    fn examine(&mut self, at: u64) -> Result<std::result::Result<(Header, RecordKind), Ending>> {
        if self.ended {
            return Ok(Err(Ending::End));
        }
        let left = self.window.left(at);
        let bytes = match self.window.header(at)? {
            Some(bytes) if bytes.iter().any(|byte| *byte != 0) => bytes,
            _ if self.window.extent(at)? == at => return Ok(Err(Ending::End)),
            None => return self.damage(at, "there is no room for a record").map(Err),
            Some(_) => return self.damage(at, "zeros lie where a record should begin").map(Err),
        };
        let header = Header::read(&bytes);
        if !Header::names(&bytes, self.number) {
            return self.damage(at, "no record of this file begins there").map(Err);
        }
        if header.record_len() > left {
            return self.damage(at, "a record there is longer than the file").map(Err);
        }
        if self.window.checksum(at, header.record_len())? != header.crc {
            if planted(bug::DAMAGED_RECORD_SKIPPED) {
                self.offset = at + header.record_len();
                self.index = self.index.saturating_add(1);
                return self.examine(self.offset);
            }
            return self.damage(at, "the checksum of the record there is wrong").map(Err);
        }
        match header.accept(self.index, at) {
            Ok(kind) => {
                self.window.get(at + HEADER_LEN as u64, header.len as usize)?;
                Ok(Ok((header, kind)))
            }
            Err(Refused::Misplaced(reason)) => Ok(Err(Ending::Corrupt(reason.into()))),
            Err(Refused::Unknown { what, number }) => {
                let path = self.window.path().to_owned();
                Err(Error::IncompatibleFormat { path, offset: at, what, number })
            }
        }
    }

    /// Decides between a torn tail and damage.
    fn damage(&mut self, at: u64, reason: &str) -> Result<Ending> {
        if planted(bug::DAMAGE_ENDS_LOG) {
            return Ok(Ending::Torn(reason.into()));
        }
        let of_log = self.of_log;
        // Whatever a log frames behind something durable has the flag.
        let proves =
            |header: &Header| u64::from(header.synced) > at && (!of_log || header.older_durable());
        let found = survey(&mut self.window, self.number, at, proves)?;
        Ok(match found {
            Survey::Nothing => Ending::Torn(reason.into()),
            Survey::Proof(offset) => Ending::Corrupt(format!(
                "{reason}, and the record at offset {offset} says that it had been made durable"
            )),
            Survey::Undecided => Ending::Corrupt(format!(
                "{reason}, and too much behind it looks like records to tell whether it was durable"
            )),
        })
    }
}
