//! Threads that run transactions, several at once in each, with plain writes beside them.

use super::history::{ALIKE, End, Event, KEYS, Key, Over, Scan, State, Value, bytes, number};
use super::order::{MARKER, keep_logs};
use super::side::Side;
use crate::oracle::DIR;
use crate::rng::Rng;
use anyhow::{Result, anyhow, ensure};
use kv_engine::{Db, ErrorKind, Isolation, Keyspace, Options, Savepoint, Transaction, WriteBatch};
use kv_vfs::MemFs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How many threads run transactions, and what each does.
const THREADS: u64 = 3;
const STEPS: usize = 600;
/// How many transactions a thread has open at most.
const OPEN: u64 = 4;

/// A store at work.
pub(super) struct Stage {
    pub(super) db: Db,
    spaces: [Keyspace; 2],
    /// The newest commit that was acknowledged.
    acknowledged: Arc<AtomicU64>,
    values: AtomicU64,
    aims: Aims,
}

/// What a stage is for.
pub(super) struct Aims {
    /// Whose logs are kept: then there are plain writes as well, which no one else can tell of.
    pub(super) kept: Option<MemFs>,
    /// Where commits are noted that a kill may interrupt.
    pub(super) side: Option<Side>,
    /// What each thread does.
    pub(super) steps: usize,
    /// Below all values.
    pub(super) values: u64,
    /// The newest commit that was acknowledged is told here.
    pub(super) acknowledged: Arc<AtomicU64>,
}

/// The values of the markers of the keyspaces.
pub(super) const MARKERS: [Value; 2] = [u64::MAX, u64::MAX - 1];

impl Stage {
    pub(super) fn new(fs: &MemFs) -> Result<Stage> {
        // Only flushes on purpose end a log.
        let options = Options::default()
            .sync_on_write(false)
            .memory_budget(64 << 20)
            .write_buffer(8 << 20)
            .wal_limit(1 << 30)
            .table_size(4 << 10)
            .block_size(256)
            .background_threads(1)
            .file_system(Arc::new(fs.clone()));
        let acknowledged = Arc::default();
        let kept = Some(fs.clone());
        let aims = Aims { kept, side: None, steps: STEPS, values: 100, acknowledged };
        let stage = Stage::of(Db::open(DIR, options)?, aims)?;
        for (space, marker) in stage.spaces.iter().zip(MARKERS) {
            space.put(MARKER, marker.to_le_bytes())?;
        }
        Ok(stage)
    }

    /// A stage over a store that is open.
    pub(super) fn of(db: Db, aims: Aims) -> Result<Stage> {
        let spaces = [db.keyspace("")?, db.keyspace("other")?];
        let acknowledged = Arc::clone(&aims.acknowledged);
        let values = AtomicU64::new(aims.values);
        Ok(Stage { db, spaces, acknowledged, values, aims })
    }

    fn keep_logs(&self) -> Result<()> {
        self.aims.kept.as_ref().map_or(Ok(()), keep_logs)
    }

    fn space(&self, space: u8) -> &Keyspace {
        let [first, second] = &self.spaces;
        if space == 0 { first } else { second }
    }

    fn value(&self) -> Value {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    /// Lets all threads run; answers what became of each transaction.
    pub(super) fn play(&self, seed: u64) -> Result<Vec<Over>> {
        let done = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            let flusher = scope.spawn(|| self.flush(&done));
            let worker = |thread| Worker {
                stage: self,
                rng: Rng::new(seed * THREADS + thread),
                live: Vec::new(),
                over: Vec::new(),
            };
            let workers: Vec<_> =
                (0..THREADS).map(|thread| scope.spawn(move || worker(thread).run())).collect();
            let joined: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            done.store(true, Ordering::Relaxed);
            let mut all = Vec::new();
            for over in joined {
                all.extend(over.map_err(|_| anyhow!("a thread panicked"))??);
            }
            flusher.join().map_err(|_| anyhow!("the thread that flushes panicked"))??;
            Ok::<_, anyhow::Error>(all)
        });
        self.keep_logs()?;
        outcome
    }

    /// Flushes and compacts until the others are done.
    fn flush(&self, done: &AtomicBool) -> Result<()> {
        for round in 1_u64.. {
            self.keep_logs()?;
            self.db.flush()?;
            if round.is_multiple_of(4) {
                // A compaction begins with a flush of its own.
                self.keep_logs()?;
                self.db.compact()?;
            }
            if done.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        Ok(())
    }

    /// Everything that is there at the end.
    pub(super) fn contents(&self) -> Result<State> {
        contents(&self.db)
    }
}

/// Everything that a store holds.
pub(super) fn contents(db: &Db) -> Result<State> {
    let mut state = State::new();
    for (space, name) in [(0, ""), (1, "other")] {
        for pair in db.keyspace(name)?.iter() {
            let (key, value) = pair?;
            if let Some(key) = number(&key) {
                state.insert((space, key), read(&value)?);
            }
        }
    }
    Ok(state)
}

fn read(value: &[u8]) -> Result<Value> {
    Ok(u64::from_le_bytes(value.try_into()?))
}

/// A transaction that is open.
struct Live {
    transaction: Transaction,
    over: Over,
    saved: Vec<Savepoint>,
}

struct Worker<'a> {
    stage: &'a Stage,
    rng: Rng,
    live: Vec<Live>,
    over: Vec<Over>,
}

