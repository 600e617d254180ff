//! Settings out of their range are refused by name, before anything is created.

use crate::support::*;
use kv_engine::{Compression, Db, ErrorKind, Options};
use kv_vfs::Fs;
use std::path::Path;
use std::time::{Duration, Instant};

#[track_caller]
fn refuses(name: &str, value: &str, change: impl Fn(Options) -> Options) {
    let w = World::plain();
    let error = refused(Db::open(DIR, change(w.options())));
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{name}: {error}");
    let said = error.to_string();
    assert!(said.contains(name), "names the setting {name}: {said}");
    assert!(said.contains(value), "names the value {value}: {said}");
    assert!(said.chars().filter(char::is_ascii_digit).count() > 2, "names the range: {said}");
    assert!(w.fs.metadata(Path::new("/parent")).is_err(), "{name}: something was created");
}

#[test]
fn zero_is_refused_where_it_makes_no_sense() {
    refuses("memory_budget", "0", |o| o.memory_budget(0));
    refuses("write_buffer", "0", |o| o.write_buffer(0));
    refuses("block_size", "0", |o| o.block_size(0));
    refuses("table_size", "0", |o| o.table_size(0));
    refuses("level0_runs", "0", |o| o.level0_runs(0));
    refuses("space_amplification", "0", |o| o.space_amplification(0.0));
    refuses("background_threads", "0", |o| o.background_threads(0));
    refuses("wal_limit", "0", |o| o.wal_limit(0));
    refuses("disk_limit", "0", |o| o.disk_limit(0));
    refuses("rate_limit", "0", |o| o.rate_limit(0));
    refuses("max_open_files", "0", |o| o.max_open_files(0));
}

#[test]
fn what_is_no_number_is_refused() {
    refuses("bloom_bits", "NaN", |o| o.bloom_bits(f64::NAN));
    refuses("bloom_bits", "inf", |o| o.bloom_bits(f64::INFINITY));
    refuses("bloom_bits", "-1", |o| o.bloom_bits(-1.0));
    refuses("space_amplification", "NaN", |o| o.space_amplification(f64::NAN));
    refuses("space_amplification", "inf", |o| o.space_amplification(f64::INFINITY));
    refuses("space_amplification", "-2", |o| o.space_amplification(-2.0));
}

#[test]
fn absurd_sizes_are_refused() {
    refuses("block_size", "18446744073709551615", |o| o.block_size(u64::MAX));
    refuses("write_buffer", "18446744073709551615", |o| o.write_buffer(u64::MAX));
}

#[test]
fn small_and_unusual_values_are_legal() {
    let changes: &[fn(Options) -> Options] = &[
        |o| o.write_buffer(4 << 10),
        |o| o.block_size(256),
        |o| o.bloom_bits(0.0),
        |o| o.bloom_bits(0.5),
        |o| o.bloom_bits(20.0),
        |o| o.level0_runs(1),
        |o| o.background_threads(1),
        |o| o.space_amplification(5.0),
        |o| o.rate_limit(1 << 20),
        |o| o.disk_limit(u64::MAX),
        |o| o.memory_budget(u64::MAX),
        |o| o.max_open_files(1 << 20),
        |o| o.compression(Compression::None),
        |o| o.compression(Compression::Snappy),
        |o| o.compression(Compression::Lz4),
        |o| o.mmap_reads(true),
    ];
    for (i, change) in changes.iter().enumerate() {
        let w = World::plain();
        let db = Db::open(DIR, change(w.options())).unwrap_or_else(|e| panic!("{i}: {e}"));
        let mut model = Model::new();
        fill(&db, &mut model, 300, 0);
        db.compact().unwrap();
        assert_same(&db, &model);
    }
}

#[test]
fn mapped_reads_of_a_real_disk_read_the_same() {
    let temp = TempDir::new();
    let options = Options::default().write_buffer(4 << 10).sync_on_write(false).mmap_reads(true);
    let mut model = Model::new();
    for round in 0..3 {
        let db = Db::open(temp.db(), options.clone()).unwrap();
        fill(&db, &mut model, 200, round);
        db.compact().unwrap();
        assert_same(&db, &model);
        assert!(db.verify().unwrap().is_ok());
    }
}

#[test]
fn a_rate_limit_slows_and_does_not_stop() {
    let w = World::tiny();
    let db = Db::open(DIR, w.options().rate_limit(1 << 20)).unwrap();
    let mut model = Model::new();
    fill(&db, &mut model, 500, 0);
    db.compact().unwrap();
    assert_same(&db, &model);
}

#[test]
fn neither_the_log_nor_a_close_waits_for_the_rate_limit() {
    let w = World::plain();
    let mut rng = Rng::new(1);
    let mut model = Model::new();
    let db = Db::open(DIR, w.options().rate_limit(64 << 10)).unwrap();
    let start = Instant::now();
    for i in 0..4_000 {
        // What is written would take a minute.
        let value: Vec<u8> = (0..1_000).map(|_| (rng.next() >> 56) as u8).collect();
        db.put(key(i), &value).unwrap();
        model.insert(key(i), value);
    }
    db.close().unwrap();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_same(&w.open(), &model);
}

#[test]
fn options_are_values() {
    let one = Options::default().write_buffer(4 << 10);
    let two = one.clone().block_size(256);
    for options in [one, two] {
        Db::in_memory(options).unwrap().put("k", "v").unwrap();
    }
}
