//! One key at a time: `put`, `get`, `delete`.

use crate::args::{Delete, Get, Put};
use crate::failure::Failure;
use crate::form::{Format, argument};
use crate::output::{Output, add_bytes};
use crate::{records, store};
use serde_json::Map;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

pub(crate) fn put(dir: &Path, args: Put) -> Result<(), Failure> {
    let key = argument("KEY", args.key, args.hex)?;
    let value = match args.value {
        Some(value) => argument("VALUE", value, args.hex)?,
        None => value_from_input()?,
    };
    // Before the store is created for nothing.
    records::check(&key, &value).map_err(Failure::usage)?;
    let db = store::for_writing(dir)?;
    let keyspace = db.keyspace(&args.space.name)?;
    match args.ttl {
        Some(ttl) => keyspace.put_with_ttl(key, value, ttl)?,
        None => keyspace.put(key, value)?,
    }
    Ok(db.close()?)
}

fn value_from_input() -> Result<Vec<u8>, Failure> {
    let input = io::stdin().lock();
    if input.is_terminal() {
        return Err(Failure::usage("no VALUE: give it behind the key or on standard input"));
    }
    let mut value = Vec::new();
    // One byte more than the limit tells that it is passed.
    let limit = records::MAX_VALUE_LEN as u64 + 1;
    input
        .take(limit)
        .read_to_end(&mut value)
        .map_err(|error| Failure::broken(format!("cannot read standard input: {error}")))?;
    Ok(value)
}

pub(crate) fn get(dir: &Path, args: Get, out: &mut Output) -> Result<(), Failure> {
    let key = argument("KEY", args.key, args.view.hex)?;
    let format = if args.raw { Format::Raw } else { args.view.format() };
    let db = store::for_reading(dir)?;
    let keyspace = store::existing(&db, &args.space)?;
    let value = keyspace.get(&key)?.ok_or_else(|| Failure::missing("the key is not there"))?;
    show(out, format, &key, &value)
}

/// A value as `get` prints it.
pub(crate) fn show(
    out: &mut Output,
    format: Format,
    key: &[u8],
    value: &[u8],
) -> Result<(), Failure> {
    if out.json {
        let mut object = Map::new();
        add_bytes(&mut object, "key", key, format == Format::Hex);
        add_bytes(&mut object, "value", value, format == Format::Hex);
        return out.object(object);
    }
    match format {
        Format::Raw => out.bytes(value),
        Format::Auto if !out.is_terminal() || is_lines(value) => out.line(value),
        format => out.line(&format.show(value)),
    }
}

/// Whether a terminal shows these bytes without harm.
fn is_lines(value: &[u8]) -> bool {
    value.split(|&byte| byte == b'\n').all(crate::form::is_text)
}

pub(crate) fn delete(dir: &Path, args: Delete) -> Result<(), Failure> {
    let keys = args.keys.into_iter().map(|key| argument("KEY", key, args.hex));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let db = store::for_upkeep(dir)?;
    let keyspace = store::existing(&db, &args.space)?;
    let mut batch = kv_engine::WriteBatch::new();
    keys.iter().for_each(|key| batch.delete(key));
    keyspace.write(batch)?;
    Ok(db.close()?)
}
