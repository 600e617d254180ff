//! Crashes inside recovery: what a crash left is opened on a file system that records it, and cut
//! again at every operation of that open; a share of what that leaves, once more.
//!
//! Before the open has answered, any state may be found that the first crash allowed; afterwards
//! only the one that it has shown.

use crate::crash::checker::{Bounds, Checker};
use crate::crash::cut::Cut;
use crate::crash::exhaustive::Ran;
use crate::crash::sweep::{Point, empty, sweep_parallel, sweep_trace};
use crate::crash::workload::Workload;
use crate::oracle::{DIR, scan};
use crate::record::clock_at;
use crate::report::Row;
use crate::rng::{Rng, mix};
use crate::settings::Settings;
use anyhow::Result;
use kv_engine::Db;
use kv_vfs::{CutPolicy, MemFs, Note, TraceFs, TraceOp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How deep crashes nest: a crash, one in its recovery, and one in the recovery from that.
const DEPTH: u32 = 3;
/// At the last depth, one of so many states is nested once more.
const SAMPLED: u64 = 400;

/// What the gate runs.
pub(crate) fn quick() -> Result<Vec<Row>> {
    let ran = Ran::new(Workload::Small, 60, 1)?;
    let mut row = nest("small", &ran, 40, 15_000)?;
    row.floor = 10_000;
    row.distinct = row.distinct.map(|(found, _)| (found, 1_000));
    Ok(vec![row])
}

/// Nests in one of `every` states of a workload, until `enough` nested states were judged.
pub(crate) fn nest(name: &str, ran: &Ran, every: u64, enough: u64) -> Result<Row> {
    let started = Instant::now();
    let checker = ran.checker();
    let count = AtomicU64::new(0);
    let deeper = AtomicU64::new(0);
    sweep_parallel(&ran.recorded, &empty, &|point| {
        let mut rng = Rng::new(mix(point.at as u64));
        for cut in Cut::policies(rng.next()) {
            let full = count.load(Ordering::Relaxed) >= enough;
            if !point.acknowledged && rng.below(every) == 0 && !full {
                let nest = Nest { checker: &checker, name, count: &count, deeper: &deeper };
                nest.inside(point.fs, &cut, point.bounds, &mut rng, 2);
            }
        }
    })?;
    let mut row = Row::new(format!("nested {name}"), "crash states");
    row.ran = count.into_inner();
    row.distinct = Some((checker.distinct(), 0));
    row.violations = checker.violations();
    row.elapsed = started.elapsed();
    row.notes.push(format!("{} of them at depth {DEPTH}", deeper.into_inner()));
    Ok(row)
}

#[derive(Clone, Copy)]
struct Nest<'a> {
    checker: &'a Checker<'a>,
    name: &'a str,
    count: &'a AtomicU64,
    deeper: &'a AtomicU64,
}

impl Nest<'_> {
    /// Crashes at every operation of the recovery from `cut` of `fs`.
    fn inside(&self, fs: &MemFs, cut: &Cut, bounds: Bounds, rng: &mut Rng, depth: u32) {
        let clock = clock_at(bounds.epoch);
        let on_clock = |fs: MemFs| fs.on_clock(Arc::clone(&clock) as _);
        let what = || format!("{} depth {depth}, after {cut}", self.name);
        let image = on_clock(cut.apply(fs));
        // Where nothing may surface any more, the state is settled before the open answers.
        let settled = image.pending().is_empty();
        let (trace, index) = match recovery(&image, self.checker, bounds) {
            Ok(found) => found,
            Err(violation) => return self.checker.note(format!("{violation} [{}]", what())),
        };
        let fixed = Bounds { floor: index, ceiling: index, returned: index, ..bounds };
        // What the first cut took does not return, whatever the second one spares.
        let wide = Bounds { returned: bounds.floor, ..bounds };
        let bounds = if settled { fixed } else { wide };
        let visited = sweep_trace(&trace, on_clock(cut.apply(fs)), &clock, bounds, |point| {
            if !point.acknowledged {
                self.visit(point, rng, depth, &what);
            }
        });
        if let Err(error) = visited {
            self.checker.note(format!("{error:#} [{}]", what()));
        }
    }

    fn visit(&self, point: &Point<'_>, rng: &mut Rng, depth: u32, what: &dyn Fn() -> String) {
        let late = CutPolicy::ALL.len() - 1 - rng.below(2) as usize;
        let cuts = [Cut::First(0), Cut::drawn(rng), Cut::drawn(rng), Cut::Policy(late, rng.next())];
        for second in cuts {
            self.count.fetch_add(1, Ordering::Relaxed);
            if depth >= DEPTH {
                self.deeper.fetch_add(1, Ordering::Relaxed);
            }
            let what = || format!("{}, inside at {}", what(), point.at);
            let good = self.checker.judge(point.fs, &second, point.bounds, what).is_some();
            if good && depth < DEPTH && rng.below(SAMPLED) == 0 {
                self.inside(point.fs, &second, point.bounds, rng, depth + 1);
            }
        }
    }
}

/// What an open of `fs` does, with a note of the index that it has shown, and that index.
fn recovery(
    fs: &MemFs,
    checker: &Checker<'_>,
    bounds: Bounds,
) -> Result<(Vec<TraceOp>, u64), String> {
    let traced = TraceFs::new(Arc::new(fs.clone()));
    let options = Settings::quiet().options(Arc::new(traced.clone()));
    let db = Db::open(DIR, options).map_err(|e| format!("it does not open: {e}"))?;
    let seen = scan(&db)?;
    let found = checker.subject.timeline.find(&seen, bounds.epoch);
    let within = |index: &&u64| (bounds.floor..=bounds.ceiling).contains(*index);
    let index = found.iter().find(within).copied();
    let index = index.ok_or_else(|| format!("an open has shown {found:?}, not {bounds:?}"))?;
    traced.note(Note::Shown, 0, index);
    db.close().map_err(|e| format!("the close after it failed: {e}"))?;
    Ok((traced.trace(), index))
}
