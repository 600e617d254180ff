//! Seeds over all cores, a watch over those that hang, and what is told of those that fail.

use super::generate::{Plan, generate};
use super::op::Case;
use super::{concurrent, metamorphic, run, shrink};
use crate::awake::{awake, awake_since};
use crate::panics;
use crate::report::Row;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An operation that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a failing case is cut down.
const SHRINKING: Duration = Duration::from_secs(90);
/// After so many failures no further seed begins.
const ENOUGH: usize = 5;

/// Which seeds to run, and for how long. With a limit the seeds go on behind the last one until
/// the time is over.
#[derive(Clone)]
pub(super) struct Work {
    pub(super) seeds: Range<u64>,
    pub(super) plan: Plan,
    pub(super) limit: Option<Duration>,
}

/// What one seed says: how many operations it ran, or how it failed.
type Outcome = Result<u64, String>;

/// Runs one seed, and tells of each operation that it moves on.
type One<'a> = &'a (dyn Fn(u64, &dyn Fn(usize)) -> Outcome + Sync);

/// Runs every seed on one of the cores.
fn over_cores(name: &str, work: &Work, cores: usize, one: One<'_>) -> Row {
    let started = Instant::now();
    let next = AtomicU64::new(work.seeds.start);
    let ran = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let over = AtomicBool::new(false);
    // Of each core the seed under way and a number that changes with each operation.
    let places: Vec<[AtomicU64; 2]> = (0..cores).map(|_| Default::default()).collect();
    std::thread::scope(|scope| {
        let workers: Vec<_> = places
            .iter()
            .map(|place| {
                let (next, ran, failures) = (&next, &ran, &failures);
                scope.spawn(move || {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let goes_on = match work.limit {
                            Some(limit) => started.elapsed() < limit,
                            None => seed < work.seeds.end,
                        };
                        let failed = failures.lock().map_or(ENOUGH, |list| list.len());
                        if !goes_on || failed >= ENOUGH {
                            return;
                        }
                        place[0].store(seed, Ordering::Relaxed);
                        let progress = |_| {
                            place[1].fetch_add(1, Ordering::Relaxed);
                        };
                        match one(seed, &progress) {
                            Ok(operations) => {
                                ran.fetch_add(operations, Ordering::Relaxed);
                            }
                            Err(why) => {
                                if let Ok(mut list) = failures.lock() {
                                    list.push(why);
                                }
                            }
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| watch(name, &places, &over));
        for worker in workers {
            if worker.join().is_err()
                && let Ok(mut list) = failures.lock()
            {
                list.push(format!("{name}: a worker panicked"));
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    let mut row = Row::new(name, "operations");
    row.ran = ran.into_inner();
    row.violations = failures.into_inner().unwrap_or_default();
    row.elapsed = started.elapsed();
    let rate = row.ran as f64 / row.elapsed.as_secs_f64().max(1e-9);
    let seeds = next.into_inner().saturating_sub(work.seeds.start + cores as u64);
    row.notes.push(format!("{seeds} seeds, {rate:.0} operations per second on {cores} cores"));
    row
}

/// Ends the program where a core does not move on: a thread that hangs cannot be taken back.
fn watch(name: &str, places: &[[AtomicU64; 2]], over: &AtomicBool) {
    let mut seen: Vec<(u64, Duration)> = places.iter().map(|_| (0, awake())).collect();
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        for (place, seen) in places.iter().zip(&mut seen) {
            let now = place[1].load(Ordering::Relaxed);
            let finished = place[0].load(Ordering::Relaxed) == u64::MAX;
            if now != seen.0 || finished {
                *seen = (now, awake());
            } else if awake_since(seen.1) > PATIENCE {
                let seed = place[0].load(Ordering::Relaxed);
                eprintln!("! {name}: seed {seed} hangs; repeat with --seed {seed}");
                std::process::exit(1);
            }
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, |n| n.get())
}

/// One thread, an exact model.
pub(super) fn sequential(work: &Work) -> Row {
    over_cores("model", work, cores(), &|seed, progress| {
        let case = generate(seed, &work.plan);
        let ran = panics::catch(|| run::run(&case, None, progress));
        let (at, why) = match ran {
            Some(Ok(_)) => return Ok(case.ops.len() as u64),
            Some(Err(failure)) => failure,
            None => (case.ops.len(), "a panic".to_owned()),
        };
        eprintln!("! seed {seed} fails in operation {}: {why}; cutting it down", at + 1);
        progress(0);
        Err(tell(seed, &case, at, &why, progress))
    })
}

/// One line for a failure, and its smallest case in a file.
fn tell(seed: u64, case: &Case, at: usize, why: &str, progress: &dyn Fn(usize)) -> String {
    let repeat = format!("cargo xtask model --seed {seed} --ops {}", case.ops.len());
    let mut short = case.clone();
    short.ops.truncate(at + 1);
    let shrunk = shrink::shrink(&short, SHRINKING, progress)
        .or_else(|| shrink::shrink(case, SHRINKING, progress));
    progress(0);
    let Some((small, how)) = shrunk else {
        return format!("operation {}: {why}; did not fail again; {repeat}", at + 1);
    };
    let path = std::env::temp_dir().join(format!("kv-model-{seed}.txt"));
    let written = small.text().and_then(|text| Ok(std::fs::write(&path, text)?));
    let file = match written {
        Ok(()) => path,
        Err(_) => PathBuf::from("nowhere"),
    };
    format!(
        "operation {}: {why}; {repeat}; in {} operations ({how}): cargo xtask model --replay {}",
        at + 1,
        small.ops.len(),
        file.display()
    )
}

/// Several threads over one store.
pub(super) fn concurrent(work: &Work) -> Row {
    // Each seed has threads of its own.
    over_cores("model concurrent", work, 1, &|seed, progress| {
        concurrent::run(seed, work.plan.ops, progress)
            .map_err(|why| format!("{why}; cargo xtask model --from {seed} --seeds 1"))
    })
}

/// The same operations under twelve settings.
pub(super) fn metamorphic(work: &Work) -> Row {
    over_cores("model metamorphic", work, cores(), &|seed, progress| {
        metamorphic::run(seed, &work.plan, progress)
            .map_err(|why| format!("{why}; cargo xtask model --from {seed} --seeds 1"))
    })
}
