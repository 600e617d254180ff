//! A memtable answers like a map that is sorted by key, then newest first.

use crate::{backward, entry, forward, get, put};
use kv_core::{Cursor, SeqNo, Trailer};
use kv_memtable::Memtable;
use proptest::collection::vec;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Short keys over few bytes, so that they share prefixes, heads and often all of them.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(b'a'), Just(b'b'), Just(0xFF)];
    prop_oneof![vec(byte.clone(), 0..4), vec(byte, 6..12)]
}

type Model = BTreeMap<(Vec<u8>, Reverse<SeqNo>), Vec<u8>>;

fn fill(keys: &[Vec<u8>], prefix: &[u8]) -> (Arc<Memtable>, Model) {
    let table = Arc::new(Memtable::with_prefix(1 << 20, prefix));
    let mut model = Model::new();
    for (seq, key) in (1..).zip(keys) {
        let value = seq.to_string().into_bytes();
        put(&table, key, seq, &value).unwrap();
        model.insert((key.clone(), Reverse(seq)), value);
    }
    (table, model)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_directions_and_every_get_agree(
        keys in vec(key(), 0..200),
        prefix in key(),
        asked in vec((key(), 0..250u64), 50),
    ) {
        let (table, model) = fill(&keys, &prefix);
        let entries: Vec<_> =
            model.iter().map(|((k, seq), v)| (k.clone(), seq.0, v.clone())).collect();
        prop_assert_eq!(&forward(&table), &entries);
        prop_assert_eq!(&backward(&table), &entries);
        prop_assert_eq!(table.len(), entries.len());
        for (key, snapshot) in keys.iter().map(|k| (k.clone(), u64::MAX >> 8)).chain(asked) {
            let versions = (key.clone(), Reverse(snapshot))..=(key.clone(), Reverse(0));
            let want = model.range(versions).next().map(|((_, seq), v)| (seq.0, &v[..]));
            prop_assert_eq!(get(&table, &key, snapshot), want);
        }
    }

    #[test]
    fn a_cursor_goes_where_it_is_sent(
        keys in vec(key(), 0..100),
        prefix in key(),
        moves in vec((key(), 0..120u64, 0..6usize), 100),
    ) {
        let (table, model) = fill(&keys, &prefix);
        let entries: Vec<_> =
            model.iter().map(|((k, seq), v)| (k.clone(), seq.0, v.clone())).collect();
        let mut cursor = table.cursor();
        // The place that the model stands on.
        let mut at: Option<usize> = None;
        for (key, snapshot, step) in moves {
            let Ok(()) = match step {
                0 => { at = Some(0); cursor.first() }
                1 => { at = entries.len().checked_sub(1); cursor.last() }
                2 => {
                    let target = (&key, Reverse(snapshot));
                    at = Some(entries.partition_point(|e| (&e.0, Reverse(e.1)) < target));
                    cursor.seek(&key, Trailer::upper_bound(snapshot))
                }
                3 => {
                    at = entries.partition_point(|e| e.0 < key).checked_sub(1);
                    cursor.seek_before(&key)
                }
                4 => { at = at.map(|at| at + 1); cursor.next() }
                _ => { at = at.and_then(|at| at.checked_sub(1)); cursor.prev() }
            };
            at = at.filter(|&at| at < entries.len());
            prop_assert_eq!(entry(&cursor), at.map(|at| entries[at].clone()));
        }
    }

    #[test]
    fn the_common_prefix_is_what_all_keys_begin_with(keys in vec(key(), 0..10)) {
        let (table, _) = fill(&keys, b"");
        let common = table.common_prefix();
        prop_assert!(keys.iter().all(|key| key.starts_with(common)));
        if keys.iter().any(|key| *key != keys[0]) {
            prop_assert!(keys.iter().any(|key| key.get(common.len()) != keys[0].get(common.len())));
        } else {
            prop_assert!(common.is_empty());
        }
    }
}
