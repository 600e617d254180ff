//! Deleting a range: exact bounds, nothing else, for good, and nothing that came later.

use crate::ranges::{every_range, within};
use crate::support::*;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::time::{Duration, Instant};

#[test]
fn every_form_of_bounds_deletes_what_it_reads() {
    every_setting(|w| {
        let db = w.open();
        let places = ["", "a", "b", "bb", "c", "d"];
        for (round, bounds) in every_range(&places).into_iter().enumerate() {
            let mut model = Model::new();
            for (i, k) in ["", "a", "b", "c"].iter().enumerate() {
                db.put(k, value(i, round)).unwrap();
                model.insert(k.as_bytes().to_vec(), value(i, round));
            }
            if round % 10 == 0 {
                db.flush().unwrap();
            }
            for (gone, _) in within(&model, bounds) {
                model.remove(&gone);
            }
            db.delete_range::<&[u8]>(bounds).unwrap();
            let expected: Pairs = model.clone().into_iter().collect();
            assert_eq!(pairs(db.iter()), expected, "{bounds:?}");
        }
    });
}

#[test]
fn empty_and_inverted_ranges_delete_nothing() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 50, 0);
        db.delete_range("z".."a").unwrap();
        db.delete_range("z"..="a").unwrap();
        db.delete_range("key000010".."key000010").unwrap();
        db.delete_range(.."").unwrap();
        db.delete_range((Excluded(key(10)), Included(key(10)))).unwrap();
        assert_same(&db, &model);
        db.compact().unwrap();
        assert_same(&db, &model);
        drop(db);
        assert_same(&w.open(), &model);
    });
}

#[test]
fn what_is_put_into_a_deleted_range_is_there() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 200, 0);
        db.flush().unwrap();
        db.delete_range(key(20)..key(180)).unwrap();
        for i in 20..180 {
            model.remove(&key(i));
        }
        for i in (0..200).step_by(9) {
            db.put(key(i), value(i, 1)).unwrap();
            model.insert(key(i), value(i, 1));
        }
        assert_same(&db, &model);
        db.flush().unwrap();
        assert_same(&db, &model);
        db.compact().unwrap();
        assert_same(&db, &model);
        drop(db);
        assert_same(&w.open(), &model);
    });
}

#[test]
fn what_lies_in_older_tables_is_deleted_too() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        for version in 0..4 {
            fill(&db, &mut model, 150, version);
            db.flush().unwrap();
        }
        db.compact().unwrap();
        db.delete_range(key(50)..=key(99)).unwrap();
        model.retain(|k, _| k < &key(50) || k > &key(99));
        assert_same(&db, &model);
        for i in 50..100 {
            assert_eq!(db.get(key(i)).unwrap(), None, "key {i}");
        }
        db.flush().unwrap();
        assert_same(&db, &model);
        drop(db);
        let db = w.open();
        assert_same(&db, &model);
        db.compact().unwrap();
        assert_same(&db, &model);
    });
}

#[test]
fn a_range_delete_alone_in_its_memtable_is_kept() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 60, 0);
        db.flush().unwrap();
        db.delete_range(key(0)..key(30)).unwrap();
        db.flush().unwrap();
        model.retain(|k, _| k >= &key(30));
        assert_same(&db, &model);
        drop(db);
        let db = w.open();
        assert_same(&db, &model);
        db.delete_range::<&str>(..).unwrap();
        drop(db);
        let db = w.open();
        assert_same(&db, &Model::new());
        db.compact().unwrap();
        assert_same(&db, &Model::new());
    });
}

#[test]
fn a_snapshot_keeps_what_a_later_range_delete_takes() {
    every_setting(|w| {
        let db = w.open();
        let mut before = Model::new();
        fill(&db, &mut before, 100, 0);
        let snapshot = db.snapshot();
        db.delete_range(key(10)..key(90)).unwrap();
        let mut after = before.clone();
        after.retain(|k, _| k < &key(10) || k >= &key(90));
        let between = db.snapshot();
        db.put(key(50), "new").unwrap();
        for round in 0..3 {
            assert_same(&snapshot, &before);
            assert_same(&between, &after);
            assert_eq!(text(&db, key(50)).as_deref(), Some("new"));
            if round == 0 {
                db.flush().unwrap();
            } else {
                db.compact().unwrap();
            }
        }
    });
}

#[test]
fn many_overlapping_range_deletes_equal_a_sorted_map() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        let mut rng = Rng::new(23);
        for round in 0..250 {
            for _ in 0..4 {
                let i = rng.below(300);
                db.put(key(i), value(i, round)).unwrap();
                model.insert(key(i), value(i, round));
            }
            let (a, b) = (rng.below(300), rng.below(40));
            db.delete_range(key(a)..key(a + b)).unwrap();
            model.retain(|k, _| k < &key(a) || k >= &key(a + b));
            if round % 60 == 59 {
                assert_same(&db, &model);
                db.flush().unwrap();
            }
        }
        assert_same(&db, &model);
        db.compact().unwrap();
        assert_same(&db, &model);
        drop(db);
        assert_same(&w.open(), &model);
    });
}

#[test]
fn bounds_on_the_edges_of_tables_hold() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        // Each flush ends a table exactly at the next one's first key.
        for start in (0..120).step_by(20) {
            for i in start..start + 20 {
                db.put(key(i), value(i, 0)).unwrap();
                model.insert(key(i), value(i, 0));
            }
            db.flush().unwrap();
        }
        for (start, end) in
            [(Included(20), Excluded(40)), (Excluded(59), Included(60)), (Included(99), Unbounded)]
        {
            let (start, end) = (start.map(key), end.map(key));
            let bounds = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
            for (gone, _) in within(&model, bounds) {
                model.remove(&gone);
            }
            db.delete_range::<&[u8]>(bounds).unwrap();
            assert_same(&db, &model);
            db.flush().unwrap();
            assert_same(&db, &model);
        }
        db.compact().unwrap();
        assert_same(&db, &model);
    });
}

#[test]
fn it_takes_one_operation_however_much_it_hides() {
    let world = World::plain();
    let db = world.open();
    let mut model = Model::new();
    fill(&db, &mut model, 20_000, 0);
    db.flush().unwrap();
    let start = Instant::now();
    for _ in 0..200 {
        db.delete_range(key(0)..key(20_000)).unwrap();
    }
    // A walk over what is hidden would take minutes.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(pairs(db.iter()).is_empty());
}

#[test]
fn the_disk_comes_back() {
    every_setting(|w| {
        let db = w.open();
        let mut rng = Rng::new(5);
        for i in 0..600 {
            let noise: Vec<u8> = (0..200).map(|_| (rng.next() >> 56) as u8).collect();
            db.put(key(i), noise).unwrap();
        }
        db.compact().unwrap();
        let full = w.table_bytes();
        db.delete_range::<&str>(..).unwrap();
        db.compact().unwrap();
        w.shrinks_to(full / 10);
    });
}
