//! Bytes that no encoder wrote are an error with its place, never a panic.

use crate::values::{encode, items};
use kv_index::tuple::{END, MAX_DEPTH, NESTED};
use kv_index::{Item, Items, TooDeep, Tuple, Value, decode};
use proptest::prelude::*;

#[track_caller]
fn refused(bytes: &[u8], what: &str, at: usize) {
    let error = decode(bytes).unwrap_err();
    assert_eq!((error.what, error.at), (what, at), "{bytes:02x?}");
}

#[test]
fn each_violation_is_named_with_its_place() {
    refused(&[0x01, 0x00], "the end of a tuple that did not begin", 1);
    refused(&[0x04], "unknown kind of value", 0);
    refused(&[0x32], "unknown kind of value", 0);
    refused(&[0xFF], "unknown kind of value", 0);
    refused(&[0x01, 0x23, 0x01], "fewer bytes than declared", 2);
    refused(&[0x22, 0x00], "integer not in its shortest form", 1);
    refused(&[0x1F, 0xFF], "integer not in its shortest form", 1);
    refused(&[0x40, 0, 0], "cut short", 1);
    refused(&[0x50, b'a'], "string without an end", 1);
    refused(&[0x50, b'a', 0x00], "cut short", 2);
    refused(&[0x51, b'a', 0x00, 0x02], "unknown escape in a string", 2);
    refused(&[0x50, 0xFF, 0x00, 0x01], "text that is not UTF-8", 1);
    refused(&[0x60, 0x01], "cut short", 2);
    refused(&[0x60, 0xFF], "unknown kind of value", 1);
    // 2^127 and -2^127 - 1 do not fit.
    let mut wide = vec![0x31, 0x80];
    wide.resize(17, 0);
    refused(&wide, "integer not in its shortest form", 1);
    let mut wide = vec![0x10, 0x7F];
    wide.resize(17, 0xFF);
    refused(&wide, "integer not in its shortest form", 1);
}

#[test]
fn behind_an_error_nothing_comes() {
    let mut items = Items::new(&[0x01, 0x04, 0x01]);
    assert!(items.next().unwrap().is_ok());
    assert!(items.next().unwrap().is_err());
    assert!(items.next().is_none());
}

#[test]
fn nesting_is_bounded_in_both_directions() {
    let nested = |depth: usize| [vec![NESTED; depth], vec![END; depth]].concat();
    assert!(decode(&nested(MAX_DEPTH)).is_ok());
    refused(&nested(MAX_DEPTH + 1), "too many tuples inside each other", MAX_DEPTH);
    assert!(decode(&vec![NESTED; 1 << 20]).is_err());

    let value = (0..MAX_DEPTH).fold(Value::Null, |v, _| Value::Tuple(vec![Item::descending(v)]));
    let mut tuple = Tuple::new();
    tuple.push_item(&Item::ascending(value.clone())).unwrap();
    assert_eq!(decode(tuple.as_bytes()).unwrap(), [Item::ascending(value.clone())]);
    let before = tuple.clone();
    let deeper = Item::ascending(Value::Tuple(vec![Item::ascending(value)]));
    assert_eq!(tuple.push_item(&deeper).err(), Some(TooDeep));
    assert_eq!(tuple.push_tuple(&before).err(), Some(TooDeep));
    assert_eq!(tuple, before, "nothing was appended");
}

#[test]
fn depth_is_counted_over_all_ways_to_nest() {
    let mut tuple = Tuple::of(1);
    for _ in 0..MAX_DEPTH {
        let mut outer = Tuple::new();
        outer.push_tuple(&tuple).unwrap();
        tuple = Tuple::of(&outer);
    }
    assert!(decode(tuple.as_bytes()).is_ok());
    assert!(Tuple::new().push_tuple(&tuple).is_err());
    tuple.clear();
    assert!(Tuple::new().push_tuple(&tuple).is_ok());
}

/// What is accepted is what would have been written.
fn canonical(bytes: &[u8]) -> Result<(), TestCaseError> {
    match decode(bytes) {
        Ok(items) => prop_assert_eq!(encode(&items).into_bytes(), bytes),
        Err(error) => prop_assert!(error.at <= bytes.len(), "{}", error),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        canonical(&bytes)?;
    }

    #[test]
    fn damaged_tuples_are_read_or_refused(
        items in items(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&items).into_bytes();
        bytes.truncate(cut.index(bytes.len() + 1));
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        canonical(&bytes)?;
    }
}
