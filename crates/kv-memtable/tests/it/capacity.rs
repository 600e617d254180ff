//! Memory is known beforehand: what was promised to fit fits, and no more than there is is used.

use crate::{backward, forward, get, put};
use kv_core::hash64;
use kv_memtable::{Full, Memtable, Pool};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// On both sides of the size from which memory is mapped.
const CAPACITIES: [usize; 6] = [0, 1, 100, 2048, 100_000, 3 << 20];

/// What entries may use of memory.
fn most(capacity: usize) -> usize {
    (capacity + capacity / 8).next_multiple_of(8)
}

/// What they may use of it where the memory is in chunks.
fn most_in_chunks(capacity: usize) -> usize {
    let all = most(capacity) + 4096;
    all + all / 16 + (2 << 20)
}

#[test]
fn a_full_memtable_says_so_and_keeps_what_it_has() {
    for capacity in CAPACITIES {
        let table = Arc::new(Memtable::new(capacity));
        let fixed = table.memory();
        let mut count = 0u64;
        while put(&table, &hash64(&count.to_le_bytes()).to_be_bytes(), count + 1, &[7; 50]).is_ok()
        {
            count += 1;
            assert!(table.memory() <= fixed + most(capacity));
        }
        let bound = Memtable::entry_bound(8, 50);
        assert!(count as usize >= capacity / bound, "{count} entries in {capacity}");
        assert_eq!(table.len() as u64, count);
        assert_eq!(forward(&table).len() as u64, count);
        assert_eq!(forward(&table), backward(&table));
    }
}

#[test]
fn entries_whose_bounds_fit_are_never_refused() {
    let lengths: Vec<(usize, usize)> =
        (0..500).map(|i| (i * 7 % 41, if i % 50 == 0 { 5000 } else { i * 13 % 97 })).collect();
    let capacity = lengths.iter().map(|&(key, value)| Memtable::entry_bound(key, value)).sum();
    let table = Memtable::new(capacity);
    for (seq, (key, value)) in (1..).zip(lengths) {
        let before = table.memory();
        put(&table, &vec![b'k'; key], seq, &vec![b'v'; value]).unwrap();
        assert!(table.memory() - before >= key + value);
    }
}

#[test]
fn a_refused_entry_leaves_the_room_to_a_shorter_one() {
    let table = Memtable::new(1000);
    assert_eq!(put(&table, b"long", 1, &[0; 1200]), Err(Full));
    put(&table, b"short", 2, b"v").unwrap();
    assert_eq!(get(&table, b"short", 9), Some((2, &b"v"[..])));
    assert_eq!(get(&table, b"long", 9), None);
    assert_eq!(Memtable::entry_bound(usize::MAX, 1), usize::MAX);
}

#[test]
fn the_shortest_and_the_longest_entries_are_kept_whole() {
    let table = Arc::new(Memtable::new(4 << 20));
    let long_key = vec![0xAB; 65_545];
    let mut longer = long_key.clone();
    longer.push(0);
    let long_value: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 251) as u8).collect();
    put(&table, b"", 1, b"").unwrap();
    put(&table, b"\0", 2, b"zero").unwrap();
    put(&table, &long_key, 3, b"").unwrap();
    put(&table, &longer, 4, b"longer").unwrap();
    put(&table, b"v", 5, &long_value).unwrap();
    assert_eq!(get(&table, b"", 9), Some((1, &b""[..])));
    assert_eq!(get(&table, b"\0", 9), Some((2, &b"zero"[..])));
    assert_eq!(get(&table, &long_key, 9), Some((3, &b""[..])));
    assert_eq!(get(&table, &longer, 9), Some((4, &b"longer"[..])));
    assert_eq!(get(&table, b"v", 9), Some((5, &long_value[..])));
    let order: Vec<u64> = forward(&table).into_iter().map(|(_, seq, _)| seq).collect();
    assert_eq!(order, [1, 2, 5, 3, 4]);
}

#[test]
fn threads_that_meet_at_the_end_take_no_more_than_there_is() {
    for _ in 0..50 {
        let capacity = 4096;
        let table = Arc::new(Memtable::new(capacity));
        let fixed = table.memory();
        let inserted = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for writer in 0..4u64 {
                let (table, inserted) = (&table, &inserted);
                scope.spawn(move || {
                    for i in 0..40 {
                        let key = (i * 4 + writer).to_be_bytes();
                        if put(table, &key, i + 1, &[1; 33]).is_ok() {
                            inserted.fetch_add(1, Ordering::Relaxed);
                        }
                        assert!(table.memory() <= fixed + most(capacity));
                    }
                });
            }
        });
        assert_eq!(forward(&table).len(), inserted.load(Ordering::Relaxed));
        assert!(forward(&table).iter().all(|(_, _, value)| value == &[1; 33]));
    }
}

#[test]
fn memory_goes_from_one_memtable_to_the_next_and_back_to_the_system() {
    let pool = Pool::new(6 << 20);
    let capacity = 5 << 20;
    for round in 0..3u64 {
        let table = Arc::new(Memtable::with_pool(capacity, b"", &pool));
        let fixed = table.memory();
        let mut want = Vec::new();
        for i in 0.. {
            let key = hash64(&(i * 3 + round).to_le_bytes()).to_be_bytes();
            if put(&table, &key, i + 1, &[i as u8; 300]).is_err() {
                break;
            }
            want.push((key.to_vec(), i + 1, vec![i as u8; 300]));
            assert!(table.memory() <= fixed + most_in_chunks(capacity));
        }
        assert!(want.len() >= capacity / Memtable::entry_bound(8, 300), "{}", want.len());
        want.sort();
        assert!(forward(&table) == want && backward(&table) == want);
        assert_eq!(get(&table, &want[7].0, 1 << 40), Some((want[7].1, &want[7].2[..])));
        drop(table);
        assert_eq!(pool.memory(), 6 << 20);
    }
    pool.release();
    assert_eq!(pool.memory(), 0);
}

#[test]
fn long_values_lie_beside_the_chunks_and_are_kept_whole() {
    let pool = Pool::new(64 << 20);
    let lengths = [0, 1, 8, 30_000, 32_600, 32_768, 33_000, 131_072, 1 << 20, 5 << 20];
    let entries: Vec<_> = (0..40).map(|i| (i * 2000 % 65_546, lengths[i % 10])).collect();
    let capacity = entries.iter().map(|&(key, value)| Memtable::entry_bound(key, value)).sum();
    let table = Arc::new(Memtable::with_pool(capacity, b"", &pool));
    for (seq, (key, value)) in (1..).zip(&entries) {
        let before = table.memory();
        put(&table, &vec![b'k'; *key], seq, &vec![seq as u8; *value]).unwrap();
        assert!(table.memory() - before >= key + value);
    }
    for (seq, (key, value)) in (1..).zip(&entries) {
        let want = vec![seq as u8; *value];
        assert_eq!(get(&table, &vec![b'k'; *key], seq), Some((seq, &want[..])));
    }
    assert_eq!(forward(&table).len(), entries.len());
    assert_eq!(put(&table, b"", 99, &vec![0; 2 * capacity]), Err(Full));
    assert_eq!(put(&table, &vec![0; 200_000], 99, b""), Err(Full));
    drop(table);
    assert!(pool.memory() > 0);
}
