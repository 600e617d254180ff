//! Which indexes a table has: what the catalog stores of them, and what a handle knows.
//!
//! The catalog of a table is a keyspace. One entry holds the schema, with a *generation* that
//! every change of the set of indexes counts up; every write to the table reads it, so a write
//! that began before such a change conflicts with it. One entry for each index holds its state,
//! apart from the schema, so that a build that goes on conflicts only with writes that change an
//! entry of its index.

use crate::error::{Error, Result, damaged};
pub(crate) use crate::index::declare::SEPARATOR;
use crate::index::declare::{IndexSpec, Kind};
use crate::tuple::{Item, Items, Tuple, Value, decode};
use kv_core::Malformed;
use kv_engine::Keyspace;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The format of the catalog; a greater one is not read.
const FORMAT: i128 = 1;

/// What one index is, as the catalog says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) covers: bool,
    pub(crate) revision: u32,
    /// The generation that created it: tells it from others that had its name.
    pub(crate) number: u64,
}

/// What the catalog says of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schema {
    pub(crate) generation: u64,
    pub(crate) indexes: Vec<Known>,
}

/// How far an index is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Writes keep it, and not all rows from before are in it.
    Building(Stage),
    /// Everything is in it.
    Ready,
    /// Nobody keeps it any more; its entries go.
    Dropping,
}

/// How far a build is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// None has begun: what is in the index are entries of rows as they are.
    Waits,
    /// Writers leave marks, and an ingest may have been made.
    Marks,
    /// The ingest was made; rows with a mark may have entries as they were before.
    Ingested,
    /// Nothing is left to do. No state of a build: what it is read as once the index is ready.
    Done,
}

/// An index that a handle keeps.
#[derive(Debug)]
pub(crate) struct Declared {
    pub(crate) spec: IndexSpec,
    pub(crate) number: u64,
    pub(crate) space: Keyspace,
    /// Everything is in it; once true, it stays so.
    pub(crate) ready: AtomicBool,
}

/// What a handle keeps.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) generation: u64,
    pub(crate) indexes: Vec<Arc<Declared>>,
}

impl Kept {
    pub(crate) fn find(&self, name: &str) -> Result<&Arc<Declared>> {
        let found = self.indexes.iter().find(|index| index.spec.name == name);
        found.ok_or_else(|| Error::NoIndex { index: name.to_owned() })
    }
}

impl Declared {
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }
}

/// The name of the keyspace with the catalog of a table.
pub(crate) fn catalog_name(table: &str) -> String {
    format!("{table}{SEPARATOR}")
}

/// The name of the keyspace with the entries of an index. No two indexes ever have the same one,
/// so a drop that comes late finds nothing.
pub(crate) fn index_name(table: &str, index: &str, number: u64) -> String {
    format!("{table}{SEPARATOR}{index}{SEPARATOR}{number}")
}

/// Where the schema is in the catalog.
pub(crate) fn schema_key() -> Vec<u8> {
    Tuple::of("schema").into_bytes()
}

/// Where the state of an index is in the catalog.
pub(crate) fn state_key(index: &str, number: u64) -> Vec<u8> {
    let mut key = states();
    key.extend(Tuple::of((index, number)).into_bytes());
    key
}

/// What the keys of the marks of an index begin with; the rest is the row's primary key.
pub(crate) fn marks(index: &str, number: u64) -> Vec<u8> {
    Tuple::of(("mark", index, number)).into_bytes()
}

/// What the keys of all states begin with.
pub(crate) fn states() -> Vec<u8> {
    Tuple::of("index").into_bytes()
}

/// The name and number of the index whose state has this key.
pub(crate) fn index_of(key: &[u8]) -> Result<(String, u64)> {
    let what = "a key of the catalog";
    let items = decode(key).map_err(damaged(what))?;
    let values: Vec<Value<'_>> = items.into_iter().skip(1).map(|item| item.value).collect();
    let index = match values.as_slice() {
        [Value::Text(name), Value::Int(number)] => {
            u64::try_from(*number).ok().map(|number| (name.to_string(), number))
        }
        _ => None,
    };
    let what_for = Malformed { what: "no name of an index and its number", at: 0 };
    index.ok_or_else(|| damaged(what)(what_for))
}

