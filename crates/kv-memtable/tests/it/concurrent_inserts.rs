//! Threads insert and read at once; nothing is lost, and no reader sees disorder.

use crate::{backward, entry, forward, get, put};
use kv_core::{Cursor, SeqNo, Trailer, hash64};
use kv_memtable::Memtable;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const WRITERS: u64 = 4;
const EACH: u64 = 5_000;

/// The key of the `i`th insert; every sixteenth goes to one of few hot keys.
fn key(i: u64) -> Vec<u8> {
    if i.is_multiple_of(16) {
        format!("hot{}", i / 16 % 8).into_bytes()
    } else {
        format!("{:016x}", hash64(&i.to_le_bytes())).into_bytes()
    }
}

fn run(key: fn(u64) -> Vec<u8>, beside: impl Fn(&Arc<Memtable>) + Sync) {
    let table = Arc::new(Memtable::new(8 << 20));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let table = &table;
                scope.spawn(move || {
                    for n in 0..EACH {
                        let i = n * WRITERS + writer;
                        put(table, &key(i), i + 1, &i.to_le_bytes()).unwrap();
                        assert_eq!(get(table, &key(i), i + 1), Some((i + 1, &i.to_le_bytes()[..])));
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                beside(&table);
            }
        });
        let ended: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a writer failed");
    });
    let mut want: Vec<_> =
        (0..WRITERS * EACH).map(|i| (key(i), i + 1, i.to_le_bytes().to_vec())).collect();
    want.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    assert_eq!(table.len(), want.len());
    assert!(forward(&table) == want, "forward");
    assert!(backward(&table) == want, "backward");
    for (key, seq, value) in &want {
        assert_eq!(get(&table, key, *seq), Some((*seq, &value[..])));
    }
}

#[test]
fn scattered_keys() {
    run(key, |_| ());
}

#[test]
fn ascending_keys() {
    run(|i| format!("{i:08}").into_bytes(), |_| ());
}

#[test]
fn descending_keys() {
    run(|i| format!("{:08}", u64::MAX - i).into_bytes(), |_| ());
}

#[test]
fn one_key() {
    run(|_| b"key".to_vec(), |_| ());
}

/// Both walks are strictly ordered, a later one sees all that an earlier one saw, and what a
/// walk sees is also found by its key.
#[test]
fn walks_are_consistent_while_others_insert() {
    run(key, |table| {
        let forward = forward(table);
        let in_order = |a: &(Vec<u8>, SeqNo, Vec<u8>), b: &(Vec<u8>, SeqNo, Vec<u8>)| {
            (&a.0, std::cmp::Reverse(a.1)) < (&b.0, std::cmp::Reverse(b.1))
        };
        assert!(forward.is_sorted_by(in_order));
        let backward = backward(table);
        assert!(backward.is_sorted_by(in_order));
        let mut later = backward.iter();
        assert!(forward.iter().all(|seen| later.any(|now| now == seen)), "an entry went away");
        for (key, seq, value) in forward.iter().step_by(7) {
            assert_eq!(get(table, key, *seq), Some((*seq, &value[..])));
        }
    });
}

#[test]
fn a_cursor_walks_on_from_its_place_while_others_insert() {
    run(key, |table| {
        let mut cursor = table.cursor();
        let Ok(()) = cursor.seek(b"8", Trailer::MAX);
        for _ in 0..50 {
            let Some(here) = entry(&cursor) else { break };
            let Ok(()) = cursor.next();
            if let Some(there) = entry(&cursor) {
                assert!((&there.0, here.1) > (&here.0, there.1), "{here:?} {there:?}");
                // The way back ends at the same entry, maybe over new ones.
                while entry(&cursor).is_some_and(|now| now != here) {
                    let Ok(()) = cursor.prev();
                }
                assert_eq!(entry(&cursor), Some(here));
                let Ok(()) = cursor.next();
            }
        }
    });
}
