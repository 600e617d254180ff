//! Every interleaving, and every order of memory that the orderings allow, of small runs of the
//! list, the index and the stack between them:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p kv-memtable --release --test loom
//! ```
#![cfg(loom)]
#![allow(dead_code, reason = "the models use a part of the sources")]

#[path = "../src/arena.rs"]
mod arena;
#[path = "../src/chunk.rs"]
mod chunk;
#[path = "../src/index.rs"]
mod index;
#[path = "../src/ladder.rs"]
mod ladder;
#[path = "../src/node.rs"]
mod node;
#[path = "../src/ordered.rs"]
mod ordered;
#[path = "../src/pending.rs"]
mod pending;
#[path = "../src/skiplist.rs"]
mod skiplist;
#[path = "../src/sort.rs"]
mod sort;
#[path = "../src/sync.rs"]
mod sync;

use index::{Found, Index};
use kv_core::{Kind, SeqNo, Trailer};
use node::NodeId;
use ordered::Ordered;
use skiplist::Skiplist;
use std::sync::Arc;

/// As the second argument of an insert: towers of one and of two levels.
const LOW: u32 = 1;
const TALL: u32 = 1 << 1;

const CAPACITY: usize = 320;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

fn allocate(list: &Skiplist, key: &[u8], seq: SeqNo, random: u32) -> NodeId {
    list.allocate(key, Trailer::new(seq, Kind::Put), key, random).unwrap()
}

fn push(ordered: &Ordered, key: &[u8], random: u32) {
    let node = allocate(ordered.list(), key, 1, random);
    ordered.push(node, node, 1);
}

fn ordered() -> Arc<Ordered> {
    Arc::new(Ordered::new(Skiplist::new(CAPACITY, b"", None)))
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
    let mut keys: Vec<_> = nodes.map(|node| list.nodes().key(node).to_vec()).collect();
    keys.reverse();
    keys
}

/// What a reader may see at any moment: both walks in strict order, and values that are whole.
fn check_order(list: &Skiplist) {
    let forward = forward(list);
    assert!(forward.is_sorted_by(|a, b| a < b), "{forward:?}");
    let backward = backward(list);
    assert!(backward.is_sorted_by(|a, b| a < b), "{backward:?}");
    for node in std::iter::successors(list.first(), |&node| list.next(node)) {
        assert_eq!(list.nodes().key(node), list.nodes().value(node));
    }
}

/// What holds while nobody links: everything is found on every way, the upper level is in order,
/// and each hint and each bound is exact.
fn check_settled(list: &Skiplist, keys: &[&[u8]]) {
    assert_eq!(forward(list), keys);
    assert_eq!(backward(list), keys);
    assert!(keys.iter().all(|key| contains(list, key)));
    let nodes = list.nodes();
    let mut before = nodes.root();
    while let Some(node) = list.next(before) {
        assert_eq!(nodes.prev(node).load(), Some(before), "back link");
        before = node;
    }
    assert_eq!(nodes.tail().load(), Some(before), "tail");
    let mut before = nodes.root();
    while let Some(node) = nodes.next(before, 1).load() {
        assert!(before == nodes.root() || nodes.key(before) < nodes.key(node), "upper level");
        assert_eq!(nodes.next_head(before, 1).load(), nodes.head(node), "bound");
        before = node;
    }
}

#[test]
fn a_reader_beside_the_one_that_links() {
    model(|| {
        let ordered = ordered();
        push(&ordered, b"c", TALL);
        ordered.order();
        push(&ordered, b"d", LOW);
        push(&ordered, b"b", TALL);
        let linker = {
            let ordered = Arc::clone(&ordered);
            loom::thread::spawn(move || ordered.order())
        };
        let list = ordered.list();
        check_order(list);
        assert!(contains(list, b"c"));
        if contains(list, b"d") {
            assert!(forward(list).contains(&b"d".to_vec()), "seen once, seen for ever");
            assert!(backward(list).contains(&b"d".to_vec()), "and on the way back");
        }
        linker.join().unwrap();
        check_settled(list, &[b"b", b"c", b"d"]);
    });
}

#[test]
fn who_asks_for_the_order_has_all_that_was_pushed_whoever_links_it() {
    model(|| {
        let ordered = ordered();
        let asks = |key: &'static [u8], random: u32| {
            let ordered = Arc::clone(&ordered);
            move || {
                push(&ordered, key, random);
                ordered.order();
                assert!(contains(ordered.list(), key), "own entry");
                check_order(ordered.list());
            }
        };
        let other = loom::thread::spawn(asks(b"b", TALL));
        asks(b"a", LOW)();
        other.join().unwrap();
        check_settled(ordered.list(), &[b"a", b"b"]);
    });
}

