//! Workloads that only write.

use crate::bench::{Bench, Done};
use crate::drive::{Outcome, Plan, drive, random_of};
use crate::permute::Permutation;
use crate::workload::Workload;
use anyhow::Result;
use std::time::Instant;

pub(crate) fn fill_seq(bench: &mut Bench<'_>) -> Result<Done> {
    let keys = bench.operations(bench.config.keys).min(bench.config.keys);
    bench.begin(Workload::FillSeq.name(), keys);
    let outcome = drive(&bench.plan(keys, 1)?, |worker, n| worker.put(n))?;
    note_puts(bench, &outcome, |n| n);
    Ok(outcome.into())
}

pub(crate) fn fill_random(bench: &mut Bench<'_>) -> Result<Done> {
    fill(bench, Workload::FillRandom, bench.config.keys)
}

/// A thousandth of the keys, as in db_bench.
pub(crate) fn fill_sync(bench: &mut Bench<'_>) -> Result<Done> {
    fill(bench, Workload::FillSync, bench.config.keys / 1000)
}

/// Loads all keys, whatever the options say about operations and time.
pub(crate) fn load(bench: &mut Bench<'_>) -> Result<()> {
    let keys = bench.config.keys;
    bench.watch.begin("loading", keys);
    let order = Permutation::new(keys, bench.seed());
    let plan = Plan { limit: None, ..bench.plan(keys, 1)? };
    let outcome = drive(&plan, |worker, i| worker.put(order.of(i)))?;
    note_puts(bench, &outcome, |i| order.of(i));
    Ok(())
}

fn fill(bench: &mut Bench<'_>, workload: Workload, own: u64) -> Result<Done> {
    let keys = bench.operations(own).min(bench.config.keys);
    bench.begin(workload.name(), keys);
    let order = Permutation::new(bench.config.keys, bench.seed());
    let outcome = drive(&bench.plan(keys, 1)?, |worker, i| worker.put(order.of(i)))?;
    note_puts(bench, &outcome, |i| order.of(i));
    Ok(outcome.into())
}

pub(crate) fn fill_batch(bench: &mut Bench<'_>) -> Result<Done> {
    let batch = bench.config.batch.min(bench.config.keys);
    let batches = (bench.operations(bench.config.keys).min(bench.config.keys) / batch).max(1);
    bench.begin(Workload::FillBatch.name(), batches * batch);
    let order = Permutation::new(bench.config.keys, bench.seed());
    let key_len = bench.config.key_len;
    let outcome = drive(&bench.plan(batches, batch)?, |worker, i| {
        let mut keys = Vec::with_capacity(batch as usize * key_len);
        for n in i * batch..(i + 1) * batch {
            keys.extend_from_slice(worker.key.set(order.of(n)));
        }
        let pairs: Vec<(&[u8], &[u8])> =
            keys.chunks_exact(key_len).map(|key| (key, worker.values.of(key))).collect();
        worker.tally.written += (key_len + worker.values.value_len()) as u64 * batch;
        worker.session.put_batch(&pairs)
    })?;
    bench.end();
    for calls in outcome.done.clone() {
        for i in calls.start * batch..calls.end * batch {
            bench.model.insert(order.of(i));
        }
    }
    Ok(outcome.into())
}

pub(crate) fn overwrite(bench: &mut Bench<'_>) -> Result<Done> {
    let operations = bench.operations(bench.config.keys);
    bench.begin(Workload::Overwrite.name(), operations);
    let outcome = overwriting(bench, operations)?;
    note_overwrites(bench, &outcome);
    Ok(outcome.into())
}

pub(crate) fn overwrite_wait(bench: &mut Bench<'_>) -> Result<Done> {
    let operations = bench.operations(bench.config.keys * bench.config.rounds);
    bench.begin(Workload::OverwriteWait.name(), operations);
    let mut outcome = overwriting(bench, operations)?;
    let start = Instant::now();
    let store = bench.store()?;
    store.flush()?;
    store.settle()?;
    outcome.took += start.elapsed();
    note_overwrites(bench, &outcome);
    Ok(outcome.into())
}

fn overwriting(bench: &mut Bench<'_>, operations: u64) -> Result<Outcome> {
    let keys = bench.config.keys;
    drive(&bench.plan(operations, 1)?, |worker, _| {
        let n = worker.random.below(keys);
        worker.put(n)
    })
}

pub(crate) fn delete_random(bench: &mut Bench<'_>) -> Result<Done> {
    let keys = bench.config.keys;
    let operations = bench.operations(keys / 2).min(keys);
    bench.begin(Workload::DeleteRandom.name(), operations);
    let order = Permutation::new(keys, bench.seed());
    let outcome = drive(&bench.plan(operations, 1)?, |worker, i| worker.delete(order.of(i)))?;
    bench.end();
    for calls in outcome.done.clone() {
        calls.for_each(|i| bench.model.remove(order.of(i)));
    }
    Ok(outcome.into())
}

pub(crate) fn delete_range(bench: &mut Bench<'_>) -> Result<Done> {
    const LEN: u64 = 100;
    let keys = bench.config.keys;
    let operations = bench.operations(keys / 1000);
    bench.begin(Workload::DeleteRange.name(), operations);
    let outcome = drive(&bench.plan(operations, 1)?, |worker, _| {
        let first = worker.random.below(keys);
        let (start, end) = (worker.key.set(first), worker.end.set((first + LEN).min(keys)));
        worker.tally.written += (start.len() + end.len()) as u64;
        worker.session.delete_range(start, end)
    })?;
    bench.end();
    let seed = bench.seed();
    for (i, calls) in outcome.done.iter().enumerate() {
        let mut random = random_of(seed, i);
        for _ in calls.clone() {
            let first = random.below(keys);
            (first..(first + LEN).min(keys)).for_each(|n| bench.model.remove(n));
        }
    }
    Ok(outcome.into())
}

/// Notes that the key that belongs to each call is there.
fn note_puts(bench: &mut Bench<'_>, outcome: &Outcome, key_of: impl Fn(u64) -> u64) {
    bench.end();
    for calls in outcome.done.clone() {
        calls.for_each(|i| bench.model.insert(key_of(i)));
    }
}

/// Notes the keys that the threads drew, by drawing them again.
fn note_overwrites(bench: &mut Bench<'_>, outcome: &Outcome) {
    bench.end();
    let keys = bench.config.keys;
    if bench.model.has_all(keys) {
        return;
    }
    let seed = bench.seed();
    for (i, calls) in outcome.done.iter().enumerate() {
        let mut random = random_of(seed, i);
        calls.clone().for_each(|_| bench.model.insert(random.below(keys)));
    }
}
