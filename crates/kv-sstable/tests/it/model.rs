//! A table answers what a sorted list of its entries answers, however it is laid out.

use crate::support::*;
use kv_core::{Cursor, Kind, MAX_SEQ, Trailer, hash64};
use kv_sstable::{Access, BlockCache, Table, TableCursor, TableOptions};
use proptest::prelude::*;
use std::sync::Arc;

/// Keys that share prefixes, are prefixes of each other, are empty or end in zeros.
fn key() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(b'a'), Just(b'b'), Just(0xFF)];
    prop_oneof![
        4 => prop::collection::vec(byte.clone(), 0..4),
        4 => (0u32..400).prop_map(|n| format!("user/{n:016}").into_bytes()),
        2 => (0u32..40).prop_map(|n| n.to_be_bytes().to_vec()),
        1 => prop::collection::vec(byte, 250..270),
        1 => (0usize..12).prop_map(|n| vec![b'k'; 8 * n]),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => Just(b"fixed".to_vec()),
        8 => prop::collection::vec(any::<u8>(), 0..40),
        4 => (any::<u8>(), 0usize..2000).prop_map(|(byte, n)| vec![byte; n]),
        1 => (any::<u8>(), Just(100 << 10)).prop_map(|(byte, n)| vec![byte; n]),
    ]
}

fn trailer() -> impl Strategy<Value = Trailer> {
    let seq = prop_oneof![4 => 0u64..6, 2 => 0u64..70_000, 1 => Just(MAX_SEQ), 1 => 0..=MAX_SEQ];
    let kind = prop_oneof![6 => Just(Kind::Put), 2 => Just(Kind::Delete), 1 => Just(Kind::Merge)];
    (seq, kind).prop_map(|(seq, kind)| Trailer::new(seq, kind))
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let any = prop::collection::vec((key(), trailer(), value()), 0..120);
    let versions =
        (key(), prop::collection::vec((trailer(), value()), 0..80)).prop_map(|(key, versions)| {
            versions.into_iter().map(|(trailer, value)| (key.clone(), trailer, value)).collect()
        });
    let plain = prop::collection::vec(key(), 0..200).prop_map(|keys| {
        let one = Trailer::new(0, Kind::Put);
        keys.into_iter().map(|key| (key, one, b"0123456789".to_vec())).collect()
    });
    (any, versions, plain, 0..4).prop_map(|(a, b, c, which): (Vec<Entry>, Vec<_>, Vec<_>, _)| {
        let mut all = match which {
            0 => a,
            1 => b,
            2 => c,
            _ => [a, b, c].concat(),
        };
        sort(&mut all);
        all
    })
}

fn options() -> impl Strategy<Value = TableOptions> {
    let size = prop_oneof![Just(1usize), Just(64), Just(200), Just(4096), Just(64 << 10)];
    let bits = prop_oneof![Just(0.0), Just(10.0)];
    let compression = prop::sample::select(compressions());
    (size, bits, compression).prop_map(|(block_size, bloom_bits, compression)| TableOptions {
        block_size,
        bloom_bits,
        compression,
    })
}

/// Targets around every entry: its neighbours in key and in version.
fn targets(entries: &[Entry]) -> Vec<(Vec<u8>, Trailer)> {
    let mut targets = vec![(vec![], Trailer::MAX), (vec![0xFF; 9], Trailer::MAX)];
    for (key, trailer, _) in entries {
        let longer = [key.as_slice(), &[0]].concat();
        let shorter = key[..key.len().saturating_sub(1)].to_vec();
        for key in [key.clone(), longer, shorter] {
            targets.push((key.clone(), Trailer::MAX));
            targets.push((key.clone(), *trailer));
            targets.push((key, Trailer::from_raw(0)));
        }
        targets.push((key.clone(), Trailer::from_raw(trailer.raw().saturating_sub(1))));
    }
    targets
}

