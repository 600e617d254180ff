//! Ranges of keys: `scan`, `count`.

use crate::args::{Count, Range, Scan};
use crate::failure::Failure;
use crate::form::{Format, argument};
use crate::output::{Output, add_bytes};
use crate::{progress, store};
use kv_engine::{Bytes, Iter, Keyspace, Transaction};
use serde_json::Map;
use std::ffi::OsString;
use std::ops::Bound;
use std::path::Path;

pub(crate) fn scan(dir: &Path, args: Scan, out: &mut Output) -> Result<(), Failure> {
    let format = args.view.format();
    let range = Wanted::new(args.range, args.view.hex)?;
    let db = store::for_reading(dir)?;
    let pairs = range.of(&store::existing(&db, &args.space)?);
    let limit = args.limit.unwrap_or(usize::MAX);
    let bar = progress::counting("scanning");
    let mut show = |pair: kv_engine::Result<(Bytes, Bytes)>| {
        let (key, value) = pair?;
        bar.inc(1);
        show(out, format, &key, (!args.keys_only).then_some(&value))
    };
    match args.reverse {
        false => pairs.take(limit).try_for_each(&mut show),
        true => pairs.rev().take(limit).try_for_each(&mut show),
    }?;
    bar.finish_and_clear();
    Ok(())
}

pub(crate) fn show(
    out: &mut Output,
    format: Format,
    key: &[u8],
    value: Option<&Bytes>,
) -> Result<(), Failure> {
    if out.json {
        let mut object = Map::new();
        add_bytes(&mut object, "key", key, format == Format::Hex);
        if let Some(value) = value {
            add_bytes(&mut object, "value", value, format == Format::Hex);
        }
        return out.object(object);
    }
    out.bytes(&format.show(key))?;
    if let Some(value) = value {
        out.bytes(b"\t")?;
        out.bytes(&format.show(value))?;
    }
    out.bytes(b"\n")
}

pub(crate) fn count(dir: &Path, args: Count, out: &mut Output) -> Result<(), Failure> {
    let range = Wanted::new(args.range, args.hex)?;
    let db = store::for_reading(dir)?;
    let bar = progress::counting("counting");
    let mut count = 0u64;
    for pair in range.of(&store::existing(&db, &args.space)?) {
        pair?;
        count += 1;
        bar.set_position(count);
    }
    bar.finish_and_clear();
    show_count(out, count)
}

pub(crate) fn show_count(out: &mut Output, count: u64) -> Result<(), Failure> {
    if out.json {
        return out.object(Map::from_iter([("count".to_owned(), count.into())]));
    }
    out.line(count.to_string().as_bytes())
}

/// The keys that were asked for.
pub(crate) enum Wanted {
    Prefix(Vec<u8>),
    Between(Bound<Vec<u8>>, Bound<Vec<u8>>),
}

impl Wanted {
    pub(crate) fn new(range: Range, is_hex: bool) -> Result<Wanted, Failure> {
        let bytes = |name, given: Option<OsString>| {
            given.map(|given| argument(name, given, is_hex)).transpose()
        };
        if let Some(prefix) = bytes("--prefix", range.prefix)? {
            return Ok(Wanted::Prefix(prefix));
        }
        let from = bytes("--from", range.from)?.map_or(Bound::Unbounded, Bound::Included);
        let to = bytes("--to", range.to)?.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(Wanted::Between(from, to))
    }

    pub(crate) fn of(self, keyspace: &Keyspace) -> Iter {
        match self {
            Wanted::Prefix(prefix) => keyspace.prefix(prefix),
            Wanted::Between(from, to) => keyspace.range((from, to)),
        }
    }

    pub(crate) fn of_transaction(self, transaction: &mut Transaction) -> Iter {
        match self {
            Wanted::Prefix(prefix) => transaction.prefix(prefix),
            Wanted::Between(from, to) => transaction.range((from, to)),
        }
    }
}
