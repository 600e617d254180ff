//! Transactions that read two keys and set both, with more or less of them on the same few keys.

use crate::bench::{Bench, Done};
use crate::drive::{Worker, drive};
use crate::workload::Workload;
use anyhow::Result;

/// The keys that contended transactions meet on.
const HOT: u64 = 16;

/// Of a hundred transactions, so many are on the hot keys; each is tried until it commits.
pub(crate) fn run(bench: &mut Bench<'_>, workload: Workload, contended: u64) -> Result<Done> {
    let keys = bench.config.keys;
    let operations = bench.operations(keys);
    bench.begin(workload.name(), operations);
    let outcome = drive(&bench.plan(operations, 1)?, |worker, _| {
        let below = if worker.random.below(100) < contended { HOT.min(keys) } else { keys };
        let (a, b) = (worker.random.below(below), worker.random.below(below));
        update(worker, a, b)
    })?;
    bench.end();
    Ok(outcome.into())
}

fn update(worker: &mut Worker<'_>, a: u64, b: u64) -> Result<()> {
    let (a, b) = (worker.key.set(a), worker.end.set(b));
    let pairs = [(a, worker.values.of(a)), (b, worker.values.of(b))];
    let bytes: usize = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
    while !worker.session.update(&pairs, &mut worker.tally.seen)? {
        std::thread::yield_now();
    }
    worker.tally.written += bytes as u64;
    worker.tally.found += pairs.len() as u64;
    Ok(())
}
