//! Every call on the file system fails, in every manner, once and for ever; and nothing that was
//! acknowledged is lost, nothing hangs, nothing panics.

pub(crate) mod copies;
mod drive;
mod plan;
mod scenario;
mod sites;
mod table;
mod trial;

use crate::awake::{awake, awake_since};
use crate::report::Row;
use anyhow::Result;
use plan::Case;
use scenario::Scenario;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use table::Table;
use trial::{Known, Trial};

/// The runs of the quick gate, of the command where nothing else is asked for, and the scenarios from
/// which both are taken. Every call and manner comes first, so they differ in how often and behind
/// what each is met.
const QUICK: usize = 10_000;
const USUAL: usize = 20_000;
const SCENARIOS: usize = 24;
/// How many faults at most come on top of the first, to reach calls that are made only then.
const ROUNDS: usize = 3;
/// How many cases at most may fail to come to a call before it counts as not met. Threads do not
/// meet the same way twice.
const CHANCES: usize = 100;
/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Every call of every scenario.
    #[arg(long)]
    exhaustive: bool,
    /// A second fault at every call of the recovery from the first.
    #[arg(long)]
    pairs: bool,
    /// Only the cases whose description contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Prints every step and its answer.
    #[arg(long)]
    told: bool,
    /// At most so many first faults.
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// Writes `crashtest/call-sites.txt` anew instead of comparing with it.
    #[arg(long, conflicts_with_all = ["only", "count", "pairs"])]
    list: bool,
    /// How many scenarios are drawn.
    #[arg(long, value_name = "N", default_value_t = SCENARIOS)]
    scenarios: usize,
}

/// What the quick gate runs.
pub(crate) fn quick() -> Result<Vec<Row>> {
    let scenarios = scenario::draw_all(SCENARIOS)?;
    let all = plan::cases(&scenarios);
    let cases = all.get(..QUICK).unwrap_or(&all);
    let (mut row, table) = sweep(&scenarios, cases, QUICK as u64, false, &all);
    compare(&mut row, &table, false)?;
    Ok(vec![row])
}

pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    let mut scenarios = scenario::draw_all(arguments.scenarios)?;
    scenarios.iter_mut().for_each(|scenario| scenario.told = arguments.told);
    let all = plan::cases(&scenarios);
    let mut cases = all.clone();
    let whole = cases.len();
    if let Some(only) = &arguments.only {
        cases.retain(|case| case.to_string().contains(only));
    }
    let usual = if arguments.pairs { 400 } else { USUAL };
    let limit = arguments.count.unwrap_or(if arguments.exhaustive { usize::MAX } else { usual });
    cases.truncate(limit);
    let floor = if arguments.only.is_none() && arguments.count.is_none() { cases.len() } else { 0 };
    let (mut row, table) = sweep(&scenarios, &cases, floor as u64, arguments.pairs, &all);
    if floor > 0 && !arguments.pairs {
        compare(&mut row, &table, arguments.list)?;
    }
    row.notes.push(format!("{} of {whole} cases in {} scenarios", cases.len(), scenarios.len()));
    if !arguments.pairs {
        println!("{table}");
    }
    Ok(vec![row])
}

/// Compares the calls that were made with the list of all calls.
fn compare(row: &mut Row, table: &Table, write: bool) -> Result<()> {
    let (covered, missed) = table.check();
    row.notes.push(format!("{covered} pairs of call site and fault met"));
    let told = sites::compare(&table.reached(), &missed, write)?;
    row.violations.extend(told.violations);
    row.notes.extend(told.notes);
    Ok(())
}

/// What the threads of a sweep share.
struct Sweep<'a> {
    scenarios: &'a [Scenario],
    pairs: bool,
    known: Known,
    gathered: Mutex<Gathered>,
    /// What each thread is at, and since when.
    at: Vec<Mutex<Option<(Duration, String)>>>,
}

#[derive(Default)]
struct Gathered {
    ran: u64,
    struck: u64,
    excused: u64,
    unopened: u64,
    violations: Vec<String>,
    table: Table,
}

