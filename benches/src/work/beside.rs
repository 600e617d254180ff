//! Reads while one more thread writes.

use crate::bench::{Bench, Done, times};
use crate::drive::{Plan, drive, random_of};
use crate::latency::Latency;
use crate::report::Beside;
use crate::workload::Workload;
use anyhow::{Context, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

struct Written {
    bytes: u64,
    operations: u64,
    latency: Latency,
    took: Duration,
}

/// The options' threads read, one more overwrites until they are done.
pub(crate) fn read_while_writing(bench: &mut Bench<'_>) -> Result<Done> {
    let keys = bench.config.keys;
    let operations = bench.operations(keys);
    bench.begin(Workload::ReadWhileWriting.name(), operations);
    let plan = bench.plan(operations, 1)?;
    let stop = AtomicBool::new(false);
    let rate = bench.config.write_rate;
    let (outcome, written) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&plan, keys, rate, &stop));
        let outcome = drive(&plan, |worker, _| {
            let n = worker.random.below(keys);
            worker.session.refresh()?;
            worker.get(n, true)
        });
        stop.store(true, Ordering::Relaxed);
        (outcome, writer.join().ok().context("the writing thread panicked").flatten())
    });
    let (mut outcome, written) = (outcome?, written?);
    outcome.tally.written += written.bytes;
    let beside = Beside {
        operations: written.operations,
        per_second: written.operations as f64 / written.took.as_secs_f64().max(1e-9),
        times: times(&written.latency),
    };
    Ok(Done { outcome, beside: Some(beside) })
}

fn write(plan: &Plan<'_>, keys: u64, rate: Option<u64>, stop: &AtomicBool) -> Result<Written> {
    let mut session = plan.store.session()?;
    let mut random = random_of(plan.seed, plan.threads);
    let mut key = plan.key.clone();
    let mut latency = Latency::new();
    let (mut operations, mut bytes) = (0, 0);
    let start = Instant::now();
    // Once at least, so that there is a rate.
    while operations == 0 || !stop.load(Ordering::Relaxed) {
        let key = key.set(random.below(keys));
        let value = plan.values.of(key);
        bytes += (key.len() + value.len()) as u64;
        let before = Instant::now();
        session.put(key, value)?;
        latency.record(before.elapsed(), 1);
        operations += 1;
        if let Some(rate) = rate {
            let due = Duration::from_secs_f64(operations as f64 / rate as f64);
            // In pieces, so that a slow rate does not outlast the readers.
            while let Some(early) = due.checked_sub(start.elapsed()).filter(|t| !t.is_zero()) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(early.min(Duration::from_millis(50)));
            }
        }
    }
    Ok(Written { bytes, operations, latency, took: start.elapsed() })
}
