//! What is read stays in memory when it is written anew, and what nobody reads does not enter it.

use crate::support::*;
use kv_engine::{Db, Options};
use kv_vfs::{Fault, FaultFs, Fs, OpKind};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

const KEYS: usize = 20_000;

fn options(fs: Arc<dyn Fs>) -> Options {
    Options::default().write_buffer(8 << 20).file_system(fs)
}

/// A store of one sorted run.
fn filled(fs: Arc<dyn Fs>, model: &mut Model) -> Db {
    let db = Db::open(DIR, options(fs)).unwrap();
    fill(&db, model, KEYS, 0);
    db.compact().unwrap();
    db
}

/// How many blocks were not found in memory while `call` ran.
fn misses(db: &Db, call: impl FnOnce()) -> u64 {
    let before = figure(db, "kv_cache_misses_total");
    call();
    figure(db, "kv_cache_misses_total") - before
}

fn read_all(db: &Db, model: &Model) {
    model
        .iter()
        .for_each(|(key, value)| assert_eq!(db.get(key).unwrap().as_deref(), Some(&value[..])));
}

#[test]
fn flushes_and_merges_leave_in_memory_what_was_read() {
    let mut model = Model::new();
    let db = filled(World::plain().fs, &mut model);
    assert_eq!(figure(&db, "kv_cache_bytes"), 0);
    let blocks = misses(&db, || read_all(&db, &model));
    assert!(blocks > 300, "{blocks}");
    for version in 1..4 {
        fill(&db, &mut model, KEYS, version);
        db.flush().unwrap();
        let missed = misses(&db, || read_all(&db, &model));
        assert!(missed < 30, "{missed} of {blocks} after a flush");
        db.compact().unwrap();
        let missed = misses(&db, || read_all(&db, &model));
        assert!(missed < 30, "{missed} of {blocks} after a merge");
        assert!(figure(&db, "kv_cache_bytes") <= figure(&db, "kv_cache_capacity_bytes"));
    }
    assert_same(&db, &model);
    assert!(db.verify().unwrap().is_ok());
}

#[test]
fn only_near_what_was_read() {
    let mut model = Model::new();
    let db = filled(World::plain().fs, &mut model);
    let first: Model = model.clone().into_iter().take(KEYS / 10).collect();
    read_all(&db, &first);
    let held = figure(&db, "kv_cache_bytes");
    fill(&db, &mut model, KEYS, 1);
    db.flush().unwrap();
    let more = figure(&db, "kv_cache_bytes") - held;
    assert!((held / 2..held * 3 / 2).contains(&more), "{more} beside {held}");
}

#[test]
fn where_nobody_reads_nothing_enters_the_cache() {
    let mut model = Model::new();
    let db = filled(World::plain().fs, &mut model);
    for version in 1..3 {
        fill(&db, &mut model, KEYS, version);
        db.flush().unwrap();
        db.compact().unwrap();
        assert_eq!(figure(&db, "kv_cache_bytes"), 0);
    }
    // Nor, after a while, where reading has ended.
    read_all(&db, &model);
    for version in 3..6 {
        fill(&db, &mut model, KEYS, version);
        db.compact().unwrap();
    }
    assert_eq!(figure(&db, "kv_cache_bytes"), 0);
    assert_same(&db, &model);
}

#[test]
fn nothing_stays_of_tables_that_come_to_nothing() {
    let fs = FaultFs::new(Arc::new((*World::plain().fs).clone()));
    let mut model = Model::new();
    // Several tables, of which some are whole when one fails.
    let options = options(Arc::new(fs.clone())).table_size(256 << 10);
    let db = Db::open(DIR, options).unwrap();
    fill(&db, &mut model, KEYS, 0);
    db.compact().unwrap();
    for op in [OpKind::Write, OpKind::Sync] {
        let fails = |call: &dyn Fn() -> kv_engine::Result<()>| {
            let held = figure(&db, "kv_cache_bytes");
            let fault =
                fs.arm(Fault::new(op, io::ErrorKind::Other).on(".sst").after(1).times(1000));
            assert!(call().is_err());
            assert!(fs.fired(fault) > 0, "{op:?} did not fail");
            // Another try may be under way, or tables of before on their way out.
            let start = Instant::now();
            while figure(&db, "kv_cache_bytes") > held {
                assert!(start.elapsed() < Duration::from_secs(10), "{op:?}");
                std::thread::sleep(Duration::from_millis(1));
            }
            fs.disarm();
            call().unwrap();
        };
        read_all(&db, &model);
        fill(&db, &mut model, KEYS, 1);
        fails(&|| db.flush());
        read_all(&db, &model);
        fails(&|| db.compact());
    }
    assert_same(&db, &model);
}
