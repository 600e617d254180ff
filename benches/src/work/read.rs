//! Workloads that only read.

use crate::bench::{Bench, Done};
use crate::drive::{Plan, Worker, drive};
use crate::store::Direction;
use crate::workload::Workload;
use anyhow::Result;

pub(crate) fn random(bench: &mut Bench<'_>) -> Result<Done> {
    let keys = bench.config.keys;
    let operations = bench.operations(keys);
    bench.begin(Workload::ReadRandom.name(), operations);
    let (plan, model) = (bench.plan(operations, 1)?, &bench.model);
    // Where no key is missing, the model need not be asked.
    let outcome = if model.has_all(keys) {
        drive(&plan, |worker, _| {
            let n = worker.random.below(keys);
            worker.get(n, true)
        })
    } else {
        drive(&plan, |worker, _| {
            let n = worker.random.below(keys);
            worker.get(n, model.contains(n))
        })
    };
    Ok(outcome?.into())
}

pub(crate) fn missing(bench: &mut Bench<'_>) -> Result<Done> {
    let keys = bench.config.keys;
    let operations = bench.operations(keys);
    bench.begin(Workload::ReadMissing.name(), operations);
    let outcome = drive(&bench.plan(operations, 1)?, |worker, _| {
        let n = worker.random.below(keys);
        worker.get_missing(n)
    })?;
    Ok(outcome.into())
}

/// Each thread reads everything. An operation is an entry; single ones are not timed.
pub(crate) fn all(bench: &mut Bench<'_>, workload: Workload) -> Result<Done> {
    let count = bench.model.count();
    let limit = bench.operations(count).min(count);
    let threads = bench.config.threads as u64;
    bench.begin(workload.name(), limit * threads);
    let direction = match workload {
        Workload::ReadReverse => Direction::Backward,
        _ => Direction::Forward,
    };
    // Without a limit where all should come, so that too many are noticed.
    let asked = if limit == count { u64::MAX } else { limit };
    let plan = Plan { limit: None, ..bench.plan(threads, limit)? };
    let mut outcome = drive(&plan, |worker: &mut Worker<'_>, _| {
        let found = worker.session.scan(None, direction, asked, &mut worker.tally.seen)?;
        worker.tally.found += found;
        worker.tally.surprises += u64::from(found != limit);
        Ok(())
    })?;
    outcome.latency = crate::latency::Latency::new();
    Ok(outcome.into())
}

pub(crate) fn seek(bench: &mut Bench<'_>, steps: u64) -> Result<Done> {
    let keys = bench.config.keys;
    let operations = bench.operations(keys / steps);
    let (end, is_dense) = (bench.model.end(), bench.model.is_dense());
    bench.begin(Workload::SeekRandom.name(), operations);
    let outcome = drive(&bench.plan(operations, 1)?, |worker, _| {
        let n = worker.random.below(keys);
        let most = steps.min(end.saturating_sub(n));
        // With gaps between the keys, no more is known than that.
        let least = if is_dense { most } else { 0 };
        worker.scan(n, steps, least..most + 1)
    })?;
    Ok(outcome.into())
}
