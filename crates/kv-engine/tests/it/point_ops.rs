//! Single keys: what was put is read, the newest wins, what was deleted is gone.

use crate::support::*;
use kv_engine::{Bytes, Db, Options};

#[test]
fn what_was_put_is_read() {
    every_setting(|w| {
        let db = w.open();
        db.put("apple", "red").unwrap();
        assert_eq!(db.get("apple").unwrap(), Some(Bytes::from_static(b"red")));
        assert!(db.contains_key("apple").unwrap());
    });
}

#[test]
fn what_was_not_put_is_absent() {
    every_setting(|w| {
        let db = w.open();
        assert_eq!(db.get("apple").unwrap(), None);
        db.put("apple", "red").unwrap();
        for near in ["", "appl", "apple\0", "apples", "b", "Apple"] {
            assert_eq!(db.get(near).unwrap(), None, "{near:?}");
            assert!(!db.contains_key(near).unwrap(), "{near:?}");
        }
    });
}

#[test]
fn the_newest_value_wins_wherever_the_older_ones_are() {
    every_setting(|w| {
        let db = w.open();
        for version in 0..5 {
            db.put("k", value(1, version)).unwrap();
            assert_eq!(db.get("k").unwrap().unwrap(), value(1, version));
            if version % 2 == 0 {
                db.flush().unwrap();
            }
            assert_eq!(db.get("k").unwrap().unwrap(), value(1, version));
        }
        db.compact().unwrap();
        assert_eq!(db.get("k").unwrap().unwrap(), value(1, 4));
    });
}

#[test]
fn a_deleted_key_is_gone_wherever_its_value_is() {
    every_setting(|w| {
        let db = w.open();
        for round in 0..3 {
            db.put("k", "v").unwrap();
            if round == 1 {
                db.flush().unwrap();
            }
            if round == 2 {
                db.compact().unwrap();
            }
            db.delete("k").unwrap();
            assert_eq!(db.get("k").unwrap(), None);
            db.flush().unwrap();
            assert_eq!(db.get("k").unwrap(), None);
            db.compact().unwrap();
            assert!(!db.contains_key("k").unwrap());
        }
        assert!(pairs(db.iter()).is_empty());
    });
}

#[test]
fn deleting_is_idempotent() {
    every_setting(|w| {
        let db = w.open();
        db.delete("never").unwrap();
        db.put("k", "v").unwrap();
        db.delete("k").unwrap();
        db.delete("k").unwrap();
        db.put("k", "again").unwrap();
        assert_eq!(text(&db, "k").as_deref(), Some("again"));
    });
}

#[test]
fn the_empty_key_is_a_key() {
    every_setting(|w| {
        let db = w.open();
        assert!(!db.contains_key("").unwrap());
        db.put("", "nothing").unwrap();
        db.put("a", "x").unwrap();
        assert_eq!(text(&db, "").as_deref(), Some("nothing"));
        db.compact().unwrap();
        assert_eq!(text(&db, "").as_deref(), Some("nothing"));
        assert_eq!(keys(db.iter()), ["", "a"]);
        db.delete("").unwrap();
        assert_eq!(keys(db.iter()), ["a"]);
        db.compact().unwrap();
        assert_eq!(db.get("").unwrap(), None);
    });
}

#[test]
fn an_empty_value_differs_from_an_absent_one() {
    every_setting(|w| {
        let db = w.open();
        db.put("k", "").unwrap();
        for _ in 0..2 {
            assert_eq!(db.get("k").unwrap(), Some(Bytes::new()));
            assert!(db.contains_key("k").unwrap());
            assert_eq!(db.get("l").unwrap(), None);
            db.compact().unwrap();
        }
        drop(db);
        assert_eq!(w.open().get("k").unwrap(), Some(Bytes::new()));
    });
}

