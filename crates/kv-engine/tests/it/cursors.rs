//! Cursors: every move, from every place, in both directions.

use crate::support::*;
use kv_engine::{Cursor, Db};

fn five(w: &World) -> Db {
    let db = w.open();
    for k in ["b", "d", "f", "h", "j"] {
        db.put(k, format!("value of {k}")).unwrap();
    }
    db
}

fn at(cursor: &Cursor) -> Option<String> {
    cursor.valid().then(|| {
        let key = String::from_utf8(cursor.key().to_vec()).unwrap();
        assert_eq!(cursor.value(), format!("value of {key}").as_bytes());
        key
    })
}

#[test]
fn a_new_cursor_is_nowhere() {
    let db = five(&World::plain());
    let mut cursor = db.cursor();
    assert!(!cursor.valid());
    cursor.next().unwrap();
    assert!(!cursor.valid());
    cursor.prev().unwrap();
    assert!(!cursor.valid());
}

#[test]
fn first_and_last_are_the_ends() {
    every_setting(|w| {
        let db = five(w);
        for _ in 0..2 {
            let mut cursor = db.cursor();
            cursor.first().unwrap();
            assert_eq!(at(&cursor).as_deref(), Some("b"));
            cursor.last().unwrap();
            assert_eq!(at(&cursor).as_deref(), Some("j"));
            cursor.first().unwrap();
            assert_eq!(at(&cursor).as_deref(), Some("b"));
            db.compact().unwrap();
        }
    });
}

#[test]
fn next_behind_the_last_and_prev_before_the_first_make_it_invalid() {
    every_setting(|w| {
        let db = five(w);
        let mut cursor = db.cursor();
        cursor.last().unwrap();
        cursor.next().unwrap();
        assert!(!cursor.valid());
        cursor.prev().unwrap();
        assert!(!cursor.valid(), "prev on an invalid cursor does nothing");
        cursor.next().unwrap();
        assert!(!cursor.valid(), "next on an invalid cursor does nothing");
        cursor.first().unwrap();
        cursor.prev().unwrap();
        assert!(!cursor.valid());
        cursor.next().unwrap();
        assert!(!cursor.valid());
        cursor.seek("d").unwrap();
        assert_eq!(at(&cursor).as_deref(), Some("d"), "a seek makes it valid again");
    });
}

#[test]
fn seek_finds_the_first_key_at_or_behind() {
    every_setting(|w| {
        let db = five(w);
        for _ in 0..2 {
            let mut cursor = db.cursor();
            for (place, found) in [
                ("", Some("b")),
                ("b", Some("b")),
                ("c", Some("d")),
                ("j", Some("j")),
                ("k", None),
                ("a", Some("b")),
            ] {
                cursor.seek(place).unwrap();
                assert_eq!(at(&cursor).as_deref(), found, "seek {place:?}");
            }
            db.flush().unwrap();
        }
    });
}

#[test]
fn seek_for_prev_finds_the_last_key_at_or_before() {
    every_setting(|w| {
        let db = five(w);
        for _ in 0..2 {
            let mut cursor = db.cursor();
            for (place, found) in [
                ("", None),
                ("a", None),
                ("b", Some("b")),
                ("c", Some("b")),
                ("j", Some("j")),
                ("zz", Some("j")),
            ] {
                cursor.seek_for_prev(place).unwrap();
                assert_eq!(at(&cursor).as_deref(), found, "seek_for_prev {place:?}");
            }
            db.flush().unwrap();
        }
    });
}

#[test]
fn it_turns_around_anywhere() {
    every_setting(|w| {
        let db = five(w);
        let names = ["b", "d", "f", "h", "j"];
        for _ in 0..2 {
            for i in 0..names.len() {
                for seek_back in [false, true] {
                    let mut cursor = db.cursor();
                    if seek_back {
                        cursor.seek_for_prev(names[i]).unwrap();
                    } else {
                        cursor.seek(names[i]).unwrap();
                    }
                    cursor.next().unwrap();
                    assert_eq!(at(&cursor).as_deref(), names.get(i + 1).copied());
                    if cursor.valid() {
                        cursor.prev().unwrap();
                        assert_eq!(at(&cursor).as_deref(), Some(names[i]));
                    } else {
                        cursor.seek(names[i]).unwrap();
                    }
                    cursor.prev().unwrap();
                    let before = i.checked_sub(1).map(|i| names[i]);
                    assert_eq!(at(&cursor).as_deref(), before);
                }
            }
            db.compact().unwrap();
        }
    });
}

#[test]
fn an_empty_store_has_no_place() {
    every_setting(|w| {
        let db = w.open();
        for _ in 0..2 {
            let mut cursor = db.cursor();
            for step in 0..6 {
                match step {
                    0 => cursor.first(),
                    1 => cursor.last(),
                    2 => cursor.seek("a"),
                    3 => cursor.seek_for_prev("a"),
                    4 => cursor.next(),
                    _ => cursor.prev(),
                }
                .unwrap();
                assert!(!cursor.valid(), "step {step}");
            }
            drop(cursor);
            db.put("k", "v").unwrap();
            db.delete("k").unwrap();
            db.flush().unwrap();
        }
    });
}

