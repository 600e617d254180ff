//! Immutable sorted tables.
//!
//! A table is one file of entries (key, sequence number and kind, value) in internal order. It
//! is written once, from front to back, by a [`TableBuilder`], and then read by a [`Table`]:
//! points through a Bloom filter and a two-level index, ranges through a [`TableCursor`], both
//! through a [`BlockCache`] that tables share. Blocks are columnar (`docs/format/sstable.md`), so
//! a search compares numbers and a step forth or back is arithmetic.
//!
//! Every byte of the file is under a checksum that knows the file's number and the place; what
//! does not match is an [`Error`], never a wrong answer and never a panic.
//!
//! The crate knows neither levels nor the manifest, and applies no range tombstone: it stores
//! them beside the entries and hands them out.
//!
//! ```
//! use kv_core::{Cursor, Kind, Trailer, hash64};
//! use kv_sstable::{Access, BlockCache, Table, TableBuilder, TableOptions};
//! use kv_vfs::{Fs, MemFs};
//! use std::path::PathBuf;
//!
//! let fs = MemFs::new();
//! let path = PathBuf::from("/000007.sst");
//! let file = fs.create_new(&path)?;
//!
//! let mut builder = TableBuilder::new(file.clone(), path.clone(), 7, TableOptions::default());
//! builder.add(b"apple", Trailer::new(2, Kind::Put), b"green")?;
//! builder.add(b"apple", Trailer::new(1, Kind::Put), b"red")?;
//! builder.add(b"pear", Trailer::new(3, Kind::Delete), b"")?;
//! let summary = builder.finish()?;
//!
//! // The summary's footer stands in for reading: opening the table does none.
//! let cache = BlockCache::new(1 << 20);
//! let table = Table::open(file, path, 7, summary.size, &summary.footer, cache)?;
//! let (trailer, value) = table.get(b"apple", hash64(b"apple"), 1)?.unwrap();
//! assert_eq!((trailer.seq(), &value[..]), (1, &b"red"[..]));
//!
//! let mut cursor = table.cursor(Access::Cached);
//! cursor.seek(b"b", Trailer::MAX)?;
//! assert_eq!((cursor.key(), cursor.trailer().kind()), (&b"pear"[..], Some(Kind::Delete)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]

mod block;
mod cache;
mod codec;
mod cursor;
mod dump;
mod error;
mod fetch;
mod filter;
mod finish;
mod footer;
#[cfg(test)]
mod forged;
#[cfg(test)]
mod format_doc;
mod get;
mod handle;
mod index;
mod properties;
mod range_tombstones;
mod salvage;
mod seal;
mod sink;
mod table;
mod values;
mod verify;
mod warm;
mod writer;

pub use cache::{BlockCache, Pin};
pub use codec::Compression;
pub use cursor::{Access, BlockPlace, TableCursor};
pub use dump::{DumpDetail, Dumped, dump_file};
pub use error::{Error, Result};
pub use filter::{Filter, FilterBuilder, filter_may_contain};
pub use finish::TableSummary;
pub use properties::Properties;
pub use salvage::{Lost, Salvage};
pub use table::Table;
pub use values::{StoredValue, ValueFile, ValueSummary, ValueWriter};
pub use warm::Keep;
pub use writer::{MAX_KEY_LEN, MAX_VALUE_LEN, TableBuilder, TableOptions};
