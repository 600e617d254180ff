//! An embedded, ordered, crash-safe key-value store.
//!
//! A store is a directory. It maps byte strings to byte strings in key order, takes writes from
//! many threads, and keeps what it acknowledged through kills and power cuts.
//!
//! ```
//! use kv_engine::{Db, Options, WriteBatch};
//!
//! # let dir = tempfile::tempdir().unwrap();
//! let db = Db::open(dir.path().join("store"), Options::default())?;
//! db.put("apple", "red")?;
//! assert_eq!(db.get("apple")?.as_deref(), Some(&b"red"[..]));
//!
//! let mut batch = WriteBatch::new(); // all or nothing
//! batch.put("banana", "yellow");
//! batch.delete("apple");
//! db.write(batch)?;
//!
//! for pair in db.range("a".."c") {
//!     let (key, value) = pair?;
//!     println!("{key:?} is {value:?}");
//! }
//! db.close()?; // or drop the last handle
//! # Ok::<(), kv_engine::Error>(())
//! ```
//!
//! Where things are: `write` takes a write through log and memtable, `read` looks through
//! memtables and tables, `transaction` compares what was read with what was committed meanwhile,
//! `flush` and `compaction` move data down the levels, `background` decides which of these runs
//! when, `open` recovers; `changes` reads
//! back what was committed; `stats` and `events` tell of it.
#![forbid(unsafe_code)]

mod background;
mod backup;
mod batch;
mod changes;
mod checkpoint;
mod close;
mod compaction;
mod db;
mod engine;
mod error;
mod events;
mod flush;
mod follower;
mod health;
mod ingest;
mod inspect;
mod keyspace;
mod layers;
mod limiter;
mod limits;
mod open;
mod options;
mod output;
mod read;
mod repair;
mod snapshot;
mod snapshots;
mod space;
mod stats;
mod tables;
mod transaction;
mod values;
mod verify;
mod words;
mod write;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The guide's examples, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide.md")]
struct Guide;

/// How to move from other stores, compiled where it is about this one.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/migration.md")]
struct Migration;

pub use backup::{BackupDir, BackupPoint, BackupReport, BackupTarget, Backups, Removed};
pub use batch::WriteBatch;
pub use bytes::Bytes;
pub use changes::{Change, ChangeOp, Changes};
pub use db::Db;
pub use error::{Error, ErrorKind, Result};
pub use events::{Event, EventListener};
pub use follower::Follower;
pub use health::Work;
pub use inspect::{Inspect, inspect_manifest, inspect_table, inspect_values, inspect_wal};
pub use keyspace::Keyspace;
pub use kv_sstable::Compression;
pub use options::{Durability, Options};
pub use read::cursor::Cursor;
pub use read::iter::Iter;
pub use repair::{Progress, RepairReport, repair, repair_with};
pub use snapshot::Snapshot;
pub use stats::Stats;
pub use transaction::{Isolation, Savepoint, Transaction};
pub use verify::{VerifyReport, verify, verify_with};
pub use write::stall::Cause as StallCause;
