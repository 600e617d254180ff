//! Keyspaces: worlds of their own in one store.

use crate::support::*;
use kv_engine::{Db, ErrorKind, Keyspace, Options, Result};
use std::time::Duration;

#[test]
fn they_are_listed_in_order_without_the_default_one() {
    every_setting(|w| {
        let db = w.open();
        assert!(db.keyspaces().unwrap().is_empty());
        for name in ["pears", "apples", "", "Zebra", "apples"] {
            assert_eq!(db.keyspace(name).unwrap().name(), name);
        }
        assert_eq!(db.keyspaces().unwrap(), ["Zebra", "apples", "pears"]);
        drop(db);
        assert_eq!(w.open().keyspaces().unwrap(), ["Zebra", "apples", "pears"]);
    });
}

#[test]
fn they_do_not_see_each_other() {
    every_setting(|w| {
        let db = w.open();
        let mut models = vec![Model::new(); 5];
        let names = ["", "a", "b", "aa", "\u{10FFFF}"];
        let check = |db: &Db, models: &[Model]| {
            for (name, model) in names.iter().zip(models) {
                assert_same(&db.keyspace(name).unwrap(), model);
            }
        };
        let mut rng = Rng::new(17);
        for step in 0..600 {
            let at = rng.below(5);
            let space = db.keyspace(names[at]).unwrap();
            let i = rng.below(40);
            match rng.below(8) {
                0 => {
                    space.delete(key(i)).unwrap();
                    models[at].remove(&key(i));
                }
                1 if rng.chance(20) => {
                    space.delete_range::<&str>(..).unwrap();
                    models[at].clear();
                }
                2 => {
                    space.delete_range(key(i)..key(i + 5)).unwrap();
                    models[at].retain(|k, _| k < &key(i) || k >= &key(i + 5));
                }
                _ => {
                    space.put(key(i), value(at, step)).unwrap();
                    models[at].insert(key(i), value(at, step));
                }
            }
        }
        check(&db, &models);
        db.compact().unwrap();
        check(&db, &models);
        assert_same(&db, &models[0]);
        drop(db);
        check(&w.open(), &models);
    });
}

#[test]
fn the_empty_name_is_the_default_one() {
    every_setting(|w| {
        let db = w.open();
        db.put("k", "1").unwrap();
        let default = db.keyspace("").unwrap();
        assert_eq!(text(&default, "k").as_deref(), Some("1"));
        default.put("k", "2").unwrap();
        assert_eq!(text(&db, "k").as_deref(), Some("2"));
        assert_eq!(default.name(), "");
    });
}

#[test]
fn the_same_name_is_the_same_keyspace() {
    every_setting(|w| {
        let db = w.open();
        let (one, two) = (db.keyspace("k").unwrap(), db.clone().keyspace("k").unwrap());
        let three = one.clone();
        one.put("a", "1").unwrap();
        two.put("b", "2").unwrap();
        assert_eq!(keys(three.iter()), ["a", "b"]);
    });
}

#[test]
fn names_have_1_to_255_bytes() {
    every_setting(|w| {
        let db = w.open();
        let longest = "n".repeat(255);
        let accents = "é".repeat(127);
        for name in [longest.as_str(), accents.as_str(), "a", "/", "..", "a b\n\0", "日本"] {
            db.keyspace(name).unwrap().put("k", name).unwrap();
        }
        for name in ["n".repeat(256), "é".repeat(128), "x".repeat(100_000)] {
            assert_eq!(refused(db.keyspace(&name)).kind(), ErrorKind::InvalidArgument);
        }
        assert_eq!(db.keyspaces().unwrap().len(), 7);
        drop(db);
        let db = w.open();
        for name in db.keyspaces().unwrap() {
            let space = db.keyspace(&name).unwrap();
            assert_eq!(text(&space, "k").as_deref(), Some(name.as_str()));
        }
    });
}

#[test]
fn dropping_one_that_is_missing_is_not_found() {
    every_setting(|w| {
        let db = w.open();
        assert_eq!(refused(db.drop_keyspace("none")).kind(), ErrorKind::NotFound);
        db.keyspace("some").unwrap();
        db.drop_keyspace("some").unwrap();
        assert_eq!(refused(db.drop_keyspace("some")).kind(), ErrorKind::NotFound);
    });
}

#[test]
fn the_default_one_is_not_dropped() {
    let db = World::plain().open();
    db.put("k", "v").unwrap();
    refused(db.drop_keyspace(""));
    assert_eq!(text(&db, "k").as_deref(), Some("v"));
}

