//! Runs a history once, on a file system that records it, with notes of what was attempted and
//! what was acknowledged.

use crate::fault::copies::Copies;
use crate::history::{EPOCH_HOURS, Op, SPACES, Stamp, Step, key_bytes, value_bytes};
use crate::oracle::{DIR, scan};
use crate::settings::Settings;
use crate::timeline::{Model, Seen, Timeline};
use anyhow::{Result, anyhow, ensure};
use kv_engine::{Db, Durability, Keyspace, WriteBatch};
use kv_vfs::{Fs, ManualClock, MemFs, Note, TraceFs, TraceOp};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What a store is before a history begins: the state and its index.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) model: Model,
    pub(crate) index: u64,
    pub(crate) epoch: u64,
}

impl Start {
    pub(crate) fn empty() -> Start {
        Start { model: Model::new(), index: 0, epoch: 0 }
    }
}

/// A history that ran, and what it did to its file system.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) trace: Vec<TraceOp>,
    pub(crate) timeline: Timeline,
    pub(crate) epoch: u64,
}

/// A clock at an epoch. All clocks of one run begin at the same time.
pub(crate) fn clock_at(epoch: u64) -> Arc<ManualClock> {
    let clock = ManualClock::new();
    clock.advance(epoch_len().saturating_mul(epoch as u32));
    Arc::new(clock)
}

pub(crate) fn epoch_len() -> Duration {
    Duration::from_secs(3600 * EPOCH_HOURS)
}

/// Runs `steps` on `fs`, whose clock `clock` is.
pub(crate) fn record(
    fs: &MemFs,
    clock: &ManualClock,
    start: &Start,
    steps: &[Step],
    settings: &Settings,
) -> Result<Recorded> {
    let timeline = Timeline::new(start.model.clone(), start.index, start.epoch, steps);
    let traced = TraceFs::new(Arc::new(fs.clone()));
    let note = |note, index| traced.note(note, 0, index);
    let stage =
        Stage { dir: Path::new(DIR), fs: Arc::new(traced.clone()), clock, note: &note, settings };
    play(&stage, start, steps)?;
    Ok(Recorded { trace: traced.trace(), timeline, epoch: start.epoch })
}

/// Where a history is played, and who is told what it has come to.
pub(crate) struct Stage<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) fs: Arc<dyn Fs>,
    /// What the epochs are told by.
    pub(crate) clock: &'a ManualClock,
    pub(crate) note: &'a dyn Fn(Note, u64),
    pub(crate) settings: &'a Settings,
}

impl Stage<'_> {
    fn open(&self) -> Result<Db> {
        Ok(Db::open(self.dir, self.settings.options(Arc::clone(&self.fs)))?)
    }

    fn note(&self, note: Note, index: u64) {
        (self.note)(note, index);
    }
}

/// Plays `steps`, and closes the store.
pub(crate) fn play(stage: &Stage<'_>, start: &Start, steps: &[Step]) -> Result<()> {
    let mut run = Run::begin(stage, start)?;
    for step in steps {
        run.step(step).map_err(|e| e.context(format!("the step {step}")))?;
    }
    let Run { db, index, spaces, .. } = run;
    drop(spaces);
    db.close()?;
    stage.note(Note::Durable, index);
    Ok(())
}

/// A store at work, and the model of what it must hold.
pub(crate) struct Run<'a> {
    stage: &'a Stage<'a>,
    pub(crate) db: Db,
    pub(crate) model: Model,
    /// The index of the last step that counts.
    pub(crate) index: u64,
    epoch: u64,
    spaces: BTreeMap<u8, Keyspace>,
    pub(crate) copies: Copies,
}

