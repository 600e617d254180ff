//! The vocabulary of an ordered, multi-version key-value store: what an entry is, how entries
//! are ordered, how a batch of operations is laid out in bytes, which checksum guards them, and
//! how bytes from disk are read without trusting them.
//!
//! Nothing here does I/O, takes a lock or reads a clock.
//!
//! ```
//! use kv_core::{Batch, Kind, Op};
//!
//! let mut batch = Batch::new();
//! batch.put(b"apple", b"red");
//! batch.delete(b"pear");
//! let ops: Vec<Op<'_>> = kv_core::decode_batch(batch.as_bytes()).unwrap().collect::<Result<_, _>>().unwrap();
//! assert_eq!(ops[0], Op { kind: Kind::Put, key: b"apple", value: b"red" });
//! assert_eq!(ops[1].kind, Kind::Delete);
//! ```
#![forbid(unsafe_code)]

mod batch;
mod checksum;
mod cursor;
mod hash;
mod key;
mod kind;
mod pointer;
mod range;
mod range_tombstone;
mod take;
mod varint;

pub use batch::{BATCH_HEADER_LEN, Batch, Op, Ops, decode_batch, expiry_of, split_expiry};
pub use checksum::{checksum, checksum_with};
pub use cursor::Cursor;
pub use hash::{Hasher64, hash64};
pub use key::{InternalKey, MAX_SEQ, SeqNo, Trailer, compare_internal};
pub use kind::Kind;
pub use pointer::ValuePointer;
pub use range::{KeyRange, successor};
pub use range_tombstone::{Fragment, RangeTombstone, RangeTombstones};
pub use take::{Malformed, Take};
pub use varint::{MAX_VARINT_LEN, put_varint, varint_len};
