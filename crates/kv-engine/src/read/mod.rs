//! Reads: what they see, how sources are merged, and what they answer.

mod cover;
pub(crate) mod cursor;
mod get;
pub(crate) mod iter;
pub(crate) mod level;
pub(crate) mod merge;
mod plain;
mod range;
mod rank;
pub(crate) mod source;
pub(crate) mod view;
pub(crate) mod visible;

pub(crate) use get::with_stored_key;
