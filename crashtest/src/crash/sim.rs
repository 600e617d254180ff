//! `crashtest sim`: each seed draws its own weights, settings and steps, crashes twenty times, and
//! goes on from what each crash left, with other settings.

use crate::crash::checker::{Bounds, Checker, Subject, lock};
use crate::crash::cut::Cut;
use crate::crash::sweep::{Base, Point, empty, on_all_cores, shown, sweep};
use crate::crash::watchdog::{Watchdog, beat};
use crate::crash::{shrink, writers};
use crate::history::{Step, Weights, draw};
use crate::record::{Recorded, Start, clock_at, record};
use crate::report::Row;
use crate::rng::{Rng, mix};
use crate::settings::Settings;
use anyhow::Result;
use clap::{Args, ValueEnum};
use kv_vfs::{CutOrder, CutPolicy, MemFs};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Crashes in a row that each seed goes through.
const GENERATIONS: usize = 20;
/// Other crashes that are tried in each of them.
const ASIDE: u64 = 12;

/// A family of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Family {
    Strict,
    Ext4,
    Writeback,
    Delayed,
}

impl Family {
    fn order(self) -> CutOrder {
        match self {
            Family::Strict => CutOrder::Strict,
            Family::Ext4 => CutOrder::Ext4Ordered,
            Family::Writeback => CutOrder::Writeback,
            Family::Delayed => CutOrder::Delayed,
        }
    }
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Stop after so many minutes.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Only policies of this family; all where none is named.
    #[arg(long, value_enum)]
    policy: Option<Family>,
}

/// What all seeds count together.
#[derive(Default)]
struct Totals {
    seeds: AtomicU64,
    ran: AtomicU64,
    distinct: AtomicU64,
    /// Crashes after which a seed went on.
    chained: AtomicU64,
    /// Crashes with several writers at work.
    concurrent: AtomicU64,
    violations: Mutex<Vec<String>>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    let minutes = Duration::from_secs(60 * arguments.minutes);
    seeds(arguments.first, arguments.seeds, minutes, arguments.policy)
}

/// What the gate runs.
pub(crate) fn quick() -> Result<Vec<Row>> {
    let mut rows = seeds(1, 60, Duration::from_secs(15), None)?;
    for row in &mut rows {
        row.floor = 1_500;
    }
    Ok(rows)
}

/// One seed once more.
pub(crate) fn again(seed: u64) -> Result<Vec<Row>> {
    seeds(seed, 1, Duration::MAX, None)
}

fn seeds(first: u64, count: u64, limit: Duration, family: Option<Family>) -> Result<Vec<Row>> {
    let _watchdog = Watchdog::start();
    let started = Instant::now();
    let totals = Totals::default();
    let next = AtomicU64::new(first);
    on_all_cores(&|_| {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed - first >= count || started.elapsed() > limit {
                return Ok(());
            }
            beat(&format!("seed {seed}"));
            if let Err(error) = simulate(seed, family, &totals) {
                lock(&totals.violations).push(format!("{error:#}; {}", repeat(seed)));
            }
            totals.seeds.fetch_add(1, Ordering::Relaxed);
        }
    })?;
    let mut row = Row::new("sim", "crash states");
    row.ran = totals.ran.into_inner();
    row.distinct = Some((totals.distinct.into_inner(), 0));
    row.violations = totals.violations.into_inner().unwrap_or_default();
    row.elapsed = started.elapsed();
    row.notes.push(format!(
        "{} seeds, {} crashes that a seed went on from, {} states with several writers",
        totals.seeds.into_inner(),
        totals.chained.into_inner(),
        totals.concurrent.into_inner()
    ));
    Ok(vec![row])
}

fn repeat(seed: u64) -> String {
    format!("repeat: cargo xtask crashtest repro {seed}")
}

/// What a generation leaves to the next.
struct Left {
    fs: MemFs,
    start: Start,
}