#[test]
fn handles_of_a_dropped_one_answer_not_found() {
    type Call = (&'static str, fn(&Keyspace) -> Result<()>);
    let calls: &[Call] = &[
        ("put", |space| space.put("k", "v")),
        ("put_with_ttl", |space| space.put_with_ttl("k", "v", Duration::from_secs(9))),
        ("get", |space| space.get("k").map(drop)),
        ("contains_key", |space| space.contains_key("k").map(drop)),
        ("delete", |space| space.delete("k")),
        ("delete_range", |space| space.delete_range("a".."z")),
        ("write", |space| {
            let mut batch = kv_engine::WriteBatch::new();
            batch.put("k", "v");
            space.write(batch)
        }),
        ("iter", |space| space.iter().next().unwrap().map(drop)),
        ("prefix", |space| space.prefix("k").next_back().unwrap().map(drop)),
        ("cursor", |space| space.cursor().first()),
    ];
    every_setting(|w| {
        let db = w.open();
        let space = db.keyspace("space").unwrap();
        let clone = space.clone();
        space.put("k", "v").unwrap();
        db.drop_keyspace("space").unwrap();
        for round in 0..2 {
            for (name, call) in calls {
                let error = call(&clone).expect_err(name);
                assert_eq!(error.kind(), ErrorKind::NotFound, "{name}, round {round}");
            }
            // A new one of the same name does not bring the old handles back.
            db.keyspace("space").unwrap().put("k", "new").unwrap();
        }
        assert_eq!(text(&db.keyspace("space").unwrap(), "k").as_deref(), Some("new"));
        assert_eq!(clone.name(), "space");
    });
}

#[test]
fn one_created_again_is_empty() {
    every_setting(|w| {
        let db = w.open();
        for round in 0..5 {
            let space = db.keyspace("space").unwrap();
            assert!(pairs(space.iter()).is_empty(), "round {round}");
            assert_eq!(text(&space, key(7)), None);
            for i in 0..80 {
                space.put(key(i), value(i, round)).unwrap();
            }
            if round % 2 == 0 {
                db.flush().unwrap();
            }
            db.drop_keyspace("space").unwrap();
            assert!(db.keyspaces().unwrap().is_empty());
            if round == 3 {
                db.compact().unwrap();
            }
        }
        drop(db);
        let db = w.open();
        assert!(db.keyspaces().unwrap().is_empty());
        assert!(pairs(db.keyspace("space").unwrap().iter()).is_empty());
    });
}

#[test]
fn dropping_one_survives_reopening_and_power_cuts() {
    every_setting(|w| {
        let db = w.open();
        for name in ["a", "b"] {
            db.keyspace(name).unwrap().put("k", "v").unwrap();
        }
        db.flush().unwrap();
        db.drop_keyspace("a").unwrap();
        db.sync().unwrap();
        let cut = w.after_power_cut();
        drop(db);
        for world in [w, &cut] {
            let db = world.open();
            assert_eq!(db.keyspaces().unwrap(), ["b"]);
            assert!(pairs(db.keyspace("a").unwrap().iter()).is_empty());
            assert_eq!(text(&db.keyspace("b").unwrap(), "k").as_deref(), Some("v"));
        }
    });
}

#[test]
fn dropping_one_frees_its_disk() {
    every_setting(|w| {
        let db = w.open();
        let space = db.keyspace("big").unwrap();
        let mut rng = Rng::new(9);
        for i in 0..500 {
            let noise: Vec<u8> = (0..200).map(|_| (rng.next() >> 56) as u8).collect();
            space.put(key(i), noise).unwrap();
        }
        db.keyspace("small").unwrap().put("k", "v").unwrap();
        db.compact().unwrap();
        db.drop_keyspace("big").unwrap();
        db.compact().unwrap();
        w.shrinks_to(500 * 20);
        assert_eq!(keys(db.keyspace("small").unwrap().iter()), ["k"]);
    });
}

#[test]
fn hundreds_of_them_work() {
    every_setting(|w| {
        let db = w.open();
        let count = 300;
        for i in 0..count {
            db.keyspace(&format!("space {i:03}")).unwrap().put("k", value(i, 0)).unwrap();
        }
        for i in (0..count).step_by(3) {
            db.drop_keyspace(&format!("space {i:03}")).unwrap();
        }
        drop(db);
        let db = w.open();
        assert_eq!(db.keyspaces().unwrap().len(), 200);
        for i in (0..count).filter(|i| i % 3 != 0) {
            let space = db.keyspace(&format!("space {i:03}")).unwrap();
            assert_eq!(space.get("k").unwrap().unwrap(), value(i, 0));
            assert_eq!(pairs(space.iter()).len(), 1);
        }
    });
}

#[test]
fn prefixes_and_ranges_do_not_reach_into_the_next_one() {
    every_setting(|w| {
        let db = w.open();
        let spaces: Vec<Keyspace> = (0..5).map(|i| db.keyspace(&format!("{i}")).unwrap()).collect();
        for space in &spaces {
            for key in [&b""[..], &[0], &[0xFF], &[0xFF; 300]] {
                space.put(key, "v").unwrap();
            }
        }
        for _ in 0..2 {
            for space in &spaces {
                assert_eq!(pairs(space.prefix("")).len(), 4);
                assert_eq!(pairs(space.prefix([0xFF])).len(), 2);
                assert_eq!(pairs(space.prefix([0xFF; 301])).len(), 0);
                assert_eq!(pairs(space.range::<&str>(..)).len(), 4);
                assert_eq!(pairs(space.range([0xFF]..)).len(), 2);
                assert_eq!(pairs(space.range([0xFF]..).rev()).len(), 2);
                assert_eq!(pairs(space.range(..=[0])).len(), 2);
            }
            db.compact().unwrap();
        }
        spaces[2].delete_range([0xFF]..).unwrap();
        spaces[3].delete_range(..[0xFF]).unwrap();
        let counts: Vec<usize> = spaces.iter().map(|s| pairs(s.iter()).len()).collect();
        assert_eq!(counts, [4, 4, 2, 2, 4]);
    });
}

#[test]
fn a_keyspace_outlives_the_handle_it_came_from() {
    let db = Db::in_memory(Options::default()).unwrap();
    let space = db.clone().keyspace("k").unwrap();
    space.put("a", "1").unwrap();
    assert_eq!(text(&space, "a").as_deref(), Some("1"));
    assert_eq!(keys(db.keyspace("k").unwrap().iter()), ["a"]);
}
