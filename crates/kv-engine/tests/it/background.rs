//! Background work that waits for the disk holds up nothing that writers wait for.

use crate::support::*;
use kv_engine::Db;
use kv_vfs::{Fs, FsFile, MemFs, OverFs};
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

/// A file system on which the removal of a table takes until the gate is opened.
#[derive(Clone, Debug)]
struct SlowRemoval {
    disk: Arc<MemFs>,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    /// Tables made (`true`) and removed, from the first removal on.
    tables: Vec<bool>,
}

impl SlowRemoval {
    fn note(&self, path: &Path, made: bool) {
        let (state, changed) = &*self.state;
        let mut state = state.lock().unwrap();
        if path.extension().is_none_or(|end| end != "sst") || (made && state.tables.is_empty()) {
            return;
        }
        state.tables.push(made);
        changed.notify_all();
        drop(changed.wait_while(state, |state| !made && !state.open).unwrap());
    }

    fn open_gate(&self) {
        self.state.0.lock().unwrap().open = true;
        self.state.1.notify_all();
    }

    fn wait_for(&self, count: usize) -> Vec<bool> {
        let state = self.state.0.lock().unwrap();
        let state = self.state.1.wait_while(state, |state| state.tables.len() < count).unwrap();
        state.tables.clone()
    }
}

impl OverFs for SlowRemoval {
    fn below(&self) -> &dyn Fs {
        &*self.disk
    }
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.note(path, true);
        self.disk.create_new(path)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.note(path, false);
        self.disk.remove(path)
    }
}

#[test]
fn the_removal_of_many_tables_gives_way_to_a_flush() {
    let w = World::plain();
    let slow = SlowRemoval { disk: Arc::clone(&w.fs), state: Arc::default() };
    let options = w.options().write_buffer(16 << 10).background_threads(1).sync_on_write(false);
    let file_system = Arc::new(slow.clone());
    let db = Db::open(DIR, options.level0_runs(2).file_system(file_system)).unwrap();
    // Each run spans all keys, so that a merge leaves several tables.
    for round in 0..60 {
        (0..50).for_each(|i| db.put(key(i), value(i, round)).unwrap());
        let flushing = db.clone();
        let flush = std::thread::spawn(move || flushing.flush().unwrap());
        while !flush.is_finished() && slow.state.0.lock().unwrap().tables.is_empty() {
            std::thread::yield_now();
        }
        if !slow.state.0.lock().unwrap().tables.is_empty() {
            break;
        }
    }
    // The only thread removes the first of them. Meanwhile a memtable is sealed.
    assert_eq!(slow.wait_for(1), [false]);
    db.put(key(0), value(0, 99)).unwrap();
    let flushing = db.clone();
    let flush = std::thread::spawn(move || flushing.flush().unwrap());
    std::thread::sleep(std::time::Duration::from_millis(300));
    slow.open_gate();
    flush.join().unwrap();
    assert_eq!(slow.wait_for(3)[..2], [false, true], "removals went before the flush");
    assert_eq!(db.get(key(0)).unwrap().unwrap(), value(0, 99));
}

/// How much nicer than usual each background thread of this process is.
#[cfg(target_os = "linux")]
fn nice_values() -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let nice = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = stat.rsplit_once(')')?;
        // Behind the name comes the third field; nice is the nineteenth.
        name.contains("(kv-background").then(|| rest.split_whitespace().nth(16)?.parse().ok())?
    };
    tasks.filter_map(|task| nice(task.ok()?)).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn background_threads_give_way_to_callers() {
    let dir = tempfile::tempdir().unwrap();
    let _db = Db::open(dir.path().join("db"), kv_engine::Options::default()).unwrap();
    for _ in 0..1000 {
        if nice_values().iter().any(|nice| *nice >= 10) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("no background thread has a lower priority: {:?}", nice_values());
}
