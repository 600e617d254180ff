//! The bytes of a record: the only place that knows them. `docs/format/record.md` describes them.

use kv_vfs::testing::{bug, planted};
use std::ops::Range;

/// Where a fixed-width little-endian number lies.
///
/// ```
/// for field in kv_wal::HEADER_FIELDS {
///     println!("{} is {} bytes at {}", field.name, field.width, field.offset);
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in the format's description.
    pub name: &'static str,
    /// Bytes before it.
    pub offset: usize,
    /// Bytes of it.
    pub width: usize,
}

impl Field {
    const fn new(name: &'static str, offset: usize, width: usize) -> Field {
        Field { name, offset, width }
    }

    const fn range(self) -> Range<usize> {
        self.offset..self.offset + self.width
    }

    fn read(self, bytes: &[u8]) -> u64 {
        let field = bytes.iter().skip(self.offset).take(self.width);
        field.rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// Length of a record's header.
pub const HEADER_LEN: usize = 32;
/// Length of a start record's payload.
pub const START_LEN: usize = 28;
/// The most bytes that a segment may hold.
pub const MAX_SEGMENT_LEN: u64 = 3 << 30;
/// Header flag: everything in older segments was durable when the record was framed.
pub const FLAG_OLDER_DURABLE: u8 = 1;

const CRC: Field = Field::new("crc", 0, 4);
const LEN: Field = Field::new("len", 4, 4);
const KIND: Field = Field::new("kind", 8, 1);
const FLAGS: Field = Field::new("flags", 9, 1);
const RESERVED: Field = Field::new("reserved", 10, 2);
const LOG: Field = Field::new("log", 12, 4);
const INDEX: Field = Field::new("index", 16, 4);
const SYNCED: Field = Field::new("synced", 20, 4);
const FIRST_SEQ: Field = Field::new("first_seq", 24, 8);

/// The header's fields.
pub const HEADER_FIELDS: [Field; 9] =
    [CRC, LEN, KIND, FLAGS, RESERVED, LOG, INDEX, SYNCED, FIRST_SEQ];

const NUMBER: Field = Field::new("number", 0, 8);
const LENGTH: Field = Field::new("length", 8, 8);
const LAST_SEQ: Field = Field::new("last_seq", 16, 8);
const CHECKSUM: Field = Field::new("checksum", 24, 4);

/// The fields of a start record's payload.
pub const START_FIELDS: [Field; 4] = [NUMBER, LENGTH, LAST_SEQ, CHECKSUM];

/// What a record is for. Zero is none of them, so that unwritten space is no record.
///
/// ```
/// # use kv_vfs::{Fs, MemFs, Mode};
/// # use kv_wal::{FrameWriter, RecordReader, RecordScanner};
/// # let (fs, path) = (MemFs::new(), std::path::Path::new("/records"));
/// # let mut writer = FrameWriter::new(fs.create_new(path)?, path.into(), 1);
/// # writer.append(1, &[b"one"])?;
/// use kv_wal::{RecordKind, Step};
/// let mut reader = RecordReader::new(fs.open(path, Mode::Read)?, path, 1)?;
/// let Step::Record(record) = reader.next()? else { panic!("no record") };
/// assert_eq!(record.kind, RecordKind::Data);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// The user's payload.
    Data = 1,
    /// The first record of a segment of a log; says what the segment continues.
    Start = 2,
    /// The last record of a log that was closed in order.
    End = 3,
}

impl RecordKind {
    fn from_byte(byte: u8) -> Option<RecordKind> {
        match byte {
            1 => Some(RecordKind::Data),
            2 => Some(RecordKind::Start),
            3 => Some(RecordKind::End),
            _ => None,
        }
    }
}

/// What a record says besides its payload and its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) kind: RecordKind,
    pub(crate) older_durable: bool,
    pub(crate) synced: u32,
    pub(crate) first_seq: u64,
}

