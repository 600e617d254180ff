//! Every interleaving, and every order of memory that the orderings allow, of small runs of the
//! list:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p kv-memtable --release --test loom
//! ```
#![cfg(loom)]
#![allow(dead_code, reason = "the models use a part of the list's sources")]

#[path = "../src/arena.rs"]
mod arena;
#[path = "../src/node.rs"]
mod node;
#[path = "../src/skiplist.rs"]
mod skiplist;
#[path = "../src/sync.rs"]
mod sync;

use kv_core::{Kind, Trailer};
use skiplist::Skiplist;
use std::sync::Arc;

/// As the second argument of an insert: towers of one and of two levels.
const LOW: u32 = 1;
const TALL: u32 = 1 << 1;

const CAPACITY: usize = 256;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

fn insert(list: &Skiplist, key: &[u8], random: u32) {
    assert!(list.insert(key, Trailer::new(1, Kind::Put), key, random));
}

fn contains(list: &Skiplist, key: &[u8]) -> bool {
    let found = list.seek(&list.target(key, Trailer::MAX));
    found.is_some_and(|node| list.nodes().key(node) == key)
}

fn forward(list: &Skiplist) -> Vec<Vec<u8>> {
    let nodes = std::iter::successors(list.first(), |&node| list.next(node));
    nodes.map(|node| list.nodes().key(node).to_vec()).collect()
}

fn backward(list: &Skiplist) -> Vec<Vec<u8>> {
    let nodes = std::iter::successors(list.last(), |&node| list.prev(node));
    nodes.map(|node| list.nodes().key(node).to_vec()).collect()
}

/// What a reader may see at any moment: both walks in strict order, and values that are whole.
fn check_order(list: &Skiplist) {
    let forward = forward(list);
    assert!(forward.is_sorted_by(|a, b| a < b), "{forward:?}");
    let mut backward = backward(list);
    backward.reverse();
    assert!(backward.is_sorted_by(|a, b| a < b), "{backward:?}");
    for node in std::iter::successors(list.first(), |&node| list.next(node)) {
        assert_eq!(list.nodes().key(node), list.nodes().value(node));
    }
}

/// What holds once all inserts have returned: everything is found on every way, the upper level
/// is in order, and each hint and each bound is exact.
fn check_settled(list: &Skiplist, keys: &[&[u8]]) {
    assert_eq!(forward(list), keys);
    let mut backward = backward(list);
    backward.reverse();
    assert_eq!(backward, keys);
    assert!(keys.iter().all(|key| contains(list, key)));
    let nodes = list.nodes();
    let mut before = nodes.root();
    while let Some(node) = list.next(before) {
        assert_eq!(nodes.prev(node).load(), Some(before), "back link");
        before = node;
    }
    assert_eq!(nodes.tail(0).load(), Some(before), "tail");
    let mut before = nodes.root();
    while let Some(node) = nodes.next(before, 1).load() {
        assert!(before == nodes.root() || nodes.key(before) < nodes.key(node), "upper level");
        assert_eq!(nodes.next_head(before, 1).load(), nodes.head(node), "bound");
        before = node;
    }
    assert_eq!(nodes.tail(1).load(), Some(before), "upper tail");
}

fn two_writers(
    first: (&'static [u8], u32),
    second: (&'static [u8], u32),
    present: &[&'static [u8]],
) {
    let mut keys: Vec<&'static [u8]> = present.to_vec();
    keys.extend([first.0, second.0]);
    keys.sort_unstable();
    let present = present.to_vec();
    model(move || {
        let list = Arc::new(Skiplist::new(CAPACITY, b""));
        present.iter().for_each(|key| insert(&list, key, LOW));
        let writer = {
            let list = Arc::clone(&list);
            loom::thread::spawn(move || insert(&list, first.0, first.1))
        };
        insert(&list, second.0, second.1);
        assert!(contains(&list, second.0), "own insert");
        writer.join().unwrap();
        check_settled(&list, &keys);
    });
}

#[test]
fn two_inserts_into_an_empty_list() {
    two_writers((b"a", LOW), (b"b", TALL), &[]);
    two_writers((b"b", TALL), (b"a", LOW), &[]);
}

#[test]
fn two_inserts_into_the_same_gap() {
    two_writers((b"b", TALL), (b"c", TALL), &[b"a", b"d"]);
}

#[test]
fn two_inserts_at_the_end() {
    two_writers((b"b", TALL), (b"c", TALL), &[b"a"]);
}

#[test]
fn a_reader_beside_two_writers() {
    model(|| {
        let list = Arc::new(Skiplist::new(CAPACITY, b""));
        let writers = [(b"a", LOW), (b"b", TALL)].map(|(key, random)| {
            let list = Arc::clone(&list);
            loom::thread::spawn(move || insert(&list, key, random))
        });
        check_order(&list);
        if contains(&list, b"b") {
            assert!(forward(&list).contains(&b"b".to_vec()), "seen once, seen for ever");
            assert!(backward(&list).contains(&b"b".to_vec()), "and on the way back");
        }
        for writer in writers {
            writer.join().unwrap();
        }
        check_settled(&list, &[b"a", b"b"]);
    });
}

#[test]
fn a_search_finds_what_is_there_while_a_tower_rises_before_it() {
    model(|| {
        let list = Arc::new(Skiplist::new(CAPACITY, b""));
        insert(&list, b"c", LOW);
        insert(&list, b"d", TALL);
        let writer = {
            let list = Arc::clone(&list);
            loom::thread::spawn(move || insert(&list, b"b", TALL))
        };
        assert!(contains(&list, b"c"));
        writer.join().unwrap();
        check_settled(&list, &[b"b", b"c", b"d"]);
    });
}

#[test]
fn a_full_arena_is_full_for_both() {
    model(|| {
        // Room for two low nodes with a key and a value of one byte.
        let list = Arc::new(Skiplist::new(72, b""));
        let writer = {
            let list = Arc::clone(&list);
            loom::thread::spawn(move || {
                [b"a", b"b"]
                    .iter()
                    .filter(|key| list.insert(key.as_slice(), Trailer::MAX, b"", LOW))
                    .count()
            })
        };
        let mine = usize::from(list.insert(b"c", Trailer::MAX, b"", LOW));
        assert_eq!(writer.join().unwrap() + mine, 2);
        assert_eq!(forward(&list).len(), 2);
    });
}
