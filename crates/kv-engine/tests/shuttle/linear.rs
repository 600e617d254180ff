//! Operations on one key look as if each happened at one moment between its call and its return:
//! histories of at most twelve operations, searched for such an order (Wing and Gong).

use crate::world::{World, check};
use kv_engine::{Db, Durability, WriteBatch};
use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Did {
    Put(u64),
    Delete,
    Saw(Option<u64>),
}

#[derive(Clone, Copy, Debug)]
struct Call {
    did: Did,
    called: u64,
    returned: u64,
}

/// Whether the calls can be put in an order that a register allows, in which none comes before one
/// that had returned when it was called. `left` is a set of bits.
fn is_linear(calls: &[Call], left: u32, held: Option<u64>) -> bool {
    if left == 0 {
        return true;
    }
    let open = |n: &usize| left & 1 << n != 0;
    let first_return =
        (0..calls.len()).filter(open).map(|n| calls[n].returned).min().unwrap_or(u64::MAX);
    (0..calls.len()).filter(open).filter(|n| calls[*n].called < first_return).any(|n| {
        let held = match calls[n].did {
            Did::Put(value) => Some(value),
            Did::Delete => None,
            Did::Saw(seen) if seen == held => held,
            Did::Saw(_) => return false,
        };
        is_linear(calls, left & !(1 << n), held)
    })
}

fn act(db: &Db, time: &AtomicU64, value: u64) -> Call {
    let called = time.fetch_add(1, Ordering::Relaxed);
    let did = match thread_rng().gen_range(0..7) {
        0 | 1 => {
            let mut batch = WriteBatch::new();
            batch.put("key", value.to_le_bytes());
            batch.put([value as u8], vec![0; 700]);
            let synced = if value % 2 == 0 { Durability::Sync } else { Durability::Os };
            db.write_with(batch, synced).unwrap();
            Did::Put(value)
        }
        2 => {
            db.delete("key").unwrap();
            Did::Delete
        }
        3 => {
            let entry = db.prefix("key").next().map(|entry| entry.unwrap().1);
            Did::Saw(entry.map(|value| u64::from_le_bytes(value[..].try_into().unwrap())))
        }
        _ => {
            let found = db.get("key").unwrap();
            Did::Saw(found.map(|value| u64::from_le_bytes(value[..].try_into().unwrap())))
        }
    };
    Call { did, called, returned: time.fetch_add(1, Ordering::Relaxed) }
}

#[test]
fn operations_on_one_key_are_linearizable() {
    check(|| {
        let world = World::new();
        let db = world.open();
        let time = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..3u64)
            .map(|n| {
                let (db, time) = (db.clone(), Arc::clone(&time));
                thread::spawn(move || {
                    (0..4).map(|i| act(&db, &time, 1 + n * 10 + i)).collect::<Vec<Call>>()
                })
            })
            .collect();
        let flusher = {
            let db = db.clone();
            thread::spawn(move || {
                db.flush().unwrap();
                db.compact().unwrap();
            })
        };
        let calls: Vec<Call> =
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        flusher.join().unwrap();
        assert!(is_linear(&calls, (1 << calls.len()) - 1, None), "{calls:#?}");
        db.close().unwrap();
    });
}

#[test]
fn the_search_refuses_what_no_register_does() {
    let call = |did, called, returned| Call { did, called, returned };
    let good =
        [call(Did::Put(1), 0, 3), call(Did::Saw(Some(1)), 1, 2), call(Did::Saw(Some(1)), 4, 5)];
    assert!(is_linear(&good, 0b111, None));
    let stale = [call(Did::Put(1), 0, 1), call(Did::Saw(None), 2, 3)];
    assert!(!is_linear(&stale, 0b11, None));
    let back = [call(Did::Put(1), 0, 9), call(Did::Saw(Some(1)), 1, 2), call(Did::Saw(None), 3, 4)];
    assert!(!is_linear(&back, 0b111, None));
}
