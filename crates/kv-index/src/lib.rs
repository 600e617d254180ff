//! Tuples of values as keys: an encoding whose bytes compare as the values do.
//!
//! An ordered key-value store compares keys as bytes. [`Tuple`] turns null, booleans, integers,
//! floats, text, bytes and nested tuples, each ascending or descending, into bytes with the same
//! order, so that a range of values is a range of keys, and the keys that begin with some values
//! are those with a prefix. `docs/format/tuples.md` says what each byte means.
//!
//! ```
//! use kv_index::{Desc, Tuple, Value, decode};
//!
//! let old = Tuple::of(("ada", Desc(1815)));
//! let new = Tuple::of(("ada", Desc(1852)));
//! assert!(new < old, "the later year comes first");
//! assert!(old < Tuple::of(("bob", Desc(2000))));
//! assert!(old.as_bytes().starts_with(Tuple::of("ada").as_bytes()));
//!
//! let items = decode(old.as_bytes())?;
//! assert_eq!(items[0].value, Value::from("ada"));
//! assert_eq!((&items[1].value, items[1].descending), (&Value::Int(1815), true));
//! # Ok::<(), kv_index::Malformed>(())
//! ```
#![forbid(unsafe_code)]

pub mod tuple;

pub use kv_core::Malformed;
pub use tuple::{Columns, Desc, Element, Item, Items, Null, TooDeep, Tuple, Value, decode};