fn check_gets(table: &Table, entries: &[Entry]) {
    for (key, trailer) in targets(entries) {
        for snapshot in [trailer.seq(), trailer.seq().saturating_sub(1), MAX_SEQ] {
            let got = table.get(&key, hash64(&key), snapshot).unwrap();
            assert_eq!(got, expected(entries, &key, snapshot));
        }
    }
}

fn check_seeks(cursor: &mut TableCursor, entries: &[Entry]) {
    for (key, trailer) in targets(entries) {
        let at = entries.partition_point(|entry| is_before(entry, &key, trailer));
        cursor.seek(&key, trailer).unwrap();
        assert_eq!(here(cursor).as_ref(), entries.get(at));
        let at = entries.partition_point(|entry| entry.0 < key);
        cursor.seek_before(&key).unwrap();
        assert_eq!(here(cursor).as_ref(), at.checked_sub(1).map(|at| &entries[at]));
    }
}

/// Follows a path of steps, forth and back, and jumps.
fn check_walk(cursor: &mut TableCursor, entries: &[Entry], steps: &[(bool, u8)]) {
    let Some(last) = entries.len().checked_sub(1) else { return };
    let mut at = Some(0);
    cursor.first().unwrap();
    for (forth, count) in steps {
        for _ in 0..*count {
            if *forth {
                cursor.next().unwrap()
            } else {
                cursor.prev().unwrap()
            }
            at = match at {
                Some(i) if *forth => (i < last).then_some(i + 1),
                Some(i) => i.checked_sub(1),
                None => None,
            };
            assert_eq!(here(cursor).as_ref(), at.map(|i| &entries[i]));
        }
        if at.is_none() {
            let i = usize::from(*count) % entries.len();
            cursor.seek(&entries[i].0, entries[i].1).unwrap();
            at = Some(i);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_table_agrees_with_the_model(
        entries in entries(),
        options in options(),
        steps in prop::collection::vec((any::<bool>(), 0u8..40), 0..12),
        cache in prop_oneof![Just(0usize), Just(1 << 12), Just(1 << 22)],
        readahead in prop_oneof![Just(0usize), Just(100), Just(1 << 16), Just(1 << 20)],
    ) {
        let table = build(&entries, None, options).open(BlockCache::new(cache));
        prop_assert_eq!(table.entries(), entries.len() as u64);
        for access in [Access::Cached, Access::Scan { readahead }] {
            let mut cursor = table.cursor(access);
            prop_assert!(!cursor.valid());
            prop_assert_eq!(&forward(&mut cursor).unwrap(), &entries);
            let mut reversed = backward(&mut cursor).unwrap();
            reversed.reverse();
            prop_assert_eq!(&reversed, &entries);
            check_seeks(&mut cursor, &entries);
            check_walk(&mut cursor, &entries, &steps);
        }
        check_gets(&table, &entries);
        prop_assert!(table.verify().is_empty(), "{:?}", table.verify());
    }
}

/// Enough blocks for several index partitions.
#[test]
fn many_partitions_agree_with_the_model() {
    let mut entries: Vec<Entry> = (0..3000u32)
        .map(|n| {
            let key = format!("key{:05}", n / 3).into_bytes();
            (key, Trailer::new(u64::from(n % 3) + 1, Kind::Put), n.to_le_bytes().to_vec())
        })
        .collect();
    sort(&mut entries);
    let options = TableOptions { block_size: 40, ..TableOptions::default() };
    let built = build(&entries, None, options);
    let table: Arc<Table> = built.open(BlockCache::new(1 << 20));
    let properties = table.properties().unwrap();
    assert!(properties.index_partitions > 4, "{properties:?}");
    assert!(table.verify().is_empty(), "{:?}", table.verify());
    let mut cursor = table.cursor(Access::Cached);
    assert_eq!(forward(&mut cursor).unwrap(), entries);
    check_seeks(&mut cursor, &entries);
    check_gets(&table, &entries);
    check_seeks(&mut table.cursor(Access::Scan { readahead: 4096 }), &entries);
}
