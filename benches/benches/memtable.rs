//! The lines of the budget that `kv-memtable` answers for.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot go on stops; it measures the real clock"
)]

mod fixture;

use criterion::{Criterion, criterion_group, criterion_main};
use fixture::{filled_memtable, memtable, probes, value};
use kv_core::{Kind, Trailer};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Entries of the memtable: what one of 64 MiB holds of this shape, about.
const COUNT: u64 = 400_000;

/// Budget: 180 ns. One entry at a random place, its copy into the arena (12) and its bits in the
/// filter (10) included; the mean over a memtable that is filled from empty.
fn memtable_insert(c: &mut Criterion) {
    let probes = probes(COUNT, 0);
    let value = value(7);
    c.bench_function("memtable insert", |b| {
        b.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            let mut left = count as usize;
            while left > 0 {
                let table = memtable(COUNT);
                // Each from a memtable that is a part as full as the whole one on average.
                let round = &probes[..left.min(probes.len())];
                let start = Instant::now();
                for (seq, (key, hash)) in round.iter().enumerate() {
                    let trailer = Trailer::new(seq as u64 + 1, Kind::Put);
                    table.insert(key, *hash, trailer, &value).unwrap();
                }
                spent += start.elapsed();
                left -= round.len();
            }
            spent
        });
    });
}

/// Budget: 130 ns. The newest version of a key that is there.
fn memtable_get(c: &mut Criterion) {
    let table = filled_memtable(COUNT);
    let mut probes = probes(COUNT, 0).into_iter().rev().cycle();
    c.bench_function("memtable get", |b| {
        b.iter(|| {
            let (key, hash) = probes.next().unwrap();
            black_box(table.get(&key, hash, u64::MAX >> 8)).unwrap();
        });
    });
}

/// Budget: 20 ns. A key that is not there.
fn memtable_miss(c: &mut Criterion) {
    let table = filled_memtable(COUNT);
    let mut probes = probes(COUNT, 1).into_iter().cycle();
    c.bench_function("memtable miss", |b| {
        b.iter(|| {
            let (key, hash) = probes.next().unwrap();
            black_box(table.get(&key, hash, u64::MAX >> 8));
        });
    });
}

criterion_group! {
    name = benches;
    // Short measurements would fill the first part of a memtable only.
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(8));
    targets = memtable_insert, memtable_get, memtable_miss
}
criterion_main!(benches);