/// Why a record whose checksum is right is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It cannot have been written there.
    Misplaced(&'static str),
    /// A newer version wrote it.
    Unknown { what: &'static str, number: u64 },
}

/// A header as it lies on disk, not yet believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) crc: u32,
    pub(crate) len: u32,
    kind: u8,
    pub(crate) flags: u8,
    reserved: u16,
    pub(crate) index: u32,
    pub(crate) synced: u32,
    pub(crate) first_seq: u64,
}

impl Header {
    /// Takes the fields apart; any 32 bytes will do.
    pub(crate) fn read(bytes: &[u8]) -> Header {
        Header {
            crc: CRC.read(bytes) as u32,
            len: LEN.read(bytes) as u32,
            kind: KIND.read(bytes) as u8,
            flags: FLAGS.read(bytes) as u8,
            reserved: RESERVED.read(bytes) as u16,
            index: INDEX.read(bytes) as u32,
            synced: SYNCED.read(bytes) as u32,
            first_seq: FIRST_SEQ.read(bytes),
        }
    }

    /// Bytes of the whole record.
    pub(crate) fn record_len(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(self.len)
    }

    /// Whether the header, given as bytes, is of segment `number`; the cheapest look at it.
    #[inline]
    pub(crate) fn names(bytes: &[u8], number: u64) -> bool {
        LOG.read(bytes) == u64::from(number as u32) || planted(bug::STALE_RECORD_BELIEVED)
    }

    /// The number of the file that the header, given as bytes, names: the low 32 bits.
    pub(crate) fn number(bytes: &[u8]) -> u64 {
        LOG.read(bytes)
    }

    /// What the record is, once its checksum has been found right. The error is a thing that no
    /// crash leaves behind: a record in the wrong place, or one that this version cannot know.
    pub(crate) fn accept(&self, index: u32, offset: u64) -> Result<RecordKind, Refused> {
        if self.index != index {
            let reason = "a valid record lies there that belongs elsewhere in the file";
            return Err(Refused::Misplaced(reason));
        }
        if u64::from(self.synced) > offset {
            return Err(Refused::Misplaced("a record claims that bytes behind it are durable"));
        }
        let unknown = |what, number| Refused::Unknown { what, number };
        if self.reserved != 0 {
            return Err(unknown("field of a record", u64::from(self.reserved)));
        }
        if self.flags & !FLAG_OLDER_DURABLE != 0 {
            return Err(unknown("flag of a record", u64::from(self.flags)));
        }
        let kind = RecordKind::from_byte(self.kind);
        kind.ok_or_else(|| unknown("kind of record", u64::from(self.kind)))
    }

    /// Whether a record with this header can have been written at `offset`.
    pub(crate) fn belongs_at(&self, offset: u64) -> bool {
        u64::from(self.synced) <= offset && u64::from(self.index) * HEADER_LEN as u64 <= offset
    }

    /// Whether the record says that all older segments were durable.
    pub(crate) fn older_durable(&self) -> bool {
        self.flags & FLAG_OLDER_DURABLE != 0
    }
}

/// The bytes of a record of `len` bytes, header included, that its checksum covers.
#[inline]
pub(crate) fn checked(len: u64) -> Range<u64> {
    let from = if planted(bug::HEADER_NOT_CHECKED) { HEADER_LEN } else { CRC.width };
    let to = if planted(bug::LONG_RECORD_CHECKED_IN_PART) { len.min(256) } else { len };
    from as u64..to
}

/// The running checksum of a segment, one record on.
pub(crate) fn chain(running: u32, crc: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(running);
    hasher.update(&crc.to_le_bytes());
    hasher.finalize()
}

/// Lays records one behind the other, as they will lie in one segment.
#[derive(Debug)]
pub(crate) struct Framer {
    log: u32,
    index: u32,
    offset: u64,
    checksum: u32,
}

impl Framer {
    /// For an empty segment.
    pub(crate) fn new(number: u64) -> Framer {
        Framer { log: number as u32, index: 0, offset: 0, checksum: 0 }
    }

    /// Bytes of the segment so far.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The running checksum so far.
    pub(crate) fn checksum(&self) -> u32 {
        self.checksum
    }

