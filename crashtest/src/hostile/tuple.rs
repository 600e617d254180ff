//! Tuples: each has one form, so decoding and encoding gives the same bytes; and two of them sort
//! as their bytes do.

use super::Outcome;
use super::bytes::part;
use kv_index::{Item, Tuple, decode};

/// The input is two tuples, the first behind its length.
pub(super) fn run(input: &[u8]) -> Outcome {
    let mut rest = input;
    let first = part(&mut rest);
    let (Some(a), Some(b)) = (decoded(first)?, decoded(rest)?) else { return Ok(false) };
    // Where one is the beginning of the other, the shorter one comes first either way.
    if a.cmp(&b) != first.cmp(rest) {
        return Err("two tuples sort otherwise than their bytes".to_owned());
    }
    Ok(true)
}

fn decoded(bytes: &[u8]) -> Result<Option<Vec<Item<'_>>>, String> {
    let Ok(items) = decode(bytes) else { return Ok(None) };
    if items.len() > bytes.len() {
        return Err("a tuple has more items than bytes".to_owned());
    }
    let mut again = Tuple::new();
    for item in &items {
        again.push_item(item).map_err(|_| "a tuple was decoded that is too deep".to_owned())?;
    }
    if again.as_bytes() != bytes {
        return Err("a tuple that was decoded is encoded in another way".to_owned());
    }
    Ok(Some(items))
}
