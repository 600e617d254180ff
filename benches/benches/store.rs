//! The lines of the budget that only the whole store can answer for, on files in memory.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot go on stops; it measures the real clock"
)]

mod fixture;

use criterion::{Criterion, criterion_group, criterion_main};
use fixture::{as_killed, key, memory, options, shuffled, store, store_with_runs, value};
use kv_engine::{Compression, Db};
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

const COUNT: u64 = 400_000;

/// Budget: 20 ns for each entry that comes out: a step of a cursor over five sorted runs, of which
/// one holds four fifths of the entries.
fn merge_step(c: &mut Criterion) {
    let fs = memory();
    let db = store_with_runs(&fs, COUNT, 4);
    let mut cursor = db.cursor();
    c.bench_function("merge per entry", |b| {
        b.iter(|| {
            if !cursor.valid() {
                cursor.first().unwrap();
            }
            black_box((cursor.key(), cursor.value()));
            cursor.next().unwrap();
        });
    });
}

/// Budget: 100 ns for each entry: read (12), verified (2), merged (15), appended (20), hashed into
/// the filter (12), a share of its block (9), written (28). Without compression; two runs of the
/// same keys become one.
fn compaction(c: &mut Criterion) {
    let fs = memory();
    let db = Db::open(Path::new("/store"), options(&fs).compression(Compression::None)).unwrap();
    let order = shuffled(COUNT);
    let fill = || {
        for n in &order {
            db.put(&key(2 * n)[1..], value(*n)).unwrap();
        }
        db.flush().unwrap();
    };
    fill();
    db.compact().unwrap();
    let mut group = c.benchmark_group("compaction per entry");
    group.sample_size(10);
    group.bench_function("two runs", |b| {
        b.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            let rounds = count.div_ceil(2 * COUNT);
            for _ in 0..rounds {
                fill();
                let start = Instant::now();
                db.compact().unwrap();
                spent += start.elapsed();
            }
            spent.mul_f64(count as f64 / (rounds * 2 * COUNT) as f64)
        });
    });
    group.finish();
}

/// Budget: 5,000,000 ns. A store of 400,000 entries that was closed in order.
fn open_clean(c: &mut Criterion) {
    let fs = memory();
    store(&fs, COUNT).close().unwrap();
    c.bench_function("open clean", |b| {
        b.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                let start = Instant::now();
                let db = Db::open(Path::new("/store"), options(&fs)).unwrap();
                spent += start.elapsed();
                db.close().unwrap();
            }
            spent
        });
    });
}

/// Budget: 500,000,000 ns. A store with 64 MiB of log, as a kill of its process leaves it.
fn open_with_a_log(c: &mut Criterion) {
    let fs = memory();
    // No flush: all of it is in the log.
    let big = || options(&fs).write_buffer(512 << 20).memory_budget(4 << 30).wal_limit(4 << 30);
    let db = Db::open(Path::new("/store"), big()).unwrap();
    for n in shuffled((64 << 20) / 140) {
        db.put(&key(2 * n)[1..], value(n)).unwrap();
    }
    let mut group = c.benchmark_group("open with a log");
    group.sample_size(10);
    group.bench_function("64 MiB", |b| {
        b.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                let killed = as_killed(&fs);
                let start = Instant::now();
                let db = Db::open(Path::new("/store"), options(&killed)).unwrap();
                spent += start.elapsed();
                db.close().unwrap();
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(benches, merge_step, compaction, open_clean, open_with_a_log);
criterion_main!(benches);
