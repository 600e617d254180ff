//! Workloads on a store as a whole: opening it, and its maintenance.

use crate::bench::{Bench, Done, check, remove};
use crate::crash;
use crate::drive::{Outcome, Tally};
use crate::latency::Latency;
use crate::store::{Direction, Store};
use crate::workload::Workload;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// How often a store is opened.
const OPENS: u64 = 9;
const OPENS_OF_LOGS: u64 = 3;

/// An outcome of operations that are timed one by one.
struct Timed {
    latency: Latency,
    took: Duration,
    operations: u64,
}

impl Timed {
    fn new() -> Timed {
        Timed { latency: Latency::new(), took: Duration::ZERO, operations: 0 }
    }

    fn time<T>(&mut self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let answer = work()?;
        let took = start.elapsed();
        self.latency.record(took, 1);
        self.took += took;
        self.operations += 1;
        Ok(answer)
    }

    fn done(self, tally: Tally) -> Done {
        let Timed { latency, took, operations } = self;
        Outcome { tally, latency, took, done: Vec::new(), operations }.into()
    }
}

/// The time of an open and of the first read behind it.
pub(crate) fn open(bench: &mut Bench<'_>) -> Result<Done> {
    let opens = bench.operations(OPENS);
    bench.begin(Workload::Open.name(), opens);
    let sync = bench.config.sync;
    let first = (0..bench.config.keys).find(|&n| bench.model.contains(n)).unwrap_or(0);
    let mut timed = Timed::new();
    let mut tally = Tally::new(&bench.values);
    for _ in 0..opens {
        bench.close()?;
        let mut key = bench.key.clone();
        let key = key.set(first);
        let found = timed.time(|| {
            bench.open(sync)?;
            bench.store()?.session()?.get(key, &mut tally.seen)
        })?;
        tally.found += u64::from(found);
        tally.surprises += u64::from(found != bench.model.contains(first));
        bench.watch.advance(1);
    }
    bench.forget_usage();
    Ok(timed.done(tally))
}

/// The time of an open after a kill. Each one has a store of its own; all that was written is read
/// afterwards.
pub(crate) fn open_log(bench: &mut Bench<'_>) -> Result<Done> {
    let opens = bench.operations(OPENS_OF_LOGS).min(OPENS_OF_LOGS);
    bench.begin(Workload::OpenLog.name(), opens);
    let dir = bench.config.dir.join("kv-bench-log");
    let settings = bench.config.log_settings();
    let mut timed = Timed::new();
    let mut tally = Tally::new(&bench.values);
    for _ in 0..opens {
        remove(&dir)?;
        let keys = crash::make(bench.config, &dir)?;
        let store = timed.time(|| bench.engine.open(&dir, &settings))?;
        let mut session = store.session()?;
        let count = session.scan(None, Direction::Forward, u64::MAX, &mut tally.seen)?;
        ensure!(count == keys, "{count} entries were recovered, and {keys} written");
        drop(session);
        store.close()?;
        bench.watch.advance(1);
    }
    bench.forget_usage();
    remove(&dir)?;
    Ok(timed.done(tally))
}

/// One call that works on the whole store.
pub(crate) fn maintain(
    bench: &mut Bench<'_>,
    workload: Workload,
    work: impl FnOnce(&dyn Store) -> Result<()>,
) -> Result<Done> {
    bench.begin(workload.name(), 1);
    let store = bench.store()?;
    let mut timed = Timed::new();
    timed.time(|| work(store))?;
    Ok(timed.done(Tally::new(&bench.values)))
}

/// Reads everything: a delete that was lost would be seen nowhere else.
pub(crate) fn check_all(bench: &Bench<'_>) -> Result<()> {
    let mut tally = Tally::new(&bench.values);
    let mut session = bench.store()?.session()?;
    let count = session.scan(None, Direction::Forward, u64::MAX, &mut tally.seen)?;
    check("what is there afterwards", &tally)?;
    let wanted = bench.model.count();
    ensure!(count == wanted, "{count} entries are there afterwards, and {wanted} should be");
    Ok(())
}
