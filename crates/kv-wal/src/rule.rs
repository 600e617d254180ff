//! What counts as lost and what as damaged, over all segments of a log.
//!
//! One rule: records are replayed up to the first place that is not as it was written. If anything
//! testifies that the place had been durable, that is corruption, an error. If nothing does, the
//! write was interrupted before anyone was told that it is durable, and the log ends there: all
//! that comes later is left out, in later segments too, so that there is never a hole.
//!
//! These testify for a place: a valid record behind it in its file whose synced-through offset
//! lies behind it, and any valid record in a later segment whose flag says that older segments
//! were durable when it was framed.
//!
//! A segment's start record names the segment before it, with its length and checksum. So a
//! missing segment, and one that was cut exactly between two records, is found; and what lies
//! behind the named length does not matter.

use crate::error::{Error, Result};
use crate::frame::{Header, Predecessor, RecordKind};
use crate::reader::{RecordReader, Step};
use crate::survey::{Survey, survey};
use crate::window::Window;
use kv_vfs::testing::{bug, planted};
use kv_vfs::{Fs, FsFile, Mode};
use std::path::PathBuf;
use std::sync::Arc;

/// A segment to replay.
///
/// ```
/// use kv_wal::SegmentFile;
/// let segment = SegmentFile { number: 7, path: "log/000007.log".into() };
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its number.
    pub number: u64,
    /// Its path.
    pub path: PathBuf,
}

/// What a replay found.
///
/// ```
/// # use kv_vfs::MemFs;
/// # use kv_wal::{Error, Log, LogOptions, Segment, SegmentFile, replay};
/// # let fs = MemFs::new();
/// # let log = Log::start(Segment::create(&fs, "/1.log".as_ref(), 1)?, None, 1, LogOptions::default())?;
/// # log.append(1, &[b"one"], |_| Ok::<_, Error>(()))?;
/// # log.finish()?;
/// # let segments = [SegmentFile { number: 1, path: "/1.log".into() }];
/// let replayed = replay(&fs, &segments, |_, _| Ok::<u64, Error>(1))?;
/// assert_eq!((replayed.records, replayed.last_seq), (1, 1));
/// assert!(replayed.clean_end);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// The last sequence number that was given; 0 for none.
    pub last_seq: u64,
    /// How many records were visited.
    pub records: u64,
    /// What was left out.
    pub cut: Option<Cut>,
    /// Where the log ends; what a log that continues it names as its predecessor.
    pub end_of_last: Option<Predecessor>,
    /// The log was closed in order, and nothing is missing.
    pub clean_end: bool,
}

/// The unsynced tail that a replay left out. The bytes are still there.
///
/// ```
/// # use kv_vfs::MemFs;
/// # use kv_wal::{Error, Log, LogOptions, Segment, SegmentFile, replay};
/// # let fs = MemFs::new();
/// # let log = Log::start(Segment::create(&fs, "/1.log".as_ref(), 1)?, None, 1, LogOptions::default())?;
/// # log.append(1, &[b"one"], |_| Ok::<_, Error>(()))?;
/// # log.finish()?;
/// # let segments = [SegmentFile { number: 1, path: "/1.log".into() }];
/// if let Some(cut) = replay(&fs, &segments, |_, _| Ok::<u64, Error>(1))?.cut {
///     println!("{} bytes of an interrupted write: {}", cut.bytes_cut, cut.reason);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment in which the log now ends.
    pub number: u64,
    /// Its path.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// Bytes left out, in it and in later segments; unwritten space does not count.
    pub bytes_cut: u64,
    /// Later segments that were left out, because there must not be a hole.
    pub segments_dropped: Vec<u64>,
    /// What is wrong at the offset.
    pub reason: String,
}

