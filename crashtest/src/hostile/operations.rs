//! Operations on a store that is whole, with power cuts and opens in between, against a model.
//!
//! After a power cut the store equals the model behind one number of writes: not fewer than were
//! acknowledged as durable, and no more than were begun.

use super::Outcome;
use kv_engine::{Db, Durability, Options, WriteBatch};
use kv_vfs::{Fs, ManualClock, MemFs};
use std::collections::BTreeMap;
use std::sync::Arc;

const DIR: &str = "/db";
const MOST_STEPS: usize = 256;
const KEYS: u8 = 16;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// One change of a batch.
enum Change {
    Put(u8, Vec<u8>),
    Delete(u8),
    DeleteRange(u8, u8),
}

struct World {
    fs: Arc<MemFs>,
    db: Option<Db>,
    /// What the store held when the first of `writes` was not yet made.
    base: Model,
    /// What it holds now.
    now: Model,
    /// The writes that a power cut may take, oldest first, but for the first `durable`.
    writes: Vec<Vec<Change>>,
    durable: usize,
    next_value: u32,
    /// From the first byte: sizes and the number of threads.
    shape: u8,
}

pub(super) fn run(input: &[u8]) -> Outcome {
    let Some((shape, script)) = input.split_first() else { return Ok(true) };
    let fs = Arc::new(MemFs::with_clock(Arc::new(ManualClock::new())));
    let mut world = World {
        fs,
        db: None,
        base: Model::new(),
        now: Model::new(),
        writes: Vec::new(),
        durable: 0,
        next_value: 0,
        shape: *shape,
    };
    world.open()?;
    for (n, pair) in script.chunks(2).take(MOST_STEPS).enumerate() {
        let (op, argument) = (pair[0], pair.get(1).copied().unwrap_or(0));
        world.step(op, argument).map_err(|why| format!("step {n} ({op}, {argument}): {why}"))?;
    }
    world.cut(true)?;
    Ok(true)
}

fn key(n: u8) -> Vec<u8> {
    match n % KEYS {
        0 => Vec::new(),
        1 => vec![0],
        2 => vec![0xFF; 9],
        n => format!("k{}", "/".repeat(usize::from(n % 4)) + &n.to_string()).into_bytes(),
    }
}

fn apply(model: &mut Model, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Put(n, value) => drop(model.insert(key(*n), value.clone())),
            Change::Delete(n) => drop(model.remove(&key(*n))),
            Change::DeleteRange(from, to) => {
                let (from, to) = (key(*from), key(*to));
                model.retain(|held, _| *held < from || *held >= to);
            }
        }
    }
}

impl World {
    fn open(&mut self) -> Result<(), String> {
        let options = Options::default()
            .file_system(Arc::clone(&self.fs) as Arc<dyn Fs>)
            .write_buffer(4 << 10)
            .memory_budget(256 << 10)
            .table_size(if self.shape & 1 == 0 { 1 << 10 } else { 1 << 20 })
            .block_size(if self.shape & 2 == 0 { 64 } else { 4096 })
            .level0_runs(1 + usize::from(self.shape >> 2 & 3))
            .bloom_bits(if self.shape & 16 == 0 { 10.0 } else { 0.0 })
            .background_threads(1 + usize::from(self.shape >> 5 & 1))
            .sync_on_write(false);
        self.db = Some(Db::open(DIR, options).map_err(|e| format!("open: {e}"))?);
        Ok(())
    }

    fn db(&self) -> Result<&Db, String> {
        self.db.as_ref().ok_or_else(|| "no store is open".to_owned())
    }

    fn step(&mut self, op: u8, argument: u8) -> Result<(), String> {
        match op % 16 {
            0..=3 => {
                let put = self.put(argument);
                self.write(vec![put], op & 16 != 0)
            }
            4 => self.write(vec![Change::Delete(argument)], op & 16 != 0),
            5 => {
                let (a, b) = (argument & 15, argument >> 4);
                self.write(vec![Change::DeleteRange(a, b)], op & 16 != 0)
            }
            6 => {
                let batch = vec![self.put(argument), Change::Delete(argument >> 4)];
                self.write(batch, op & 16 != 0)
            }
            7 | 8 => self.get(argument),
            9 => self.compare(),
            10 => self.called(|db| db.flush(), true),
            11 => self.called(|db| db.compact(), true),
            12 => self.called(|db| db.sync(), true),
            13 => self.cut(argument & 1 == 0),
            14 => {
                let db = self.db.take().ok_or("no store is open")?;
                db.close().map_err(|e| format!("close: {e}"))?;
                self.durable = self.writes.len();
                self.open()?;
                self.compare()
            }
            _ => self.snapshot(argument),
        }
    }

