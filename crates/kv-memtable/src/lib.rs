//! A sorted table of entries in memory: what a log-structured store writes to first.
//!
//! Any number of threads insert and read at once; inserts and gets take no lock. An insert puts
//! its entry into an index by hash, where a get finds it; the order is made when a cursor or a
//! walk asks for it. All entries lie in one piece of memory of fixed size, so that memory is known
//! to the byte and [`Full`] is the answer when it is used up. Range tombstones lie beside the
//! entries: they hide nothing here, the reader compares sequence numbers.
//!
//! ```
//! use kv_core::{Cursor, Kind, Trailer, hash64};
//! use kv_memtable::Memtable;
//! use std::sync::Arc;
//!
//! let table = Arc::new(Memtable::new(1 << 20));
//! table.insert(b"pear", hash64(b"pear"), Trailer::new(1, Kind::Put), b"green")?;
//! table.insert(b"pear", hash64(b"pear"), Trailer::new(2, Kind::Put), b"yellow")?;
//! table.insert(b"plum", hash64(b"plum"), Trailer::new(3, Kind::Put), b"blue")?;
//!
//! // The newest version that a snapshot sees.
//! let (trailer, value) = table.get(b"pear", hash64(b"pear"), 9).unwrap();
//! assert_eq!((trailer.seq(), value), (2, &b"yellow"[..]));
//! assert_eq!(table.get(b"pear", hash64(b"pear"), 1).unwrap().1, b"green");
//!
//! // Everything up to "pf" that is older than 4 is deleted.
//! table.delete_range(b"p", b"pf", 4);
//! assert!(table.covering(b"pear", 9) > trailer.seq());
//!
//! let mut cursor = table.cursor();
//! cursor.last()?;
//! assert_eq!((cursor.key(), cursor.value()), (&b"plum"[..], &b"blue"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Unsafe code is in `chunk`, `arena` and `node` only; each states what it rests on.
#![deny(unsafe_op_in_unsafe_fn)]
#![deny(clippy::undocumented_unsafe_blocks)]

mod arena;
mod chunk;
mod cursor;
mod index;
mod ladder;
mod memtable;
mod node;
mod ordered;
mod pending;
mod skiplist;
mod sort;
mod sorted;
mod sync;
mod tombstones;

pub use chunk::Pool;
pub use cursor::MemCursor;
pub use memtable::{Full, Memtable};
pub use sorted::Sorted;
