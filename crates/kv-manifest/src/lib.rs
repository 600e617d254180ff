//! Which files make up a database, and the log that remembers it.
//!
//! A [`Version`] is the tables of each level, a [`State`] a version with the counters beside it,
//! and a [`VersionEdit`] the way from one to the next. All three are values: applying and
//! checking do no I/O.
//!
//! ```
//! use kv_manifest::{State, VersionEdit};
//!
//! let state = State::new(42);
//! let edit = VersionEdit { logs_added: vec![3], ..VersionEdit::default() };
//! let next = state.apply(&edit)?;
//! assert_eq!(next.next_file, 4);
//! assert!(next.logs.contains(&3));
//! # Ok::<(), kv_manifest::Broken>(())
//! ```
#![forbid(unsafe_code)]

mod apply;
mod check;
#[cfg(test)]
mod codec_tests;
mod current;
mod dump;
mod edit;
mod edit_codec;
mod error;
mod examine;
mod file_meta;
pub mod file_name;
mod level;
mod manifest;
mod recover;
mod state;
mod table_codec;
mod tag;
#[cfg(test)]
mod testing;
mod value_codec;
mod values;
mod version;

pub use check::Broken;
pub use dump::{Dumped, dump};
pub use edit::VersionEdit;
pub use edit_codec::RECORD_FIELDS;
pub use error::{Error, Result};
pub use examine::{Examined, examine};
pub use file_meta::{FileMeta, KeySpan};
pub use file_name::FileName;
pub use manifest::Manifest;
pub use state::{FORMAT_VERSION, State};
pub use table_codec::TABLE_FIELDS;
pub use tag::Tag;
pub use value_codec::VALUE_FILE_FIELDS;
pub use values::{LiveValues, ValueMeta, ValueRef};
pub use version::{LEVELS, Version};
