//! Bytes compare as values do.

use crate::values::{encode, items, pair, value};
use kv_index::{Desc, Item, Tuple, decode};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_order_of_bytes_is_the_order_of_values((a, b) in pair()) {
        let (x, y) = (encode(&a), encode(&b));
        prop_assert_eq!(x.as_bytes().cmp(y.as_bytes()), a.cmp(&b));
        prop_assert_eq!(x.cmp(&y), a.cmp(&b));
    }

    #[test]
    fn descending_turns_the_order_round(a in value(), b in value()) {
        let x = encode(&[Item::descending(a.clone())]);
        let y = encode(&[Item::descending(b.clone())]);
        prop_assert_eq!(x.as_bytes().cmp(y.as_bytes()), b.cmp(&a));
    }

    #[test]
    fn what_is_written_is_read(items in items()) {
        let tuple = encode(&items);
        prop_assert_eq!(decode(tuple.as_bytes()).unwrap(), items);
    }

    #[test]
    fn the_first_items_are_a_prefix(items in items(), cut in any::<prop::sample::Index>()) {
        let (tuple, at) = (encode(&items), cut.index(items.len() + 1));
        let first = encode(&items[..at]);
        prop_assert!(tuple.as_bytes().starts_with(first.as_bytes()));
        let mut end = first.into_bytes();
        end.push(0xFF);
        prop_assert!(tuple.as_bytes() < end.as_slice());
    }

    #[test]
    fn no_item_is_a_prefix_of_another((a, b) in pair()) {
        let len = a.len().min(b.len());
        let (x, y) = (encode(&a[..len]), encode(&b[..len]));
        prop_assert_eq!(x.as_bytes().starts_with(y.as_bytes()), a[..len] == b[..len]);
    }

    #[test]
    fn integers_compare_across_their_types(a in any::<i64>(), b in any::<u64>(), c in any::<i8>()) {
        let wide = |n: i128| Tuple::of(n);
        prop_assert_eq!(Tuple::of(a), wide(i128::from(a)));
        prop_assert_eq!(Tuple::of(b), wide(i128::from(b)));
        prop_assert_eq!(Tuple::of(a).cmp(&Tuple::of(b)), i128::from(a).cmp(&i128::from(b)));
        prop_assert_eq!(Tuple::of(c).cmp(&Tuple::of(b)), i128::from(c).cmp(&i128::from(b)));
    }

    #[test]
    fn a_prefix_of_text_finds_the_texts_with_it(text in "[\\x00ab]{0,4}", start in "[\\x00ab]{0,2}") {
        let found = Tuple::of((7, text.as_str())).as_bytes().starts_with(&Tuple::of(7).text_prefix(&start));
        prop_assert_eq!(found, text.starts_with(&start));
    }
}

#[test]
fn floats_have_a_total_order() {
    let ascending = [
        -f64::NAN,
        f64::NEG_INFINITY,
        f64::MIN,
        -1.0,
        -f64::MIN_POSITIVE,
        -5e-324,
        -0.0,
        0.0,
        5e-324,
        1.0,
        f64::MAX,
        f64::INFINITY,
        f64::NAN,
    ];
    for pair in ascending.windows(2) {
        assert!(Tuple::of(pair[0]) < Tuple::of(pair[1]), "{pair:?}");
        assert!(Tuple::of(Desc(pair[0])) > Tuple::of(Desc(pair[1])), "{pair:?}");
    }
}

#[test]
fn a_column_of_both_directions_sorts_within_each() {
    let mut rows = [("a", 1), ("a", 2), ("b", 1), ("b", 3)];
    rows.sort_by_key(|(name, year)| Tuple::of((*name, Desc(*year))));
    assert_eq!(rows, [("a", 2), ("a", 1), ("b", 3), ("b", 1)]);
}