    fn put(&mut self, argument: u8) -> Change {
        self.next_value += 1;
        let mut value = self.next_value.to_le_bytes().to_vec();
        value.resize(4 + usize::from(argument) * 2, argument);
        Change::Put(argument, value)
    }

    fn write(&mut self, changes: Vec<Change>, durable: bool) -> Result<(), String> {
        let mut batch = WriteBatch::new();
        for change in &changes {
            match change {
                Change::Put(n, value) => batch.put(key(*n), value),
                Change::Delete(n) => batch.delete(key(*n)),
                Change::DeleteRange(from, to) if key(*from) < key(*to) => {
                    batch.delete_range(key(*from)..key(*to));
                }
                Change::DeleteRange(..) => {}
            }
        }
        // An empty batch leaves nothing in the log that could testify.
        let durable = durable && !batch.is_empty();
        let how = if durable { Durability::Sync } else { Durability::Os };
        self.db()?.write_with(batch, how).map_err(|e| format!("write: {e}"))?;
        apply(&mut self.now, &changes);
        self.writes.push(changes);
        if durable {
            self.durable = self.writes.len();
        }
        Ok(())
    }

    fn called(
        &mut self,
        call: impl FnOnce(&Db) -> kv_engine::Result<()>,
        durable: bool,
    ) -> Result<(), String> {
        call(self.db()?).map_err(|e| e.to_string())?;
        if durable {
            self.durable = self.writes.len();
        }
        Ok(())
    }

    fn get(&self, argument: u8) -> Result<(), String> {
        let key = key(argument);
        let found = self.db()?.get(&key).map_err(|e| format!("get: {e}"))?;
        if found.as_deref() != self.now.get(&key).map(Vec::as_slice) {
            return Err(format!("get of key {} is wrong", argument % KEYS));
        }
        Ok(())
    }

    fn snapshot(&mut self, argument: u8) -> Result<(), String> {
        let snapshot = self.db()?.snapshot();
        let before = self.now.clone();
        let put = self.put(argument);
        self.write(vec![put], false)?;
        self.called(|db| db.flush(), true)?;
        let seen: Result<Model, _> = snapshot.iter().map(|e| e.map(pair)).collect();
        if seen.map_err(|e| format!("snapshot: {e}"))? != before {
            return Err("a snapshot changed".to_owned());
        }
        Ok(())
    }

    /// All entries, read forth and back.
    fn read(&self) -> Result<Model, String> {
        let db = self.db()?;
        let forward: Result<Vec<_>, _> = db.iter().map(|entry| entry.map(pair)).collect();
        let backward: Result<Vec<_>, _> = db.iter().rev().map(|entry| entry.map(pair)).collect();
        let forward = forward.map_err(|e| format!("scan: {e}"))?;
        let mut backward = backward.map_err(|e| format!("backward scan: {e}"))?;
        backward.reverse();
        if forward != backward {
            return Err("forward and backward differ".to_owned());
        }
        Ok(forward.into_iter().collect())
    }

    fn compare(&self) -> Result<(), String> {
        if self.read()? != self.now {
            return Err("the store is not what was written".to_owned());
        }
        Ok(())
    }

    /// Cuts the power; of what was not synced nothing survives, or every second operation.
    fn cut(&mut self, strict: bool) -> Result<(), String> {
        let mut odd = false;
        let after = match strict {
            true => self.fs.crash(),
            false => self.fs.crash_with(&mut |_| {
                odd = !odd;
                odd
            }),
        };
        self.db = None;
        self.fs = Arc::new(after);
        self.open()?;
        let found = self.read()?;
        let mut model = std::mem::take(&mut self.base);
        let mut at = 0;
        for (n, changes) in std::mem::take(&mut self.writes).iter().enumerate() {
            if n >= self.durable && model == found {
                break;
            }
            apply(&mut model, changes);
            at = n + 1;
        }
        if model != found || at < self.durable {
            return Err(format!(
                "after a power cut the store is at no write from {}",
                self.durable
            ));
        }
        self.now = model.clone();
        self.base = model;
        self.durable = 0;
        Ok(())
    }
}

fn pair((key, value): (kv_engine::Bytes, kv_engine::Bytes)) -> (Vec<u8>, Vec<u8>) {
    (key.to_vec(), value.to_vec())
}