/// Runs all cases on all cores. `all` are those that there are, for calls which these miss.
fn sweep(
    scenarios: &[Scenario],
    cases: &[Case],
    floor: u64,
    pairs: bool,
    all: &[Case],
) -> (Row, Table) {
    let begin = Instant::now();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let sweep = Sweep {
        scenarios,
        pairs,
        known: Known::default(),
        gathered: Mutex::default(),
        at: (0..threads).map(|_| Mutex::default()).collect(),
    };
    let panics = watch_panics();
    let groups: Vec<&[Case]> = cases.chunks(1).collect();
    sweep.all(&groups);
    for _ in 0..if pairs { 0 } else { ROUNDS } {
        let behind = sweep.behind();
        let groups: Vec<&[Case]> = behind.iter().map(Vec::as_slice).collect();
        sweep.all(&groups);
    }
    if floor > 0 && !pairs {
        let missed = sweep.missed(all);
        let groups: Vec<&[Case]> = missed.iter().map(Vec::as_slice).collect();
        sweep.all(&groups);
    }
    crate::panics::abort();
    let Gathered { ran, struck, excused, unopened, mut violations, table } =
        std::mem::take(&mut *lock(&sweep.gathered));
    violations.extend(lock(panics).drain(..));
    let mut row = Row::new(if pairs { "fault pairs" } else { "fault" }, "fault runs");
    (row.ran, row.floor, row.elapsed) = (ran, floor, begin.elapsed());
    row.distinct = Some((sweep.known.distinct() as u64, (floor / 20).max(1)));
    row.notes.push(format!(
        "{struck} faults struck, {unopened} made the open fail, {excused} flipped a bit in the \
         last group of a log"
    ));
    if excused > ran / 100 {
        violations.push(format!("{excused} of {ran} runs had to be excused"));
    }
    row.violations = violations;
    (row, table)
}

impl Sweep<'_> {
    /// Runs of each group the first case that strikes, and those before it.
    fn all(&self, groups: &[&[Case]]) {
        let next = AtomicUsize::new(0);
        let work = |at| {
            while let Some(group) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                let _ = group.iter().any(|case| self.one(case, at));
            }
        };
        std::thread::scope(|scope| {
            let work = &work;
            let workers: Vec<_> = self.at.iter().map(|at| scope.spawn(move || work(at))).collect();
            while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                std::thread::sleep(Duration::from_millis(20));
                self.look_for_hangs();
            }
        });
    }

    /// For each call that met no fault by now, and each manner: the ways to come there.
    fn behind(&self) -> Vec<Vec<Case>> {
        let usual = self.scenarios.iter().flat_map(|scenario| scenario.calls.iter().copied());
        let usual: Vec<_> = usual.collect();
        let all = lock(&self.gathered);
        let untried = all.table.untried(&usual);
        untried.into_iter().flat_map(|(site, op, ways)| plan::behind(site, op, ways)).collect()
    }

    /// For each call and manner that the scenarios lead to and that no fault has struck: the cases
    /// of which one must do.
    fn missed(&self, cases: &[Case]) -> Vec<Vec<Case>> {
        let all = lock(&self.gathered);
        let mut missed: BTreeMap<_, Vec<Case>> = BTreeMap::new();
        for case in cases.iter().filter(|case| !all.table.has_met(&case.pair())) {
            let chances = missed.entry(case.pair()).or_default();
            if chances.len() < CHANCES {
                chances.push(case.clone());
            }
        }
        missed
            .into_values()
            .map(|some| some.iter().cycle().take(CHANCES).cloned().collect())
            .collect()
    }

    /// Runs a case; answers whether its last fault struck.
    fn one(&self, case: &Case, at: &Mutex<Option<(Duration, String)>>) -> bool {
        let Some(scenario) = self.scenarios.get(case.scenario) else { return false };
        *lock(at) = Some((awake(), case.to_string()));
        let mut ran = 0;
        let trial = catch_unwind(AssertUnwindSafe(|| {
            if self.pairs {
                return trial::run_pairs(case, scenario, &self.known, &mut ran);
            }
            ran = 1;
            trial::run(case, scenario, &self.known)
        }));
        *lock(at) = None;
        let panicked = |_| Trial { violations: vec!["it panicked".into()], ..Trial::default() };
        let trial = trial.unwrap_or_else(panicked);
        let struck = trial.struck;
        self.gather(case, trial, ran);
        struck
    }

    fn gather(&self, case: &Case, trial: Trial, ran: u64) {
        let mut all = lock(&self.gathered);
        all.ran += ran;
        all.struck += u64::from(trial.struck);
        all.excused += u64::from(trial.excused);
        all.unopened += u64::from(trial.unopened);
        let first = case.first();
        let repeat = |text| format!("{text} [{case}; crashtest fault --only '{first}']");
        all.violations.extend(trial.violations.into_iter().map(repeat));
        all.table.add(case, &trial.coverage, trial.struck);
    }

    /// A run that does not end cannot be ended: it is reported, and the program with it.
    fn look_for_hangs(&self) {
        for at in &self.at {
            if let Some((since, case)) = &*lock(at)
                && awake_since(*since) > PATIENCE
            {
                println!("! fault: it hangs [{case}]");
                std::process::exit(1);
            }
        }
    }
}

/// The lock, also after a panic of another thread: what it guards is only ever added to.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes every panic from now on, those of background threads too.
fn watch_panics() -> &'static Mutex<Vec<String>> {
    static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    std::panic::set_hook(Box::new(|panic| lock(&PANICS).push(format!("a thread {panic}"))));
    &PANICS
}
