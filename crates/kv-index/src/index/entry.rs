//! The keys and values of index entries: `docs/format/indexes.md`.

use crate::index::declare::{IndexSpec, Kind, Row};
use crate::tuple::{END, Tuple, skip};
use kv_core::{Malformed, Take, hash64, put_varint};
use kv_engine::Bytes;

/// How many bytes of an entry's key are the hash.
pub(crate) const HASH_LEN: usize = 8;

/// Behind a tuple nothing begins with this, so it ends the entries that begin with the tuple.
pub(crate) const BEHIND: u8 = 0xFF;

/// An entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// The entry of a row, `None` where it has none.
pub(crate) fn stored(spec: &IndexSpec, row: Row<'_>) -> Option<Stored> {
    let columns = spec.columns(row)?;
    let mut value = Vec::new();
    let key = match spec.kind {
        Kind::Hash => hash_key(&columns, row.key),
        Kind::Ordered => {
            value = spec.covering(row).into_bytes();
            let mut key = ended(columns);
            key.extend_from_slice(row.key);
            key
        }
        Kind::Unique => {
            put_varint(&mut value, row.key.len() as u64);
            value.extend_from_slice(row.key);
            value.extend_from_slice(spec.covering(row).as_bytes());
            ended(columns)
        }
    };
    Some(Stored { key, value })
}

/// The columns with their end: what the keys of all entries with exactly them begin with.
pub(crate) fn ended(columns: Tuple) -> Vec<u8> {
    let mut key = columns.into_bytes();
    key.push(END);
    key
}

/// The key of a hash entry; with an empty primary key, what all of its kind begin with.
pub(crate) fn hash_key(columns: &Tuple, primary: &[u8]) -> Vec<u8> {
    let mut key = hash64(columns.as_bytes()).to_be_bytes().to_vec();
    key.extend_from_slice(primary);
    key
}

/// An entry of an ordered index, read.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) columns: Bytes,
    pub(crate) covering: Bytes,
    pub(crate) primary: Bytes,
}

/// Takes an entry apart. The covering columns are not looked into.
pub(crate) fn parts(kind: Kind, key: &Bytes, value: &Bytes) -> Result<Parts, Malformed> {
    if kind == Kind::Hash {
        let short = Malformed { what: "a hash that is cut short", at: key.len() };
        let primary = if key.len() < HASH_LEN { Err(short) } else { Ok(key.slice(HASH_LEN..)) }?;
        return Ok(Parts { columns: Bytes::new(), covering: Bytes::new(), primary });
    }
    let mut take = Take::new(key);
    skip(&mut take)?;
    let end = take.position();
    if take.u8()? != END {
        return Err(Malformed { what: "columns without an end", at: end });
    }
    let columns = key.slice(..end);
    if kind == Kind::Ordered {
        let primary = key.slice(end + 1..);
        return Ok(Parts { columns, covering: value.clone(), primary });
    }
    if !take.is_empty() {
        return Err(take.malformed("bytes behind the columns of a unique entry"));
    }
    let mut take = Take::new(value);
    let len = take.length_prefixed()?.len();
    let at = take.position();
    Ok(Parts { columns, covering: value.slice(at..), primary: value.slice(at - len..at) })
}

/// The primary key in the value of a unique entry.
pub(crate) fn owner(value: &[u8]) -> Result<&[u8], Malformed> {
    Take::new(value).length_prefixed()
}