impl<'a> Run<'a> {
    /// Opens the store.
    pub(crate) fn begin(stage: &'a Stage<'a>, start: &Start) -> Result<Run<'a>> {
        let db = stage.open()?;
        stage.note(Note::Shown, start.index);
        let (model, index, epoch) = (start.model.clone(), start.index, start.epoch);
        let (spaces, copies) = (BTreeMap::new(), Copies::default());
        Ok(Run { stage, db, model, index, epoch, spaces, copies })
    }

    /// Does a step, and takes it into the model where it succeeds.
    pub(crate) fn step(&mut self, step: &Step) -> Result<()> {
        if step.counts() {
            self.stage.note(Note::Attempted, self.index + 1);
            let durable = self.change(step)?;
            self.index += 1;
            self.model.apply(step, self.index, self.epoch);
            self.stage.note(Note::Returned, self.index);
            if durable {
                self.stage.note(Note::Durable, self.index);
            }
            return Ok(());
        }
        match step {
            Step::Sync => self.db.sync()?,
            Step::Flush => self.db.flush()?,
            Step::Compact => self.db.compact()?,
            Step::Checkpoint => {
                let Stage { fs, settings, .. } = self.stage;
                self.copies.checkpoint(&self.db, fs, settings)?;
            }
            Step::Backup => {
                let Stage { fs, settings, .. } = self.stage;
                self.copies.backup(&self.db, fs, settings)?;
            }
            Step::Reopen => return self.reopen(),
            Step::Pass => {
                self.stage.clock.advance(epoch_len());
                self.epoch += 1;
                self.stage.note(Note::Clock, self.epoch);
                return Ok(());
            }
            Step::Write(..) | Step::Ingest(_) | Step::Create(_) | Step::Drop(_) => {}
        }
        self.stage.note(Note::Durable, self.index);
        Ok(())
    }

    /// Does a step that changes the store; answers whether it was acknowledged as durable.
    fn change(&mut self, step: &Step) -> Result<bool> {
        match step {
            Step::Write(ops, synced) => return self.write(ops, *synced),
            Step::Ingest(ops) => return self.ingest(ops),
            Step::Create(space) => {
                let exists = self.model.spaces.contains_key(space);
                self.db.keyspace(name(*space)?)?;
                return Ok(self.stage.settings.synced && !exists);
            }
            Step::Drop(space) if self.model.spaces.contains_key(space) => {
                self.spaces.remove(space);
                self.db.drop_keyspace(name(*space)?)?;
                return Ok(self.stage.settings.synced);
            }
            _ => {}
        }
        Ok(false)
    }

    fn write(&mut self, ops: &[Op], synced: bool) -> Result<bool> {
        let ops = ops.iter().filter(|op| self.model.spaces.contains_key(&op.space()));
        let ops: Vec<Op> = ops.copied().collect();
        let next = self.index + 1;
        let stamp = |len: u32| Stamp { step: next, len };
        if let ([op], true) = (ops.as_slice(), synced == self.stage.settings.synced) {
            if let Op::Put(0, key, len) = op {
                self.db.put(key_bytes(*key), value_bytes(*key, stamp(*len)))?;
                return Ok(synced);
            }
            if let Op::Delete(0, key) = op {
                self.db.delete(key_bytes(*key))?;
                return Ok(synced);
            }
        }
        let mut batch = WriteBatch::new();
        for op in &ops {
            batch.within(&self.space(op.space())?);
            match op {
                Op::Put(_, key, len) => {
                    batch.put(key_bytes(*key), value_bytes(*key, stamp(*len)));
                }
                Op::PutFor(_, key, len, epochs) => {
                    let ttl = epoch_len().saturating_mul(2 * *epochs as u32 + 1) / 2;
                    batch.put_with_ttl(key_bytes(*key), value_bytes(*key, stamp(*len)), ttl);
                }
                Op::Delete(_, key) => batch.delete(key_bytes(*key)),
                Op::DeleteRange(_, from, to) => {
                    batch.delete_range(key_bytes(*from)..key_bytes(*to));
                }
            }
        }
        let durable = synced && !batch.is_empty();
        let durability = if synced { Durability::Sync } else { Durability::Os };
        self.db.write_with(batch, durability)?;
        Ok(durable)
    }

    fn ingest(&mut self, ops: &[Op]) -> Result<bool> {
        let step = self.index + 1;
        let puts = ops.iter().filter_map(|op| match op {
            Op::Put(space, key, len) if self.model.spaces.contains_key(space) => {
                let value = value_bytes(*key, Stamp { step, len: *len });
                Some((key_bytes(*key), value))
            }
            _ => None,
        });
        let pairs: BTreeMap<Vec<u8>, Vec<u8>> = puts.collect();
        let Some(first) = ops.first().filter(|_| !pairs.is_empty()) else { return Ok(false) };
        self.space(first.space())?.ingest(&pairs)?;
        Ok(true)
    }

    fn space(&mut self, space: u8) -> Result<Keyspace> {
        if let Some(known) = self.spaces.get(&space) {
            return Ok(known.clone());
        }
        let keyspace = self.db.keyspace(name(space)?)?;
        self.spaces.insert(space, keyspace.clone());
        Ok(keyspace)
    }

    fn reopen(&mut self) -> Result<()> {
        let seen = self.close_and_open()?;
        ensure!(seen == self.model.seen(self.epoch), "a clean close and an open lost something");
        self.stage.note(Note::Shown, self.index);
        Ok(())
    }

    /// Closes the store, opens it again, and answers what it shows then.
    pub(crate) fn close_and_open(&mut self) -> Result<Seen> {
        self.spaces.clear();
        self.db.clone().close()?;
        self.stage.note(Note::Durable, self.index);
        self.db = self.stage.open()?;
        scan(&self.db).map_err(|e| anyhow!(e))
    }
}

fn name(space: u8) -> Result<&'static str> {
    SPACES.get(usize::from(space)).copied().ok_or_else(|| anyhow!("there is no keyspace {space}"))
}

/// A fresh file system and its clock.
pub(crate) fn fresh() -> (MemFs, Arc<ManualClock>) {
    let clock = clock_at(0);
    (MemFs::with_clock(Arc::clone(&clock) as _), clock)
}
