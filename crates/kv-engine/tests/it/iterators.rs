//! Iterators: one moment, both ends, each entry once.

use crate::support::*;
use kv_engine::{Db, ErrorKind, Iter};

fn filled(w: &World, count: usize) -> (Db, Pairs) {
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, count, 0);
    (db, model.into_iter().collect())
}

fn one(pair: Option<Pair>) -> Option<Vec<u8>> {
    pair.map(|pair| pair.unwrap().0.to_vec())
}

#[test]
fn an_empty_store_has_nothing_to_iterate() {
    every_setting(|w| {
        let db = w.open();
        let mut iter = db.iter();
        assert!(iter.next().is_none() && iter.next_back().is_none() && iter.next().is_none());
    });
}

#[test]
fn one_entry_is_met_once_from_either_end() {
    every_setting(|w| {
        let (db, _) = filled(w, 1);
        for _ in 0..2 {
            let mut iter = db.iter();
            assert!(iter.next().is_some() && iter.next_back().is_none() && iter.next().is_none());
            let mut iter = db.iter();
            assert!(
                iter.next_back().is_some() && iter.next().is_none() && iter.next_back().is_none()
            );
            db.compact().unwrap();
        }
    });
}

#[test]
fn the_two_ends_meet_exactly_once() {
    every_setting(|w| {
        let (db, expected) = filled(w, 12);
        for round in 0..2 {
            for front in 0..=expected.len() {
                let mut iter = db.iter();
                let mut found: Vec<Vec<u8>> = (0..front).filter_map(|_| one(iter.next())).collect();
                let mut back: Vec<Vec<u8>> = std::iter::from_fn(|| one(iter.next_back())).collect();
                assert!(iter.next().is_none() && iter.next_back().is_none());
                back.reverse();
                found.extend(back);
                let all: Vec<Vec<u8>> = expected.iter().map(|(k, _)| k.clone()).collect();
                assert_eq!(found, all, "{front} from the front, round {round}");
            }
            db.flush().unwrap();
        }
    });
}

#[test]
fn ends_in_random_turns_meet_exactly_once() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 150, 0);
        db.flush().unwrap();
        for i in (0..150).step_by(4) {
            db.delete(key(i)).unwrap();
            model.remove(&key(i));
        }
        db.delete_range(key(60)..key(70)).unwrap();
        model.retain(|k, _| k < &key(60) || k >= &key(70));
        let all: Vec<Vec<u8>> = model.keys().cloned().collect();
        for seed in 0..20 {
            let mut rng = Rng::new(seed);
            let share = rng.below(101);
            let mut iter = db.iter();
            let (mut front, mut back) = (Vec::new(), Vec::new());
            loop {
                let forward = rng.chance(share);
                let Some(key) = one(if forward { iter.next() } else { iter.next_back() }) else {
                    break;
                };
                if forward { front.push(key) } else { back.push(key) }
            }
            assert!(iter.next().is_none() && iter.next_back().is_none());
            back.reverse();
            front.extend(back);
            assert_eq!(front, all, "seed {seed}");
        }
    });
}

#[test]
fn ranges_and_prefixes_meet_once_too() {
    every_setting(|w| {
        let (db, expected) = filled(w, 40);
        let inside: Vec<Vec<u8>> = expected[10..20].iter().map(|(k, _)| k.clone()).collect();
        for front in 0..=10 {
            for mut iter in [db.range(key(10)..key(20)), db.prefix("key00001")] {
                let mut found: Vec<Vec<u8>> = (0..front).filter_map(|_| one(iter.next())).collect();
                let mut back: Vec<Vec<u8>> = std::iter::from_fn(|| one(iter.next_back())).collect();
                back.reverse();
                found.extend(back);
                assert_eq!(found, inside);
                assert!(iter.next().is_none());
            }
        }
    });
}

#[test]
fn it_stays_at_its_end() {
    let (db, _) = filled(&World::plain(), 3);
    let mut iter = db.iter();
    assert_eq!(iter.by_ref().count(), 3);
    db.put("zzz", "later").unwrap();
    for _ in 0..3 {
        assert!(iter.next().is_none() && iter.next_back().is_none());
    }
}

/// An iterator begun before `change`, and one not yet begun, both see what was there.
fn unchanged_by(change: impl Fn(&World, &Db)) {
    every_setting(|w| {
        let (db, expected) = filled(w, 150);
        let mut begun = db.iter();
        let first = begun.next().unwrap().unwrap();
        let last = begun.next_back().unwrap().unwrap();
        let fresh = db.iter();
        let backward = db.iter().rev();
        change(w, &db);
        assert!(pairs(fresh) == expected);
        let mut reversed = pairs(backward);
        reversed.reverse();
        assert!(reversed == expected);
        assert!(pairs(begun) == expected[1..149]);
        assert_eq!((first.0.to_vec(), last.1.to_vec()), (key(0), value(149, 0)));
    });
}

