//! Changes to an input. A change that lies inside a record keeps the record's length right, so
//! that what follows is still found; checksums are the target's affair.

use super::random::Random;
use kv_crashtest::hostile::bytes::{first, part, put_at, put_part, u32_at};
use kv_crashtest::hostile::{Target, records};

/// The longest stretch that is copied, moved or removed at once.
const STRETCH: usize = 96;

/// Numbers on which lengths, counts and offsets break.
const INTERESTING: [u64; 24] = [
    0,
    1,
    2,
    7,
    8,
    12,
    31,
    32,
    64,
    127,
    128,
    255,
    256,
    0x7FFF,
    0xFFFF,
    0x1_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x1_0000_0000,
    1 << 56,
    i64::MAX as u64,
    u64::MAX - 1,
    u64::MAX,
];

/// What happens to some bytes. Places are taken modulo the length.
#[derive(Clone, Debug)]
enum Change {
    Flip {
        at: usize,
        bit: u32,
    },
    Set {
        at: usize,
        byte: u8,
    },
    /// A little-endian number of 1, 2, 4 or 8 bytes.
    Number {
        at: usize,
        width: usize,
        number: u64,
    },
    /// A number that is there becomes a little more or less.
    Add {
        at: usize,
        width: usize,
        by: u64,
    },
    Varint {
        at: usize,
        number: u64,
    },
    Copy {
        from: usize,
        to: usize,
        len: usize,
    },
    Insert {
        from: usize,
        to: usize,
        len: usize,
    },
    Remove {
        at: usize,
        len: usize,
    },
    Cut {
        at: usize,
    },
    Fill {
        at: usize,
        len: usize,
        byte: u8,
    },
}

/// One change and where it happens.
#[derive(Clone, Debug)]
pub(super) struct Edit {
    part: usize,
    /// Inside this record of the part, or to it as a whole.
    record: Option<usize>,
    whole_records: bool,
    change: Change,
}

impl Edit {
    pub(super) fn random(random: &mut Random, len: usize) -> Edit {
        Edit {
            part: random.below(1 << 16),
            record: if random.one_in(2) { Some(random.below(1 << 16)) } else { None },
            whole_records: random.one_in(12),
            change: Change::random(random, len.max(1)),
        }
    }
}

/// The input behind all edits.
pub(super) fn apply(target: Target, seed: &[u8], flags: Option<u8>, edits: &[Edit]) -> Vec<u8> {
    let (mut head, mut parts) = take_apart(target, seed);
    if let (Some(flags), Some(first)) = (flags, head.first_mut()) {
        *first = flags;
    }
    let places: Vec<usize> = match target {
        // Bytes of files, and now and then their names and the script.
        Target::Dir => {
            (0..parts.len()).flat_map(|n| vec![n; if n % 2 == 0 { 12 } else { 1 }]).collect()
        }
        _ => (0..parts.len()).collect(),
    };
    for edit in edits {
        let place = places.get(edit.part % places.len().max(1)).copied().unwrap_or(0);
        let Some(part) = parts.get_mut(place) else { continue };
        let spans = match target {
            Target::Log | Target::Manifest | Target::Dir => records::spans(part),
            _ => Vec::new(),
        };
        match edit.record {
            Some(record) if !spans.is_empty() => {
                let span = spans[record % spans.len()].clone();
                if edit.whole_records {
                    change_records(part, span, &edit.change);
                } else {
                    change_payload(part, span, &edit.change);
                }
            }
            _ => edit.change.apply(part),
        }
    }
    put_together(target, head, &parts)
}

fn take_apart(target: Target, seed: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut rest = seed;
    match target {
        Target::Filter | Target::Batch | Target::Tuple => (Vec::new(), vec![rest.to_vec()]),
        Target::Log | Target::Dir => {
            let head = vec![first(&mut rest)];
            let mut parts = Vec::new();
            while !rest.is_empty() {
                parts.push(part(&mut rest).to_vec());
            }
            (head, parts)
        }
        _ => (vec![first(&mut rest)], vec![rest.to_vec()]),
    }
}

fn put_together(target: Target, mut head: Vec<u8>, parts: &[Vec<u8>]) -> Vec<u8> {
    for part in parts {
        match target {
            Target::Log | Target::Dir => put_part(&mut head, part),
            _ => head.extend_from_slice(part),
        }
    }
    head
}