#[test]
fn random_walks_equal_a_sorted_map() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        let mut rng = Rng::new(41);
        for round in 0..5 {
            for _ in 0..120 {
                let i = rng.below(400);
                db.put(key(i), value(i, round)).unwrap();
                model.insert(key(i), value(i, round));
            }
            for _ in 0..50 {
                let i = rng.below(400);
                db.delete(key(i)).unwrap();
                model.remove(&key(i));
            }
            let (a, b) = (rng.below(400), rng.below(20));
            db.delete_range(key(a)..key(a + b)).unwrap();
            model.retain(|k, _| k < &key(a) || k >= &key(a + b));
            if round < 4 {
                db.flush().unwrap();
            }
        }
        walk(&db, &model, &mut rng);
        db.compact().unwrap();
        walk(&db, &model, &mut rng);
    });
}

fn walk(db: &Db, model: &Model, rng: &mut Rng) {
    let sorted: Vec<(&Vec<u8>, &Vec<u8>)> = model.iter().collect();
    let mut cursor = db.cursor();
    let mut place: Option<usize> = None;
    for step in 0..1_000 {
        let target = key(rng.below(420));
        match rng.below(12) {
            0 => {
                cursor.seek(&target).unwrap();
                place = sorted.iter().position(|(k, _)| **k >= target);
            }
            1 => {
                cursor.seek_for_prev(&target).unwrap();
                place = sorted.iter().rposition(|(k, _)| **k <= target);
            }
            2 if rng.chance(20) => {
                cursor.first().unwrap();
                place = (!sorted.is_empty()).then_some(0);
            }
            2 if rng.chance(20) => {
                cursor.last().unwrap();
                place = sorted.len().checked_sub(1);
            }
            2..=7 => {
                cursor.next().unwrap();
                place = place.map(|i| i + 1).filter(|i| *i < sorted.len());
            }
            _ => {
                cursor.prev().unwrap();
                place = place.and_then(|i| i.checked_sub(1));
            }
        }
        let found = cursor.valid().then(|| (cursor.key(), cursor.value()));
        let expected = place.map(|i| (sorted[i].0.as_slice(), sorted[i].1.as_slice()));
        assert!(found == expected, "step {step}: {found:?} and not {expected:?}");
    }
}

#[test]
fn it_sees_the_moment_of_its_creation() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 80, 0);
        let mut cursor = db.cursor();
        let mut check = |what: &str| {
            let mut found = Pairs::new();
            cursor.first().unwrap();
            while cursor.valid() {
                found.push((cursor.key().to_vec(), cursor.value().to_vec()));
                cursor.next().unwrap();
            }
            assert!(found == model.clone().into_iter().collect::<Pairs>(), "after {what}");
        };
        let mut later = Model::new();
        fill(&db, &mut later, 100, 1);
        check("puts");
        db.flush().unwrap();
        check("a flush");
        db.delete_range::<&str>(..).unwrap();
        check("a range delete");
        db.compact().unwrap();
        check("a compaction");
    });
}

#[test]
fn it_is_reused_across_flush_and_compaction_in_mid_walk() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 300, 0);
        let mut cursor = db.cursor();
        cursor.first().unwrap();
        for (i, (k, v)) in model.iter().enumerate() {
            assert_eq!((cursor.key(), cursor.value()), (k.as_slice(), v.as_slice()));
            db.put(key(i), "overwritten").unwrap();
            if i % 60 == 59 {
                db.flush().unwrap();
            }
            if i == 200 {
                db.compact().unwrap();
            }
            cursor.next().unwrap();
        }
        assert!(!cursor.valid());
    });
}

#[test]
fn the_empty_key_is_a_place() {
    every_setting(|w| {
        let db = w.open();
        db.put("", "value of ").unwrap();
        db.put("b", "value of b").unwrap();
        let mut cursor = db.cursor();
        cursor.seek("").unwrap();
        assert_eq!(at(&cursor).as_deref(), Some(""));
        cursor.seek_for_prev("a").unwrap();
        assert_eq!(at(&cursor).as_deref(), Some(""));
        cursor.prev().unwrap();
        assert!(!cursor.valid());
    });
}

#[test]
fn keyspaces_bound_it_on_both_sides() {
    every_setting(|w| {
        let db = w.open();
        for name in ["", "a", "b", "c"] {
            let space = db.keyspace(name).unwrap();
            space.put("b", "value of b").unwrap();
            space.put("d", "value of d").unwrap();
        }
        for name in ["", "a", "b", "c"] {
            let mut cursor = db.keyspace(name).unwrap().cursor();
            cursor.first().unwrap();
            cursor.prev().unwrap();
            assert!(!cursor.valid(), "before the first of {name:?}");
            cursor.last().unwrap();
            assert_eq!(at(&cursor).as_deref(), Some("d"));
            cursor.next().unwrap();
            assert!(!cursor.valid(), "behind the last of {name:?}");
            cursor.seek("e").unwrap();
            assert!(!cursor.valid());
            cursor.seek_for_prev("a").unwrap();
            assert!(!cursor.valid());
        }
    });
}

#[test]
#[should_panic(expected = "valid")]
fn the_key_of_an_invalid_cursor_panics() {
    let db = five(&World::plain());
    _ = db.cursor().key().len();
}

#[test]
#[should_panic(expected = "valid")]
fn the_value_of_an_invalid_cursor_panics() {
    let db = five(&World::plain());
    let mut cursor = db.cursor();
    cursor.last().unwrap();
    cursor.next().unwrap();
    _ = cursor.value().len();
}

#[test]
fn it_goes_to_another_thread_and_outlives_the_store() {
    every_setting(|w| {
        let db = five(w);
        let mut cursor = db.cursor();
        let snapshot_cursor = db.snapshot().cursor();
        let found = std::thread::spawn(move || {
            cursor.last().unwrap();
            at(&cursor)
        });
        assert_eq!(found.join().unwrap().as_deref(), Some("j"));
        drop((db, snapshot_cursor));
    });
}