#[test]
fn puts_do_not_change_it() {
    unchanged_by(|_, db| {
        let mut model = Model::new();
        fill(db, &mut model, 300, 1);
        db.put("", "in front").unwrap();
    });
}

#[test]
fn deletes_do_not_change_it() {
    unchanged_by(|_, db| {
        for i in 0..150 {
            db.delete(key(i)).unwrap();
        }
    });
}

#[test]
fn range_deletes_do_not_change_it() {
    unchanged_by(|_, db| db.delete_range::<&str>(..).unwrap());
}

#[test]
fn a_flush_does_not_change_it() {
    unchanged_by(|_, db| {
        db.flush().unwrap();
        db.put(key(3), "later").unwrap();
        db.flush().unwrap();
    });
}

#[test]
fn compaction_does_not_change_it() {
    unchanged_by(|_, db| {
        db.flush().unwrap();
        let mut model = Model::new();
        fill(db, &mut model, 150, 1);
        db.compact().unwrap();
        db.delete_range::<&str>(..).unwrap();
        db.compact().unwrap();
    });
}

#[test]
fn dropping_its_keyspace_does_not_change_it() {
    every_setting(|w| {
        let db = w.open();
        let space = db.keyspace("space").unwrap();
        for i in 0..100 {
            space.put(key(i), value(i, 0)).unwrap();
        }
        let iter = space.iter();
        let snapshot = db.snapshot().within(&space);
        db.drop_keyspace("space").unwrap();
        db.compact().unwrap();
        let expected: Pairs = (0..100).map(|i| (key(i), value(i, 0))).collect();
        assert!(pairs(iter) == expected);
        assert!(pairs(snapshot.iter()) == expected);
    });
}

/// After a close an iterator goes on, or answers `Closed` once and ends.
fn goes_on_or_ends(iter: Iter, mut expected: &[(Vec<u8>, Vec<u8>)]) {
    let mut iter = iter;
    while let Some(pair) = iter.next() {
        match pair {
            Ok((k, v)) => {
                assert_eq!((k.to_vec(), v.to_vec()), expected[0]);
                expected = &expected[1..];
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Closed);
                assert!(iter.next().is_none() && iter.next_back().is_none());
                return;
            }
        }
    }
    assert!(expected.is_empty(), "{} entries were left out", expected.len());
}

#[test]
fn after_close_it_goes_on_or_says_so_once() {
    every_setting(|w| {
        let (db, expected) = filled(w, 100);
        db.flush().unwrap();
        db.put(key(0), value(0, 0)).unwrap();
        let fresh = db.iter();
        let mut begun = db.iter();
        begun.next().unwrap().unwrap();
        db.close().unwrap();
        goes_on_or_ends(fresh, &expected);
        goes_on_or_ends(begun, &expected[1..]);
    });
}

#[test]
fn it_outlives_its_store() {
    every_setting(|w| {
        let (db, expected) = filled(w, 100);
        let iter = db.iter();
        drop(db);
        let again = w.open();
        again.delete_range::<&str>(..).unwrap();
        again.compact().unwrap();
        goes_on_or_ends(iter, &expected);
    });
}

#[test]
fn it_goes_to_another_thread() {
    every_setting(|w| {
        let (db, expected) = filled(w, 100);
        let iter = db.iter();
        let found = std::thread::spawn(move || pairs(iter)).join().unwrap();
        assert!(found == expected);
    });
}

#[test]
fn what_it_answered_stays() {
    every_setting(|w| {
        let (db, expected) = filled(w, 200);
        db.compact().unwrap();
        let kept: Vec<_> = db.iter().map(Result::unwrap).collect();
        db.delete_range::<&str>(..).unwrap();
        db.compact().unwrap();
        db.close().unwrap();
        for ((k, v), (key, value)) in kept.iter().zip(&expected) {
            assert_eq!((&k[..], &v[..]), (&key[..], &value[..]));
        }
    });
}

#[test]
fn hidden_entries_do_not_show_in_either_direction() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        for version in 0..3 {
            fill(&db, &mut model, 60, version);
            db.flush().unwrap();
        }
        for i in (0..60).filter(|i| i % 3 != 1) {
            db.delete(key(i)).unwrap();
            model.remove(&key(i));
        }
        assert_same(&db, &model);
        db.flush().unwrap();
        assert_same(&db, &model);
    });
}

#[test]
fn long_runs_of_deleted_keys_are_stepped_over() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 1_000, 0);
        db.flush().unwrap();
        for i in 1..999 {
            db.delete(key(i)).unwrap();
            model.remove(&key(i));
        }
        assert_same(&db, &model);
        db.compact().unwrap();
        assert_same(&db, &model);
    });
}
