//! Any values, for the properties.

use kv_index::{Item, Tuple, Value};
use proptest::prelude::*;
use std::borrow::Cow;

/// Integers close to where the number of bytes changes, and any.
fn int() -> impl Strategy<Value = i128> {
    let close =
        (0_u32..128, -2_i128..=2).prop_map(|(shift, off)| (1_i128 << shift).wrapping_add(off));
    prop_oneof![-300_i128..300, close.clone(), close.prop_map(|n| !n), any::<i128>()]
}

fn float() -> impl Strategy<Value = f64> {
    let special = [0.0, -0.0, 1.0, f64::MIN, f64::MAX, f64::INFINITY, f64::NAN, -f64::NAN];
    prop_oneof![proptest::sample::select(special.to_vec()), any::<u64>().prop_map(f64::from_bits)]
}

/// Short, and full of what is escaped.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0), Just(1), Just(0xFE), Just(0xFF), any::<u8>()];
    proptest::collection::vec(byte, 0..6)
}

fn text() -> impl Strategy<Value = String> {
    let char = prop_oneof![Just('\0'), Just('\u{1}'), Just('a'), Just('é'), any::<char>()];
    proptest::collection::vec(char, 0..5).prop_map(String::from_iter)
}

pub(crate) fn value() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        int().prop_map(Value::Int),
        float().prop_map(Value::Float),
        text().prop_map(|text| Value::Text(Cow::Owned(text))),
        bytes().prop_map(|bytes| Value::Bytes(Cow::Owned(bytes))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let item =
            (inner, any::<bool>()).prop_map(|(value, descending)| Item { value, descending });
        proptest::collection::vec(item, 0..4).prop_map(Value::Tuple)
    })
}

pub(crate) fn items() -> impl Strategy<Value = Vec<Item<'static>>> {
    let item = (value(), any::<bool>()).prop_map(|(value, descending)| Item { value, descending });
    proptest::collection::vec(item, 0..5)
}

/// Two tuples that have some first items in common, so that comparisons go deep.
pub(crate) fn pair() -> impl Strategy<Value = (Vec<Item<'static>>, Vec<Item<'static>>)> {
    (items(), items(), items())
        .prop_map(|(head, a, b)| ([head.clone(), a].concat(), [head, b].concat()))
}

pub(crate) fn encode(items: &[Item<'_>]) -> Tuple {
    let mut tuple = Tuple::new();
    for item in items {
        tuple.push_item(item).unwrap();
    }
    tuple
}
