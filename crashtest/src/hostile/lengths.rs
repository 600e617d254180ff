//! Lengths that lie: numbers in more bytes than they need, and compressed blocks that declare what
//! they do not hold.

use super::Outcome;
use super::block::around;
use super::bytes::{first, put_at};
use super::table::exercise;
use kv_core::{Take, put_varint};

/// `what u8 | bytes`: 0 numbers, else a data block compressed with that codec, whose first
/// four bytes are the length that it declares.
pub(super) fn run(mut input: &[u8]) -> Outcome {
    match first(&mut input) % 4 {
        0 => numbers(input),
        codec => exercise(&around(0, codec, input)?),
    }
}

/// Numbers and parts one behind the other; there is one way to write each.
fn numbers(input: &[u8]) -> Outcome {
    let mut take = Take::new(input);
    let mut again = Vec::new();
    let mut whole = true;
    while !take.is_empty() {
        let before = take.clone();
        if let Ok(part) = take.length_prefixed() {
            put_varint(&mut again, part.len() as u64);
            again.extend_from_slice(part);
            continue;
        }
        take = before;
        match take.varint() {
            Ok(number) => put_varint(&mut again, number),
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    if whole && again != input {
        return Err("a number that was decoded is encoded in another way".to_owned());
    }
    Ok(whole)
}

/// A compressed block that declares `declared` bytes and holds those of `packed`.
pub(super) fn bomb(codec: u8, declared: u32, packed: &[u8]) -> Vec<u8> {
    let mut input = vec![codec, 0, 0, 0, 0];
    put_at(&mut input, 1, &declared.to_le_bytes());
    input.extend_from_slice(packed);
    input
}
