//! Batches: all or nothing, in order, over several keyspaces.

use crate::support::*;
use kv_engine::{Db, Durability, ErrorKind, Options, WriteBatch};

#[test]
fn a_batch_is_applied_as_one() {
    every_setting(|w| {
        let db = w.open();
        db.put("gone", "0").unwrap();
        let mut batch = WriteBatch::new();
        batch.put("a", "1");
        batch.put("b", "2");
        batch.delete("gone");
        assert_eq!(db.get("a").unwrap(), None);
        db.write(batch).unwrap();
        assert_eq!(keys(db.iter()), ["a", "b"]);
    });
}

#[test]
fn the_later_operation_on_a_key_wins() {
    every_setting(|w| {
        let db = w.open();
        let mut batch = WriteBatch::new();
        batch.put("put-put", "old");
        batch.put("put-put", "new");
        batch.put("put-delete", "old");
        batch.delete("put-delete");
        batch.delete("delete-put");
        batch.put("delete-put", "new");
        batch.put("put-range", "old");
        batch.delete_range("put-r".."put-s");
        batch.put("put-range-put", "new");
        db.write(batch).unwrap();
        for _ in 0..2 {
            assert_eq!(keys(db.iter()), ["delete-put", "put-put", "put-range-put"]);
            assert_eq!(text(&db, "put-put").as_deref(), Some("new"));
            db.compact().unwrap();
        }
        drop(db);
        assert_eq!(keys(w.open().iter()), ["delete-put", "put-put", "put-range-put"]);
    });
}

#[test]
fn a_range_delete_in_a_batch_hides_what_came_before_it_only() {
    every_setting(|w| {
        let db = w.open();
        for k in ["a", "b", "c", "d"] {
            db.put(k, "old").unwrap();
        }
        let mut batch = WriteBatch::new();
        batch.put("b", "before");
        batch.delete_range::<&str>(..);
        batch.put("c", "after");
        batch.delete_range("x"..="z");
        db.write(batch).unwrap();
        for _ in 0..2 {
            assert_eq!(keys(db.iter()), ["c"]);
            assert_eq!(text(&db, "b"), None);
            assert_eq!(text(&db, "c").as_deref(), Some("after"));
            db.flush().unwrap();
        }
    });
}

#[test]
fn the_same_operation_repeated_in_a_batch_counts_once() {
    every_setting(|w| {
        let db = w.open();
        let mut batch = WriteBatch::new();
        for version in 0..300 {
            batch.put("k", value(0, version));
        }
        assert_eq!(batch.len(), 300);
        db.write(batch).unwrap();
        assert_eq!(db.get("k").unwrap().unwrap(), value(0, 299));
        db.compact().unwrap();
        assert_eq!(pairs(db.iter()), [(b"k".to_vec(), value(0, 299))]);
    });
}

#[test]
fn an_empty_batch_is_a_no_op() {
    every_setting(|w| {
        let db = w.open();
        db.write(WriteBatch::new()).unwrap();
        db.write_with(WriteBatch::with_capacity(1 << 16), Durability::Sync).unwrap();
        db.keyspace("k").unwrap().write(WriteBatch::new()).unwrap();
        assert!(pairs(db.iter()).is_empty());
        drop(db);
        assert!(pairs(w.open().iter()).is_empty());
    });
}

#[test]
fn a_batch_counts_its_operations() {
    let mut batch = WriteBatch::new();
    assert!(batch.is_empty());
    assert_eq!(batch.len(), 0);
    batch.put("a", "1");
    batch.delete("b");
    batch.delete_range("c".."d");
    batch.put_with_ttl("e", "2", std::time::Duration::from_secs(1));
    assert_eq!(batch.len(), 4);
    assert!(!batch.is_empty());
    batch.clear();
    assert!(batch.is_empty());
    assert_eq!(batch.len(), 0);
}

#[test]
fn a_batch_goes_to_several_keyspaces_at_once() {
    every_setting(|w| {
        let db = w.open();
        let (a, b) = (db.keyspace("a").unwrap(), db.keyspace("b").unwrap());
        let mut batch = WriteBatch::new();
        batch.put("k", "default");
        batch.within(&a).put("k", "a");
        batch.within(&b).put("k", "b");
        batch.put("l", "b");
        batch.within(&db.keyspace("").unwrap()).put("l", "default");
        db.write(batch).unwrap();
        let check = |db: &Db| {
            let (a, b) = (db.keyspace("a").unwrap(), db.keyspace("b").unwrap());
            assert_eq!(text(db, "k").as_deref(), Some("default"));
            assert_eq!(text(&a, "k").as_deref(), Some("a"));
            assert_eq!(text(&b, "k").as_deref(), Some("b"));
            assert_eq!(
                (keys(db.iter()), keys(a.iter())),
                (vec!["k".into(), "l".into()], vec!["k".into()])
            );
            assert_eq!(keys(b.iter()), ["k", "l"]);
        };
        check(&db);
        drop((a, b, db));
        check(&w.open());
    });
}

