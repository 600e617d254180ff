//! Tables with secondary indexes, and the keys that they are made of.
//!
//! A [`Table`] holds rows by primary key and keeps its indexes with them, each write in one
//! transaction: [`Ordered`] ones, found by ranges, prefixes and equality, unique if need be, and
//! [`struct@Hash`] ones, found by equality. What is indexed, closures say.
//!
//! ```
//! use kv_engine::{Db, Options};
//! use kv_index::{Desc, Ordered, Row, Table};
//!
//! let db = Db::in_memory(Options::default())?;
//! // A row is "city year".
//! let by_city = Ordered::new("by_city", |row: Row<'_>, columns| {
//!     let (city, year) = std::str::from_utf8(row.value).ok()?.split_once(' ')?;
//!     columns.push(city).push(Desc(year.parse::<i32>().ok()?));
//!     Some(())
//! });
//! let people = Table::builder("people").index(by_city).open(&db)?;
//! people.insert("ada", "London 1815")?;
//! people.insert("alan", "London 1912")?;
//! people.insert("emmy", "Erlangen 1882")?;
//!
//! let london = people.index("by_city")?.prefix("London")?;
//! let keys = london.map(|entry| entry.map(|entry| entry.key().clone()));
//! assert_eq!(keys.collect::<Result<Vec<_>, _>>()?, ["alan", "ada"]);
//! # Ok::<(), kv_index::Error>(())
//! ```
//!
//! An ordered key-value store compares keys as bytes. [`Tuple`] turns null, booleans, integers,
//! floats, text, bytes and nested tuples, each ascending or descending, into bytes with the same
//! order, so that a range of values is a range of keys, and the keys that begin with some values
//! are those with a prefix. `docs/format/tuples.md` says what each byte means; it serves for keys of
//! any keyspace.
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

mod error;
mod index;
mod table;
pub mod tuple;

/// The cookbook's recipes, compiled; here, because one of them is of an index.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/cookbook.md")]
struct Cookbook;

pub use error::{Error, Result};
pub use index::declare::{Hash, IndexSpec, Ordered, Row};
pub use index::read::{Entries, Entry, Index, Rows};
pub use index::source::{Inside, Moment, Source};
pub use kv_core::Malformed;
pub use table::{IndexReport, Problem, Table, TableBuilder, TableIn, drop_index};
pub use tuple::{Columns, Desc, Element, Item, Items, Null, TooDeep, Tuple, Value, decode};
