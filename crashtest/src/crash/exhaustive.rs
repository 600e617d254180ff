//! `crashtest exhaustive`: every crash point of a workload, under every policy, and the subsets of
//! what was pending there; and the sync audit at every durable acknowledgement.

use crate::crash::audit::audit;
use crate::crash::checker::{Checker, Subject};
use crate::crash::cut::Cut;
use crate::crash::sweep::{Point, empty, sweep_parallel};
use crate::crash::watchdog::{Watchdog, beat};
use crate::crash::workload::Workload;
use crate::crash::{nested, shrink};
use crate::history::Step;
use crate::record::{Recorded, Start, fresh, record};
use crate::report::Row;
use crate::rng::mix;
use crate::settings::Settings;
use anyhow::Result;
use clap::Args;
use kv_vfs::{Note, TraceOp};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How far manifests grow beyond twice their beginning.
const SLACK: u64 = 600;

/// How many histories at most the gate runs.
const ROUNDS: u64 = 4;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Which workload; all of them where none is named.
    #[arg(long, value_enum)]
    workload: Option<Workload>,
    /// How many steps each has.
    #[arg(long, default_value_t = 300)]
    steps: usize,
    /// How many drawings of the steps are run.
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// Also crashes inside the recovery, in one of so many states; 0 for none.
    #[arg(long, default_value_t = 200)]
    nested: u64,
}

/// A workload that ran.
pub(crate) struct Ran {
    pub(crate) start: Start,
    pub(crate) steps: Vec<Step>,
    pub(crate) settings: Settings,
    pub(crate) recorded: Recorded,
}

impl Ran {
    /// Runs `count` steps of a workload on an empty file system.
    pub(crate) fn new(workload: Workload, count: usize, seed: u64) -> Result<Ran> {
        beat(&format!("the workload {}, {count} steps, round {seed}", workload.name()));
        let (steps, settings) = workload.steps(count, seed);
        let (fs, clock) = fresh();
        let start = Start::empty();
        let recorded = record(&fs, &clock, &start, &steps, &settings)?;
        Ok(Ran { start, steps, settings, recorded })
    }

    pub(crate) fn checker(&self) -> Checker<'_> {
        let Ran { start, steps, settings, recorded } = self;
        let timeline = &recorded.timeline;
        Checker::new(Subject { start, steps, timeline, settings }, Settings::quiet())
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    let _watchdog = Watchdog::start();
    let mut rows = Vec::new();
    // Manifests are begun anew after a few edits, so that a short history meets that too.
    kv_vfs::testing::set_manifest_slack(SLACK);
    for workload in Workload::ALL {
        for round in 0..arguments.rounds {
            if arguments.workload.is_none_or(|chosen| chosen == workload) {
                let ran = Ran::new(workload, arguments.steps, round)?;
                let name = workload.name();
                rows.extend(exhaust(&name, &ran, Limits::default())?);
                if arguments.nested > 0 {
                    rows.push(nested::nest(&name, &ran, arguments.nested, u64::MAX)?);
                }
            }
        }
    }
    Ok(rows)
}

/// How many states are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// One of so many crash points gets its subsets.
    pub(crate) subsets_every: usize,
    /// At least so many states by policy and by subset, or the row fails.
    pub(crate) floors: [u64; 2],
    /// At least so many distinct states.
    pub(crate) distinct: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { subsets_every: 1, floors: [0, 0], distinct: 100 }
    }
}

/// What the gate runs.
pub(crate) fn quick() -> Result<Vec<Row>> {
    kv_vfs::testing::set_manifest_slack(SLACK);
    let limits = Limits { subsets_every: 3, floors: [16_000, 30_000], distinct: 8_000 };
    let mut rows = exhaust("small", &Ran::new(Workload::Small, 300, 0)?, limits)?;
    // How much a history does, and has pending, depends on when its threads come to run. Where
    // it was little, another one is added.
    for round in 1..ROUNDS {
        let short = |row: &Row| row.ran < row.floor;
        if !rows.iter().any(short) {
            break;
        }
        let more = exhaust("small", &Ran::new(Workload::Small, 300, round)?, limits)?;
        for (row, more) in rows.iter_mut().zip(more) {
            row.add(more);
        }
    }
    Ok(rows)
}

/// The rows of one workload: policies, subsets, and the audit.
fn exhaust(name: &str, ran: &Ran, limits: Limits) -> Result<Vec<Row>> {
    let started = Instant::now();
    let checker = ran.checker();
    let [policies, subsets, audits] = [const { AtomicU64::new(0) }; 3];
    let unsynced = std::sync::Mutex::new(Vec::new());
    sweep_parallel(&ran.recorded, &empty, &|point| {
        if point.acknowledged {
            audits.fetch_add(1, Ordering::Relaxed);
            if let Err(violation) = audit(point.fs) {
                let Point { at, .. } = point;
                crate::crash::checker::lock(&unsynced).push(format!("{violation} [at {at}]"));
            }
            return;
        }
        let seed = mix(point.at as u64);
        let judge = |cut: &Cut| {
            checker.judge(point.fs, cut, point.bounds, || format!("{name} at {}", point.at));
        };
        for cut in Cut::policies(seed) {
            policies.fetch_add(1, Ordering::Relaxed);
            judge(&cut);
        }
        if point.at % limits.subsets_every == 0 {
            for cut in Cut::subsets(point.fs.pending().len(), seed) {
                subsets.fetch_add(1, Ordering::Relaxed);
                judge(&cut);
            }
        }
    })?;
    let points = ran.recorded.trace.iter().filter(|op| op.changes()).count();
    let mut row = Row::new(format!("exhaustive {name}"), "crash states");
    row.ran = policies.into_inner();
    row.floor = limits.floors[0];
    row.distinct = Some((checker.distinct(), limits.distinct));
    row.violations = checker.violations();
    row.elapsed = started.elapsed();
    row.notes.push(format!("{points} crash points; distinct states are those of subsets too"));
    row.notes.push(checker.pace());
    if !row.violations.is_empty() {
        row.notes.push(shrink::smallest(&ran.start, &empty, &ran.steps, &ran.settings)?);
    }
    let mut by_subset = Row::new(format!("subsets {name}"), "crash states");
    (by_subset.ran, by_subset.floor) = (subsets.into_inner(), limits.floors[1]);
    let mut audited = Row::new(format!("sync audit {name}"), "acknowledgements");
    audited.ran = audits.into_inner();
    let durable = |op: &&TraceOp| matches!(op, TraceOp::Note(Note::Durable, ..));
    audited.floor = ran.recorded.trace.iter().filter(durable).count().max(1) as u64;
    audited.violations = unsynced.into_inner().unwrap_or_default();
    Ok(vec![row, by_subset, audited])
}
