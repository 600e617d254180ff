//! What a store tells a listener.

use crate::support::*;
use kv_engine::{Db, Durability, Event, EventListener, Options, StallCause, WriteBatch};
use kv_vfs::{Fault, FaultFs, Fs, MemFs, OpKind};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Keeps what it hears.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Event>>>);

impl EventListener for Heard {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Heard {
    fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.all().iter().filter(|event| is(event)).count()
    }

    /// Waits for such an event: background threads hand some over.
    fn wait_for(&self, is: impl Fn(&Event) -> bool) {
        let start = Instant::now();
        while self.count(&is) == 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", self.all());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn put_os(db: &Db, key: &[u8], value: &[u8]) {
    let mut batch = WriteBatch::new();
    batch.put(key, value);
    db.write_with(batch, Durability::Os).unwrap();
}

#[test]
fn files_are_told_as_they_come_and_go() {
    every_setting(|w| {
        let heard = Heard::default();
        let db = Db::open(DIR, w.options().listener(Arc::new(heard.clone()))).unwrap();
        let mut model = Model::new();
        for round in 0..3 {
            fill(&db, &mut model, 300, round);
            db.put("long", vec![round as u8; 5000]).unwrap();
            db.flush().unwrap();
        }
        db.compact().unwrap();
        let tables = db.stats().prometheus();
        db.close().unwrap();
        let mut alive = BTreeMap::new();
        let (mut flushes, mut rotations, mut compactions) = (0_i64, 0, 0_i64);
        for event in heard.all() {
            match event {
                Event::TableCreated { number, level, bytes, entries } => {
                    assert!(level < 7 && bytes > 0 && entries > 0, "{event}");
                    assert!(alive.insert(number, bytes).is_none(), "{event}");
                }
                Event::TableDeleted { number, bytes } => {
                    assert_eq!(alive.remove(&number), Some(bytes), "{event}");
                }
                Event::FlushStarted { .. } => flushes += 1,
                Event::FlushEnded { .. } => flushes -= 1,
                Event::CompactionStarted { .. } => compactions += 1,
                Event::CompactionEnded { .. } => compactions -= 1,
                Event::LogRotated { .. } => rotations += 1,
                _ => {}
            }
            assert!(flushes >= 0 && compactions >= 0, "{event}");
        }
        assert_eq!(flushes, 0);
        assert!(rotations >= 3, "{rotations}");
        let total: usize = tables
            .lines()
            .filter_map(|line| line.strip_prefix("kv_level_tables{"))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
            .sum();
        assert_eq!(alive.len(), total, "{:?}", heard.all());
    });
}

#[test]
fn a_listener_may_use_the_store_and_panic() {
    let heard = Arc::new(AtomicUsize::new(0));
    let store: Arc<OnceLock<Db>> = Arc::default();
    let (count, held) = (Arc::clone(&heard), Arc::clone(&store));
    let listener = move |_: &Event| {
        if let Some(db) = held.get() {
            // Both would wait for ever under a lock of the store.
            assert_eq!(db.get("a").unwrap().as_deref(), Some(b"1".as_slice()));
            let _ = db.stats().to_string();
            db.put("from the listener", "x").unwrap();
        }
        if count.fetch_add(1, Ordering::Relaxed) % 2 == 0 {
            panic!("as listeners do");
        }
    };
    let db = Db::in_memory(Options::default().listener(Arc::new(listener))).unwrap();
    db.put("a", "1").unwrap();
    store.set(db.clone()).ok().unwrap();
    for _ in 0..3 {
        db.flush().unwrap();
        db.put("b", "2").unwrap();
    }
    db.compact().unwrap();
    db.close().unwrap();
    assert!(heard.load(Ordering::Relaxed) > 6);
}

#[test]
fn a_writer_that_waits_is_told_with_its_cause() {
    let heard = Heard::default();
    let options = Options::default()
        .write_buffer(16 << 10)
        .rate_limit(256 << 10)
        .sync_on_write(false)
        .listener(Arc::new(heard.clone()));
    let db = Db::in_memory(options).unwrap();
    for i in 0..3_000 {
        db.put(key(i), [7; 100]).unwrap();
    }
    drop(db);
    let mut waiting = None;
    let mut stalls = 0;
    for event in heard.all() {
        match event {
            Event::StallStarted { cause } => {
                assert!(waiting.replace(cause).is_none(), "one writer waits once");
            }
            Event::StallEnded { cause, .. } => {
                assert_eq!(waiting.take(), Some(cause));
                stalls += usize::from(cause == StallCause::Memtables);
            }
            _ => {}
        }
    }
    assert!(stalls > 0, "{:?}", heard.all());
    assert_eq!(waiting, None);
}

#[test]
fn work_that_fails_and_recovers_is_told() {
    let (heard, disk) = (Heard::default(), MemFs::new());
    let fs = FaultFs::new(Arc::new(disk));
    let options = Options::default().file_system(Arc::new(fs.clone()) as Arc<dyn Fs>);
    let db = Db::open(DIR, options.listener(Arc::new(heard.clone()))).unwrap();
    db.put("a", "1").unwrap();
    fs.arm(Fault::new(OpKind::Create, io::ErrorKind::Other).on(".sst").times(2));
    assert!(db.flush().is_err());
    heard.wait_for(|event| matches!(event, Event::WorkRecovered { .. }));
    let failures: Vec<u32> = { heard.all().into_iter() }
        .filter_map(|event| match event {
            Event::WorkFailed { failures, error, .. } => {
                assert!(error.to_string().contains(".sst"), "{error}");
                Some(failures)
            }
            _ => None,
        })
        .collect();
    assert_eq!(failures, [1, 2]);
    assert_eq!(heard.count(|event| matches!(event, Event::WritesRefused { .. })), 0);
}

#[test]
fn a_store_that_refuses_writes_says_so_once() {
    let (heard, disk) = (Heard::default(), MemFs::new());
    let fs = FaultFs::new(Arc::new(disk));
    let options = Options::default().file_system(Arc::new(fs.clone()) as Arc<dyn Fs>);
    let db = Db::open(DIR, options.listener(Arc::new(heard.clone()))).unwrap();
    db.put("a", "1").unwrap();
    fs.arm(Fault::new(OpKind::Sync, io::ErrorKind::Other).on(".log").times(1));
    assert!(db.put("b", "2").is_err());
    assert!(db.put("c", "3").is_err());
    // No call follows: a background thread hands it over.
    heard.wait_for(|event| matches!(event, Event::WritesRefused { .. }));
    drop(db);
    assert_eq!(heard.count(|event| matches!(event, Event::WritesRefused { .. })), 1);
}

#[test]
fn what_an_open_cuts_from_the_log_is_told() {
    let w = World::plain();
    let db = w.open();
    db.put("a", "1").unwrap();
    put_os(&db, b"b", &[7; 1000]);
    let w = w.on(w.fs.crash_with(&mut |_| true));
    drop(db);
    let torn = [7; 1000];
    for name in w.names(".log") {
        w.rewrite(&name, |bytes| {
            if let Some(at) = bytes.windows(torn.len()).position(|part| part == torn) {
                bytes[at + 500] ^= 1;
            }
        });
    }
    let heard = Heard::default();
    let db = Db::open(DIR, w.options().listener(Arc::new(heard.clone()))).unwrap();
    assert_eq!(heard.count(|event| matches!(event, Event::LogCut { bytes } if *bytes > 1000)), 1);
    assert_eq!((db.get("a").unwrap().is_some(), db.get("b").unwrap()), (true, None));
}

#[test]
fn an_event_shows_no_key_and_no_value() {
    every_setting(|w| {
        let heard = Heard::default();
        let db = Db::open(DIR, w.options().listener(Arc::new(heard.clone()))).unwrap();
        for i in 0..200 {
            db.put(format!("SECRET key {i}"), "SECRET value").unwrap();
        }
        db.compact().unwrap();
        drop(db);
        let all = heard.all();
        let said: String = all.iter().map(|event| format!("{event}\n{event:?}\n")).collect();
        assert!(!said.contains("SECRET"), "{said}");
        assert!(all.len() > 3);
    });
}
