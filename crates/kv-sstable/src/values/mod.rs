//! Value files: long values, apart from their keys. `docs/format/value-file.md` draws the layout.
//!
//! A value file is records one behind the other and a footer. Whoever has a
//! [`ValuePointer`](kv_core::ValuePointer) reads a record at once, and trusts nothing that its
//! checksum, which knows the file's number and the place, does not vouch for.

mod check;
mod file;
mod footer;
#[cfg(test)]
mod format_doc;
mod record;
mod writer;

pub use file::{StoredValue, ValueFile};
pub use writer::{ValueSummary, ValueWriter};
