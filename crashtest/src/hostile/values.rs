//! Value files: their checksums, made right over whatever the bytes are.

use kv_core::checksum_with;

/// A record's header, and the footer.
const HEADER: usize = 16;
const FOOTER: usize = 48;

/// Gives every record, as the lengths say where they are, and the footer a checksum that is right.
pub(super) fn forge(bytes: &mut [u8], number: u64) {
    let end = bytes.len().saturating_sub(FOOTER);
    let mut at = 0;
    while let Some(length) = bytes.get(at + 4..at + 8).filter(|_| at + HEADER <= end) {
        let stored = length.iter().rev().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        let next = at.saturating_add(HEADER).saturating_add(stored).min(end);
        let sum = checksum_with(number, at as u64, &[&bytes[at + 4..next]]);
        bytes[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        at = next;
    }
    if let Some(footer) = bytes.get_mut(end..).filter(|footer| footer.len() == FOOTER) {
        let (covered, sum) = footer.split_at_mut(FOOTER - 4);
        let place = covered.get(28..36).and_then(|place| place.first_chunk()).copied();
        let place = u64::from_le_bytes(place.unwrap_or_default());
        sum.copy_from_slice(&checksum_with(number, place, &[covered]).to_le_bytes());
    }
}
