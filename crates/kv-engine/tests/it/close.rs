//! Closing: for all clones at once, with nothing lost, and the lock free.

use crate::support::*;
use kv_engine::{Db, Durability, ErrorKind, Keyspace, Result, WriteBatch};
use std::time::Duration;

type Call = (&'static str, fn(&Db, &Keyspace) -> Result<()>);

/// Every call that has a way to answer.
const CALLS: &[Call] = &[
    ("put", |db, _| db.put("k", "v")),
    ("put_with_ttl", |db, _| db.put_with_ttl("k", "v", Duration::from_secs(1))),
    ("get", |db, _| db.get("k").map(drop)),
    ("contains_key", |db, _| db.contains_key("k").map(drop)),
    ("delete", |db, _| db.delete("k")),
    ("delete_range", |db, _| db.delete_range("a".."z")),
    ("write", |db, _| db.write(one())),
    ("write_with", |db, _| db.write_with(one(), Durability::Os)),
    ("keyspace", |db, _| db.keyspace("new").map(drop)),
    ("drop_keyspace", |db, _| db.drop_keyspace("space")),
    ("keyspaces", |db, _| db.keyspaces().map(drop)),
    ("flush", |db, _| db.flush()),
    ("sync", |db, _| db.sync()),
    ("compact", |db, _| db.compact()),
    ("verify", |db, _| db.verify().map(drop)),
    ("close", |db, _| db.clone().close()),
    ("Keyspace::put", |_, space| space.put("k", "v")),
    ("Keyspace::get", |_, space| space.get("k").map(drop)),
    ("Keyspace::contains_key", |_, space| space.contains_key("k").map(drop)),
    ("Keyspace::delete", |_, space| space.delete("k")),
    ("Keyspace::delete_range", |_, space| space.delete_range("a".."z")),
    ("Keyspace::write", |_, space| space.write(one())),
    ("Keyspace::write_with", |_, space| space.write_with(one(), Durability::Sync)),
    ("iter", |db, _| db.iter().next().unwrap().map(drop)),
    ("iter back", |db, _| db.iter().next_back().unwrap().map(drop)),
    ("range", |db, _| db.range("a".."z").next().unwrap().map(drop)),
    ("prefix", |db, _| db.prefix("k").next().unwrap().map(drop)),
    ("Keyspace::iter", |_, space| space.iter().next().unwrap().map(drop)),
    ("cursor", |db, _| db.cursor().first()),
    ("Keyspace::cursor", |_, space| space.cursor().seek("a")),
    ("snapshot", |db, _| db.snapshot().get("k").map(drop)),
];

fn one() -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put("k", "v");
    batch
}

#[test]
fn after_close_every_call_on_every_clone_answers_closed() {
    every_setting(|w| {
        let db = w.open();
        let clone = db.clone();
        let space = db.keyspace("space").unwrap();
        db.put("k", "v").unwrap();
        space.put("k", "v").unwrap();
        for (name, call) in CALLS.iter().filter(|(name, _)| *name != "close") {
            if *name != "drop_keyspace" {
                call(&clone, &space).unwrap_or_else(|e| panic!("{name} before closing: {e}"));
            }
            // What deletes leaves nothing to iterate; put it back.
            db.put("k", "v").unwrap();
            space.put("k", "v").unwrap();
        }
        db.close().unwrap();
        for (name, call) in CALLS {
            let error = call(&clone, &space).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Closed, "{name}: {error}");
        }
    });
}

#[test]
fn an_iterator_begun_after_close_says_so_once_and_ends() {
    let db = World::plain().open();
    let clone = db.clone();
    db.put("k", "v").unwrap();
    db.close().unwrap();
    let mut iter = clone.iter();
    assert_eq!(refused(iter.next().unwrap()).kind(), ErrorKind::Closed);
    assert!(iter.next().is_none() && iter.next_back().is_none());
    assert!(!clone.cursor().valid());
}

#[test]
fn stats_of_a_closed_store_do_no_harm() {
    let db = World::plain().open();
    let clone = db.clone();
    db.close().unwrap();
    _ = (clone.stats().to_string(), clone.stats().prometheus());
}

#[test]
fn the_store_opens_again_at_once() {
    every_setting(|w| {
        let db = w.open();
        let clone = db.clone();
        db.put("k", "v").unwrap();
        db.close().unwrap();
        let again = w.open();
        assert_eq!(text(&again, "k").as_deref(), Some("v"));
        again.put("k", "w").unwrap();
        assert_eq!(refused(clone.put("k", "old handle")).kind(), ErrorKind::Closed);
        assert_eq!(refused(clone.get("k")).kind(), ErrorKind::Closed);
        drop(clone);
        assert_eq!(text(&again, "k").as_deref(), Some("w"));
        drop(again);
        assert_eq!(text(&w.open(), "k").as_deref(), Some("w"));
    });
}

#[test]
fn what_was_closed_survives_a_power_cut() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 150, 0);
        db.close().unwrap();
        assert_same(&w.after_power_cut().open(), &model);
    });
}

#[test]
fn snapshots_and_iterators_do_not_hold_the_store_open() {
    every_setting(|w| {
        let db = w.open();
        db.put("k", "v").unwrap();
        let held = (db.snapshot(), db.iter(), db.cursor());
        drop(db);
        let again = w.try_open().map(|db| text(&db, "k"));
        assert_eq!(again.unwrap().as_deref(), Some("v"));
        drop(held);
    });
}

#[test]
fn closing_while_background_work_runs_loses_nothing() {
    every_setting(|w| {
        let mut model = Model::new();
        for version in 0..5 {
            let db = w.open();
            fill(&db, &mut model, 150, version);
            if version % 2 == 0 { db.close().unwrap() } else { drop(db) }
        }
        assert_same(&w.open(), &model);
    });
}
