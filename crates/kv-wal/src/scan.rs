//! All records of one file that are whole, also those behind damage: for people who look into a
//! file, and for what rebuilds a damaged store. Which of them count is up to
//! [`replay`](crate::replay).

use crate::error::Result;
use crate::frame::{HEADER_LEN, Header, RecordKind, Refused};
use crate::reader::Record;
use crate::survey::candidate;
use crate::window::{WINDOW, Window};
use kv_vfs::FsFile;
use std::path::Path;
use std::sync::Arc;

/// What lies next in a file.
///
/// ```
/// # use kv_wal::Found;
/// # use kv_vfs::{Fs, MemFs, Mode};
/// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
/// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
/// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
/// # writer.append(1, &[b"one"])?;
/// let mut scanner = RecordScanner::new(fs.open(path, Mode::Read)?, path, 1)?;
/// match scanner.next()? {
///     Found::Record(record) => println!("{} bytes", record.payload.len()),
///     Found::Damage { offset, end, reason } => println!("{offset} to {end}: {reason}"),
///     _ => println!("the end"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A record with the right checksum.
    Record(Record<'a>),
    /// Bytes that are no record.
    Damage {
        /// Where they begin.
        offset: u64,
        /// Where the next record begins, or what was written ends.
        end: u64,
        /// What is wrong at the offset.
        reason: String,
    },
    /// Nothing more was written.
    End {
        /// Where.
        offset: u64,
    },
}

/// Reads a file record by record and goes on behind damage, in memory bounded by 256 KiB or the
/// longest record.
///
/// ```
/// # use kv_wal::Found;
/// # use kv_vfs::{Fs, MemFs, Mode};
/// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
/// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
/// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
/// # writer.append(1, &[b"one"])?;
/// let mut scanner = RecordScanner::new(fs.open(path, Mode::Read)?, path, 1)?;
/// assert!(matches!(scanner.next()?, Found::Record(_)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RecordScanner {
    window: Window,
    number: u64,
    offset: u64,
    /// The index that the next record should have.
    index: u32,
    ended: bool,
    /// How much may still be spent on bytes that look like records and are none.
    effort: u64,
    /// The damage before this record, which was found already, has been told.
    told: bool,
}

