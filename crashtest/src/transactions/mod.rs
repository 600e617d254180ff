//! Transactions: threads run them at random with plain writes beside them; then all commits are
//! replayed in the order of the log, and every read must be what the transaction would have found
//! there, alone. Beside it the known anomalies, one by one.

mod anomalies;
mod crashes;
mod histories;
mod history;
mod judge;
mod kills;
mod lives;
mod order;
mod side;
mod tables;
mod work;

pub(crate) use kills::{Life as TableLife, live as live_table};
pub(crate) use lives::{Life as TransactionLife, live as live_transactions};

use crate::report::Row;
use anyhow::{Result, anyhow, bail};
use clap::Args;
use history::{End, Over};
use kv_engine::Isolation;
use order::Order;
use std::time::{Duration, Instant};
use work::{MARKERS, Stage};

/// Seeds of the gate.
const SEEDS: u64 = 24;

#[derive(Args)]
pub(crate) struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = SEEDS)]
    seeds: u64,
    /// The first seed. Threads do not meet the same way twice.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Goes on with further seeds for this long.
    #[arg(long)]
    minutes: Option<u64>,
    /// Only these parts, such as `replay,cuts`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

type Part = (&'static str, fn(&Arguments) -> Result<Vec<Row>>);

const PARTS: [Part; 7] = [
    ("anomalies", |_| Ok(vec![anomalies::run()])),
    ("replay", |arguments| Ok(vec![replay(arguments)?])),
    ("cuts", |arguments| Ok(vec![crashes::run(arguments.from)])),
    ("kills", |arguments| Ok(vec![lives::run(arguments.from)])),
    ("tables", |_| Ok(vec![tables::run()])),
    ("table-kills", |arguments| Ok(vec![kills::run(arguments.from)])),
    ("histories", |arguments| Ok(histories::run(arguments.from))),
];

pub(crate) fn quick() -> Result<Vec<Row>> {
    run(&Arguments { seeds: SEEDS, from: 1, minutes: None, only: Vec::new() })
}

pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    let only = &arguments.only;
    if let Some(none) = only.iter().find(|only| PARTS.iter().all(|(name, _)| name != only)) {
        let names = PARTS.map(|(name, _)| name).join(", ");
        bail!("{none:?} is no part: there are {names}");
    }
    let parts = PARTS.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|o| o == name));
    let mut rows = Vec::new();
    for (_, part) in parts {
        rows.extend(part(arguments)?);
    }
    Ok(rows)
}

/// How often something was met.
#[derive(Default)]
struct Tally {
    /// Serializable ones that wrote, and were committed over others.
    overtaken: u64,
    committed: u64,
    conflicts: u64,
    other: u64,
}

fn replay(arguments: &Arguments) -> Result<Row> {
    let begun = Instant::now();
    let limit = arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let mut row = Row::new("transactions", "transactions");
    let mut tally = Tally::default();
    for seed in arguments.from.. {
        let seeds = seed - arguments.from;
        if seeds >= arguments.seeds && limit.is_none_or(|limit| begun.elapsed() >= limit) {
            break;
        }
        match one(seed, &mut tally) {
            Ok(violations) => {
                let repeat = |text| format!("{text} [transactions --from {seed} --seeds 1]");
                row.violations.extend(violations.into_iter().map(repeat));
            }
            Err(error) => row.violations.push(format!("seed {seed}: {error:#}")),
        }
        if row.violations.len() > 20 {
            break;
        }
    }
    let Tally { overtaken, committed, conflicts, other } = tally;
    row.ran = committed + conflicts + other;
    row.floor = arguments.seeds * 100;
    // Only a commit that others came before puts the comparison to work.
    row.distinct = Some((overtaken, arguments.seeds * 2));
    row.notes.push(format!(
        "{committed} committed, {overtaken} of them serializable with other commits since their \
         snapshots; {conflicts} conflicts; {other} rolled back or without writes"
    ));
    row.elapsed = begun.elapsed();
    Ok(row)
}

/// Runs a seed; answers what was violated.
fn one(seed: u64, tally: &mut Tally) -> Result<Vec<String>> {
    let (fs, _clock) = crate::record::fresh();
    let stage = Stage::new(&fs)?;
    let all = stage.play(seed)?;
    let order = Order::read(&fs, &MARKERS)?;
    let mut violations = Vec::new();
    for over in &all {
        count(tally, &order, over);
        if let Some(text) = judge::judge(&order, over) {
            let Over { isolation, snapshot, end, .. } = over;
            violations.push(format!("{isolation:?} from {snapshot}, {end:?}: {text}"));
        }
    }
    if stage.contents()? != order.state(u64::MAX) {
        violations.push("the store does not hold what its log says".to_owned());
    }
    stage.db.clone().close().map_err(|e| anyhow!("the close failed: {e}"))?;
    Ok(violations)
}

fn count(tally: &mut Tally, order: &Order, over: &Over) {
    match over.end {
        End::Committed(Some(seq)) => {
            tally.committed += 1;
            let others =
                order.commits.range(over.snapshot + 1..seq.max(over.snapshot + 1)).next().is_some();
            tally.overtaken += u64::from(others && over.isolation == Isolation::Serializable);
        }
        End::Conflict => tally.conflicts += 1,
        End::Committed(None) | End::RolledBack => tally.other += 1,
    }
}
