//! A write-ahead log: records appended by many threads, made durable together, and read back
//! without ever taking damage for an end.
//!
//! * [`Log`] writes: a record is appended in memory, written with all that is buffered in one
//!   `pwrite` or by a copy into a window on the file, and made durable with all that is written in one sync.
//! * [`replay`] reads a whole log, over all its segments, and decides between a torn tail, which
//!   is left out and reported, and corruption, which is an error.
//! * [`RecordScanner`] reads what is whole in a damaged file, also behind the damage.
//! * [`FrameWriter`] and [`RecordReader`] are the same records in one file, without the threads.
//!
//! The crate knows neither what a payload means nor how files are named, and it never deletes or
//! changes a file that it did not just create.
//!
//! ```
//! use kv_vfs::{Fs, MemFs};
//! use kv_wal::{Error, Log, LogOptions, Segment, SegmentFile, replay};
//! use std::path::{Path, PathBuf};
//!
//! let fs = MemFs::new();
//! fs.create_dir(Path::new("/log"))?;
//! let path = PathBuf::from("/log/000001.log");
//!
//! let log = Log::start(Segment::create(&fs, &path, 1)?, None, 1, LogOptions::default())?;
//! let (first, ()) = log.append(1, &[b"hello, ", b"log"], |_seq| Ok::<_, Error>(()))?;
//! let (second, ()) = log.append(2, &[b"two at once"], |_seq| Ok::<_, Error>(()))?;
//! assert_eq!((first.first_seq, second.first_seq), (1, 2));
//! log.sync_to(second.position)?;
//! log.finish()?;
//!
//! let mut read = Vec::new();
//! let replayed = replay(&fs, &[SegmentFile { number: 1, path }], |first_seq, payload| {
//!     read.push((first_seq, payload.to_vec()));
//!     Ok::<u64, Error>(if payload.starts_with(b"two") { 2 } else { 1 })
//! })?;
//! assert_eq!(read, [(1, b"hello, log".to_vec()), (2, b"two at once".to_vec())]);
//! assert_eq!(replayed.last_seq, 3);
//! assert!(replayed.clean_end);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod ahead;
mod answers;
mod error;
mod frame;
mod log;
mod reader;
mod rule;
mod scan;
mod segment;
mod state;
mod survey;
mod turn;
mod window;
mod writer;

pub use answers::{Appended, LogStats, Position};
pub use error::{Error, Result};
pub use frame::{
    FLAG_OLDER_DURABLE, Field, HEADER_FIELDS, HEADER_LEN, MAX_SEGMENT_LEN, Predecessor, RecordKind,
    START_FIELDS, START_LEN,
};
pub use log::{Log, LogOptions};
pub use reader::{Record, RecordReader, Step};
pub use rule::{Cut, Replay, SegmentFile, replay};
pub use scan::{Found, RecordScanner};
pub use segment::Segment;
pub use writer::FrameWriter;
