//! Every damage in a log, and which of it had been promised.

use super::VerifyReport;
use crate::error::{Error, Result};
use kv_core::decode_batch;
use kv_vfs::{Fs, Mode};
use kv_wal::{Found, RecordKind, RecordScanner};
use std::collections::VecDeque;
use std::path::Path;

/// How much of a log must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Promise {
    /// All of it: it was closed, or what follows says so.
    Whole,
    /// What some later record vouches for; the rest may be the tail of an interrupted write.
    Synced,
}

/// A stretch of a log that is no record.
struct Gap {
    offset: u64,
    reason: String,
}

/// Lists the damage of a log. One that was removed meanwhile is none: `Ok(false)`.
pub(super) fn check(
    fs: &dyn Fs,
    path: &Path,
    number: u64,
    promise: Promise,
    report: &mut VerifyReport,
) -> Result<bool> {
    let file = match fs.open(path, Mode::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io(format!("{}: open failed", path.display()), e)),
    };
    let mut scanner = RecordScanner::new(file, path, number)?;
    let place = path.file_name().unwrap_or_default().to_string_lossy();
    let told = report.told_of(&place);
    let tell = |gap: Gap, report: &mut VerifyReport| {
        let place = format!("at offset {}:", gap.offset);
        if !told.iter().any(|line| line.contains(&place)) {
            report.damaged(at(path, gap.offset, &gap.reason));
        }
    };
    // What no record behind it vouches for yet, oldest first.
    let mut open: VecDeque<Gap> = VecDeque::new();
    let mut last_record = 0;
    loop {
        match scanner.next()? {
            Found::Record(record) => {
                last_record = record.offset;
                let proven = open.iter().take_while(|gap| u64::from(record.synced) > gap.offset);
                for gap in open.drain(..proven.count()) {
                    tell(gap, report);
                }
                if record.kind == RecordKind::Data
                    && let Some(reason) = bad_batch(record.payload)
                {
                    report.damaged(at(path, record.offset, &reason));
                }
            }
            Found::Damage { offset, reason, .. } if promise == Promise::Whole => {
                tell(Gap { offset, reason }, report);
            }
            Found::Damage { offset, reason, .. } => open.push_back(Gap { offset, reason }),
            Found::End { offset } => {
                report.logs += 1;
                report.bytes += offset;
                break;
            }
        }
    }
    for gap in open {
        report.note(format!(
            "{}: offset {}: {}; nothing shows that it had been durable: an interrupted write{}",
            path.display(),
            gap.offset,
            gap.reason,
            if last_record > gap.offset { ", with records behind it" } else { "" }
        ));
    }
    Ok(true)
}

fn at(path: &Path, offset: u64, reason: &str) -> String {
    format!("{} is damaged at offset {offset}: {reason}", path.display())
}

/// What is wrong with the batch in a record that passed its checksum.
fn bad_batch(payload: &[u8]) -> Option<String> {
    let said = |e| format!("a record with a good checksum holds a bad batch: {e}");
    match decode_batch(payload) {
        Err(e) => Some(said(e)),
        Ok(mut ops) => ops.find_map(|op| op.err().map(said)),
    }
}