    /// Appends a record to `out`. `len` is the length of all of `payload`, which the caller has
    /// checked against what a segment may hold.
    #[inline]
    pub(crate) fn frame(&mut self, out: &mut Vec<u8>, stamp: Stamp, payload: &[&[u8]], len: u32) {
        let mut header = [0u8; HEADER_LEN];
        let flags = if stamp.older_durable { FLAG_OLDER_DURABLE } else { 0 };
        header[LEN.range()].copy_from_slice(&len.to_le_bytes());
        header[KIND.range()].copy_from_slice(&[stamp.kind as u8]);
        header[FLAGS.range()].copy_from_slice(&[flags]);
        header[LOG.range()].copy_from_slice(&self.log.to_le_bytes());
        header[INDEX.range()].copy_from_slice(&self.index.to_le_bytes());
        header[SYNCED.range()].copy_from_slice(&stamp.synced.to_le_bytes());
        header[FIRST_SEQ.range()].copy_from_slice(&stamp.first_seq.to_le_bytes());

        let at = out.len();
        out.reserve(HEADER_LEN + len as usize);
        out.extend_from_slice(&header);
        for part in payload {
            out.extend_from_slice(part);
        }
        let checked = checked((out.len() - at) as u64);
        let crc = crc32fast::hash(&out[at + checked.start as usize..at + checked.end as usize]);
        out[at..at + CRC.width].copy_from_slice(&crc.to_le_bytes());

        self.index += 1;
        self.offset += HEADER_LEN as u64 + u64::from(len);
        self.checksum = chain(self.checksum, crc);
    }
}

/// Where a segment ends: what its successor says of it.
///
/// ```
/// use kv_vfs::MemFs;
/// use kv_wal::{Error, SegmentFile, replay};
/// # let fs = MemFs::new();
/// # let segment = kv_wal::Segment::create(&fs, "/1.log".as_ref(), 1)?;
/// # let log = kv_wal::Log::start(segment, None, 1, kv_wal::LogOptions::default())?;
/// # log.finish()?;
/// let old = [SegmentFile { number: 1, path: "/1.log".into() }];
/// let end = replay(&fs, &old, |_, _| Ok::<u64, Error>(1))?.end_of_last;
/// assert_eq!(end.map(|end| end.number), Some(1)); // `Log::start` of the next log takes it
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// The segment's number, never 0.
    pub number: u64,
    /// Bytes of all its records.
    pub length: u64,
    /// The last sequence number given before its end; 0 for none.
    pub last_seq: u64,
    /// The running checksum over all its records.
    pub checksum: u32,
}

impl Predecessor {
    pub(crate) fn encode(of: Option<&Predecessor>) -> [u8; START_LEN] {
        let mut bytes = [0; START_LEN];
        if let Some(p) = of {
            bytes[NUMBER.range()].copy_from_slice(&p.number.to_le_bytes());
            bytes[LENGTH.range()].copy_from_slice(&p.length.to_le_bytes());
            bytes[LAST_SEQ.range()].copy_from_slice(&p.last_seq.to_le_bytes());
            bytes[CHECKSUM.range()].copy_from_slice(&p.checksum.to_le_bytes());
        }
        bytes
    }

    /// What a start record's payload says; `None` where nothing comes before the segment.
    ///
    /// ```
    /// use kv_wal::{Predecessor, START_LEN};
    /// assert_eq!(Predecessor::decode(&[0; START_LEN]), Ok(None));
    /// assert!(Predecessor::decode(b"too short").is_err());
    /// ```
    pub fn decode(bytes: &[u8]) -> Result<Option<Predecessor>, &'static str> {
        if bytes.len() != START_LEN {
            return Err("the start record has the wrong length");
        }
        let predecessor = Predecessor {
            number: NUMBER.read(bytes),
            length: LENGTH.read(bytes),
            last_seq: LAST_SEQ.read(bytes),
            checksum: CHECKSUM.read(bytes) as u32,
        };
        Ok((predecessor.number != 0).then_some(predecessor))
    }
}
