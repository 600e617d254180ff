#![allow(clippy::disallowed_methods)]

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

fn block(len: usize, fill: u64) -> Bytes {
    Bytes::from(vec![fill as u8; len])
}

/// Reads through the cache, as a table does; answers whether it was a hit.
fn read(cache: &BlockCache, table: u64, offset: u64, len: usize) -> bool {
    let found = cache.get(table, offset);
    if found.is_none() {
        cache.insert(table, offset, block(len, offset));
    }
    found.is_some()
}

fn read_all(cache: &BlockCache, table: u64, blocks: u64) {
    for n in 0..blocks {
        read(cache, table, n, 4096);
    }
}

#[test]
fn a_block_is_found_at_its_place_only() {
    let cache = BlockCache::new(1 << 20);
    cache.insert(1, 2, block(10, 9));
    assert_eq!(cache.get(1, 2), Some(block(10, 9)));
    assert_eq!(cache.get(2, 1), None);
    assert_eq!(cache.get(1, 3), None);
    assert_eq!((cache.hits(), cache.misses()), (1, 2));
    assert_eq!(cache.used(), 10 + ENTRY_OVERHEAD);
}

#[test]
fn a_second_insert_is_not_counted_twice() {
    let cache = BlockCache::new(1 << 20);
    cache.insert(1, 2, block(10, 9));
    cache.insert(1, 2, block(10, 9));
    assert_eq!(cache.used(), 10 + ENTRY_OVERHEAD);
}

#[test]
fn tiny_capacities_work() {
    let none = BlockCache::new(0);
    none.insert(1, 0, Bytes::new());
    assert!(none.get(1, 0).is_none());
    assert!(none.pin(1).is_none());
    assert!(none.pin(0).is_some());

    let small = BlockCache::new(4 << 10);
    for offset in 0..100 {
        small.insert(1, offset, block(1000, offset));
        assert!(small.get(1, offset).is_some());
        assert!(small.used() <= 4 << 10);
    }
    assert_eq!(small.used(), 3 * (1000 + ENTRY_OVERHEAD));
}

#[test]
fn large_blocks_fit_and_larger_than_a_shard_stay_out() {
    for capacity in [8 << 20, 64 << 20, 1 << 30] {
        let cache = BlockCache::new(capacity);
        let _pin = cache.pin(capacity / 2).unwrap();
        cache.insert(1, 0, block(2 << 20, 1));
        assert!(cache.get(1, 0).is_some(), "a filter of 2 MiB in {capacity} bytes");
        cache.insert(1, 1, block(cache.shard_limit(), 1));
        assert!(cache.get(1, 1).is_none());
    }
}

#[test]
fn a_scan_does_not_displace_what_is_read_again() {
    let cache = BlockCache::new(1 << 20);
    for _ in 0..3 {
        read_all(&cache, 1, 100);
    }
    read_all(&cache, 2, 10_000);
    let kept = (0..100).filter(|&n| cache.get(1, n).is_some()).count();
    assert_eq!(kept, 100);
}

#[test]
fn what_is_no_longer_read_gives_way() {
    let cache = BlockCache::new(1 << 20);
    for _ in 0..5 {
        read_all(&cache, 1, 200);
    }
    for _ in 0..20 {
        read_all(&cache, 2, 200);
    }
    let new = (0..200).filter(|&n| cache.get(2, n).is_some()).count();
    assert!(new > 190, "{new} of 200");
}

#[test]
fn erasing_a_table_frees_its_bytes_and_no_others() {
    let cache = BlockCache::new(64 << 20);
    for n in 0..500 {
        read(&cache, 1 + n % 2, n, 100);
    }
    cache.erase_table(1);
    assert!((0..500).step_by(2).all(|n| cache.get(1, n).is_none()));
    assert!((1..500).step_by(2).all(|n| cache.get(2, n).is_some()));
    assert_eq!(cache.used(), 250 * (100 + ENTRY_OVERHEAD));
    cache.erase_table(2);
    assert_eq!(cache.used(), 0);
}

