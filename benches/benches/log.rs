//! The lines of the budget that `kv-wal` answers for.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot go on stops; it measures the real clock, threads and files"
)]

mod fixture;

use criterion::{Criterion, criterion_group, criterion_main};
use fixture::{key, memory, value};
use kv_vfs::{Fs, StdFs};
use kv_wal::{Error, Log, LogOptions, Segment};
use std::path::Path;
use std::time::{Duration, Instant};

/// Records between two writes, or between two logs.
const ROUND: u64 = 4096;

fn log(fs: &dyn Fs, path: &Path) -> Log {
    let segment = Segment::create(fs, path, 1).unwrap();
    Log::start(segment, None, 1, LogOptions::default()).unwrap()
}

fn append(log: &Log, record: &[u8]) -> kv_wal::Position {
    log.append(1, &[record], |_| Ok::<_, Error>(())).unwrap().0.position
}

fn record() -> Vec<u8> {
    [&key(7)[..], &value(7)].concat()
}

/// Budget: 40 ns. A place, a sequence number (15) and the framed copy with its checksum (25) of a
/// record of 116 bytes; the write of the group is not in it.
fn log_append(c: &mut Criterion) {
    let record = record();
    c.bench_function("log append", |b| {
        b.iter_custom(|count| {
            let fs = memory();
            let log = log(&*fs, Path::new("/log"));
            let mut spent = Duration::ZERO;
            let mut left = count;
            while left > 0 {
                let round = left.min(ROUND);
                let start = Instant::now();
                for _ in 0..round {
                    append(&log, &record);
                }
                spent += start.elapsed();
                log.write_to(log.end()).unwrap();
                left -= round;
            }
            spent
        });
    });
}

/// Budget: 16,250 ns a commit with 8 threads, an eighth of an `fdatasync` of 130 us: everyone who
/// waits is in the next one. On the file system of the build's folder.
fn group_commit(c: &mut Criterion) {
    const THREADS: u64 = 8;
    let record = record();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let fs = StdFs::new();
    let mut number = 0;
    let mut group = c.benchmark_group("group commit");
    group.sample_size(10);
    group.bench_function("8 threads", |b| {
        b.iter_custom(|count| {
            number += 1;
            let log = log(&fs, &dir.path().join(format!("{number}.log")));
            let start = Instant::now();
            std::thread::scope(|scope| {
                for thread in 0..THREADS {
                    let (log, record) = (&log, &record);
                    let share = count / THREADS + u64::from(thread < count % THREADS);
                    scope.spawn(move || {
                        for _ in 0..share {
                            log.sync_to(append(log, record)).unwrap();
                        }
                    });
                }
            });
            start.elapsed()
        });
    });
    group.finish();
}

criterion_group!(benches, log_append, group_commit);
criterion_main!(benches);
