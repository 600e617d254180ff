//! `crashtest planted`: is the harness able to find anything? Each failure of the catalogue is
//! planted in turn, in a process of its own, and a command that should find it is run there.
//!
//! A command counts as finding a bug where it tells of a violation with the bug, and passes without
//! it. Only where the table says that a bug panics or hangs does that count as well.

mod child;
mod table;

use crate::report::Row;
use anyhow::{Result, bail};
use child::{Outcome, Runs};
use clap::Args;
use kv_vfs::testing::bug;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use table::{Plan, plans};

#[derive(Args, Default)]
pub(crate) struct Arguments {
    /// Only these bugs, such as `F04,F17`.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Only the twelve that are found fastest, and those of transactions.
    #[arg(long)]
    pub(crate) quick: bool,
}

/// How many bugs of the fifty the gate plants.
const QUICK: usize = 12;

/// The twelve that are found fastest, and those of transactions.
pub(crate) fn quick() -> Result<Vec<Row>> {
    run(&Arguments { only: Vec::new(), quick: true })
}

pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    let plans = chosen(arguments)?;
    let runs = Runs::new()?;
    let next = AtomicUsize::new(0);
    let rows = Mutex::new(Vec::new());
    let work = || {
        while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            let row = find(plan, &runs);
            rows.lock().unwrap_or_else(PoisonError::into_inner).push((plan.bug, row));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|(bug, _)| *bug);
    let mut rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    rows.push(sum(&rows));
    Ok(rows)
}

/// The plans that were asked for.
fn chosen(arguments: &Arguments) -> Result<Vec<Plan>> {
    let number = |text: &String| match text.trim_start_matches(['F', 'f']).parse::<u8>() {
        Ok(number) if table::is_known(number) => Ok(number),
        _ => bail!("{text:?} is none of F01 to F50, nor one of transactions, from F111 on"),
    };
    let only = arguments.only.iter().map(number).collect::<Result<Vec<u8>>>()?;
    let mut plans = plans();
    plans.retain(|plan| only.is_empty() || only.contains(&plan.bug));
    plans.retain(|plan| !arguments.quick || plan.quick);
    Ok(plans)
}

/// Plants a bug and runs the commands that should find it, until one does.
fn find(plan: &Plan, runs: &Runs) -> Row {
    let started = Instant::now();
    let (name, what) = described(plan.bug);
    let mut row = Row::new(format!("planted F{:02} {name}", plan.bug), "bugs");
    let mut tried = Vec::new();
    for way in plan.ways {
        match runs.clean(way) {
            Outcome::Passed(_) => {}
            Outcome::Unknown => continue,
            Outcome::Found(line, _) | Outcome::Failed(line) => {
                tried.push(format!("`{way}` fails without it: {line}"));
                continue;
            }
        }
        match runs.planted(plan.bug, way, plan.sign) {
            Outcome::Found(line, took) => {
                row.ran = 1;
                row.notes = vec![what.to_owned(), format!("`{way}` in {took:.1} s: {line}")];
                break;
            }
            Outcome::Passed(_) => tried.push(format!("`{way}` does not find it")),
            Outcome::Failed(line) => tried.push(format!("`{way}` {line}")),
            Outcome::Unknown => tried.push(format!("`{way}` is no command")),
        }
    }
    if row.ran == 0 {
        row.violations.push(format!("not found ({what}): {}", tried.join("; ")));
    }
    row.elapsed = started.elapsed();
    row
}

fn described(number: u8) -> (&'static str, &'static str) {
    let entry = bug::ALL
        .iter()
        .chain(&bug::TRANSACTIONS)
        .chain(&bug::INGESTS)
        .find(|(known, ..)| *known == number);
    entry.map_or(("", ""), |(_, name, what)| (name, what))
}

/// All of it in one row.
fn sum(rows: &[Row]) -> Row {
    let found = rows.iter().filter(|row| row.ran > 0);
    let mut seconds: Vec<f64> = found.map(|row| row.elapsed.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or(0.0);
    Row {
        ran: seconds.len() as u64,
        floor: rows.len() as u64,
        notes: vec![format!(
            "{} of {} found, half of them within {median:.1} s",
            seconds.len(),
            rows.len()
        )],
        ..Row::new("planted", "bugs found")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_a_plan_and_the_gate_its_twelve() {
        let numbers: Vec<u8> = plans().iter().map(|plan| plan.bug).collect();
        let more = bug::TRANSACTIONS.len() + bug::INGESTS.len();
        assert_eq!(numbers.len(), 50 + more);
        assert!(numbers.iter().copied().take(50).eq(1..=50));
        assert_eq!(plans().iter().filter(|plan| plan.quick).count(), QUICK + more);
        assert!(plans().iter().all(|plan| !plan.ways.is_empty()));
        assert!(bug::ALL.iter().map(|(number, ..)| *number).eq(1..=50));
    }

    #[test]
    fn bugs_are_named_as_in_the_catalogue() {
        let only = |text: &str| {
            let arguments = Arguments { only: vec![text.to_owned()], quick: false };
            chosen(&arguments).map(|plans| plans.iter().map(|plan| plan.bug).collect::<Vec<_>>())
        };
        assert_eq!(only("F04").unwrap(), [4]);
        assert_eq!(only("17").unwrap(), [17]);
        assert!(only("F51").is_err() && only("x").is_err());
    }
}