#[test]
fn pinned_bytes_push_blocks_out_at_once() {
    let cache = BlockCache::new(1 << 20);
    read_all(&cache, 1, 1000);
    let pin = cache.pin(1 << 19).unwrap();
    assert!(cache.used() + cache.pinned() <= cache.capacity());
    assert!(cache.pin(1).is_none(), "half of the capacity stays for blocks");
    assert!(cache.pin(usize::MAX).is_none());
    drop(pin);
    read_all(&cache, 1, 1000);
    assert!(cache.used() > 1 << 19);
}

#[test]
fn threads_never_see_another_block_nor_exceed_the_capacity() {
    let cache = BlockCache::new(256 << 10);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let cache = &cache;
            scope.spawn(move || {
                for n in 0..20_000u64 {
                    let offset = (n * 7919 + thread * 31) % 512;
                    let table = n % 3;
                    match cache.get(table, offset) {
                        Some(data) => assert_eq!(data, block(1000, offset)),
                        None => cache.insert(table, offset, block(1000, offset)),
                    }
                    if n % 1000 == 0 {
                        let _pin = cache.pin(10 << 10);
                        cache.erase_table(table);
                        assert!(cache.used() <= cache.capacity());
                    }
                }
            });
        }
    });
    assert_eq!(cache.hits() + cache.misses(), 80_000);
    assert_eq!(cache.pinned(), 0);
    (0..3).for_each(|table| cache.erase_table(table));
    assert_eq!(cache.used(), 0, "what is counted is what can be erased");
}

/// Reads block `i` through its slot, as a table does; answers whether the slot had it.
fn read_slot(cache: &BlockCache, table: u64, slots: &Arc<Slots>, i: usize) -> bool {
    if let Some(seen) = cache.look(slots, i) {
        assert_eq!(seen.buffer().unwrap()[..], block(1000, i as u64)[..]);
        return true;
    }
    if cache.attach(table, i as u64, slots, i).is_none() {
        let data = Buffer::copy_of(&block(1000, i as u64));
        cache.admit_to(table, i as u64, data, slots, i);
    }
    false
}

fn filled(slots: &Slots) -> usize {
    (0..100).filter(|&i| slots.look(i).is_some_and(|seen| seen.buffer().is_some())).count()
}

#[test]
fn a_slot_holds_what_the_cache_holds() {
    let cache = BlockCache::new(50 * (1000 + ENTRY_OVERHEAD));
    let slots = Arc::new(Slots::new(100));
    assert!((0..50).all(|i| !read_slot(&cache, 1, &slots, i)));
    assert!((0..50).all(|i| read_slot(&cache, 1, &slots, i)));
    for round in 0..4 {
        for i in 0..100 {
            read_slot(&cache, 1, &slots, (i * 37 + round) % 100);
        }
        assert_eq!(filled(&slots) * (1000 + ENTRY_OVERHEAD), cache.used());
    }
    let _pin = cache.pin(20 * (1000 + ENTRY_OVERHEAD)).unwrap();
    assert_eq!(filled(&slots) * (1000 + ENTRY_OVERHEAD), cache.used());
    assert!(filled(&slots) <= 30);
    assert_eq!(cache.hits() + cache.misses(), 500);
}

#[test]
fn a_table_that_is_gone_leaves_no_block_in_its_slots() {
    let cache = BlockCache::new(1 << 20);
    let (one, two) = (Arc::new(Slots::new(100)), Arc::new(Slots::new(100)));
    for i in 0..100 {
        read_slot(&cache, 1, &one, i);
        read_slot(&cache, 2, &two, i);
    }
    let seen = cache.look(&one, 7).unwrap();
    cache.erase_table(1);
    assert_eq!((filled(&one), filled(&two)), (0, 100));
    assert_eq!(cache.used(), 100 * (1000 + ENTRY_OVERHEAD));
    assert_eq!(seen.buffer().unwrap()[..], block(1000, 7)[..], "who looks at a block keeps it");
}