/// Changes a record's payload, and its length with it.
fn change_payload(file: &mut Vec<u8>, span: std::ops::Range<usize>, change: &Change) {
    let payload = span.start + records::HEADER_LEN..span.end;
    let mut bytes = file.get(payload.clone()).unwrap_or_default().to_vec();
    if bytes.is_empty() {
        return;
    }
    change.apply(&mut bytes);
    put_at(file, span.start + 4, &(bytes.len() as u32).to_le_bytes());
    file.splice(payload, bytes);
}

/// Drops, doubles or moves a record.
fn change_records(file: &mut Vec<u8>, span: std::ops::Range<usize>, change: &Change) {
    let record = file.get(span.clone()).unwrap_or_default().to_vec();
    match change {
        Change::Remove { .. } | Change::Cut { .. } => drop(file.drain(span)),
        Change::Copy { .. } | Change::Insert { .. } => {
            file.splice(span.start..span.start, record);
        }
        _ => {
            file.drain(span);
            file.splice(0..0, record);
        }
    }
}

impl Change {
    fn random(random: &mut Random, len: usize) -> Change {
        let at = random.below(len);
        let stretch = 1 + random.below(STRETCH);
        let width = random.pick(&[1, 2, 4, 4, 8], 4);
        match random.below(14) {
            0 | 1 => Change::Flip { at, bit: random.below(8) as u32 },
            2 => Change::Set { at, byte: random.next() as u8 },
            3..=5 => Change::Number { at, width, number: interesting(random, len) },
            6 | 7 => {
                let by = 1 + random.below(16) as u64;
                Change::Add { at, width, by: if random.one_in(2) { by } else { by.wrapping_neg() } }
            }
            8 => Change::Varint { at, number: interesting(random, len) },
            9 => Change::Copy { from: random.below(len), to: at, len: stretch },
            10 => Change::Insert { from: random.below(len), to: at, len: stretch },
            11 => Change::Remove { at, len: stretch },
            12 => Change::Cut { at },
            _ => Change::Fill { at, len: stretch, byte: random.pick(&[0, 0xFF, 0x80], 0) },
        }
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        if len == 0 {
            return;
        }
        let stretch = |at: usize, wanted: usize| at % len..(at % len + wanted).min(len);
        match self {
            Change::Flip { at, bit } => bytes[at % len] ^= 1 << bit,
            Change::Set { at, byte } => bytes[at % len] = *byte,
            Change::Number { at, width, number } => put_number(bytes, at % len, *width, *number),
            Change::Add { at, width, by } => {
                let old = u32_at(bytes, at % len).unwrap_or(0);
                put_number(bytes, at % len, *width, u64::from(old).wrapping_add(*by));
            }
            Change::Varint { at, number } => {
                let mut new = Vec::new();
                kv_core::put_varint(&mut new, *number);
                put_at(bytes, at % len, &new);
            }
            Change::Copy { from, to, len: wanted } => {
                let new = bytes[stretch(*from, *wanted)].to_vec();
                let to = stretch(*to, new.len());
                let kept = to.len();
                bytes[to].copy_from_slice(&new[..kept]);
            }
            Change::Insert { from, to, len: wanted } => {
                let new = bytes[stretch(*from, *wanted)].to_vec();
                bytes.splice(to % len..to % len, new);
            }
            Change::Remove { at, len: wanted } => drop(bytes.drain(stretch(*at, *wanted))),
            Change::Cut { at } => bytes.truncate(at % len),
            Change::Fill { at, len: wanted, byte } => bytes[stretch(*at, *wanted)].fill(*byte),
        }
    }
}

fn put_number(bytes: &mut [u8], at: usize, width: usize, number: u64) {
    let number = number.to_le_bytes();
    put_at(bytes, at, number.get(..width).unwrap_or(&number));
}

fn interesting(random: &mut Random, len: usize) -> u64 {
    match random.below(4) {
        0 => (len as u64).wrapping_add(random.next() % 3).wrapping_sub(1),
        1 => random.next() % (len as u64 + 1),
        _ => random.pick(&INTERESTING, 0),
    }
}
