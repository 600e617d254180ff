//! Reads beside writes, flushes and compactions: a batch is seen whole or not at all, what was seen
//! is seen again, and no table goes under a reader.

use crate::world::{DIR, World, big, check};
use kv_engine::{Db, ErrorKind, Snapshot, WriteBatch};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread;

/// Writes `a` and `b` together, time and again.
fn write_pairs(db: &Db, rounds: u8) {
    for n in 1..=rounds {
        let mut batch = WriteBatch::new();
        batch.put("a", big(n));
        batch.put("b", big(n));
        db.write(batch).unwrap();
    }
}

fn pair(snapshot: &Snapshot) -> Vec<u8> {
    let entries: Vec<_> = snapshot.iter().map(|entry| entry.unwrap()).collect();
    let back: Vec<_> = snapshot.iter().rev().map(|entry| entry.unwrap()).collect();
    assert!(entries.iter().eq(back.iter().rev()), "forward and backward differ");
    let values: Vec<u8> = entries.iter().map(|(_, value)| value[0]).collect();
    assert!(values.is_empty() || (values.len() == 2 && values[0] == values[1]), "half a batch");
    values
}

#[test]
fn a_batch_is_seen_whole_and_time_never_goes_back() {
    check(|| {
        let world = World::new();
        let db = world.open();
        let writer = {
            let db = db.clone();
            thread::spawn(move || write_pairs(&db, 5))
        };
        let compactor = {
            let db = db.clone();
            thread::spawn(move || {
                db.flush().unwrap();
                db.compact().unwrap();
            })
        };
        let mut newest = 0;
        for _ in 0..3 {
            let snapshot = db.snapshot();
            let seen = pair(&snapshot);
            let now = seen.first().copied().unwrap_or(0);
            assert!(now >= newest, "a later snapshot sees less");
            newest = now;
            assert!(held(&db) >= now, "a read sees less than an older snapshot");
            assert_eq!(pair(&snapshot), seen, "a snapshot changed");
        }
        writer.join().unwrap();
        compactor.join().unwrap();
        assert_eq!(pair(&db.snapshot()), [5, 5]);
        db.close().unwrap();
    });
}

/// What `a` holds now.
fn held(db: &Db) -> u8 {
    db.get("a").unwrap().map_or(0, |a| a[0])
}

/// A write may have an older one before it that is not in its memtable yet: nobody sees the one
/// without the other, so what a snapshot does not show stays hidden from it.
#[test]
fn nothing_is_seen_before_an_older_write() {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    fn seen(snapshot: &Snapshot) -> [Option<kv_engine::Bytes>; 3] {
        KEYS.map(|key| snapshot.get(key).unwrap())
    }
    check(|| {
        let db = World::new().open();
        let writers = KEYS.map(|key| {
            let db = db.clone();
            thread::spawn(move || {
                for n in 0..8 {
                    db.put(key, [n]).unwrap();
                    let now = db.get(key).unwrap();
                    assert_eq!(now.as_deref(), Some(&[n][..]), "a writer does not see its own");
                }
            })
        });
        let moments: Vec<_> = (0..8)
            .map(|_| {
                let snapshot = db.snapshot();
                let then = seen(&snapshot);
                (snapshot, then)
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        for (snapshot, then) in moments {
            assert_eq!(seen(&snapshot), then, "an older write came into a snapshot");
        }
        db.close().unwrap();
    });
}

/// Each key has a table of its own, which an iterator opens when it comes there: so a merge ends, and
/// what it has merged goes, while some iterator has tables before it.
#[test]
fn no_table_goes_under_a_reader() {
    const KEYS: u8 = 8;
    check(|| {
        let world = World::new();
        let db = Db::open(DIR, world.options().table_size(1 << 10).max_open_files(4)).unwrap();
        for n in 0..KEYS {
            db.put([n], big(n)).unwrap();
        }
        db.compact().unwrap();
        let merging = Arc::new(AtomicBool::new(true));
        let compactor = {
            let (db, merging) = (db.clone(), Arc::clone(&merging));
            thread::spawn(move || {
                for round in 0..2 {
                    for n in 0..KEYS / 2 {
                        db.put([2 * n + round], big(2 * n + round)).unwrap();
                    }
                    db.compact().unwrap();
                }
                merging.store(false, Ordering::SeqCst);
            })
        };
        while merging.load(Ordering::SeqCst) {
            let mut seen = 0;
            for entry in &mut db.iter() {
                let (key, value) = entry.unwrap();
                assert_eq!(&value[..], &big(key[0])[..]);
                seen += 1;
                assert!(db.contains_key(key).unwrap());
            }
            assert_eq!(seen, KEYS);
            thread::yield_now();
        }
        compactor.join().unwrap();
        assert!(db.verify().unwrap().is_ok());
        db.close().unwrap();
    });
}

#[test]
fn a_dropped_keyspace_takes_no_write_and_leaves_none() {
    check(|| {
        let world = World::new();
        let db = world.open();
        let space = db.keyspace("gone").unwrap();
        let writer = thread::spawn(move || {
            for n in 0..5u8 {
                if let Err(error) = space.put([n], big(n)) {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                    return;
                }
            }
        });
        let flusher = {
            let db = db.clone();
            thread::spawn(move || db.flush().unwrap())
        };
        db.drop_keyspace("gone").unwrap();
        let again = db.keyspace("gone").unwrap();
        assert_eq!(again.iter().count(), 0, "an entry of the dropped keyspace is seen");
        again.put("new", "v").unwrap();
        writer.join().unwrap();
        flusher.join().unwrap();
        db.close().unwrap();
        let db = world.open();
        assert_eq!(db.keyspace("gone").unwrap().iter().count(), 1);
        assert_eq!(db.iter().count(), 0);
    });
}
