//! The lines of the budget that `kv-sstable` answers for, all with the table in the cache.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot go on stops; it measures the real clock"
)]

mod fixture;

use criterion::{Criterion, criterion_group, criterion_main};
use fixture::{entries, layout, memory, probes, table, table_path};
use kv_core::{Cursor, Kind, Trailer};
use kv_sstable::{Access, Filter, FilterBuilder, TableBuilder};
use kv_vfs::Fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Entries of the big table: more than the processor's own caches hold.
const COUNT: u64 = 1_000_000;

/// Entries of a table of one block.
const BLOCK: u64 = 30;

const SNAPSHOT: u64 = u64::MAX >> 8;

/// Budget: 45 ns. A seek in a table of one block that lies in the processor's cache: the way to
/// the block (25) and the search in it (20).
fn block_search(c: &mut Criterion) {
    let mut cursor = table(BLOCK).cursor(Access::Cached);
    let mut probes = probes(BLOCK, 0).into_iter().cycle();
    c.bench_function("block search", |b| {
        b.iter(|| {
            let (key, _) = probes.next().unwrap();
            cursor.seek(&key, Trailer::MAX).unwrap();
            black_box(cursor.value());
        });
    });
}

/// Budget: 5 ns. One step within a block that lies in the processor's cache.
fn block_step(c: &mut Criterion) {
    let mut cursor = table(BLOCK).cursor(Access::Cached);
    c.bench_function("block step", |b| {
        b.iter(|| {
            if !cursor.valid() {
                cursor.first().unwrap();
            }
            black_box((cursor.key(), cursor.value()));
            cursor.next().unwrap();
        });
    });
}

/// Budget: 20 ns. A key against the filter of a million, which lies in the processor's cache.
fn filter_probe(c: &mut Criterion) {
    let mut builder = FilterBuilder::new(10.0);
    probes(COUNT, 0).iter().for_each(|(_, hash)| builder.add(*hash));
    let filter = Filter::load(&builder.finish()).unwrap();
    let mut probes = probes(COUNT, 1).into_iter().cycle();
    c.bench_function("filter probe", |b| {
        b.iter(|| {
            let (_, hash) = probes.next().unwrap();
            black_box(filter.may_contain(hash));
        });
    });
}

/// Budget: 405 ns. A key that is there, out of memory and not the processor's cache: filter (100),
/// index (110), block (100), entry (95).
fn table_get(c: &mut Criterion) {
    let table = table(COUNT);
    let probes = probes(COUNT, 0);
    for (key, hash) in &probes {
        table.get(key, *hash, SNAPSHOT).unwrap().unwrap();
    }
    let mut probes = probes.into_iter().cycle();
    c.bench_function("table get", |b| {
        b.iter(|| {
            let (key, hash) = probes.next().unwrap();
            black_box(table.get(&key, hash, SNAPSHOT).unwrap()).unwrap();
        });
    });
}

/// Budget: 12 ns. One step of a scan over the whole table: in the block (5), a share of the next
/// block (3), the bytes out of memory.
fn table_scan(c: &mut Criterion) {
    let table = table(COUNT);
    let mut cursor = table.cursor(Access::Cached);
    c.bench_function("table scan", |b| {
        b.iter(|| {
            if !cursor.valid() {
                cursor.first().unwrap();
            }
            black_box((cursor.key(), cursor.value()));
            cursor.next().unwrap();
        });
    });
}

/// Budget: 70 ns for each entry: appended (20), hashed into the filter (12), a share of its block
/// (9), written (28). Without compression, into memory.
fn table_build(c: &mut Criterion) {
    let entries = entries(COUNT / 4);
    let trailer = Trailer::new(7, Kind::Put);
    c.bench_function("table build", |b| {
        b.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            let mut left = count as usize;
            while left > 0 {
                let fs = memory();
                let file = fs.create_new(&table_path(1)).unwrap();
                let round = &entries[..left.min(entries.len())];
                let start = Instant::now();
                let mut builder = TableBuilder::new(file, table_path(1), 1, layout());
                for (key, value) in round {
                    builder.add(key, trailer, value).unwrap();
                }
                black_box(builder.finish().unwrap());
                spent += start.elapsed();
                left -= round.len();
            }
            spent
        });
    });
}

criterion_group!(
    benches,
    block_search,
    block_step,
    filter_probe,
    table_get,
    table_scan,
    table_build
);
criterion_main!(benches);
