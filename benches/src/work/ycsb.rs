//! The core workloads of YCSB.

use crate::bench::{Bench, Done};
use crate::drive::{Outcome, Plan, Worker, drive};
use crate::model::Model;
use crate::workload::Workload;
use crate::zipf::{Scrambled, Zipf};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// The longest scan of E.
const LONGEST: u64 = 100;

pub(crate) fn run(bench: &mut Bench<'_>, workload: Workload) -> Result<Done> {
    let keys = bench.config.keys;
    let operations = bench.operations(keys);
    let scrambled = Scrambled::new(keys);
    let latest = Zipf::new(keys);
    bench.begin(workload.name(), operations);
    let inserts = Inserts::behind(&bench.model);
    let plan = bench.plan(operations, 1)?;
    let outcome = match workload {
        Workload::YcsbA => mixed(&plan, &scrambled, 50),
        Workload::YcsbB => mixed(&plan, &scrambled, 95),
        Workload::YcsbD => newest(&plan, &latest, &inserts, &bench.model),
        Workload::YcsbE => scans(&plan, &scrambled, &inserts),
        Workload::YcsbF => modifications(&plan, &scrambled),
        _ => drive(&plan, |worker, _| {
            let n = scrambled.draw(&mut worker.random);
            worker.get(n, true)
        }),
    }?;
    bench.end();
    for n in inserts.start..inserts.next.load(Ordering::Relaxed) {
        bench.model.insert(n);
    }
    Ok(outcome.into())
}

/// A and B: so many reads of a hundred, the rest updates.
fn mixed(plan: &Plan<'_>, keys: &Scrambled, reads: u64) -> Result<Outcome> {
    drive(plan, |worker, _| {
        let n = keys.draw(&mut worker.random);
        if worker.random.below(100) < reads { read(worker, n, true) } else { worker.put(n) }
    })
}

fn newest(plan: &Plan<'_>, ranks: &Zipf, inserts: &Inserts, model: &Model) -> Result<Outcome> {
    drive(plan, |worker, _| {
        if worker.random.below(100) < 5 {
            return inserts.insert(worker);
        }
        let last = inserts.end.load(Ordering::Acquire) - 1;
        let n = last.saturating_sub(ranks.draw(&mut worker.random));
        read(worker, n, n >= inserts.start || model.contains(n))
    })
}

fn scans(plan: &Plan<'_>, keys: &Scrambled, inserts: &Inserts) -> Result<Outcome> {
    drive(plan, |worker, _| {
        if worker.random.below(100) < 5 {
            return inserts.insert(worker);
        }
        let n = keys.draw(&mut worker.random);
        let limit = 1 + worker.random.below(LONGEST);
        let least = if inserts.was_dense { limit.min(inserts.start - n) } else { 1 };
        worker.session.refresh()?;
        worker.scan(n, limit, least..limit + 1)
    })
}

fn modifications(plan: &Plan<'_>, keys: &Scrambled) -> Result<Outcome> {
    drive(plan, |worker, _| {
        let n = keys.draw(&mut worker.random);
        read(worker, n, true)?;
        if worker.random.below(100) < 50 { Ok(()) } else { worker.put(n) }
    })
}

#[inline]
fn read(worker: &mut Worker<'_>, n: u64, expected: bool) -> Result<()> {
    worker.session.refresh()?;
    worker.get(n, expected)
}

/// Hands out the numbers of new keys, and knows below which number all are there.
struct Inserts {
    start: u64,
    was_dense: bool,
    next: AtomicU64,
    end: AtomicU64,
    /// What was put, but has a number before it that was not.
    ahead: Mutex<BTreeSet<u64>>,
}

impl Inserts {
    fn behind(model: &Model) -> Inserts {
        let start = model.end();
        Inserts {
            start,
            was_dense: model.is_dense(),
            next: AtomicU64::new(start),
            end: AtomicU64::new(start),
            ahead: Mutex::new(BTreeSet::new()),
        }
    }

    fn insert(&self, worker: &mut Worker<'_>) -> Result<()> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        worker.put(n)?;
        self.note(n)
    }

    fn note(&self, n: u64) -> Result<()> {
        let mut ahead = self.ahead.lock().ok().context("another thread failed")?;
        ahead.insert(n);
        let mut end = self.end.load(Ordering::Relaxed);
        while ahead.remove(&end) {
            end += 1;
        }
        self.end.store(end, Ordering::Release);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_counts_when_all_before_it_are_there() {
        let inserts = Inserts::behind(&Model::full(10));
        let end = |n| {
            inserts.note(n).unwrap();
            inserts.end.load(Ordering::Relaxed)
        };
        assert_eq!([end(11), end(12), end(10), end(14), end(13)], [10, 10, 13, 13, 15]);
    }
}
