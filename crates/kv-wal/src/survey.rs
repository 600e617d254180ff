//! What lies behind a damaged place: is there a record that says the place was durable?

use crate::error::Result;
use crate::frame::{HEADER_LEN, Header};
use crate::window::{WINDOW, Window};

/// What a survey found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survey {
    /// No valid record proves it.
    Nothing,
    /// The valid record at this offset proves it.
    Proof(u64),
    /// So much looks like records and is not that the search was given up.
    Undecided,
}

/// Looks at each place from `from` on for a valid record of segment `number` that `proves` what
/// is asked.
///
/// Records are found without their neighbours, so damage cannot hide those behind it. The time is
/// bounded by the length of the file: bytes that were made to look like many overlapping records
/// end the search as undecided.
pub(crate) fn survey(
    window: &mut Window,
    number: u64,
    from: u64,
    proves: impl Fn(&Header) -> bool,
) -> Result<Survey> {
    let mut effort = window.left(0).saturating_mul(4).saturating_add(64 << 20);
    let extent = window.extent(from)?;
    let mut at = from;
    while at < extent {
        let left = window.left(at);
        let bytes = window.some(at)?;
        let Some((skip, header)) = candidate(bytes, number, at, left) else {
            at += (bytes.len() as u64).saturating_sub(HEADER_LEN as u64 - 1).max(1);
            continue;
        };
        at += skip;
        let len = header.record_len();
        if window.checksum(at, len)? == header.crc {
            if proves(&header) {
                return Ok(Survey::Proof(at));
            }
            at += len;
            continue;
        }
        // Checking cost this record's bytes and, if it is long, reading the window again.
        let cost = if len > WINDOW as u64 { len + WINDOW as u64 } else { len };
        let Some(rest) = effort.checked_sub(cost) else { return Ok(Survey::Undecided) };
        effort = rest;
        at += 1;
    }
    Ok(Survey::Nothing)
}

/// The first place in `bytes`, which lie at offset `at`, where a record's header may be.
pub(crate) fn candidate(bytes: &[u8], number: u64, at: u64, left: u64) -> Option<(u64, Header)> {
    (0u64..).zip(bytes.windows(HEADER_LEN)).find_map(|(skip, place)| {
        if !Header::names(place, number) {
            return None;
        }
        let header = Header::read(place);
        let fits = header.record_len() <= left.checked_sub(skip)? && header.belongs_at(at + skip);
        fits.then_some((skip, header))
    })
}
