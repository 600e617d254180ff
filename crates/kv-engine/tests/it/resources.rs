//! Bounded: open files, logs, the size of nothing.

use crate::support::*;
use kv_engine::{Db, Event, Options};
use kv_vfs::Fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[test]
fn an_empty_store_is_small() {
    let w = World::plain();
    drop(w.open());
    let size: usize = w.files().values().map(Vec::len).sum();
    assert!(size <= 64 << 10, "{size} bytes");
}

#[test]
fn logs_stay_under_their_limit_also_with_an_idle_keyspace() {
    let w = World::plain();
    let limit = 256 << 10;
    let db = Db::open(DIR, w.options().wal_limit(limit)).unwrap();
    db.keyspace("idle").unwrap().put("k", "v").unwrap();
    let mut largest = 0;
    for i in 0..1_500 {
        db.put(key(i), vec![b'x'; 1_000]).unwrap();
        if i % 100 == 0 {
            let files = w.files();
            let logs = files.iter().filter(|(name, _)| name.ends_with(".log"));
            largest = largest.max(logs.map(|(_, bytes)| bytes.len() as u64).sum());
        }
    }
    // Space is reserved ahead of what is written, so a little over is fair.
    assert!(largest <= 2 * limit, "{largest} bytes of logs, the limit is {limit}");
    assert_eq!(pairs(db.iter()).len(), 1_500);
}

#[test]
fn files_do_not_pile_up() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        for version in 0..15 {
            fill(&db, &mut model, 100, version);
        }
        db.compact().unwrap();
        db.close().unwrap();
        let db = w.open();
        db.compact().unwrap();
        let files = w.files();
        let live: usize = model.iter().map(|(k, v)| k.len() + v.len()).sum();
        w.shrinks_to(6 * live);
        assert!(w.names(".tmp").is_empty());
        let manifests = files.keys().filter(|name| name.starts_with("MANIFEST")).count();
        assert_eq!(manifests, 1, "{:?}", files.keys());
        assert!(w.names(".log").len() <= 2, "{:?}", files.keys());
    });
}