#[test]
fn a_table_that_is_opened_again_finds_its_blocks() {
    let cache = BlockCache::new(1 << 20);
    let old = Arc::new(Slots::new(100));
    for i in 0..100 {
        read_slot(&cache, 1, &old, i);
    }
    let new = Arc::new(Slots::new(100));
    let misses = cache.misses();
    for i in 0..100 {
        read_slot(&cache, 1, &new, i);
    }
    assert_eq!((filled(&old), filled(&new)), (0, 100), "a block has one slot");
    assert_eq!(cache.misses(), misses);
    drop(old);
    cache.erase_table(1);
    assert_eq!((filled(&new), cache.used()), (0, 0));
}

#[test]
fn slots_under_eviction_never_show_another_block() {
    let cache = BlockCache::new(60 * (1000 + ENTRY_OVERHEAD));
    let slots = Arc::new(Slots::new(100));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (cache, slots) = (&cache, &slots);
            scope.spawn(move || {
                for n in 0..20_000usize {
                    read_slot(cache, 1, slots, (n * 7919 + thread * 31) % 100);
                    if n % 4000 == 0 {
                        cache.erase_table(1);
                    }
                }
            });
        }
    });
    assert_eq!(filled(&slots) * (1000 + ENTRY_OVERHEAD), cache.used());
    cache.erase_table(1);
    assert_eq!((filled(&slots), cache.used()), (0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Insert { table: u64, offset: u64, len: usize },
    Get { table: u64, offset: u64 },
    Erase { table: u64 },
    Pin { bytes: usize },
    Unpin,
}

fn step() -> impl Strategy<Value = Step> {
    let (table, offset) = (0..4u64, 0..40u64);
    prop_oneof![
        8 => (table.clone(), offset.clone(), 0..3000usize)
            .prop_map(|(table, offset, len)| Step::Insert { table, offset, len }),
        8 => (table.clone(), offset).prop_map(|(table, offset)| Step::Get { table, offset }),
        1 => table.prop_map(|table| Step::Erase { table }),
        1 => (0..20_000usize).prop_map(|bytes| Step::Pin { bytes }),
        1 => Just(Step::Unpin),
    ]
}

proptest! {
    /// Against a map that holds all that was ever inserted: the cache answers a part of it.
    #[test]
    fn a_cache_is_a_forgetful_map(
        capacity in 0..40_000usize,
        steps in proptest::collection::vec(step(), 1..300),
    ) {
        let cache = BlockCache::new(capacity);
        let mut model: HashMap<(u64, u64), Bytes> = HashMap::new();
        let mut pins = Vec::new();
        for step in steps {
            match step {
                Step::Insert { table, offset, len } => {
                    let known = cache.get(table, offset).is_some();
                    cache.insert(table, offset, block(len, table ^ offset));
                    if !known {
                        model.insert((table, offset), block(len, table ^ offset));
                        let fits = len + ENTRY_OVERHEAD <= capacity - cache.pinned();
                        prop_assert_eq!(cache.get(table, offset).is_some(), fits);
                    }
                }
                Step::Get { table, offset } => {
                    if let Some(data) = cache.get(table, offset) {
                        prop_assert_eq!(Some(&data), model.get(&(table, offset)));
                    }
                }
                Step::Erase { table } => {
                    cache.erase_table(table);
                    model.retain(|place, _| place.0 != table);
                }
                Step::Pin { bytes } => pins.extend(cache.pin(bytes)),
                Step::Unpin => drop(pins.pop()),
            }
            prop_assert!(cache.used() + cache.pinned() <= capacity);
        }
        let held: usize = model.keys().filter_map(|&(table, offset)| cache.get(table, offset))
            .map(|data| data.len() + ENTRY_OVERHEAD).sum();
        prop_assert_eq!(cache.used(), held);
    }
}
