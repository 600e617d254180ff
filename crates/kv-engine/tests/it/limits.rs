//! Limits of keys, values and names: the last legal length works everywhere, one byte more is
//! refused before anything is written.

use crate::support::*;
use kv_engine::{ErrorKind, WriteBatch};
use std::time::Duration;

const LONGEST: usize = 65_535;

fn long(len: usize, first: u8) -> Vec<u8> {
    let mut key = vec![b'x'; len];
    key[0] = first;
    key
}

#[test]
fn the_longest_key_works_everywhere() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        for (i, len) in [LONGEST, LONGEST - 1, 16_384, 255, 256].into_iter().enumerate() {
            let key = long(len, b'a' + i as u8);
            db.put(&key, value(i, 0)).unwrap();
            model.insert(key, value(i, 0));
        }
        assert_same(&db, &model);
        db.flush().unwrap();
        assert_same(&db, &model);
        db.delete(long(LONGEST - 1, b'b')).unwrap();
        model.remove(&long(LONGEST - 1, b'b'));
        db.compact().unwrap();
        assert_same(&db, &model);
        drop(db);
        assert_same(&w.open(), &model);
    });
}

#[test]
fn one_byte_more_is_refused_and_writes_nothing() {
    every_setting(|w| {
        let db = w.open();
        let space = db.keyspace("space").unwrap();
        db.put("k", "v").unwrap();
        let key = long(LONGEST + 1, b'k');
        let minute = Duration::from_secs(60);
        for result in [
            db.put(&key, "v"),
            db.put_with_ttl(&key, "v", minute),
            db.delete(&key),
            space.put(&key, "v"),
            space.put_with_ttl(&key, "v", minute),
            space.delete(&key),
        ] {
            let error = refused(result);
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains("65"), "names the limit: {error}");
        }
        assert_eq!(keys(db.iter()), ["k"]);
        db.put("l", "after").unwrap();
        drop((space, db));
        assert_eq!(keys(w.open().iter()), ["k", "l"]);
    });
}

#[test]
fn reading_a_key_over_the_limit_finds_nothing() {
    every_setting(|w| {
        let db = w.open();
        db.put(long(LONGEST, b'k'), "v").unwrap();
        for len in [LONGEST + 1, 1 << 17, 1 << 20] {
            let key = long(len, b'k');
            assert_eq!(db.get(&key).unwrap(), None);
            assert!(!db.contains_key(&key).unwrap());
            assert_eq!(db.snapshot().get(&key).unwrap(), None);
            assert_eq!(pairs(db.prefix(&key)).len(), 0);
        }
        db.compact().unwrap();
        assert_eq!(db.get(long(LONGEST + 1, b'k')).unwrap(), None);
    });
}

#[test]
fn bounds_and_seeks_over_the_limit_are_places_between_keys() {
    every_setting(|w| {
        let db = w.open();
        db.put("a", "1").unwrap();
        db.put(long(LONGEST, b'k'), "2").unwrap();
        db.put("z", "3").unwrap();
        let over = long(1 << 17, b'k');
        for _ in 0..2 {
            assert_eq!(pairs(db.range(over.clone()..)).len(), 1);
            assert_eq!(pairs(db.range(..over.clone())).len(), 2);
            let mut cursor = db.cursor();
            cursor.seek(&over).unwrap();
            assert_eq!(cursor.key(), b"z");
            cursor.seek_for_prev(&over).unwrap();
            assert_eq!(cursor.key().len(), LONGEST);
            db.compact().unwrap();
        }
    });
}

#[test]
fn a_value_over_a_gibibyte_is_refused() {
    let db = World::plain().open();
    // Zeroed memory that nobody touches costs nothing.
    let value = vec![0; (1 << 30) + 1];
    assert_eq!(refused(db.put("k", &value)).kind(), ErrorKind::InvalidArgument);
    let mut batch = WriteBatch::new();
    batch.put("k", &value);
    assert_eq!(refused(db.write(batch)).kind(), ErrorKind::InvalidArgument);
    assert_eq!(db.get("k").unwrap(), None);
    db.put("k", "v").unwrap();
    assert_eq!(text(&db, "k").as_deref(), Some("v"));
}

#[test]
fn one_operation_over_a_limit_fails_the_whole_batch() {
    every_setting(|w| {
        let db = w.open();
        db.put("before", "0").unwrap();
        let over = long(LONGEST + 1, b'k');
        for which in 0..4 {
            let mut batch = WriteBatch::new();
            batch.put("first", "1");
            match which {
                0 => batch.put(&over, "2"),
                1 => batch.delete(&over),
                2 => batch.put_with_ttl(&over, "2", Duration::from_secs(60)),
                _ => batch.put("x", vec![0; (1 << 30) + 1]),
            }
            batch.delete("before");
            batch.put("last", "3");
            assert_eq!(refused(db.write(batch)).kind(), ErrorKind::InvalidArgument, "{which}");
            assert_eq!(keys(db.iter()), ["before"], "{which}");
        }
        drop(db);
        assert_eq!(keys(w.open().iter()), ["before"]);
    });
}

#[test]
fn a_cleared_batch_forgets_that_it_broke_a_limit() {
    let db = World::plain().open();
    let mut batch = WriteBatch::new();
    batch.put(long(LONGEST + 1, b'k'), "v");
    batch.clear();
    batch.put("k", "v");
    db.write(batch).unwrap();
    assert_eq!(text(&db, "k").as_deref(), Some("v"));
}

#[test]
fn what_a_refusal_says_shows_no_key() {
    let db = World::plain().open();
    let mut key = b"SECRET-KEY".to_vec();
    key.resize(LONGEST + 1, b'S');
    let said = format!("{0} {0:?}", refused(db.put(key, "SECRET-VALUE")));
    assert!(!said.contains("SECRET"), "{said}");
}
