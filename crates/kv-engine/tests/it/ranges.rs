//! Reading ranges and prefixes, in every form of bounds, against a sorted map.

use crate::support::*;
use kv_engine::Db;
use std::ops::Bound::{self, Excluded, Included, Unbounded};

const PLACES: [&str; 9] = ["", "a", "b", "bb", "c", "d", "dd", "e", "f"];
const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn sample(w: &World) -> (Db, Model) {
    let db = w.open();
    let mut model = Model::new();
    for (i, k) in KEYS.iter().enumerate() {
        db.put(k, value(i, 0)).unwrap();
        model.insert(k.as_bytes().to_vec(), value(i, 0));
    }
    (db, model)
}

/// The two bounds of a range.
pub(crate) type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// What a map holds in a range; empty where the range is, inverted ones too.
pub(crate) fn within(model: &Model, (start, end): Bounds<'_>) -> Pairs {
    let after_start = |k: &[u8]| match start {
        Included(s) => k >= s,
        Excluded(s) => k > s,
        Unbounded => true,
    };
    let before_end = |k: &[u8]| match end {
        Included(e) => k <= e,
        Excluded(e) => k < e,
        Unbounded => true,
    };
    let inside = model.iter().filter(|(k, _)| after_start(k) && before_end(k));
    inside.map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Every pair of bounds over some places, inverted and empty ones included.
pub(crate) fn every_range<'a>(places: &[&'a str]) -> Vec<Bounds<'a>> {
    let bounds: Vec<Bound<&[u8]>> = places
        .iter()
        .flat_map(|p| [Included(p.as_bytes()), Excluded(p.as_bytes())])
        .chain([Unbounded])
        .collect();
    bounds.iter().flat_map(|start| bounds.iter().map(|end| (*start, *end))).collect()
}

#[test]
fn every_form_of_bounds_reads_what_a_sorted_map_holds() {
    every_setting(|w| {
        let (db, model) = sample(w);
        for _ in 0..2 {
            for bounds in every_range(&PLACES) {
                let expected = within(&model, bounds);
                assert_eq!(pairs(db.between(bounds)), expected, "{bounds:?}");
                let mut reverse = pairs(db.between(bounds).rev());
                reverse.reverse();
                assert_eq!(reverse, expected, "{bounds:?} in reverse");
            }
            db.flush().unwrap();
        }
    });
}

#[test]
fn range_syntax_of_every_kind_is_taken() {
    let (db, _) = sample(&World::plain());
    assert_eq!(keys(db.range("b".."d")), ["b", "c"]);
    assert_eq!(keys(db.range("b"..="d")), ["b", "c", "d"]);
    assert_eq!(keys(db.range("d"..)), ["d", "e"]);
    assert_eq!(keys(db.range(.."b")), ["a"]);
    assert_eq!(keys(db.range(..="b")), ["a", "b"]);
    assert_eq!(keys(db.range::<&str>(..)).len(), 5);
    assert_eq!(keys(db.range(b"b".to_vec()..b"c".to_vec())), ["b"]);
    assert_eq!(keys(db.range(String::from("e")..)), ["e"]);
    assert_eq!(keys(db.range([b'c']..[b'd'])), ["c"]);
}

#[test]
fn empty_and_inverted_ranges_read_as_empty() {
    every_setting(|w| {
        let (db, _) = sample(w);
        for _ in 0..2 {
            assert_eq!(keys(db.range("c".."c")).len(), 0);
            assert_eq!(keys(db.range("d".."b")).len(), 0);
            assert_eq!(keys(db.range("d"..="b")).len(), 0);
            assert_eq!(keys(db.range("bb".."bc")).len(), 0);
            assert_eq!(keys(db.range("x"..)).len(), 0);
            assert_eq!(keys(db.range(.."")).len(), 0);
            assert_eq!(keys(db.range("d".."b").rev()).len(), 0);
            db.compact().unwrap();
        }
    });
}

#[test]
fn an_exact_key_is_a_range_of_one() {
    every_setting(|w| {
        let (db, _) = sample(w);
        assert_eq!(keys(db.range("c"..="c")), ["c"]);
        assert_eq!(keys(db.between((Included(b"c"), Included(b"c")))), ["c"]);
        assert_eq!(keys(db.between((Excluded(b"c"), Included(b"c")))).len(), 0);
        assert_eq!(keys(db.between((Excluded(b"b"), Included(b"c")))), ["c"]);
    });
}

#[test]
fn a_prefix_reads_its_keys_and_no_others() {
    every_setting(|w| {
        let db = w.open();
        for k in ["", "a", "a/", "a/1", "a/2", "a/2/x", "a0", "b"] {
            db.put(k, "v").unwrap();
        }
        for _ in 0..2 {
            assert_eq!(keys(db.prefix("a/")), ["a/", "a/1", "a/2", "a/2/x"]);
            assert_eq!(keys(db.prefix("a")), ["a", "a/", "a/1", "a/2", "a/2/x", "a0"]);
            assert_eq!(keys(db.prefix("a/2/x/")).len(), 0);
            assert_eq!(keys(db.prefix("b").rev()), ["b"]);
            assert_eq!(keys(db.prefix("")).len(), 8);
            db.compact().unwrap();
        }
    });
}

#[test]
fn a_prefix_of_the_last_byte_reads_to_the_end() {
    every_setting(|w| {
        let db = w.open();
        let named = db.keyspace("behind").unwrap();
        named.put("x", "of another keyspace").unwrap();
        let all: [&[u8]; 6] =
            [b"\xfe", b"\xfe\xff", b"\xff", b"\xff\0", b"\xff\xff", b"\xff\xff\xff"];
        for k in all {
            db.put(k, "v").unwrap();
        }
        let count = |prefix: &[u8]| {
            let forward = pairs(db.prefix(prefix)).len();
            assert_eq!(pairs(db.prefix(prefix).rev()).len(), forward);
            forward
        };
        for _ in 0..2 {
            assert_eq!(count(b"\xff"), 4);
            assert_eq!(count(b"\xff\xff"), 2);
            assert_eq!(count(&[0xFF; 4]), 0);
            assert_eq!(count(b"\xfe\xff"), 1);
            assert_eq!(count(b"\xfe"), 2);
            assert_eq!(count(b""), 6);
            db.compact().unwrap();
        }
    });
}

#[test]
fn ranges_over_many_tables_equal_a_sorted_map() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        let mut rng = Rng::new(11);
        for round in 0..6 {
            for _ in 0..150 {
                let i = rng.below(500);
                db.put(key(i), value(i, round)).unwrap();
                model.insert(key(i), value(i, round));
            }
            for _ in 0..40 {
                let i = rng.below(500);
                db.delete(key(i)).unwrap();
                model.remove(&key(i));
            }
            db.flush().unwrap();
        }
        for _ in 0..60 {
            let (a, b) = (key(rng.below(520)), key(rng.below(520)));
            for bounds in [
                (Included(&a[..]), Excluded(&b[..])),
                (Excluded(&a[..]), Included(&b[..])),
                (Unbounded, Included(&b[..])),
                (Excluded(&a[..]), Unbounded),
            ] {
                let expected = within(&model, bounds);
                assert!(pairs(db.between(bounds)) == expected, "{bounds:?}");
                let mut reverse = pairs(db.between(bounds).rev());
                reverse.reverse();
                assert!(reverse == expected, "{bounds:?} in reverse");
            }
        }
    });
}