/// Twenty crashes of one seed.
fn simulate(seed: u64, family: Option<Family>, totals: &Totals) -> Result<()> {
    let mut rng = Rng::new(seed);
    let weights = Weights::drawn(&mut rng);
    let mut left = Left { fs: empty(clock_at(0)), start: Start::empty() };
    for generation in 0..GENERATIONS {
        let settings = Settings::drawn(&mut rng);
        if generation % 5 == 4 {
            let crashed = writers::crash(&left.fs, &left.start, &settings, &mut rng)?;
            totals.concurrent.fetch_add(crashed.ran, Ordering::Relaxed);
            totals.ran.fetch_add(crashed.ran, Ordering::Relaxed);
            if !crashed.violations.is_empty() {
                let lines = crashed.violations.into_iter();
                let lines = lines.map(|line| format!("{line}; {}", repeat(seed)));
                lock(&totals.violations).extend(lines);
                return Ok(());
            }
            continue;
        }
        let count = 10 + rng.below(90) as usize;
        let present: Vec<u8> =
            left.start.model.spaces.keys().copied().filter(|space| *space > 0).collect();
        let steps = draw(&mut rng, &weights, count, &present);
        match generate(&left, &steps, &settings, family, &mut rng, totals)? {
            Some(next) => left = next,
            None => {
                let line = format!("seed {seed} generation {generation}; {}", repeat(seed));
                lock(&totals.violations).push(line);
                return Ok(());
            }
        }
        totals.chained.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Runs one generation and crashes it; `None` where a violation was noted.
fn generate(
    left: &Left,
    steps: &[Step],
    settings: &Settings,
    family: Option<Family>,
    rng: &mut Rng,
    totals: &Totals,
) -> Result<Option<Left>> {
    let base: Base<'_> = &|clock| left.fs.cut_again().on_clock(clock);
    let start = &left.start;
    let clock = clock_at(start.epoch);
    let recorded = record(&base(Arc::clone(&clock)), &clock, start, steps, settings)?;
    let timeline = &recorded.timeline;
    let check = Settings::drawn(rng);
    let checker = Checker::new(Subject { start, steps, timeline, settings }, check);
    let next = crash_somewhere(&recorded, base, &checker, family, rng)?;
    totals.ran.fetch_add(checker.ran(), Ordering::Relaxed);
    totals.distinct.fetch_add(checker.distinct(), Ordering::Relaxed);
    let mut violations = checker.violations();
    if violations.is_empty() {
        return Ok(next);
    }
    violations.push(shrink::smallest(start, base, steps, settings)?);
    lock(&totals.violations).extend(violations);
    Ok(None)
}

/// Tries crashes at some points, and goes on from one of them.
fn crash_somewhere(
    recorded: &Recorded,
    base: Base<'_>,
    checker: &Checker<'_>,
    family: Option<Family>,
    rng: &mut Rng,
) -> Result<Option<Left>> {
    // While something of the last crash may surface, the first points are not visited.
    let fs = base(clock_at(recorded.epoch));
    let settled = if fs.pending().is_empty() { 0 } else { shown(&recorded.trace) };
    let trace = recorded.trace.get(settled..).unwrap_or_default();
    let points = trace.iter().filter(|op| op.changes()).count() as u64 + 1;
    let chosen = rng.below(points);
    let seed = rng.next();
    let mut next = None;
    let mut place = 0;
    sweep(recorded, base, |point| {
        if point.acknowledged {
            return;
        }
        let mut dice = Rng::new(mix(seed ^ place));
        if dice.below(points) < ASIDE || place == chosen {
            let cut = drawn(&mut dice, family);
            let found = checker.judge(point.fs, &cut, point.bounds, || format!("at {}", point.at));
            if let (true, Some(index)) = (place == chosen, found) {
                next = go_on(point, &cut, index, recorded);
            }
        }
        place += 1;
    })?;
    Ok(next)
}

fn drawn(rng: &mut Rng, family: Option<Family>) -> Cut {
    loop {
        let cut = Cut::drawn(rng);
        let Some(family) = family else { return cut };
        if let Cut::Policy(place, _) = cut
            && CutPolicy::ALL.get(place).is_some_and(|policy| policy.order == family.order())
        {
            return cut;
        }
    }
}

/// The next generation begins with the state that was found at `index`. Indexes that were
/// attempted are not given again, so that what was lost cannot pass for something new.
fn go_on(point: &Point<'_>, cut: &Cut, index: u64, recorded: &Recorded) -> Option<Left> {
    let Bounds { epoch, .. } = point.bounds;
    let model = recorded.timeline.model(index)?.clone();
    let start = Start { model, index: recorded.timeline.last() + 1, epoch };
    Some(Left { fs: cut.apply(point.fs), start })
}
