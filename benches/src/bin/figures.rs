//! The figures that the README quotes, measured in one run on a real disk:
//! `cargo run --release -p kv-benches --bin figures [DIRECTORY] [MILLIONS OF KEYS] [PART]`,
//! where PART is `throughput`, `synced`, `memory` or `empty`; all of them without it.

#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the real clock, threads and files"
)]

use anyhow::{Context, Result};
use kv_benches::{Random, Values, key};
use kv_engine::{Db, Options};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const VALUE_LEN: usize = 100;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let parent = args.next().unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let keys = args.next().map_or(Ok(2.0), |n| n.parse::<f64>())? * 1e6;
    let dir = tempfile::tempdir_in(parent)?;
    let part = args.next();
    let wanted = |name: &str| part.as_deref().is_none_or(|part| part == name);
    println!("{keys} keys of 16 bytes, values of {VALUE_LEN} bytes, in {}", dir.path().display());
    // First, while the process is small.
    if wanted("memory") {
        memory(&dir.path().join("memory"))?;
    }
    if wanted("empty") {
        empty(&dir.path().join("empty"))?;
    }
    if wanted("throughput") {
        throughput(&dir.path().join("main"), keys as u64)?;
    }
    if wanted("synced") {
        synced(dir.path())?;
    }
    Ok(())
}

fn row(name: &str, per_second: f64) {
    println!("{name:<44} {:>12.0} /s  {:>8.0} ns", per_second, 1e9 / per_second);
}

