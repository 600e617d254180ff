//! `mutate`: millions of small changes to files that the engine made, checksums forged, on stable
//! Rust. What is looked for: a panic, an abort, more than five seconds, more than 64 MiB, and what
//! the targets themselves promise.

mod edit;
mod random;
mod run;
mod seeds;
mod watch;

use crate::report::Row;
use anyhow::{Context, Result, anyhow};
use clap::Args;
use kv_crashtest::hostile::Target;
use std::path::PathBuf;
use std::time::Duration;

/// How many mutations `quick` runs.
const QUICK: u64 = 200_000;

#[derive(Args)]
pub(crate) struct Arguments {
    /// How many mutations, over all targets.
    #[arg(long, default_value_t = QUICK)]
    count: u64,
    /// Goes on for so long, whatever the count.
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Only this one.
    #[arg(long, value_name = "NAME", value_parser = target)]
    target: Option<Target>,
    /// Another seed, other mutations.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs one target on the bytes of a file, and nothing else.
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
}

fn target(name: &str) -> Result<Target, String> {
    let names = || Target::ALL.map(Target::name).join(", ");
    Target::by_name(name).ok_or_else(|| format!("it is none of {}", names()))
}

pub(crate) use seeds::run as seeds;

pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    if let (Some(target), Some(file)) = (arguments.target, &arguments.input) {
        let input = std::fs::read(file).with_context(|| file.display().to_string())?;
        let taken = target.run(&input).map_err(|why| anyhow!("{}: {why}", target.name()))?;
        let mut row = Row::new(format!("mutate {}", target.name()), "inputs");
        row.ran = 1;
        row.notes.push(if taken { "taken as whole" } else { "refused" }.to_owned());
        return Ok(vec![row]);
    }
    let targets = match arguments.target {
        Some(target) => vec![target],
        None => Target::ALL.to_vec(),
    };
    let limit = arguments.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    run::run(&targets, arguments.count, limit, arguments.seed)
}

/// What CI runs.
pub(crate) fn quick() -> Result<Vec<Row>> {
    run::run(&Target::ALL, QUICK, None, 1)
}
