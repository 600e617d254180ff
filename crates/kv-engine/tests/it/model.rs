//! Random operations against a sorted map, with reopening, power cuts and changes of settings.

use crate::support::*;
use kv_engine::{Db, Snapshot, WriteBatch};

/// Two keyspaces: the default one and a named one that comes and goes.
#[derive(Clone, Default)]
struct Models {
    default: Model,
    named: Option<Model>,
}

struct Run {
    world: World,
    db: Db,
    now: Models,
    held: Vec<(Snapshot, Models)>,
    rng: Rng,
    log: Vec<String>,
    version: usize,
}

const NAME: &str = "named";

impl Run {
    fn new(seed: u64) -> Run {
        let mut rng = Rng::new(seed);
        let world = World::new(*rng.pick(SETTINGS));
        let db = world.open();
        let log = vec![format!("open under {}", world.setting.0)];
        let (held, now) = (Vec::new(), Models::default());
        Run { world, db, now, held, rng, log, version: 0 }
    }

    /// Mostly a few hot keys, some spread ones, some awkward ones.
    fn key(&mut self) -> Vec<u8> {
        match self.rng.below(20) {
            0 => self.rng.pick(&[&b""[..], b"\0", b"\xff", b"\xff\xff\xff", b"k", b"key"]).to_vec(),
            1 => vec![b'k'; self.rng.below(2_000)],
            2..=6 => key(self.rng.below(2_000)),
            _ => key(self.rng.below(48)),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        self.version += 1;
        let mut value = format!("{} ", self.version).into_bytes();
        let len = match self.rng.below(40) {
            0 => 0,
            1 => 6_000,
            _ => 10 + self.rng.below(100),
        };
        value.resize(len, b'.');
        value
    }

    fn range(&mut self) -> (Vec<u8>, Vec<u8>) {
        let start = self.key();
        let end = if self.rng.chance(70) {
            let mut end = start.clone();
            end.extend_from_slice(b"~");
            if let Some(last) = end.len().checked_sub(2) {
                end[last] = end[last].saturating_add(self.rng.below(3) as u8);
            }
            end
        } else {
            self.key()
        };
        (start, end)
    }

    /// One batch of a few operations in one or both keyspaces.
    fn batch(&mut self) {
        let mut batch = WriteBatch::new();
        let mut now = self.now.clone();
        let named = now.named.is_some().then(|| self.db.keyspace(NAME).unwrap());
        let default = self.db.keyspace("").unwrap();
        for _ in 0..1 + self.rng.below(12) {
            let in_named = named.is_some() && self.rng.chance(40);
            let model = match (&mut now.named, in_named) {
                (Some(model), true) => model,
                _ => &mut now.default,
            };
            batch.within(named.as_ref().filter(|_| in_named).unwrap_or(&default));
            match self.rng.below(10) {
                0 | 1 => {
                    let key = self.key();
                    batch.delete(&key);
                    model.remove(&key);
                }
                2 => {
                    let (start, end) = self.range();
                    batch.delete_range(start.clone()..end.clone());
                    model.retain(|k, _| *k < start || *k >= end);
                }
                _ => {
                    let (key, value) = (self.key(), self.value());
                    batch.put(&key, &value);
                    model.insert(key, value);
                }
            }
        }
        self.log.push(format!("a batch of {}", batch.len()));
        self.db.write(batch).unwrap();
        self.now = now;
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..=44 => {
                let (key, value) = (self.key(), self.value());
                self.log.push(format!("put {} bytes at {key:?}", value.len()));
                self.db.put(&key, &value).unwrap();
                self.now.default.insert(key, value);
            }
            45..=57 => {
                let key = self.key();
                self.log.push(format!("delete {key:?}"));
                self.db.delete(&key).unwrap();
                self.now.default.remove(&key);
            }
            58..=61 => {
                let (start, end) = self.range();
                self.log.push(format!("delete {start:?}..{end:?}"));
                self.db.delete_range(start.clone()..end.clone()).unwrap();
                self.now.default.retain(|k, _| *k < start || *k >= end);
            }
            62..=76 => self.batch(),
            77..=86 => self.read(),
            87 | 88 => self.ingest(),
            89 | 90 => self.keyspace(),
            91..=93 => self.snapshot(),
            94 | 95 => {
                self.log.push("flush".to_owned());
                self.db.flush().unwrap();
            }
            96 => {
                self.log.push("compact".to_owned());
                self.db.compact().unwrap();
            }
            97 => self.check(),
            _ => self.reopen(),
        }
    }