#[test]
fn any_bytes_make_a_key_and_order_is_by_bytes() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        let awkward: [&[u8]; 12] = [
            b"\0",
            b"\0\0",
            b"\0\x01",
            b"\x7f",
            b"\x80",
            b"\xff",
            b"\xff\xff",
            b"\xff\0",
            b"a",
            b"a\0",
            b"a\0b",
            b"ab",
        ];
        for (i, key) in awkward.iter().enumerate().rev() {
            db.put(key, value(i, 0)).unwrap();
            model.insert(key.to_vec(), value(i, 0));
        }
        assert_same(&db, &model);
        db.flush().unwrap();
        assert_same(&db, &model);
        db.compact().unwrap();
        assert_same(&db, &model);
    });
}

#[test]
fn keys_that_are_prefixes_of_each_other_stay_apart() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        for len in 0..200 {
            db.put(vec![b'x'; len], value(len, 0)).unwrap();
            model.insert(vec![b'x'; len], value(len, 0));
        }
        assert_same(&db, &model);
        for len in (0..200).step_by(2) {
            db.delete(vec![b'x'; len]).unwrap();
            model.remove(&vec![b'x'; len]);
        }
        db.compact().unwrap();
        assert_same(&db, &model);
    });
}

#[test]
fn values_larger_than_every_buffer_are_kept() {
    every_setting(|w| {
        let db = w.open();
        let mut rng = Rng::new(7);
        let sizes = [4 << 10, 64 << 10, (64 << 10) + 1, 1 << 20, 3 << 20];
        let values: Vec<Vec<u8>> = sizes
            .iter()
            .map(|size| (0..*size).map(|_| (rng.next() >> 56) as u8).collect())
            .collect();
        for (i, value) in values.iter().enumerate() {
            db.put(key(i), value).unwrap();
        }
        let check = |db: &Db| {
            for (i, value) in values.iter().enumerate() {
                assert!(db.get(key(i)).unwrap().unwrap() == value, "value {i}");
            }
        };
        check(&db);
        db.compact().unwrap();
        check(&db);
        db.close().unwrap();
        check(&w.open());
    });
}

#[test]
fn thousands_of_keys_in_any_order_are_all_found() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        let count = 1500;
        for i in 0..count {
            let i = i * 7919 % count;
            db.put(key(i), value(i, 0)).unwrap();
            model.insert(key(i), value(i, 0));
        }
        assert_same(&db, &model);
        db.compact().unwrap();
        assert_same(&db, &model);
        for i in 0..count {
            let mut absent = key(i);
            absent.push(b'!');
            assert_eq!(db.get(absent).unwrap(), None);
        }
    });
}

#[test]
fn overwrites_and_deletes_across_flushes_leave_the_newest() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        for version in 0..4 {
            fill(&db, &mut model, 200, version);
            for i in (version..200).step_by(5) {
                db.delete(key(i)).unwrap();
                model.remove(&key(i));
            }
            db.flush().unwrap();
            assert_same(&db, &model);
        }
        db.compact().unwrap();
        assert_same(&db, &model);
    });
}

#[test]
fn a_value_that_was_read_stays_after_everything_else_is_gone() {
    every_setting(|w| {
        let db = w.open();
        db.put("k", value(3, 3)).unwrap();
        db.compact().unwrap();
        let kept = db.get("k").unwrap().unwrap();
        db.delete("k").unwrap();
        db.compact().unwrap();
        db.close().unwrap();
        assert_eq!(kept, value(3, 3));
    });
}

#[test]
fn keys_and_values_may_be_anything_that_is_bytes() {
    let db = Db::in_memory(Options::default()).unwrap();
    db.put("str", "str").unwrap();
    db.put(String::from("string"), String::from("string")).unwrap();
    db.put(b"array", [1, 2, 3]).unwrap();
    db.put(vec![1, 2], vec![3]).unwrap();
    db.put(Bytes::from_static(b"bytes"), Bytes::new()).unwrap();
    db.put(7_u64.to_be_bytes(), 8_u32.to_le_bytes()).unwrap();
    assert_eq!(pairs(db.iter()).len(), 6);
}
