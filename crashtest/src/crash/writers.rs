//! Crashes with several writers at work.
//!
//! Each writer has keys of its own, so that what is left of each must be the state of one of its
//! own steps, between what it heard was durable and what it attempted. Over all of them: whatever
//! had answered before a surviving write began has survived, too.

use crate::crash::checker::lock;
use crate::crash::cut::Cut;
use crate::crash::sweep::shown;
use crate::history::{Key, Op, Stamp, Step, key_bytes, value_bytes};
use crate::oracle::{DIR, open, scan};
use crate::record::{Start, clock_at};
use crate::rng::Rng;
use crate::settings::Settings;
use crate::timeline::{Model, Seen, Timeline};
use anyhow::{Context, Result};
use kv_engine::{Db, Durability, WriteBatch};
use kv_vfs::{MemFs, Note, Replayer, TraceFs, TraceOp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Keys of each writer.
const KEYS: Key = 30;
/// How far the keys of one writer are from those of the next.
const APART: Key = 1000;
/// Crashes that are tried.
const CRASHES: u64 = 30;

/// What crashes of one run showed.
#[derive(Debug)]
pub(crate) struct Crashed {
    pub(crate) ran: u64,
    pub(crate) violations: Vec<String>,
}

struct Writer {
    number: u32,
    steps: Vec<Step>,
    timeline: Timeline,
}

impl Writer {
    /// Its indexes go on from here, apart from those of all others.
    fn first(number: u32) -> u64 {
        u64::from(number) << 32
    }

    fn new(number: u32, rng: &mut Rng) -> Writer {
        let key = |rng: &mut Rng| APART * number as Key + rng.below(u64::from(KEYS)) as Key;
        let mut steps = Vec::new();
        let synced = rng.pick(30, &[5, 100]);
        for _ in 0..10 + rng.below(50) {
            let mut ops = Vec::new();
            for _ in 0..1 + rng.below(4) {
                let (at, len) = (key(rng), 24 + rng.below(300) as u32);
                ops.push(match rng.below(10) {
                    0 => Op::DeleteRange(0, at, at + 1 + rng.below(5) as Key),
                    1 => Op::Delete(0, at),
                    _ => Op::Put(0, at, len),
                });
            }
            steps.push(Step::Write(ops, rng.chance(synced)));
        }
        let timeline = Timeline::new(Model::new(), Writer::first(number), 0, &steps);
        Writer { number, steps, timeline }
    }

    fn run(&self, db: &Db, traced: &TraceFs) -> Result<()> {
        for (step, index) in self.steps.iter().zip(Writer::first(self.number) + 1..) {
            let Step::Write(ops, synced) = step else { continue };
            let mut batch = WriteBatch::new();
            for op in ops {
                match op {
                    Op::Put(_, key, len) => {
                        let stamp = Stamp { step: index, len: *len };
                        batch.put(key_bytes(*key), value_bytes(*key, stamp));
                    }
                    Op::Delete(_, key) => batch.delete(key_bytes(*key)),
                    Op::DeleteRange(_, from, to) => {
                        batch.delete_range(key_bytes(*from)..key_bytes(*to));
                    }
                    Op::PutFor(..) => {}
                }
            }
            traced.note(Note::Attempted, self.number, index);
            db.write_with(batch, if *synced { Durability::Sync } else { Durability::Os })?;
            traced.note(Note::Returned, self.number, index);
            if *synced {
                traced.note(Note::Durable, self.number, index);
            }
        }
        Ok(())
    }

    /// The part of what was seen that is this writer's.
    fn part(&self, seen: &Seen) -> Seen {
        let keys = APART * self.number as Key..APART * (self.number as Key + 1);
        let pairs = seen.get(&0).into_iter().flatten();
        let pairs = pairs.filter(|(key, _)| keys.contains(*key));
        BTreeMap::from([(0, pairs.map(|(key, stamp)| (*key, *stamp)).collect())])
    }
}

/// Where in the trace the steps of one writer began and answered, and the last that is durable.
#[derive(Clone, Debug, Default)]
struct Progress {
    attempted: Vec<usize>,
    returned: Vec<usize>,
    durable: u64,
}

/// Lets writers work on a copy of `fs`, and crashes them at some moments.
pub(crate) fn crash(
    fs: &MemFs,
    start: &Start,
    settings: &Settings,
    rng: &mut Rng,
) -> Result<Crashed> {
    let writers: Vec<Writer> =
        (1..=2 + rng.below(3) as u32).map(|number| Writer::new(number, rng)).collect();
    let traced = TraceFs::new(Arc::new(fs.cut_again().on_clock(clock_at(start.epoch))));
    let db = Db::open(DIR, settings.options(Arc::new(traced.clone())))?;
    traced.note(Note::Shown, 0, start.index);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for writer in &writers {
            scope.spawn(|| {
                if let Err(error) = writer.run(&db, &traced) {
                    lock(&failures).push(format!("writer {}: {error:#}", writer.number));
                }
            });
        }
        if let Err(error) = db.flush() {
            lock(&failures).push(format!("a flush: {error:#}"));
        }
    });
    let violations = failures.into_inner().unwrap_or_default();
    let mut crashed = Crashed { ran: 0, violations };
    db.close()?;
    let trace = traced.trace();
    let base = fs.cut_again().on_clock(clock_at(start.epoch));
    crash_some(&trace, base, start, &writers, rng, &mut crashed)?;
    Ok(crashed)
}

