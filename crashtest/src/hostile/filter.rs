//! A filter: both ways to ask it agree, whatever its bytes are.

use super::Outcome;
use kv_sstable::{Filter, filter_may_contain};

pub(super) fn run(input: &[u8]) -> Outcome {
    let loaded = Filter::load(input);
    let hashes = (0..64u64).map(|n| kv_core::hash64(&n.to_le_bytes()));
    for hash in hashes.chain([0, 1, u64::MAX]) {
        let asked = filter_may_contain(input, hash);
        if asked != loaded.as_ref().map(|filter| filter.may_contain(hash)) {
            return Err("a loaded filter answers otherwise than its bytes".to_owned());
        }
    }
    Ok(loaded.is_some())
}
