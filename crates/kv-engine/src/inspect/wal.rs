//! A log as text, record by record.

use super::{Inspect, unwritten};
use crate::error::{Error, Result};
use kv_core::{Kind, decode_batch, split_expiry};
use kv_vfs::FsFile;
use kv_wal::{FLAG_OLDER_DURABLE, Found, Predecessor, Record, RecordKind, RecordScanner};
use std::fmt::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// Writes log `number` as text; answers how many damaged parts it has.
pub(super) fn inspect(
    file: Arc<dyn FsFile>,
    path: &Path,
    number: u64,
    detail: Inspect,
    out: &mut dyn Write,
) -> Result<u64> {
    let len = file.len().map_err(|e| Error::io(format!("{}: read failed", path.display()), e))?;
    let mut scanner = RecordScanner::new(file, path, number)?;
    let mut damaged = 0;
    writeln!(out, "log {number}: {len} bytes").map_err(|_| unwritten())?;
    loop {
        let written = match scanner.next()? {
            Found::Record(record) => show(&record, detail, out, &mut damaged),
            Found::Damage { offset, end, reason } => {
                damaged += 1;
                writeln!(out, "{offset}: DAMAGED up to {end}: {reason}")
            }
            Found::End { offset } => {
                match offset < len {
                    true => writeln!(out, "{offset}: reserved space up to {len}"),
                    false => writeln!(out, "{offset}: end"),
                }
                .map_err(|_| unwritten())?;
                return Ok(damaged);
            }
        };
        written.map_err(|_| unwritten())?;
    }
}

fn show(
    record: &Record<'_>,
    detail: Inspect,
    out: &mut dyn Write,
    damaged: &mut u64,
) -> fmt::Result {
    let kind = match record.kind {
        RecordKind::Data => "data",
        RecordKind::Start => "start",
        RecordKind::End => "end",
    };
    let len = record.payload.len();
    write!(out, "{}: {kind} record {}, {len} bytes", record.offset, record.index)?;
    writeln!(out, ", first_seq {}", record.first_seq)?;
    if detail.blocks {
        let older = record.flags & FLAG_OLDER_DURABLE != 0;
        writeln!(out, "    kind {}: {kind}", record.kind as u8)?;
        let meaning = if older { "older logs were durable" } else { "nothing" };
        writeln!(out, "    flags {}: {meaning}", record.flags)?;
        writeln!(out, "    synced {}: bytes known to be durable then", record.synced)?;
    }
    match record.kind {
        RecordKind::Data => show_batch(record.payload, detail, out, damaged),
        RecordKind::Start => match Predecessor::decode(record.payload) {
            Ok(None) => writeln!(out, "    nothing comes before"),
            Ok(Some(before)) => {
                write!(out, "    continues log {} of {} bytes", before.number, before.length)?;
                writeln!(out, ", last_seq {}, checksum {:08x}", before.last_seq, before.checksum)
            }
            Err(reason) => {
                *damaged += 1;
                writeln!(out, "    DAMAGED: {reason}")
            }
        },
        RecordKind::End => writeln!(out, "    closed in order"),
    }
}

fn show_batch(
    payload: &[u8],
    detail: Inspect,
    out: &mut dyn Write,
    damaged: &mut u64,
) -> fmt::Result {
    let ops = match decode_batch(payload) {
        Ok(ops) => ops,
        Err(malformed) => {
            *damaged += 1;
            return writeln!(out, "    DAMAGED: {malformed}");
        }
    };
    writeln!(out, "    batch of {} operations", ops.remaining())?;
    if !detail.entries {
        return Ok(());
    }
    for op in ops {
        let op = match op {
            Ok(op) => op,
            Err(malformed) => {
                *damaged += 1;
                return writeln!(out, "    DAMAGED: {malformed}");
            }
        };
        write!(out, "    {:?} \"{}\"", op.kind, op.key.escape_ascii())?;
        match (op.kind, split_expiry(op.value)) {
            (Kind::Delete, _) => writeln!(out)?,
            (Kind::RangeDelete, _) => writeln!(out, " up to \"{}\"", op.value.escape_ascii())?,
            (Kind::PutExpiring, Some((expiry, value))) => {
                write!(out, " expires {expiry} ms,")?;
                show_value(value, detail, out)?;
            }
            _ => show_value(op.value, detail, out)?,
        }
    }
    Ok(())
}

fn show_value(value: &[u8], detail: Inspect, out: &mut dyn Write) -> fmt::Result {
    write!(out, " {} bytes", value.len())?;
    match detail.values {
        true => writeln!(out, " \"{}\"", value.escape_ascii()),
        false => writeln!(out),
    }
}
