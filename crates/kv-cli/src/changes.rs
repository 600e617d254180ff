//! `changes`: what was committed, batch by batch, out of the log.

use crate::failure::Failure;
use crate::form::Format;
use crate::output::{Output, add_bytes};
use crate::store;
use kv_engine::{Bytes, Change, ChangeOp, Changes as Batches, ErrorKind};
use serde_json::{Map, Value};
use std::ops::Bound;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often a store is looked at that is followed.
const LOOK: Duration = Duration::from_millis(50);
/// After how many batches a consumer's position is kept.
const KEPT_EVERY: usize = 1000;

pub(crate) const ABOUT: &str = "\
Print what was committed, batch by batch and in order, out of the log

Works beside a live writer, which it does not disturb. A line is the sequence number of the batch \
(--since with it goes on behind the batch), put, delete, delete-range or ingest, the keyspace, the key \
(of a range its first one, and the one behind its last one), the value, and for what expires the moment in \
milliseconds since 1970. With --json a batch is an object in a line. An ingest shows the first and the \
last of its keys; its pairs are in the store.

Logs go when their writes are in tables. With --consumer they are held until that consumer has taken \
them, within the store's wal_limit: it begins where it ended last, or at --since the first time, and its \
position is kept in a small file of the store. Where changes are not held any more, the command says \
from which sequence number on they are, and the exit code is 1.";

#[derive(Debug, clap::Args)]
pub(crate) struct Changes {
    /// The sequence number behind which to begin; 0 begins with the oldest change held
    #[arg(long, value_name = "N", default_value_t = 0)]
    since: u64,
    /// Go on with what comes
    #[arg(long)]
    follow: bool,
    /// Hold the changes for this consumer until it has taken them
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// End the consumer instead: nothing is held for it any more
    #[arg(long, requires = "consumer", conflicts_with = "follow")]
    forget: bool,
    /// At most so many batches
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How keys and values are shown
    #[arg(long, value_enum, default_value = "auto")]
    format: Format,
}

pub(crate) fn changes(dir: &Path, args: Changes, out: &mut Output) -> Result<(), Failure> {
    // Only the log is read: what the store keeps in memory is let go again.
    let open = |since| Ok::<_, Failure>(store::for_reading(dir)?.changes_since(since)?);
    let consumer = args.consumer.as_deref();
    let mut batches = match consumer {
        Some(name) if args.forget => return Ok(open(0)?.forget(name)?),
        Some(name) => begin(open(0)?, name, || open(args.since))?,
        None => open(args.since)?,
    };
    let mut left = args.limit.unwrap_or(usize::MAX);
    let mut unkept = 0;
    while left > 0 {
        match batches.next() {
            Some(batch) => {
                show(out, args.format, &batch?)?;
                left -= 1;
                unkept += 1;
            }
            None if args.follow => {
                keep(&batches, consumer, out, &mut unkept)?;
                wait();
                continue;
            }
            None => break,
        }
        if unkept >= KEPT_EVERY {
            keep(&batches, consumer, out, &mut unkept)?;
        }
    }
    keep(&batches, consumer, out, &mut unkept)
}

/// The changes behind what a consumer has taken; a new one is registered where `anew` begins.
fn begin(
    any: Batches,
    name: &str,
    anew: impl FnOnce() -> Result<Batches, Failure>,
) -> Result<Batches, Failure> {
    let known = any.consumers()?.iter().any(|(known, _)| known == name);
    if known {
        return Ok(any.resume(name)?);
    }
    let batches = anew()?;
    match batches.acknowledge(name) {
        Ok(()) => Ok(batches),
        Err(error) => {
            // What it needs went before the writer saw it: it begins nowhere.
            if error.kind() == ErrorKind::NotFound {
                let _ = batches.forget(name);
            }
            Err(error.into())
        }
    }
}

/// Hands on what was printed, and only then says that it was taken.
fn keep(
    batches: &Batches,
    consumer: Option<&str>,
    out: &mut Output,
    unkept: &mut usize,
) -> Result<(), Failure> {
    if *unkept > 0 {
        out.flush()?;
        if let Some(name) = consumer {
            batches.acknowledge(name)?;
        }
        *unkept = 0;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "another process writes, and wakes nobody here")]
fn wait() {
    std::thread::sleep(LOOK);
}

fn show(out: &mut Output, format: Format, batch: &Change) -> Result<(), Failure> {
    if out.json {
        let ops = batch.ops.iter().map(|op| Value::Object(object(op, format == Format::Hex)));
        let members = [("seq".to_owned(), batch.seq.into()), ("ops".to_owned(), ops.collect())];
        return out.object(Map::from_iter(members));
    }
    for op in &batch.ops {
        let (what, keyspace, keys, value, expires) = parts(op);
        out.bytes(format!("{}\t{what}\t{keyspace}", batch.seq).as_bytes())?;
        for bytes in keys.into_iter().map(|(_, key)| key).chain(value) {
            out.bytes(b"\t")?;
            out.bytes(&format.show(bytes))?;
        }
        if let Some(expires) = expires {
            out.bytes(format!("\t{}", millis(expires)).as_bytes())?;
        }
        out.bytes(b"\n")?;
    }
    Ok(())
}

fn object(op: &ChangeOp, hex: bool) -> Map<String, Value> {
    let (what, keyspace, keys, value, expires) = parts(op);
    let mut object = Map::new();
    object.insert("op".to_owned(), what.into());
    object.insert("keyspace".to_owned(), keyspace.into());
    for (name, key) in keys {
        add_bytes(&mut object, name, key, hex);
    }
    if let Some(value) = value {
        add_bytes(&mut object, "value", value, hex);
    }
    if let Some(expires) = expires {
        object.insert("expires_ms".to_owned(), millis(expires).into());
    }
    object
}

type Parts<'a> = (&'a str, &'a str, Vec<(&'a str, &'a [u8])>, Option<&'a [u8]>, Option<SystemTime>);

/// What an operation did, where, to which keys, and with what.
fn parts(op: &ChangeOp) -> Parts<'_> {
    match op {
        ChangeOp::Put { keyspace, key, value, expires } => {
            ("put", keyspace, vec![("key", key)], Some(value), *expires)
        }
        ChangeOp::Delete { keyspace, key } => ("delete", keyspace, vec![("key", key)], None, None),
        ChangeOp::DeleteRange { keyspace, start, end } => {
            let start = bound(start).map(|start| ("start", start));
            let end = bound(end).map(|end| ("end", end));
            // In a line the end is always the second key.
            let start = start.or(end.map(|_| ("start", &b""[..])));
            ("delete-range", keyspace, start.into_iter().chain(end).collect(), None, None)
        }
        ChangeOp::Ingest { keyspace, first, last } => {
            ("ingest", keyspace, vec![("first", first), ("last", last)], None, None)
        }
        _ => ("unknown", "", Vec::new(), None, None),
    }
}

/// A bound as it is in changes: the first key, or the key behind the last one.
fn bound(bound: &Bound<Bytes>) -> Option<&[u8]> {
    match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key),
        Bound::Unbounded => None,
    }
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