fn timed(name: &str, operations: u64, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    work()?;
    row(name, operations as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

fn options() -> Options {
    Options::default().sync_on_write(false).memory_budget(768 << 20)
}

fn throughput(path: &Path, keys: u64) -> Result<()> {
    let values = Values::new();
    let db = Db::open(path, options())?;
    let mut random = Random::new(1);
    timed("put, random, loading", keys, || {
        for n in 0..keys {
            db.put(key(random.below(keys)), values.get(n, VALUE_LEN))?;
        }
        Ok(())
    })?;
    for round in 0..3 {
        timed(&format!("put, random, into the full store ({round})"), keys, || {
            for n in 0..keys {
                db.put(key(random.below(keys)), values.get(n, VALUE_LEN))?;
            }
            Ok(())
        })?;
    }
    println!("{}", db.stats());
    timed("flush and wait for it", 1, || Ok(db.flush()?))?;
    timed("compact", 1, || Ok(db.compact()?))?;
    println!("bytes on disk after compaction: {}", disk(path)?);
    reads(&db, keys)?;
    println!("{}", db.stats());
    db.close()?;
    let start = Instant::now();
    let db = Db::open(path, options())?;
    println!("open after a clean close: {:?}", start.elapsed());
    drop(db);
    Ok(())
}

fn reads(db: &Db, keys: u64) -> Result<()> {
    let mut random = Random::new(5);
    let mut found = 0u64;
    for name in ["get, random (warming up)", "get, random, cached"] {
        timed(name, keys, || {
            for _ in 0..keys {
                found += db.get(key(random.below(keys)))?.map_or(0, |v| u64::from(v[0] > 0));
            }
            Ok(())
        })?;
    }
    timed("get, missing, inside the range", keys, || {
        for _ in 0..keys {
            let mut k = key(random.below(keys)).to_vec();
            k.push(b'x');
            found += u64::from(db.get(k)?.is_some());
        }
        Ok(())
    })?;
    let mut entries = 0u64;
    let mut sum = 0u64;
    for name in ["cursor, forward", "cursor, backward"] {
        let start = Instant::now();
        let mut cursor = db.cursor();
        entries = 0;
        if name.ends_with("forward") {
            cursor.first()?
        } else {
            cursor.last()?
        }
        while cursor.valid() {
            sum += u64::from(cursor.value()[0]) + u64::from(cursor.key()[0]);
            entries += 1;
            if name.ends_with("forward") { cursor.next()? } else { cursor.prev()? }
        }
        row(name, entries as f64 / start.elapsed().as_secs_f64());
    }
    timed("iter, forward", entries, || {
        for pair in db.iter() {
            sum += u64::from(pair?.1[0]);
        }
        Ok(())
    })?;
    let seeks = keys / 4;
    timed("cursor, seek and ten steps", seeks, || {
        let mut cursor = db.cursor();
        for _ in 0..seeks {
            cursor.seek(key(random.below(keys)))?;
            for _ in 0..10 {
                if cursor.valid() {
                    sum += u64::from(cursor.value()[0]);
                    cursor.next()?;
                }
            }
        }
        Ok(())
    })?;
    println!("({found} found, {entries} entries, checksum {sum})");
    Ok(())
}

/// Synced puts beside the rate at which the device syncs a preallocated file.
fn synced(dir: &Path) -> Result<()> {
    for round in 0..3 {
        let device = device_rate(dir)?;
        row(&format!("fdatasync of a preallocated file ({round})"), device);
        for threads in [1u64, 8, 32] {
            let path = dir.join(format!("sync-{round}-{threads}"));
            let db = Db::open(&path, Options::default())?;
            let rate = puts_per_second(&db, threads, Duration::from_secs(2))?;
            row(&format!("put, synced, {threads} threads ({:.2} x device)", rate / device), rate);
        }
    }
    Ok(())
}

fn device_rate(dir: &Path) -> Result<f64> {
    let file = std::fs::File::create(dir.join("device"))?;
    file.set_len(0)?;
    let zeros = vec![0u8; 1 << 20];
    for i in 0..8 {
        file.write_all_at(&zeros, i << 20)?;
    }
    file.sync_all()?;
    let start = Instant::now();
    let mut syncs = 0u64;
    while start.elapsed() < Duration::from_secs(2) {
        file.write_all_at(&[1u8; 160], syncs * 160 % (8 << 20))?;
        file.sync_data()?;
        syncs += 1;
    }
    Ok(syncs as f64 / start.elapsed().as_secs_f64())
}

fn puts_per_second(db: &Db, threads: u64, length: Duration) -> Result<f64> {
    let done = AtomicU64::new(0);
    let values = Values::new();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for t in 0..threads {
            let (done, values, db) = (&done, &values, db.clone());
            scope.spawn(move || {
                let mut random = Random::new(t + 1);
                while start.elapsed() < length {
                    let n = random.draw();
                    if db.put(key(n % 1_000_000_000), values.get(n, VALUE_LEN)).is_err() {
                        return;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    Ok(done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}

/// Resident memory while ten times the budget is loaded.
fn memory(path: &Path) -> Result<()> {
    let budget: u64 = 64 << 20;
    let before = resident()?;
    let peak = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = {
        let (peak, stop) = (Arc::clone(&peak), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                peak.fetch_max(resident().unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        })
    };
    let db = Db::open(path, Options::default().sync_on_write(false).memory_budget(budget))?;
    let values = Values::new();
    let mut random = Random::new(3);
    let count = 10 * budget / (16 + VALUE_LEN as u64);
    timed("put, random, ten times a budget of 64 MiB", count, || {
        for n in 0..count {
            db.put(key(random.draw() % 1_000_000_000), values.get(n, VALUE_LEN))?;
            if n % 16 == 0 {
                db.get(key(random.draw() % 1_000_000_000))?;
            }
        }
        Ok(())
    })?;
    db.compact()?;
    stop.store(true, Ordering::Relaxed);
    let _ = watcher.join();
    let peak = peak.load(Ordering::Relaxed);
    println!(
        "resident memory: {} MiB before, peak {} MiB, budget {} MiB",
        before >> 20,
        peak >> 20,
        budget >> 20
    );
    Ok(())
}

fn resident() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split_whitespace().nth(1).context("statm")?.parse()?;
    Ok(pages * 4096)
}

fn empty(path: &Path) -> Result<()> {
    let start = Instant::now();
    let db = Db::open(path, Options::default())?;
    println!("create an empty store: {:?}", start.elapsed());
    println!("bytes on disk, open: {}", disk(path)?);
    db.close()?;
    println!("bytes on disk, closed: {}", disk(path)?);
    let mut times = Vec::new();
    for _ in 0..9 {
        let start = Instant::now();
        let db = Db::open(path, Options::default())?;
        times.push(start.elapsed());
        db.close()?;
    }
    times.sort();
    println!("open an empty store, median of 9: {:?}", times[4]);
    std::io::stdout().flush()?;
    Ok(())
}

/// Blocks that a directory's files occupy, in bytes.
fn disk(path: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(path)? {
        sum += entry?.metadata()?.blocks() * 512;
    }
    Ok(sum)
}