impl Worker<'_> {
    fn run(mut self) -> Result<Vec<Over>> {
        for _ in 0..self.stage.aims.steps {
            match self.rng.below(100) {
                0..12 if self.stage.aims.kept.is_some() => self.plain()?,
                12..30 if (self.live.len() as u64) < OPEN => self.begin(),
                30..36 => std::thread::yield_now(),
                _ => self.step()?,
            }
        }
        while let Some(live) = self.live.pop() {
            self.end(live)?;
        }
        Ok(self.over)
    }

    fn key(&mut self) -> Key {
        // A few keys are wanted by everyone.
        let most = if self.rng.chance(40) { 4 } else { KEYS };
        (self.rng.below(2) as u8, self.rng.below(u64::from(most)) as u8)
    }

    /// A write outside of any transaction.
    fn plain(&mut self) -> Result<()> {
        let (space, key) = self.key();
        let value = self.stage.value().to_le_bytes();
        let keyspace = self.stage.space(space);
        match self.rng.below(10) {
            0..5 => keyspace.put(bytes(key), value)?,
            5..7 => keyspace.delete(bytes(key))?,
            7 => keyspace.delete_range(bytes(key)..bytes((key + 3).min(KEYS - 1)))?,
            _ => {
                let mut batch = WriteBatch::new();
                batch.within(keyspace).put(bytes(key), value);
                let (space, key) = self.key();
                let value = self.stage.value().to_le_bytes();
                batch.within(self.stage.space(space)).put(bytes(key), value);
                self.stage.db.write(batch)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self) {
        let snapshot = self.rng.chance(30);
        let isolation = if snapshot { Isolation::Snapshot } else { Isolation::Serializable };
        let acknowledged = self.stage.acknowledged.load(Ordering::SeqCst);
        let transaction = self.stage.db.transaction().isolation(isolation);
        let over = Over {
            isolation,
            snapshot: transaction.snapshot_seq(),
            acknowledged,
            events: Vec::new(),
            end: End::RolledBack,
        };
        self.live.push(Live { transaction, over, saved: Vec::new() });
    }

    /// One step of one of the open transactions.
    fn step(&mut self) -> Result<()> {
        if self.live.is_empty() {
            return Ok(());
        }
        let at = self.rng.below(self.live.len() as u64) as usize;
        let mut live = self.live.swap_remove(at);
        if self.rng.chance(16) {
            return self.end(live);
        }
        let event = self.event(&mut live)?;
        live.over.events.push(event);
        self.live.push(live);
        Ok(())
    }

    fn event(&mut self, live: &mut Live) -> Result<Event> {
        let (space, key) = self.key();
        let transaction = live.transaction.within(self.stage.space(space));
        Ok(match self.rng.below(100) {
            0..30 => {
                let value = self.stage.value();
                transaction.put(bytes(key), value.to_le_bytes());
                Event::Put((space, key), value)
            }
            30..38 => {
                transaction.delete(bytes(key));
                Event::Delete((space, key))
            }
            38..64 => {
                let value = transaction.get(bytes(key))?;
                Event::Get((space, key), value.map(|value| read(&value)).transpose()?)
            }
            64..90 => Event::Scan(self.scan(transaction, space, key)?),
            90..96 => {
                live.saved.push(transaction.savepoint());
                Event::Save
            }
            _ => {
                let at = self.rng.below(live.saved.len().max(1) as u64) as usize;
                let Some(savepoint) = live.saved.get(at) else {
                    return Ok(Event::Get((space, key), {
                        let value = transaction.get(bytes(key))?;
                        value.map(|value| read(&value)).transpose()?
                    }));
                };
                transaction.rollback_to(savepoint)?;
                live.saved.truncate(at + 1);
                Event::Back(at)
            }
        })
    }

    fn scan(&mut self, transaction: &mut Transaction, space: u8, key: u8) -> Result<Scan> {
        let alike = self.rng.chance(30);
        let (from, to) = if alike {
            let from = key / ALIKE * ALIKE;
            (from, from + ALIKE)
        } else {
            (key, (key + 1 + self.rng.below(8) as u8).min(KEYS - 1))
        };
        let mut iter = if alike {
            transaction.prefix(bytes(from).get(..1).unwrap_or_default())
        } else {
            transaction.range(bytes(from)..bytes(to))
        };
        let (limit, way) = (self.rng.below(7), self.rng.below(3));
        let mut shown = Vec::new();
        for _ in 0..limit {
            let back = way == 1 || (way == 2 && self.rng.chance(50));
            let pair = if back { iter.next_back() } else { iter.next() };
            let pair = pair.transpose()?.map(|(key, value)| {
                let number = number(&key).ok_or_else(|| anyhow!("there is no such key"))?;
                Ok::<_, anyhow::Error>((number, read(&value)?))
            });
            let pair = pair.transpose()?;
            shown.push((back, pair));
            if pair.is_none() {
                break;
            }
        }
        // An empty range shows nothing.
        Ok(Scan { space, from, to: to.max(from), shown })
    }

    fn end(&mut self, live: Live) -> Result<()> {
        let Live { transaction, mut over, .. } = live;
        over.end = if self.rng.chance(12) {
            transaction.rollback();
            End::RolledBack
        } else {
            let side = self.stage.aims.side.as_ref();
            let noted = side.map(|side| side.begins(&over)).transpose()?;
            let outcome = transaction.commit_seq();
            if let Some((side, id)) = side.zip(noted) {
                side.ends(id, outcome.as_ref().ok().copied())?;
            }
            match outcome {
                Ok(seq) => {
                    self.stage.acknowledged.fetch_max(seq.unwrap_or(0), Ordering::SeqCst);
                    End::Committed(seq)
                }
                Err(error) => {
                    ensure!(error.kind() == ErrorKind::Conflict, "a commit failed: {error}");
                    End::Conflict
                }
            }
        };
        self.over.push(over);
        Ok(())
    }
}
