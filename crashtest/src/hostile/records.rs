//! Records as in `docs/format/record.md`, with their checksums forged.

use super::bytes::{put_at, u32_at};
use std::ops::Range;

/// Bytes of a record's header.
pub const HEADER_LEN: usize = 32;
const START_LEN: usize = 28;
const START: u8 = 2;

/// The places of the records of a file, as far as their lengths lead.
pub fn spans(file: &[u8]) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut at = 0;
    while let Some(header) = file.get(at..at + HEADER_LEN) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        let len = u32_at(header, 4).unwrap_or(0) as usize;
        let end = at + HEADER_LEN + len;
        if end > file.len() {
            break;
        }
        spans.push(at..end);
        at = end;
    }
    spans
}

/// Makes the checksum of each record right; with `place`, log number and index too.
pub fn forge(file: &mut [u8], number: u64, place: bool) {
    for (index, span) in spans(file).into_iter().enumerate() {
        let Some(record) = file.get_mut(span) else { continue };
        if place {
            put_at(record, 12, &(number as u32).to_le_bytes());
            put_at(record, 16, &(index as u32).to_le_bytes());
        }
        seal(record);
    }
}

/// Makes each start record name the segment before it: number, length and running checksum.
pub fn forge_chain(segments: &mut [(u64, Vec<u8>)]) {
    let mut before: Option<(u64, u64, u32)> = None;
    for (number, file) in segments {
        if let (Some((number, length, checksum)), Some(span)) = (before, spans(file).first())
            && let Some(record) = file.get_mut(span.clone())
            && record.len() >= HEADER_LEN + START_LEN
            && record.get(8) == Some(&START)
        {
            put_at(record, HEADER_LEN, &number.to_le_bytes());
            put_at(record, HEADER_LEN + 8, &length.to_le_bytes());
            put_at(record, HEADER_LEN + 24, &checksum.to_le_bytes());
            seal(record);
        }
        let spans = spans(file);
        let Some(last) = spans.last() else { continue };
        let checksum = spans.iter().fold(0, |running, span| {
            let mut hasher = crc32fast::Hasher::new_with_initial(running);
            hasher.update(file.get(span.start..span.start + 4).unwrap_or_default());
            hasher.finalize()
        });
        before = Some((*number, last.end as u64, checksum));
    }
}

fn seal(record: &mut [u8]) {
    let crc = crc32fast::hash(record.get(4..).unwrap_or_default());
    put_at(record, 0, &crc.to_le_bytes());
}