#[test]
fn a_load_leaves_no_debt_behind() {
    let w = World::plain();
    let db = Db::open(DIR, w.options().write_buffer(32 << 10).sync_on_write(false)).unwrap();
    let mut model = Model::new();
    fill(&db, &mut model, 20_000, 0);
    db.compact().unwrap();
    let mut rng = Rng::new(7);
    for i in 0..20_000 {
        let i = (rng.below(20_000), 1 + i / 1_000);
        db.put(key(i.0), value(i.0, i.1)).unwrap();
        model.insert(key(i.0), value(i.0, i.1));
    }
    db.flush().unwrap();
    let mut quiet = 0;
    while quiet < 3 {
        quiet = if figure(&db, "kv_running_jobs ") == 0 { quiet + 1 } else { 0 };
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(figure(&db, "kv_level_tables{level=\"0\"} ") < 4, "{}", db.stats());
    assert_same(&db, &model);
}

/// A store with two runs in level 0: the first flush went to the last level, as nothing was there.
fn with_two_runs() -> (World, Db, Model) {
    let w = World::plain();
    let options = w.options().sync_on_write(false).space_amplification(10.0);
    let db = Db::open(DIR, options).unwrap();
    let mut model = Model::new();
    for round in 0..3 {
        fill(&db, &mut model, 100, round);
        db.flush().unwrap();
    }
    (w, db, model)
}

#[test]
fn many_cursors_over_few_runs_have_them_merged() {
    let (_world, db, model) = with_two_runs();
    let in_level0 = || figure(&db, "kv_level_tables{level=\"0\"} ");
    assert_eq!(in_level0(), 2);
    let mut cursors = 0;
    let start = std::time::Instant::now();
    while in_level0() > 0 {
        assert!(start.elapsed().as_secs() < 60, "{}", db.stats());
        for _ in 0..100 {
            db.cursor().first().unwrap();
            cursors += 1;
        }
    }
    assert!(cursors >= 10_000, "merged for {cursors} cursors");
    assert_same(&db, &model);
}

#[test]
fn the_seeks_of_a_cursor_count_when_it_goes() {
    let (_world, db, model) = with_two_runs();
    let in_level0 = || figure(&db, "kv_level_tables{level=\"0\"} ");
    assert_eq!(in_level0(), 2);
    let mut cursor = db.cursor();
    for _ in 0..20_000 {
        cursor.seek(key(50)).unwrap();
    }
    assert_eq!(in_level0(), 2, "it keeps the version that it has");
    drop(cursor);
    let start = std::time::Instant::now();
    while in_level0() > 0 {
        assert!(start.elapsed().as_secs() < 60, "{}", db.stats());
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert_same(&db, &model);
}

#[test]
fn a_store_that_nothing_is_written_to_is_merged_soon() {
    let w = World::plain();
    let options = w.options().sync_on_write(false).table_size(64 << 10);
    let db = Db::open(DIR, options).unwrap();
    let in_level0 = || figure(&db, "kv_level_tables{level=\"0\"} ");
    for (step, value) in [(1, vec![1; 200]), (4, vec![2; 400])] {
        for n in (0..4000).step_by(step) {
            db.put(format!("{n:08}"), &value).unwrap();
        }
        db.flush().unwrap();
    }
    assert!(in_level0() > 0, "one run is merged for space alone");
    let start = std::time::Instant::now();
    while in_level0() > 0 {
        assert!(start.elapsed().as_secs() < 60, "{}", db.stats());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(db.get("00000004").unwrap().unwrap(), vec![2; 400]);
    assert_eq!(db.get("00000005").unwrap().unwrap(), vec![1; 200]);
}

/// Descriptors of this process that name files below a directory.
#[cfg(target_os = "linux")]
fn descriptors(dir: &std::path::Path, suffix: &str) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|path| path.starts_with(dir) && path.to_string_lossy().ends_with(suffix))
        .count()
}

#[cfg(target_os = "linux")]
#[test]
fn open_tables_stay_under_max_open_files() {
    let temp = TempDir::new();
    let options = Options::default()
        .write_buffer(8 << 10)
        .table_size(2 << 10)
        .compression(kv_engine::Compression::None)
        .sync_on_write(false)
        .max_open_files(6);
    let db = Db::open(temp.db(), options).unwrap();
    let mut model = Model::new();
    fill(&db, &mut model, 1_000, 0);
    db.compact().unwrap();
    let tables = std::fs::read_dir(temp.db())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "sst"))
        .count();
    assert!(tables > 12, "only {tables} tables");
    for i in (0..1_000).rev() {
        assert_eq!(db.get(key(i)).unwrap().unwrap(), value(i, 0));
        if i % 50 == 0 {
            let open = descriptors(temp.path(), ".sst");
            assert!(open <= 6, "{open} tables are open");
        }
    }
    assert_same(&db, &model);
}

#[cfg(target_os = "linux")]
#[test]
fn closing_gives_every_descriptor_back() {
    let temp = TempDir::new();
    for round in 0..3 {
        let db = Db::open(temp.db(), Options::default().sync_on_write(false)).unwrap();
        let mut model = Model::new();
        fill(&db, &mut model, 300, round);
        db.compact().unwrap();
        if round == 1 {
            db.close().unwrap()
        } else {
            drop(db)
        }
        assert_eq!(descriptors(temp.path(), ""), 0, "round {round}");
    }
}

#[test]
fn memtables_share_the_write_buffer_while_writers_are_faster_than_flushes() {
    const MIB: u64 = 1 << 20;
    let w = World::plain();
    let flushes = Arc::new(AtomicU64::new(0));
    let heard = Arc::clone(&flushes);
    let listener = move |event: &Event| match event {
        // As on a slow disk; writers are not held up by it.
        Event::FlushStarted { .. } => std::thread::sleep(Duration::from_millis(300)),
        Event::FlushEnded { .. } => _ = heard.fetch_add(1, Ordering::Relaxed),
        _ => {}
    };
    let options = Options::default().write_buffer(40 * MIB).sync_on_write(false);
    let options = options.file_system(Arc::clone(&w.fs) as Arc<dyn Fs>);
    let db = Db::open(DIR, options.listener(Arc::new(listener))).unwrap();
    let (value, mut most) = ([b'v'; 1000], 0);
    for i in 0.. {
        db.put(key(i), value).unwrap();
        if i % 500 == 0 {
            most = most.max(figure(&db, "kv_memtable_bytes "));
            if flushes.load(Ordering::Relaxed) == 3 {
                break;
            }
        }
    }
    assert!(most > 30 * MIB, "{most} bytes of memtables: nothing pressed");
    assert!(most < 80 * MIB, "{most} bytes of memtables");
}
