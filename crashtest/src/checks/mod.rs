//! `crashtest checks`: situations that crashes, faults and random operations meet too rarely, each
//! set up on purpose: a group whose writer fails, a clock that jumps, a second opener, a table cut
//! short under its reader, and more.
//!
//! Each check is small and says in its name what must hold.

mod base;
mod bytes;
mod crashes;
mod errors;
pub(crate) mod hook;
mod probe;
mod sharing;

use crate::panics;
use crate::report::Row;
use anyhow::{Result, bail};
use base::Tally;
use clap::Args;
use std::time::Instant;

pub(crate) use probe::Probe;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only these checks, by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

type Check = fn(&mut Tally) -> Result<()>;

/// Name, what one trial is, and the check.
const CHECKS: [(&str, &str, Check); 20] = [
    ("shown-stays", "reopenings", crashes::what_an_open_shows_stays),
    ("progress", "reopenings", crashes::writes_go_on_after_a_crash),
    ("clock", "power cuts", crashes::a_clock_may_jump),
    ("full", "full disks", crashes::a_full_disk_heals),
    ("stale", "power cuts", crashes::old_blocks_stay_dead),
    ("group", "failed groups", errors::a_group_fails_as_one),
    ("latch", "failed reads", errors::a_cursor_repeats_its_error),
    ("merge-errors", "failed reads", errors::a_merge_that_fails_changes_nothing),
    ("open-errors", "failed reads", errors::a_failed_read_hides_nothing),
    ("turns", "moves", errors::a_cursor_turns_anywhere),
    ("roll", "failed calls", errors::a_manifest_that_fails_to_roll_stays),
    ("race", "flushes", sharing::nothing_new_is_removed),
    ("beside", "read-only opens", sharing::a_reader_beside_a_writer_sees_one_moment),
    ("readers", "long scans", sharing::readers_keep_their_tables),
    ("lock", "second opens", sharing::there_is_one_opener),
    ("live-cut", "tables cut short", sharing::a_table_cut_short_is_an_error),
    ("limits", "lengths", bytes::limits_are_kept),
    ("log-bytes", "changed bytes", bytes::every_byte_of_a_log_counts),
    ("length", "forged lengths", bytes::a_length_takes_no_memory),
    ("misplaced", "swapped blocks", bytes::a_misplaced_block_is_found),
];

pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    let known = |name: &String| CHECKS.iter().any(|check| check.0 == name);
    if let Some(unknown) = arguments.only.iter().find(|name| !known(name)) {
        bail!("there is no check {unknown:?}");
    }
    let chosen = |name: &str| arguments.only.is_empty() || arguments.only.iter().any(|o| o == name);
    Ok(CHECKS.iter().filter(|check| chosen(check.0)).map(run_one).collect())
}

/// All of them.
pub(crate) fn quick() -> Result<Vec<Row>> {
    run(&Arguments { only: Vec::new() })
}

/// Runs a check; an error or a panic of it is a violation too.
fn run_one((name, unit, check): &(&str, &'static str, Check)) -> Row {
    let started = Instant::now();
    let mut tally = Tally::default();
    match panics::catch(|| check(&mut tally)) {
        Some(Ok(())) => {}
        Some(Err(error)) => tally.violated(format!("{error:#}")),
        None => tally.violated("it panicked"),
    }
    let repeat = format!("[repeat: checks --only {name}]");
    Row {
        ran: tally.ran,
        floor: 1,
        violations: tally.violations.iter().map(|v| format!("{v} {repeat}")).collect(),
        elapsed: started.elapsed(),
        ..Row::new(format!("checks {name}"), unit)
    }
}