impl Known {
    pub(crate) fn of(spec: &IndexSpec, number: u64) -> Known {
        Known {
            name: spec.name.clone(),
            kind: spec.kind,
            covers: spec.covers(),
            revision: spec.revision,
            number,
        }
    }
}

impl Schema {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut tuple = Tuple::of((FORMAT, self.generation));
        for index in &self.indexes {
            let kind = match index.kind {
                Kind::Ordered => 0,
                Kind::Unique => 1,
                Kind::Hash => 2,
            };
            let name = index.name.as_str();
            tuple.push((name, kind, index.covers, index.revision, index.number));
        }
        tuple.into_bytes()
    }

    /// The schema in the catalog's entry; that of a table of no indexes where there is no entry.
    pub(crate) fn decode(stored: Option<&[u8]>) -> Result<Schema> {
        let Some(stored) = stored else { return Ok(Schema::default()) };
        let mut items = Items::new(stored);
        let generation = generation(&mut items)?;
        let indexes = items.map(|item| known(item.map_err(damaged("the schema"))?));
        Ok(Schema { generation, indexes: indexes.collect::<Result<_>>()? })
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Known> {
        self.indexes.iter().find(|index| index.name == name)
    }
}

/// The generation in the catalog's entry, without the rest.
pub(crate) fn generation_of(stored: Option<&[u8]>) -> Result<u64> {
    stored.map_or(Ok(0), |stored| generation(&mut Items::new(stored)))
}

fn broken(what: &'static str) -> Error {
    damaged("the schema")(Malformed { what, at: 0 })
}

fn next_int(items: &mut Items<'_>) -> Result<i128> {
    match items.next().transpose().map_err(damaged("the schema"))?.map(|item| item.value) {
        Some(Value::Int(number)) => Ok(number),
        _ => Err(broken("an item that should be an integer")),
    }
}

fn generation(items: &mut Items<'_>) -> Result<u64> {
    let format = next_int(items)?;
    if format != FORMAT {
        let message =
            format!("the table's catalog has format {format}; this release reads {FORMAT}");
        return Err(Error::Declaration(message));
    }
    u64::try_from(next_int(items)?).map_err(|_| broken("a generation out of range"))
}

fn known(item: Item<'_>) -> Result<Known> {
    let Value::Tuple(items) = item.value else { return Err(broken("an index that is no tuple")) };
    let values: Vec<Value<'_>> = items.into_iter().map(|item| item.value).collect();
    let [
        Value::Text(name),
        Value::Int(kind),
        Value::Bool(covers),
        Value::Int(revision),
        Value::Int(number),
    ] = values.as_slice()
    else {
        return Err(broken("an index with other items than it should have"));
    };
    let kind = match kind {
        0 => Kind::Ordered,
        1 => Kind::Unique,
        2 => Kind::Hash,
        _ => return Err(broken("an index of an unknown kind")),
    };
    let revision = u32::try_from(*revision).map_err(|_| broken("a revision out of range"))?;
    let number = u64::try_from(*number).map_err(|_| broken("a number out of range"))?;
    Ok(Known { name: name.to_string(), kind, covers: *covers, revision, number })
}

impl State {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let tuple = match self {
            State::Building(Stage::Waits) => Tuple::of(0),
            State::Building(Stage::Marks) => Tuple::of((0, 0)),
            State::Building(Stage::Ingested) => Tuple::of((0, 1)),
            State::Building(Stage::Done) => Tuple::of(1),
            State::Ready => Tuple::of(1),
            State::Dropping => Tuple::of(2),
        };
        tuple.into_bytes()
    }

    pub(crate) fn decode(stored: &[u8]) -> Result<State> {
        let what = "the state of an index";
        let items = decode(stored).map_err(damaged(what))?;
        let values: Vec<Value<'_>> = items.into_iter().map(|item| item.value).collect();
        match values.as_slice() {
            [Value::Int(0)] => Ok(State::Building(Stage::Waits)),
            [Value::Int(0), Value::Int(0)] => Ok(State::Building(Stage::Marks)),
            [Value::Int(0), Value::Int(1)] => Ok(State::Building(Stage::Ingested)),
            [Value::Int(1)] => Ok(State::Ready),
            [Value::Int(2)] => Ok(State::Dropping),
            _ => Err(damaged(what)(Malformed { what: "an unknown state", at: 0 })),
        }
    }
}
