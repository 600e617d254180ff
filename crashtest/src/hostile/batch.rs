//! The operations of a batch: there is one way to write each, so decoding and encoding gives the
//! same bytes.

use super::Outcome;
use kv_core::{Batch, Kind, decode_batch, split_expiry};

pub(super) fn run(input: &[u8]) -> Outcome {
    let Ok(ops) = decode_batch(input) else { return Ok(false) };
    if ops.remaining() as usize > input.len() {
        return Err("a batch declares more operations than it has bytes".to_owned());
    }
    let mut again = Batch::new();
    for op in ops {
        let Ok(op) = op else { return Ok(false) };
        match op.kind {
            Kind::Put => again.put(op.key, op.value),
            Kind::Delete => again.delete(op.key),
            Kind::RangeDelete => again.delete_range(op.key, op.value),
            Kind::PutExpiring => {
                let Some((expiry, value)) = split_expiry(op.value) else {
                    return Err("an expiring put without its expiry was taken".to_owned());
                };
                again.put_expiring(&[op.key], value, expiry);
            }
            kind => return Err(format!("a batch with the kind {kind:?} was taken")),
        }
    }
    if again.as_bytes() != input {
        return Err("a batch that was decoded is encoded in another way".to_owned());
    }
    Ok(true)
}