#[test]
fn a_walk_has_all_that_was_pushed_while_another_thread_orders() {
    model(|| {
        let ordered = ordered();
        push(&ordered, b"b", LOW);
        push(&ordered, b"a", LOW);
        let other = {
            let ordered = Arc::clone(&ordered);
            loom::thread::spawn(move || ordered.order())
        };
        let list = ordered.list();
        match ordered.sorted() {
            Some(nodes) => {
                let keys: Vec<_> = nodes.iter().map(|&node| list.nodes().key(node)).collect();
                assert_eq!(keys, [b"a", b"b"]);
            }
            None => assert_eq!(forward(list), [b"a", b"b"]),
        }
        other.join().unwrap();
    });
}

#[test]
fn an_entry_that_comes_while_others_are_ordered_is_ordered_next() {
    model(|| {
        let ordered = ordered();
        push(&ordered, b"b", LOW);
        let writer = {
            let ordered = Arc::clone(&ordered);
            loom::thread::spawn(move || push(&ordered, b"a", LOW))
        };
        ordered.order();
        assert!(contains(ordered.list(), b"b"));
        writer.join().unwrap();
        ordered.order();
        check_settled(ordered.list(), &[b"a", b"b"]);
        assert_eq!(ordered.len(), 2);
    });
}

/// A list and an index; all hashes here meet in one bucket.
struct Table {
    list: Skiplist,
    index: Index,
}

impl Table {
    fn new() -> Arc<Table> {
        Arc::new(Table { list: Skiplist::new(CAPACITY, b"", None), index: Index::new(0) })
    }

    fn insert(&self, key: &[u8], seq: SeqNo) {
        let node = allocate(&self.list, key, seq, LOW);
        self.index.insert(self.list.nodes(), node, hash(key), Trailer::new(seq, Kind::Put));
    }

    fn get(&self, key: &[u8], snapshot: SeqNo) -> Option<SeqNo> {
        let head = self.index.chain(hash(key))?;
        let target = self.list.target(key, Trailer::upper_bound(snapshot));
        let nodes = self.list.nodes();
        match index::find(nodes, head, 64, |node| self.list.answers(node, &target)) {
            Found::Entry(node) => {
                assert_eq!(nodes.value(node), key);
                Some(nodes.trailer(node).seq())
            }
            Found::Nothing | Found::Far(_) => None,
        }
    }
}

fn hash(key: &[u8]) -> u64 {
    u64::from(key[0])
}

#[test]
fn a_chain_is_newest_first_whoever_comes_first() {
    for keys in [[b"a", b"a"], [b"a", b"b"]] {
        model(move || {
            let table = Table::new();
            table.insert(keys[0], 1);
            let writer = {
                let table = Arc::clone(&table);
                loom::thread::spawn(move || {
                    table.insert(keys[1], 3);
                    assert_eq!(table.get(keys[1], 3), Some(3));
                })
            };
            table.insert(keys[0], 2);
            assert_eq!(table.get(keys[0], 2), Some(2), "own insert");
            assert_eq!(table.get(keys[0], 1), Some(1), "what was there before");
            writer.join().unwrap();
            assert_eq!(table.get(keys[1], 3), Some(3));
            assert_eq!(table.get(keys[0], 2), Some(2));
            assert_eq!(table.get(keys[0], 1), Some(1));
        });
    }
}

#[test]
fn a_get_finds_what_is_there_while_others_insert_before_and_behind_it() {
    model(|| {
        let table = Table::new();
        table.insert(b"a", 2);
        let writers = [3, 1].map(|seq| {
            let table = Arc::clone(&table);
            loom::thread::spawn(move || table.insert(b"a", seq))
        });
        assert_eq!(table.get(b"a", 2), Some(2));
        let newest = table.get(b"a", 9);
        assert!(newest >= Some(2), "{newest:?}");
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!([1, 2, 3].map(|seq| table.get(b"a", seq)), [Some(1), Some(2), Some(3)]);
    });
}

#[test]
fn a_full_arena_is_full_for_both() {
    model(|| {
        // Room for two low nodes with a key of one byte.
        let list = Arc::new(Skiplist::new(80, b"", None));
        let writer = {
            let list = Arc::clone(&list);
            loom::thread::spawn(move || {
                [b"a", b"b"]
                    .iter()
                    .filter(|key| list.allocate(key.as_slice(), Trailer::MAX, b"", LOW).is_some())
                    .count()
            })
        };
        let mine = usize::from(list.allocate(b"c", Trailer::MAX, b"", LOW).is_some());
        assert_eq!(writer.join().unwrap() + mine, 2);
    });
}