#[test]
fn a_batch_begins_in_the_keyspace_that_writes_it() {
    every_setting(|w| {
        let db = w.open();
        let (a, b) = (db.keyspace("a").unwrap(), db.keyspace("b").unwrap());
        a.put("old", "a").unwrap();
        a.put("range", "a").unwrap();
        db.put("old", "default").unwrap();
        db.put("range", "default").unwrap();
        let mut batch = WriteBatch::new();
        batch.put("k", "a");
        batch.delete("old");
        batch.delete_range("r".."s");
        batch.put_with_ttl("ttl", "a", std::time::Duration::from_secs(3600));
        batch.within(&b).put("k", "b");
        batch.delete("old");
        a.write(batch).unwrap();
        assert_eq!(keys(a.iter()), ["k", "ttl"]);
        assert_eq!(keys(b.iter()), ["k"]);
        assert_eq!(keys(db.iter()), ["old", "range"]);
    });
}

#[test]
fn an_unbounded_range_delete_in_a_batch_stays_in_its_keyspace() {
    every_setting(|w| {
        let db = w.open();
        let spaces: Vec<_> =
            ["", "a", "b", "c"].iter().map(|name| db.keyspace(name).unwrap()).collect();
        for space in &spaces {
            space.put("", "v").unwrap();
            space.put("k", "v").unwrap();
            space.put([0xFF; 20], "v").unwrap();
        }
        let mut batch = WriteBatch::new();
        batch.delete_range::<&str>(..);
        spaces[2].write(batch).unwrap();
        let counts = || spaces.iter().map(|s| pairs(s.iter()).len()).collect::<Vec<_>>();
        assert_eq!(counts(), [3, 3, 0, 3]);
        let mut batch = WriteBatch::new();
        batch.within(&spaces[1]).delete_range("k"..);
        db.write(batch).unwrap();
        assert_eq!(counts(), [3, 1, 0, 3]);
        db.compact().unwrap();
        assert_eq!(counts(), [3, 1, 0, 3]);
    });
}

#[test]
fn clear_goes_back_to_where_the_batch_began() {
    let db = World::plain().open();
    let a = db.keyspace("a").unwrap();
    let mut batch = WriteBatch::new();
    batch.within(&a).put("k", "a");
    batch.clear();
    batch.put("k", "default");
    db.write(batch).unwrap();
    assert_eq!(text(&db, "k").as_deref(), Some("default"));
    assert_eq!(text(&a, "k"), None);
}

#[test]
fn a_batch_for_a_dropped_keyspace_writes_nothing() {
    every_setting(|w| {
        let db = w.open();
        let a = db.keyspace("a").unwrap();
        let mut batch = WriteBatch::new();
        batch.put("k", "default");
        batch.within(&a).put("k", "a");
        db.drop_keyspace("a").unwrap();
        assert_eq!(refused(db.write(batch)).kind(), ErrorKind::NotFound);
        assert_eq!(text(&db, "k"), None);
        let again = db.keyspace("a").unwrap();
        assert_eq!(text(&again, "k"), None);
    });
}

#[test]
fn a_keyspace_of_another_store_is_refused() {
    let db = Db::in_memory(Options::default()).unwrap();
    let other = Db::in_memory(Options::default()).unwrap();
    let (ours, theirs) = (db.keyspace("a").unwrap(), other.keyspace("b").unwrap());
    let mut batch = WriteBatch::new();
    batch.put("k", "default");
    batch.within(&theirs).put("k", "theirs");
    refused(db.write(batch));
    assert_eq!((text(&db, "k"), text(&ours, "k"), text(&theirs, "k")), (None, None, None));
}

#[test]
fn a_batch_larger_than_every_buffer_is_applied_whole() {
    every_setting(|w| {
        let db = w.open();
        let mut batch = WriteBatch::new();
        let mut model = Model::new();
        for i in 0..5_000 {
            batch.put(key(i), value(i, 0));
            model.insert(key(i), value(i, 0));
        }
        db.write(batch).unwrap();
        assert_same(&db, &model);
        drop(db);
        assert_same(&w.open(), &model);
    });
}

#[test]
fn either_durability_is_visible_at_once_and_after_reopening() {
    every_setting(|w| {
        let db = w.open();
        for (i, durability) in [Durability::Sync, Durability::Os].into_iter().enumerate() {
            let mut batch = WriteBatch::new();
            batch.put(key(i), value(i, 0));
            db.write_with(batch, durability).unwrap();
            assert_eq!(db.get(key(i)).unwrap().unwrap(), value(i, 0));
            let mut batch = WriteBatch::new();
            batch.put(key(i), value(i, 1));
            db.keyspace("k").unwrap().write_with(batch, durability).unwrap();
        }
        drop(db);
        let db = w.open();
        assert_eq!(pairs(db.iter()).len(), 2);
        assert_eq!(pairs(db.keyspace("k").unwrap().iter()).len(), 2);
    });
}