fn crash_some(
    trace: &[TraceOp],
    base: MemFs,
    start: &Start,
    writers: &[Writer],
    rng: &mut Rng,
    crashed: &mut Crashed,
) -> Result<()> {
    let settled = if base.pending().is_empty() { 0 } else { shown(trace) };
    let points = trace.iter().filter(|op| op.changes()).count() as u64;
    let mut replayer = Replayer::new(base);
    let mut progress = vec![Progress::default(); writers.len()];
    for (at, op) in trace.iter().enumerate() {
        if op.changes() && at >= settled && rng.below(points) < CRASHES {
            let cut = Cut::drawn(rng);
            crashed.ran += 1;
            if let Err(what) = judge(&cut.apply(replayer.fs()), start, writers, &progress) {
                crashed.violations.push(format!("{what} [writers at {at}, {cut}]"));
            }
        }
        if let TraceOp::Note(note, number, index) = op
            && let Some(of) = progress.get_mut((*number as usize).wrapping_sub(1))
        {
            match note {
                Note::Attempted => of.attempted.push(at),
                Note::Returned => of.returned.push(at),
                Note::Durable => of.durable = index - Writer::first(*number),
                Note::Shown | Note::Clock => {}
            }
        }
        replayer.apply(op).with_context(|| format!("replaying {at}: {op}"))?;
    }
    Ok(())
}

/// Whether what a crash left is what it may be.
fn judge(
    state: &MemFs,
    start: &Start,
    writers: &[Writer],
    progress: &[Progress],
) -> Result<(), String> {
    let db = open(state, &Settings::quiet())?;
    let mut seen = scan(&db)?;
    let report = db.verify().map_err(|e| format!("verify failed: {e}"))?;
    if !report.is_ok() {
        return Err(format!("verify: {report}"));
    }
    // For each writer how many of its steps are surely there, and how many may be.
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (writer, of) in writers.iter().zip(progress) {
        let part = writer.part(&seen);
        let first = Writer::first(writer.number);
        let allowed = of.durable..=of.attempted.len() as u64;
        let places = writer.timeline.find(&part, 0).iter().map(|index| index - first);
        let places: Vec<u64> = places.filter(|count| allowed.contains(count)).collect();
        let (Some(least), Some(most)) = (places.first(), places.last()) else {
            let from = first + of.durable;
            let why = writer.timeline.explain(&part, 0, from, first + of.attempted.len() as u64);
            return Err(format!("writer {}: {why}", writer.number));
        };
        found.push((*least as usize, *most as usize));
        if let Some(pairs) = seen.get_mut(&0) {
            pairs.retain(|key, _| !part.values().any(|mine| mine.contains_key(key)));
        }
    }
    if seen != start.model.seen(start.epoch) {
        return Err("what was there before the writers changed".to_owned());
    }
    no_hole(&found, progress)
}

/// Whatever had answered before a surviving write began is there.
fn no_hole(found: &[(usize, usize)], progress: &[Progress]) -> Result<(), String> {
    let begun = found
        .iter()
        .zip(progress)
        .filter_map(|((least, _), of)| of.attempted.get(least.checked_sub(1)?).copied());
    let latest = begun.max().unwrap_or(0);
    for (writer, ((_, most), of)) in found.iter().zip(progress).enumerate() {
        let before = of.returned.partition_point(|at| *at < latest);
        if *most < before {
            return Err(format!(
                "writer {}: {most} steps are left, and a write that began after {before} of them \
                 had answered is there",
                writer + 1
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_seen() {
        let one = Progress { attempted: vec![1, 5], returned: vec![3], durable: 0 };
        let two = Progress { attempted: vec![4], returned: vec![6], durable: 0 };
        let both = [one, two];
        assert!(no_hole(&[(1, 1), (1, 1)], &both).is_ok());
        assert!(no_hole(&[(1, 1), (0, 0)], &both).is_ok());
        assert!(no_hole(&[(0, 0), (1, 1)], &both).is_err());
        assert!(no_hole(&[(0, 0), (0, 0)], &both).is_ok());
    }
}