/// Visits the payloads of a log, oldest first. `segments` are all that are still needed, by
/// ascending number; empty ones do no harm.
///
/// `visit` gets the first sequence number of a record and its payload, and answers how many
/// sequence numbers the record takes: the next record has to go on exactly there. A record may
/// have been visited before a later one turns out to be corrupt.
///
/// Nothing on disk is changed.
///
/// ```
/// # use kv_vfs::MemFs;
/// # use kv_wal::{Error, Log, LogOptions, Segment, SegmentFile, replay};
/// # let fs = MemFs::new();
/// # let log = Log::start(Segment::create(&fs, "/1.log".as_ref(), 1)?, None, 1, LogOptions::default())?;
/// # log.append(1, &[b"one"], |_| Ok::<_, Error>(()))?;
/// # log.finish()?;
/// # let segments = [SegmentFile { number: 1, path: "/1.log".into() }];
/// let mut payloads = Vec::new();
/// replay(&fs, &segments, |_first_seq, payload| {
///     payloads.push(payload.to_vec());
///     Ok::<u64, Error>(1)
/// })?;
/// assert_eq!(payloads, [b"one"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn replay<E: From<Error>>(
    fs: &dyn Fs,
    segments: &[SegmentFile],
    mut visit: impl FnMut(u64, &[u8]) -> std::result::Result<u64, E>,
) -> std::result::Result<Replay, E> {
    let heads = segments.iter().map(|s| head(fs, s)).collect::<Result<Vec<_>>>()?;
    let oldest = segments.first().map_or(0, |s| s.number);
    let mut replay = Replay::default();
    for (at, (segment, head)) in segments.iter().zip(&heads).enumerate() {
        let stop = match head {
            Head::Empty => continue,
            Head::Torn(reason) => Some(Stop { offset: 0, reason: reason.clone(), before: false }),
            Head::Start(start) => match joins(replay.end_of_last, oldest, start) {
                Err(reason) => Some(Stop { offset: 0, reason, before: true }),
                Ok(()) => {
                    let later = heads.get(at + 1..).unwrap_or_default();
                    let named = named_end(later, segment.number)
                        .filter(|_| !planted(bug::LOG_LENGTH_NOT_WITNESSED));
                    let mut part = Part::new(segment, start.first_seq, named);
                    let torn = part.read(fs, &mut visit)?;
                    replay.records += part.records;
                    replay.last_seq = part.next_seq.saturating_sub(1);
                    replay.end_of_last = Some(part.end());
                    replay.clean_end = part.ended;
                    torn.map(|reason| Stop { offset: part.length, reason, before: false })
                }
            },
        };
        if let Some(stop) = stop {
            if planted(bug::LOG_REPLAYED_BEHIND_A_CUT) {
                continue;
            }
            let later = segments.get(at + 1..).unwrap_or_default();
            replay.cut = Some(settle(fs, segment, later, stop)?);
            replay.clean_end = false;
            break;
        }
    }
    Ok(replay)
}

/// What a segment begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Head {
    /// Nothing was written.
    Empty,
    /// Its start record.
    Start(Start),
    /// Something else, and nothing in the file says that it was durable.
    Torn(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    predecessor: Option<Predecessor>,
    first_seq: u64,
}

fn open(fs: &dyn Fs, segment: &SegmentFile) -> Result<Arc<dyn FsFile>> {
    fs.open(&segment.path, Mode::Read).map_err(|e| Error::io(&segment.path, "open", e))
}

fn reader(fs: &dyn Fs, segment: &SegmentFile) -> Result<RecordReader> {
    Ok(RecordReader::new(open(fs, segment)?, &segment.path, segment.number)?.of_log())
}

fn head(fs: &dyn Fs, segment: &SegmentFile) -> Result<Head> {
    let mut reader = reader(fs, segment)?;
    let wrong = |reason: &str| Error::corrupt(&segment.path, 0, reason);
    match reader.next()? {
        Step::Record(record) if record.kind == RecordKind::Start => {
            let predecessor = Predecessor::decode(record.payload).map_err(wrong)?;
            Ok(Head::Start(Start { predecessor, first_seq: record.first_seq }))
        }
        // Nothing of this log was ever durable here: its start record would be.
        Step::Record(_) => Ok(Head::Torn("its first record is not a start record".into())),
        Step::End { .. } => Ok(Head::Empty),
        Step::Torn { reason, .. } => Ok(Head::Torn(reason)),
        Step::Corrupt { offset, reason } => Err(Error::corrupt(&segment.path, offset, reason)),
    }
}

/// Whether a segment continues the log that has been read so far; `oldest` is the number of the
/// oldest segment that is needed. Length and checksum of the predecessor were checked when it was
/// read.
fn joins(
    so_far: Option<Predecessor>,
    oldest: u64,
    start: &Start,
) -> std::result::Result<(), String> {
    match (so_far, start.predecessor) {
        (None, None) => Ok(()),
        (None, Some(named)) if named.number < oldest => Ok(()),
        (Some(so_far), Some(named)) if named.number == so_far.number => Ok(()),
        (_, Some(named)) => {
            Err(format!("it continues segment {}, of which nothing is there", named.number))
        }
        (Some(so_far), None) => {
            Err(format!("it does not continue segment {}, which lies before it", so_far.number))
        }
    }
}

/// What the next segment that has a start record says of the end of segment `number`.
fn named_end(later: &[Head], number: u64) -> Option<Predecessor> {
    let next = later.iter().find(|head| **head != Head::Empty)?;
    match next {
        Head::Start(start) => start.predecessor.filter(|named| named.number == number),
        Head::Empty | Head::Torn(_) => None,
    }
}

/// One segment while it is replayed.
struct Part<'a> {
    segment: &'a SegmentFile,
    named: Option<Predecessor>,
    next_seq: u64,
    length: u64,
    checksum: u32,
    records: u64,
    ended: bool,
}

