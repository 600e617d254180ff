//! Snapshots: one moment, for as long as they are held.

use crate::support::*;
use kv_engine::{ErrorKind, Snapshot, WriteBatch};

#[test]
fn a_snapshot_does_not_change() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 120, 0);
        let snapshot = db.snapshot();
        let mut later = Model::new();
        fill(&db, &mut later, 200, 1);
        for i in 0..50 {
            db.delete(key(i)).unwrap();
        }
        assert_same(&snapshot, &model);
        db.flush().unwrap();
        assert_same(&snapshot, &model);
        db.compact().unwrap();
        assert_same(&snapshot, &model);
        assert_eq!(db.get(key(60)).unwrap().unwrap(), value(60, 1));
    });
}

#[test]
fn a_snapshot_of_nothing_stays_empty() {
    every_setting(|w| {
        let db = w.open();
        let snapshot = db.snapshot();
        let mut model = Model::new();
        fill(&db, &mut model, 100, 0);
        db.compact().unwrap();
        assert_same(&snapshot, &Model::new());
        assert_same(&db, &model);
    });
}

#[test]
fn many_snapshots_each_keep_their_own_moment() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        let mut held: Vec<(Snapshot, Model)> = Vec::new();
        let mut rng = Rng::new(3);
        for version in 0..10 {
            for _ in 0..60 {
                let i = rng.below(100);
                if rng.chance(30) {
                    db.delete(key(i)).unwrap();
                    model.remove(&key(i));
                } else {
                    db.put(key(i), value(i, version)).unwrap();
                    model.insert(key(i), value(i, version));
                }
            }
            held.push((db.snapshot(), model.clone()));
            match version % 3 {
                0 => db.flush().unwrap(),
                1 => db.compact().unwrap(),
                _ => {}
            }
            if version == 6 {
                held.remove(2);
                held.remove(3);
            }
            for (snapshot, model) in &held {
                assert_same(snapshot, model);
            }
        }
        held.clear();
        db.compact().unwrap();
        assert_same(&db, &model);
    });
}

#[test]
fn every_version_that_a_snapshot_sees_survives_compaction() {
    every_setting(|w| {
        let db = w.open();
        let mut held = Vec::new();
        for version in 0..30 {
            db.put("k", value(0, version)).unwrap();
            held.push(db.snapshot());
        }
        for round in 0..3 {
            for (version, snapshot) in held.iter().enumerate() {
                assert_eq!(snapshot.get("k").unwrap().unwrap(), value(0, version), "{round}");
            }
            db.compact().unwrap();
        }
    });
}

#[test]
fn a_batch_is_in_a_snapshot_whole_or_not_at_all() {
    every_setting(|w| {
        let db = w.open();
        let before = db.snapshot();
        let mut batch = WriteBatch::new();
        for i in 0..200 {
            batch.put(key(i), value(i, 0));
        }
        db.write(batch).unwrap();
        let after = db.snapshot();
        assert_eq!(pairs(before.iter()).len(), 0);
        assert_eq!(pairs(after.iter()).len(), 200);
    });
}

#[test]
fn within_is_the_same_moment_in_another_keyspace() {
    every_setting(|w| {
        let db = w.open();
        let (a, b) = (db.keyspace("a").unwrap(), db.keyspace("b").unwrap());
        a.put("k", "1").unwrap();
        b.put("k", "2").unwrap();
        db.put("k", "0").unwrap();
        let snapshot = db.snapshot();
        a.put("k", "changed").unwrap();
        b.delete("k").unwrap();
        db.put("k", "changed").unwrap();
        b.put("new", "x").unwrap();
        db.compact().unwrap();
        assert_eq!(text(&snapshot, "k").as_deref(), Some("0"));
        assert_eq!(text(&snapshot.within(&a), "k").as_deref(), Some("1"));
        assert_eq!(text(&snapshot.within(&b), "k").as_deref(), Some("2"));
        assert_eq!(keys(snapshot.within(&b).iter()), ["k"]);
        let back = snapshot.within(&a).within(&db.keyspace("").unwrap());
        assert_eq!(text(&back, "k").as_deref(), Some("0"));
    });
}

#[test]
fn a_keyspace_made_later_is_empty_in_an_older_snapshot() {
    every_setting(|w| {
        let db = w.open();
        let snapshot = db.snapshot();
        let space = db.keyspace("later").unwrap();
        space.put("k", "v").unwrap();
        assert_eq!(text(&snapshot.within(&space), "k"), None);
        assert!(pairs(snapshot.within(&space).iter()).is_empty());
    });
}

#[test]
fn a_snapshot_keeps_a_dropped_keyspace() {
    every_setting(|w| {
        let db = w.open();
        let space = db.keyspace("space").unwrap();
        for i in 0..100 {
            space.put(key(i), value(i, 0)).unwrap();
        }
        db.flush().unwrap();
        let snapshot = db.snapshot().within(&space);
        db.drop_keyspace("space").unwrap();
        let again = db.keyspace("space").unwrap();
        again.put("new", "v").unwrap();
        db.compact().unwrap();
        assert_eq!(pairs(snapshot.iter()).len(), 100);
        assert_eq!(snapshot.get(key(7)).unwrap().unwrap(), value(7, 0));
    });
}

#[test]
fn after_close_it_reads_on_or_answers_closed() {
    every_setting(|w| {
        let db = w.open();
        db.put("k", "v").unwrap();
        let snapshot = db.snapshot();
        db.close().unwrap();
        match snapshot.get("k") {
            Ok(value) => assert_eq!(value.unwrap(), "v"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Closed),
        }
    });
}

#[test]
fn reads_of_every_kind_agree_in_a_snapshot() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 50, 0);
        let snapshot = db.snapshot();
        db.delete_range::<&str>(..).unwrap();
        assert!(snapshot.contains_key(key(7)).unwrap());
        assert_eq!(pairs(snapshot.range(key(10)..key(20))).len(), 10);
        assert_eq!(pairs(snapshot.prefix("key00004")).len(), 10);
        let mut cursor = snapshot.cursor();
        cursor.last().unwrap();
        assert_eq!(cursor.key(), key(49));
        assert_same(&snapshot, &model);
    });
}

#[test]
fn a_released_snapshot_gives_its_space_back() {
    every_setting(|w| {
        let db = w.open();
        let mut rng = Rng::new(1);
        for i in 0..400 {
            let noise: Vec<u8> = (0..200).map(|_| (rng.next() >> 56) as u8).collect();
            db.put(key(i), noise).unwrap();
        }
        let snapshot = db.snapshot();
        for i in 0..400 {
            db.delete(key(i)).unwrap();
        }
        db.compact().unwrap();
        assert!(w.table_bytes() > 400 * 200, "the snapshot holds the values");
        drop(snapshot);
        db.compact().unwrap();
        w.shrinks_to(400 * 20);
    });
}
