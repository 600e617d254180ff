//! Range tombstones answer by their definition, at every snapshot, however many there are.

use crate::put;
use kv_core::{RangeTombstone, SeqNo};
use kv_memtable::Memtable;
use proptest::collection::vec;
use proptest::prelude::*;

fn key(i: u16) -> [u8; 2] {
    i.to_be_bytes()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn covering_and_fragments_agree_with_the_definition(
        ranges in vec((0..40u16, 0..40u16), 0..150),
        asked in vec((0..40u16, 0..160u64), 60),
    ) {
        let table = Memtable::new(4096);
        for (seq, (from, to)) in (1..).zip(&ranges) {
            table.delete_range(&key(*from), &key(*to), seq);
        }
        let fragments = table.range_tombstones();
        prop_assert_eq!(table.has_range_deletes(), ranges.iter().any(|(from, to)| from < to));
        prop_assert_eq!(fragments.is_empty(), !table.has_range_deletes());
        for (at, snapshot) in asked {
            let want = (1..)
                .zip(&ranges)
                .filter(|&(seq, &(from, to))| seq <= snapshot && from <= at && at < to)
                .map(|(seq, _)| seq)
                .max()
                .unwrap_or(0);
            prop_assert_eq!(table.covering(&key(at), snapshot), want);
            prop_assert_eq!(fragments.covering(&key(at), snapshot), want);
        }
    }
}

#[test]
fn fragments_are_of_all_tombstones_so_far() {
    let table = Memtable::new(4096);
    for seq in 1..100u64 {
        table.delete_range(b"a", b"z", seq);
        assert_eq!(table.range_tombstones().covering(b"m", u64::MAX), seq);
        assert_eq!(table.range_tombstones().iter().count() as u64, seq);
    }
    let whole = RangeTombstone { start: "a".into(), end: "z".into(), seq: 1 };
    assert_eq!(table.range_tombstones().iter().last(), Some(whole));
}

#[test]
fn tombstones_count_as_memory_and_take_no_room_from_entries() {
    let table = Memtable::new(4096);
    let memory = table.memory();
    table.delete_range(b"b", b"a", 1);
    table.delete_range(b"b", b"b", 2);
    assert_eq!(table.memory(), memory, "empty ranges are nothing");
    for seq in 3..200 {
        table.delete_range(&[b'a'; 100], &[b'b'; 100], seq);
        assert!(table.memory() >= memory + (seq as usize - 2) * 200);
    }
    assert!(table.is_empty());
    put(&table, b"key", 200, &[0; 4000]).unwrap();
}

/// Ten thousand deletes, a question after each: quadratic work would take minutes here.
fn many(range: impl Fn(u64) -> (u64, u64), newest: impl Fn(u64, u64) -> SeqNo) {
    let table = Memtable::new(4096);
    for i in 0..10_000u64 {
        let (from, to) = range(i);
        table.delete_range(&from.to_be_bytes(), &to.to_be_bytes(), i + 1);
        for at in [0, from, to, i / 2] {
            let want = newest(i, at);
            assert_eq!(table.covering(&at.to_be_bytes(), u64::MAX), want, "{at} after {i}");
        }
    }
    assert!(table.memory() < 16 << 20, "{} bytes", table.memory());
}

#[test]
fn many_deletes_side_by_side() {
    many(|i| (i, i + 1), |last, at| if at <= last { at + 1 } else { 0 });
}

#[test]
fn many_deletes_of_one_range() {
    many(|_| (0, 10_000), |last, at| if at < 10_000 { last + 1 } else { 0 });
}

#[test]
fn many_deletes_that_cut_off_further_and_further() {
    many(|i| (0, i + 1), |last, at| if at <= last { last + 1 } else { 0 });
}

#[test]
fn deletes_and_questions_from_several_threads() {
    let table = Memtable::new(4096);
    std::thread::scope(|scope| {
        for writer in 0..3u64 {
            let table = &table;
            scope.spawn(move || {
                for i in 0..500 {
                    let seq = i * 3 + writer + 1;
                    table.delete_range(&seq.to_be_bytes(), &(seq + 1).to_be_bytes(), seq);
                    assert_eq!(table.covering(&seq.to_be_bytes(), seq), seq);
                }
            });
        }
    });
    assert_eq!(table.range_tombstones().iter().count(), 1500);
    assert!((1..=1500u64).all(|seq| table.covering(&seq.to_be_bytes(), u64::MAX) == seq));
}
