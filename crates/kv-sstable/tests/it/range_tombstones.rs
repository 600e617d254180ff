//! Range tombstones are kept beside the entries and come back as they were given.

use crate::support::*;
use kv_core::{Cursor, Kind, RangeTombstone, RangeTombstones, Trailer, hash64};
use kv_sstable::{Access, BlockCache, TableOptions};
use proptest::prelude::*;

fn set() -> impl Strategy<Value = RangeTombstones> {
    let key = prop_oneof![
        prop::collection::vec(prop_oneof![Just(0u8), Just(b'a'), Just(0xFF)], 0..4),
        (0u32..50).prop_map(|n| format!("a/longer/key/{n:08}").into_bytes()),
    ];
    prop::collection::vec((key.clone(), key, 0u64..1 << 56), 0..20).prop_map(|ranges| {
        RangeTombstones::new(ranges.into_iter().map(|(start, end, seq)| RangeTombstone {
            start: start.into(),
            end: end.into(),
            seq,
        }))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_set_comes_back(set in set(), with_entry: bool) {
        let entry = (b"k".to_vec(), Trailer::new(3, Kind::Put), b"v".to_vec());
        let entries = if with_entry { vec![entry] } else { vec![] };
        let built = build(&entries, Some(&set), TableOptions::default());
        let table = built.open(BlockCache::new(1 << 16));
        prop_assert_eq!(&*table.range_tombstones().unwrap(), &set);
        prop_assert_eq!(forward(&mut table.cursor(Access::Cached)).unwrap(), entries.clone());
        prop_assert!(table.verify().is_empty(), "{:?}", table.verify());
        let summary = &built.summary;
        prop_assert_eq!(summary.range_tombstones, set.iter().count() as u64);
        let seqs = set.iter().map(|t| t.seq).chain(entries.iter().map(|e| e.1.seq()));
        let seqs: Vec<u64> = seqs.collect();
        prop_assert_eq!(summary.max_seq, seqs.iter().copied().max().unwrap_or(0));
        prop_assert_eq!(summary.min_seq, seqs.iter().copied().min().unwrap_or(u64::MAX));
        for t in set.iter() {
            prop_assert!(summary.smallest <= t.start && summary.largest >= t.end);
        }
    }
}

fn over(start: &'static str, end: &'static str) -> RangeTombstones {
    RangeTombstones::new([RangeTombstone { start: start.into(), end: end.into(), seq: 9 }])
}

#[test]
fn a_table_of_tombstones_alone_answers_no_entry() {
    let built = build(&[], Some(&over("a", "m")), TableOptions::default());
    let table = built.open(BlockCache::new(1 << 16));
    assert!(table.get(b"b", hash64(b"b"), 10).unwrap().is_none());
    let mut cursor = table.cursor(Access::Cached);
    cursor.last().unwrap();
    assert!(!cursor.valid());
    cursor.seek(b"b", Trailer::MAX).unwrap();
    assert!(!cursor.valid());
    cursor.seek_before(b"b").unwrap();
    assert!(!cursor.valid());
    assert!(table.split_keys(4).unwrap().is_empty());
    assert_eq!(table.approximate_offset(b"b").unwrap(), 0);
}

#[test]
fn the_bounds_tell_whether_the_largest_key_is_in_the_table() {
    let entries = [(b"k".to_vec(), Trailer::new(3, Kind::Put), b"v".to_vec())];
    let bounds = |set: &RangeTombstones| {
        let summary = build(&entries, Some(set), TableOptions::default()).summary;
        let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
        (text(&summary.smallest), text(&summary.largest), summary.largest_exclusive)
    };
    let expect = |a: &str, b: &str, exclusive| (a.to_string(), b.to_string(), exclusive);
    assert_eq!(bounds(&over("a", "m")), expect("a", "m", true));
    assert_eq!(bounds(&over("a", "b")), expect("a", "k", false));
    assert_eq!(bounds(&over("a", "k")), expect("a", "k", false));
    assert_eq!(bounds(&over("n", "p")), expect("k", "p", true));
}