impl RecordScanner {
    /// Scans a file whose records were framed for the segment `number`.
    ///
    /// ```
    /// # use kv_vfs::{Fs, MemFs, Mode};
    /// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
    /// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
    /// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
    /// # writer.append(1, &[b"one"])?;
    /// let mut scanner = RecordScanner::new(fs.open(path, Mode::Read)?, path, 1)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(file: Arc<dyn FsFile>, path: &Path, number: u64) -> Result<RecordScanner> {
        let window = Window::new(file, path)?;
        let effort = window.left(0).saturating_mul(4).saturating_add(64 << 20);
        Ok(RecordScanner { window, number, offset: 0, index: 0, ended: false, effort, told: false })
    }

    /// The number that the first header in the file names, in its low 32 bits; for a file that
    /// has lost its name.
    ///
    /// ```
    /// # use kv_vfs::{Fs, MemFs, Mode};
    /// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
    /// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
    /// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
    /// # writer.append(1, &[b"one"])?;
    /// let number = RecordScanner::number_in(fs.open(path, Mode::Read)?, path)?;
    /// assert_eq!(number, Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn number_in(file: Arc<dyn FsFile>, path: &Path) -> Result<Option<u64>> {
        let header = Window::new(file, path)?.header(0)?;
        Ok(header.map(|bytes| Header::number(&bytes)))
    }

    /// What comes next. An error is one of the operating system.
    ///
    /// ```
    /// # use kv_wal::Found;
    /// # use kv_vfs::{Fs, MemFs, Mode};
    /// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
    /// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
    /// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
    /// # writer.append(1, &[b"one"])?;
    /// let mut scanner = RecordScanner::new(fs.open(path, Mode::Read)?, path, 1)?;
    /// scanner.next()?;
    /// assert!(matches!(scanner.next()?, Found::End { .. }));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::should_implement_trait, reason = "a record borrows the scanner's buffer")]
    pub fn next(&mut self) -> Result<Found<'_>> {
        let at = self.offset;
        if self.ended {
            return Ok(Found::End { offset: at });
        }
        let reason = match self.examine(at)? {
            Look::Whole(header, kind) if header.index == self.index || self.told => {
                return self.record(at, header, kind);
            }
            Look::Whole(..) => {
                self.told = true;
                let reason = "records that should lie before this one are not there".into();
                return Ok(Found::Damage { offset: at, end: at, reason });
            }
            Look::Nothing => {
                self.ended = true;
                return Ok(Found::End { offset: at });
            }
            Look::Broken(reason) => reason,
        };
        let end = self.next_record(at)?;
        self.offset = end;
        self.told = true;
        Ok(Found::Damage { offset: at, end, reason: reason.into() })
    }

    fn record(&mut self, at: u64, header: Header, kind: RecordKind) -> Result<Found<'_>> {
        self.told = false;
        self.offset = at + header.record_len();
        self.index = header.index.saturating_add(1);
        self.ended = kind == RecordKind::End;
        let payload = self.window.get(at + HEADER_LEN as u64, header.len as usize)?;
        Ok(Found::Record(Record {
            kind,
            flags: header.flags,
            first_seq: header.first_seq,
            synced: header.synced,
            index: header.index,
            offset: at,
            payload,
        }))
    }

    fn examine(&mut self, at: u64) -> Result<Look> {
        let bytes = match self.window.header(at)? {
            Some(bytes) if bytes.iter().any(|byte| *byte != 0) => bytes,
            _ if self.window.extent(at)? == at => return Ok(Look::Nothing),
            None => return Ok(Look::Broken("there is no room for a record")),
            Some(_) => return Ok(Look::Broken("zeros lie where a record should begin")),
        };
        if !Header::names(&bytes, self.number) {
            return Ok(Look::Broken("no record of this file begins there"));
        }
        let header = Header::read(&bytes);
        let len = header.record_len();
        if len > self.window.left(at) {
            return Ok(Look::Broken("a record there is longer than the file"));
        }
        let look = self.examine_record(at, header)?;
        if matches!(look, Look::Broken(_)) {
            // Checking cost its bytes and, if it is long, reading the window again.
            let cost = if len > WINDOW as u64 { len + WINDOW as u64 } else { len };
            self.effort = self.effort.saturating_sub(cost);
        }
        Ok(look)
    }

    fn examine_record(&mut self, at: u64, header: Header) -> Result<Look> {
        if self.window.checksum(at, header.record_len())? != header.crc {
            return Ok(Look::Broken("the checksum of the record there is wrong"));
        }
        if header.index < self.index {
            return Ok(Look::Broken("a valid record lies there that belongs elsewhere"));
        }
        Ok(match header.accept(header.index, at) {
            Ok(kind) => Look::Whole(header, kind),
            Err(Refused::Misplaced(reason)) => Look::Broken(reason),
            Err(Refused::Unknown { .. }) => Look::Broken("a newer release wrote the record there"),
        })
    }

    /// Where the first whole record behind the damaged place `at` begins; where none does, where
    /// what was written ends.
    fn next_record(&mut self, at: u64) -> Result<u64> {
        let extent = self.window.extent(at)?;
        // Where only the payload is damaged, the header says where the next record begins: else
        // a record in the payload, if a user keeps logs in the store, would be taken for one.
        if let Some(bytes) = self.window.header(at)? {
            let header = Header::read(&bytes);
            let next = at.saturating_add(header.record_len());
            let believable = Header::names(&bytes, self.number) && header.index == self.index;
            if believable && next < extent && self.is_record(next)? {
                return Ok(next);
            }
        }
        let mut from = at + 1;
        while from < extent {
            let left = self.window.left(from);
            let bytes = self.window.some(from)?;
            let Some((skip, _)) = candidate(bytes, self.number, from, left) else {
                from += (bytes.len() as u64).saturating_sub(HEADER_LEN as u64 - 1).max(1);
                continue;
            };
            from += skip;
            if self.is_record(from)? {
                return Ok(from);
            }
            if self.effort == 0 {
                return Ok(extent);
            }
            from += 1;
        }
        Ok(extent)
    }

    fn is_record(&mut self, at: u64) -> Result<bool> {
        Ok(matches!(self.examine(at)?, Look::Whole(..)))
    }
}

/// What a place holds.
enum Look {
    Whole(Header, RecordKind),
    Broken(&'static str),
    /// Only zeros up to the end.
    Nothing,
}
