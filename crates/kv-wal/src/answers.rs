//! What a log answers.

/// A place in the whole log, over all its segments: everything before it.
///
/// ```
/// # use kv_vfs::MemFs;
/// # use kv_wal::{Error, Log, LogOptions, Segment};
/// # let segment = Segment::create(&MemFs::new(), "/1.log".as_ref(), 1)?;
/// # let log = Log::start(segment, None, 1, LogOptions::default())?;
/// let before = log.end();
/// let (appended, ()) = log.append(1, &[b"one"], |_| Ok::<_, Error>(()))?;
/// assert!(before < appended.position);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub(crate) u64);

/// What an append was given.
///
/// ```
/// # use kv_vfs::MemFs;
/// # use kv_wal::{Error, Log, LogOptions, Segment};
/// # let segment = Segment::create(&MemFs::new(), "/1.log".as_ref(), 1)?;
/// # let log = Log::start(segment, None, 1, LogOptions::default())?;
/// let (appended, ()) = log.append(2, &[b"two of them"], |_| Ok::<_, Error>(()))?;
/// assert_eq!(appended.first_seq, 1);
/// log.sync_to(appended.position)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The first of its sequence numbers.
    pub first_seq: u64,
    /// The place behind it; what [`Log::write_to`](crate::Log::write_to) and [`Log::sync_to`](crate::Log::sync_to) want.
    pub position: Position,
    /// Whether it is in the kernel's hands already, as after [`Log::write_to`](crate::Log::write_to).
    pub written: bool,
}

/// What a log has done since it was started.
///
/// ```
/// # use kv_vfs::MemFs;
/// # use kv_wal::{Error, Log, LogOptions, Segment};
/// # let segment = Segment::create(&MemFs::new(), "/1.log".as_ref(), 1)?;
/// # let log = Log::start(segment, None, 1, LogOptions::default())?;
/// log.append(1, &[b"one"], |_| Ok::<_, Error>(()))?;
/// assert_eq!(log.stats().appends, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Records appended by [`Log::append`](crate::Log::append).
    pub appends: u64,
    /// Bytes framed: headers and payloads of all records.
    pub bytes: u64,
    /// Writes to a file, copies into its window among them.
    pub writes: u64,
    /// Syncs of a file.
    pub syncs: u64,
    /// How many writes carried 1 record, 2 to 3, 4 to 7, and so on by powers of two; the last
    /// counts all bigger ones.
    pub groups: [u64; 12],
}