    /// Ingests some pairs; now and then something is written to the same keys meanwhile.
    fn ingest(&mut self) {
        let mut pairs = Model::new();
        for _ in 0..self.rng.below(60) {
            pairs.insert(self.key(), self.value());
        }
        let puts: Vec<_> = (0..3).map(|_| (self.key(), self.value())).collect();
        let meanwhile = if self.rng.chance(40) { self.rng.below(pairs.len()) } else { usize::MAX };
        let named = self.now.named.is_some() && self.rng.chance(30);
        self.log.push(format!("ingest {} pairs, named: {named}", pairs.len()));
        let space = self.db.keyspace(if named { NAME } else { "" }).unwrap();
        let model = self.now.named.as_mut().filter(|_| named).unwrap_or(&mut self.now.default);
        let count = space.ingest(pairs.iter().enumerate().map(|(at, pair)| {
            if at == meanwhile {
                for (key, value) in &puts {
                    space.put(key, value).unwrap();
                    model.insert(key.clone(), value.clone());
                }
            }
            pair
        }));
        assert_eq!(count.unwrap(), pairs.len() as u64);
        model.extend(pairs);
    }

    fn read(&mut self) {
        let key = self.key();
        let found = self.db.get(&key).unwrap();
        assert_eq!(found.as_deref(), self.now.default.get(&key).map(Vec::as_slice), "{key:?}");
        let (start, end) = self.range();
        if start < end {
            let expected: Pairs = self
                .now
                .default
                .range(start.clone()..end.clone())
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            assert!(
                pairs(self.db.range(start.clone()..end.clone())) == expected,
                "{start:?}..{end:?}"
            );
        }
    }

    fn keyspace(&mut self) {
        if self.now.named.is_some() && self.rng.chance(50) {
            self.log.push("drop the keyspace".to_owned());
            self.db.drop_keyspace(NAME).unwrap();
            self.now.named = None;
        } else {
            self.log.push("open the keyspace".to_owned());
            self.db.keyspace(NAME).unwrap();
            self.now.named.get_or_insert_default();
        }
    }

    fn snapshot(&mut self) {
        if self.held.len() > 4 || (!self.held.is_empty() && self.rng.chance(40)) {
            self.log.push("release a snapshot".to_owned());
            let at = self.rng.below(self.held.len());
            self.held.remove(at);
        } else {
            self.log.push("take a snapshot".to_owned());
            self.held.push((self.db.snapshot(), self.now.clone()));
        }
    }

    fn check(&mut self) {
        assert_same(&self.db, &self.now.default);
        for (snapshot, models) in &self.held {
            assert_same(snapshot, &models.default);
        }
        let names = self.db.keyspaces().unwrap();
        assert_eq!(names.is_empty(), self.now.named.is_none());
        if let Some(model) = &self.now.named {
            assert_same(&self.db.keyspace(NAME).unwrap(), model);
        }
    }

    /// Ends in one of three ways and opens again, now and then under another setting.
    fn reopen(&mut self) {
        self.check();
        self.held.clear();
        let next = *self.rng.pick(SETTINGS);
        if self.rng.chance(30) {
            self.world.setting = next;
        }
        let way = self.rng.below(3);
        self.log.push(format!("reopen, way {way}, under {}", self.world.setting.0));
        let blank = World::plain();
        let db = std::mem::replace(&mut self.db, blank.open());
        match way {
            0 => db.close().unwrap(),
            1 => drop(db),
            _ => {
                db.sync().unwrap();
                self.world = self.world.after_power_cut();
            }
        }
        self.db = self.world.open();
        self.check();
    }
}

/// Prints what was done when a run fails.
struct Tell(u64, Run);

impl Drop for Tell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("seed {}, the last steps:", self.0);
            let from = self.1.log.len().saturating_sub(60);
            self.1.log[from..].iter().for_each(|line| println!("  {line}"));
        }
    }
}

fn runs(seeds: std::ops::Range<u64>, steps: usize) {
    for seed in seeds {
        let mut run = Tell(seed, Run::new(seed));
        for _ in 0..steps {
            run.1.step();
        }
        run.1.check();
        let report = run.1.db.verify().unwrap();
        assert!(report.is_ok(), "{report}");
    }
}

#[test]
fn short_runs_equal_a_sorted_map() {
    runs(0..60, 150);
}

#[test]
fn middling_runs_equal_a_sorted_map() {
    runs(1_000..1_020, 800);
}

#[test]
fn long_runs_equal_a_sorted_map() {
    runs(2_000..2_004, 5_000);
}