impl<'a> Part<'a> {
    fn new(segment: &'a SegmentFile, first_seq: u64, named: Option<Predecessor>) -> Part<'a> {
        Part {
            segment,
            named,
            next_seq: first_seq,
            length: 0,
            checksum: 0,
            records: 0,
            ended: false,
        }
    }

    fn end(&self) -> Predecessor {
        Predecessor {
            number: self.segment.number,
            length: self.length,
            last_seq: self.next_seq.saturating_sub(1),
            checksum: self.checksum,
        }
    }

    fn corrupt(&self, offset: u64, reason: impl Into<String>) -> Error {
        Error::corrupt(&self.segment.path, offset, reason)
    }

    /// Reads to the segment's end; answers why, if that is not where it should be.
    fn read<E: From<Error>>(
        &mut self,
        fs: &dyn Fs,
        visit: &mut impl FnMut(u64, &[u8]) -> std::result::Result<u64, E>,
    ) -> std::result::Result<Option<String>, E> {
        let segment = self.segment;
        let mut reader = reader(fs, segment)?;
        while self.named.is_none_or(|named| self.length < named.length) {
            match reader.next()? {
                Step::Record(record) => {
                    let (kind, seq, index) = (record.kind, record.first_seq, record.index);
                    match kind {
                        RecordKind::Data if planted(bug::DAMAGED_RECORD_SKIPPED) => {
                            self.next_seq = seq;
                        }
                        RecordKind::Data => self.expect(seq, record.offset)?,
                        RecordKind::End => self.ended = true,
                        RecordKind::Start if index == 0 => {}
                        RecordKind::Start => {
                            let reason = "a second start record lies there";
                            return Err(self.corrupt(record.offset, reason).into());
                        }
                    }
                    if kind == RecordKind::Data {
                        let offset = record.offset;
                        let count = visit(seq, record.payload)?;
                        self.advance(count, offset)?;
                    }
                }
                Step::End { .. } if self.named.is_none() => return Ok(None),
                Step::End { .. } => {
                    let reason = "it ends there, though the next segment says that it is longer";
                    return Ok(Some(reason.into()));
                }
                Step::Torn { reason, .. } => return Ok(Some(reason)),
                Step::Corrupt { offset, reason } => {
                    return Err(self.corrupt(offset, reason).into());
                }
            }
            self.length = reader.offset();
            self.checksum = reader.checksum();
        }
        match self.named {
            Some(named) if named != self.end() && !planted(bug::DAMAGED_RECORD_SKIPPED) => {
                let reason = "the records up to there are not those that the next segment names";
                Err(self.corrupt(self.length, reason).into())
            }
            _ => Ok(None),
        }
    }

    fn expect(&self, seq: u64, offset: u64) -> Result<()> {
        if seq == self.next_seq || planted(bug::STALE_RECORD_BELIEVED) {
            return Ok(());
        }
        let reason =
            format!("the record has sequence number {seq}, and {} comes next", self.next_seq);
        Err(self.corrupt(offset, reason))
    }

    fn advance(&mut self, count: u64, offset: u64) -> Result<()> {
        let Some(next) = self.next_seq.checked_add(count) else {
            return Err(self.corrupt(offset, "the record's sequence numbers are out of range"));
        };
        self.next_seq = next;
        self.records += 1;
        Ok(())
    }
}

/// Why a log stops in a segment.
struct Stop {
    offset: u64,
    reason: String,
    /// What is missing lies before the segment, so its own records testify as a later one's do.
    before: bool,
}

/// Decides, where the log stops in `segment`, between corruption and a cut.
fn settle(fs: &dyn Fs, segment: &SegmentFile, later: &[SegmentFile], stop: Stop) -> Result<Cut> {
    let mut cut = Cut {
        number: segment.number,
        path: segment.path.clone(),
        offset: stop.offset,
        bytes_cut: 0,
        segments_dropped: Vec::new(),
        reason: stop.reason,
    };
    let mut window = Window::new(open(fs, segment)?, &segment.path)?;
    if stop.before {
        testimony(&mut window, segment.number, &cut)?;
    }
    cut.bytes_cut = window.extent(stop.offset)? - stop.offset;
    for dropped in later {
        let mut window = Window::new(open(fs, dropped)?, &dropped.path)?;
        testimony(&mut window, dropped.number, &cut)?;
        let extent = window.extent(0)?;
        if extent > 0 {
            cut.bytes_cut += extent;
            cut.segments_dropped.push(dropped.number);
        }
    }
    Ok(cut)
}

/// Fails if the segment in the window says that all older ones were durable.
fn testimony(window: &mut Window, number: u64, cut: &Cut) -> Result<()> {
    if planted(bug::DAMAGE_ENDS_LOG) {
        return Ok(());
    }
    let how = match survey(window, number, 0, Header::older_durable)? {
        Survey::Nothing => return Ok(()),
        Survey::Proof(offset) => format!("says at offset {offset} that it had been made durable"),
        Survey::Undecided => "has too much that looks like records to tell".into(),
    };
    let reason = format!("{}; {} {how}", cut.reason, window.path().display());
    Err(Error::corrupt(&cut.path, cut.offset, reason))
}
