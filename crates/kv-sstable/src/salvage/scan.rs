//! Finds blocks by their checksums alone.

use crate::fetch::Source;
use crate::handle::Handle;
use crate::seal::{BlockType, MAX_BLOCK_LEN, TRAILER_LEN};
use bytes::Bytes;

/// How much is read at once.
const READ_LEN: usize = 256 << 10;
/// How far the end of a block is looked for where it is not known that one begins.
const PROBE_LEN: u64 = 64 << 10;
/// The greatest number of a codec.
const MAX_CODEC: u8 = 3;

/// The blocks between two places, and what lies between them that is none.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    pub(crate) blocks: Vec<(Handle, BlockType)>,
    pub(crate) gaps: Vec<(u64, u64)>,
    /// The last gap was not searched to its end: too much looks like blocks and is none.
    pub(crate) given_up: bool,
}

/// All blocks between `from`, where one begins, and `to`.
pub(crate) fn blocks(source: &Source, from: u64, to: u64) -> Scanned {
    let mut found = Scanned::default();
    let mut at = from;
    let mut longest = PROBE_LEN;
    // Guessing costs a few times the bytes of the file at most.
    let mut effort = to.saturating_sub(from).saturating_mul(16).saturating_add(256 << 20);
    while at < to {
        let near = to.min(at.saturating_add(longest));
        let mut block = block_at(source, at, near);
        // Most blocks are short, so the next one behind a damaged one is looked for nearby first,
        // and a block that is longer than any before only where there is none.
        let mut next = None;
        if block.is_none() {
            let budget = effort.min(longest.saturating_mul(64));
            let mut left = budget;
            next = next_start(source, at, near, to, longest, &mut left);
            effort -= budget - left;
            if next.is_none() && near < to && effort >= to - near {
                effort -= to - near;
                block = block_at(source, at, to);
            }
        }
        if let Some((handle, kind)) = block {
            longest = longest.max(4 * handle.sealed_len());
            at = handle.offset + handle.sealed_len();
            found.blocks.push((handle, kind));
            continue;
        }
        let next = next.or_else(|| next_start(source, at, to, to, longest, &mut effort));
        found.given_up |= next.is_none() && effort == 0;
        let gap = at;
        at = next.unwrap_or(to);
        found.gaps.push((gap, at));
    }
    found
}

/// Where the first block behind a trailer between `from` and `upto` begins, or `to` where a
/// trailer ends there. A damaged block's own trailer tells it, unless it is hit too.
fn next_start(
    source: &Source,
    from: u64,
    upto: u64,
    to: u64,
    longest: u64,
    effort: &mut u64,
) -> Option<u64> {
    let mut trailers = Trailers::new(source, from, upto);
    while let Some(trailer) = trailers.next() {
        let start = trailer + TRAILER_LEN as u64;
        let reach = to.min(start.saturating_add(longest));
        if start == to || block_at(source, start, reach).is_some() {
            return Some(start);
        }
        *effort = effort.saturating_sub(reach - start);
        if *effort == 0 {
            return None;
        }
    }
    None
}

/// The block that begins at `at` and ends before `to`.
fn block_at(source: &Source, at: u64, to: u64) -> Option<(Handle, BlockType)> {
    let to = to.min(at.saturating_add((MAX_BLOCK_LEN + TRAILER_LEN) as u64));
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&source.number.to_le_bytes());
    hasher.update(&at.to_le_bytes());
    let mut hashed = at;
    let mut trailers = Trailers::new(source, at, to);
    while let Some(place) = trailers.next() {
        if !trailers.hash_up_to(&mut hasher, &mut hashed, place) {
            return None;
        }
        let Some((meta, stored)) = trailers.trailer_at(place) else { continue };
        let mut with_meta = hasher.clone();
        with_meta.update(&meta);
        let [_, kind, ..] = meta;
        if with_meta.finalize() == stored {
            let len = u32::try_from(place - at).ok()?;
            return Some((Handle { offset: at, len }, kind_of(kind)?));
        }
    }
    None
}

fn kind_of(byte: u8) -> Option<BlockType> {
    let all = [
        BlockType::Data,
        BlockType::Index,
        BlockType::TopIndex,
        BlockType::Filter,
        BlockType::RangeTombstones,
        BlockType::Properties,
    ];
    all.into_iter().find(|kind| *kind as u8 == byte)
}

/// The places where the bytes look like a block's trailer.
struct Trailers<'a> {
    source: &'a Source,
    /// Where the next look is.
    at: u64,
    end: u64,
    window: Bytes,
    start: u64,
}

impl Trailers<'_> {
    fn new(source: &Source, at: u64, end: u64) -> Trailers<'_> {
        Trailers { source, at, end, window: Bytes::new(), start: at }
    }

    fn next(&mut self) -> Option<u64> {
        while self.at + TRAILER_LEN as u64 <= self.end {
            let window = self.window_at(self.at)?;
            let found = window.windows(TRAILER_LEN).position(|bytes| match bytes {
                [codec, kind, 0, 0, ..] => *codec <= MAX_CODEC && kind_of(*kind).is_some(),
                _ => false,
            });
            match found {
                Some(skip) => {
                    let place = self.at + skip as u64;
                    self.at = place + 1;
                    return Some(place);
                }
                None => self.at += (window.len() - (TRAILER_LEN - 1)) as u64,
            }
        }
        None
    }

    /// At least a trailer's bytes at `at`, read if need be. `None` where that fails.
    fn window_at(&mut self, at: u64) -> Option<Bytes> {
        let have = self.start + self.window.len() as u64;
        if at < self.start || at + TRAILER_LEN as u64 > have {
            let len = usize::try_from(self.end - at).map_or(READ_LEN, |left| left.min(READ_LEN));
            self.window = self.source.read(at, len).ok()?;
            self.start = at;
        }
        let skip = usize::try_from(at - self.start).ok()?;
        (skip <= self.window.len()).then(|| self.window.slice(skip..))
    }

    fn trailer_at(&mut self, place: u64) -> Option<([u8; 4], u32)> {
        let window = self.window_at(place)?;
        let meta = window.first_chunk::<4>()?;
        let stored = window.get(4..8)?.first_chunk::<4>()?;
        Some((*meta, u32::from_le_bytes(*stored)))
    }

    /// Takes the bytes up to `place` into the checksum.
    fn hash_up_to(&mut self, hasher: &mut crc32fast::Hasher, hashed: &mut u64, place: u64) -> bool {
        while *hashed < place {
            let from = hashed.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
            let in_window = from.and_then(|from| {
                let len = usize::try_from(place - *hashed).unwrap_or(usize::MAX);
                let upto = from.saturating_add(len).min(self.window.len());
                self.window.get(from..upto).filter(|bytes| !bytes.is_empty())
            });
            match in_window {
                Some(bytes) => {
                    hasher.update(bytes);
                    *hashed += bytes.len() as u64;
                }
                None => {
                    let left = usize::try_from(place - *hashed).unwrap_or(READ_LEN);
                    match self.source.read(*hashed, left.min(READ_LEN)) {
                        Ok(bytes) => {
                            hasher.update(&bytes);
                            *hashed += bytes.len() as u64;
                        }
                        Err(_) => return false,
                    }
                }
            }
        }
        true
    }
}
