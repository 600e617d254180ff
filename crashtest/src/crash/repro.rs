//! `crashtest repro`: a seed or a written case once more.

use crate::crash::case::Case;
use crate::crash::sim;
use crate::report::Row;
use anyhow::{Context, Result};
use clap::Args;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The seed of a simulation, or the file of a case.
    seed_or_file: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    let name = &arguments.seed_or_file;
    if let Ok(seed) = name.parse() {
        return sim::again(seed);
    }
    let text = std::fs::read_to_string(name).with_context(|| format!("cannot read {name}"))?;
    for line in text.lines().filter(|line| line.starts_with('#') || line.starts_with("step")) {
        println!("{line}");
    }
    let mut row = Row::new(format!("repro {name}"), "crash states");
    row.ran = 1;
    row.violations.extend(Case::read(&text)?.repeat()?);
    Ok(vec![row])
}
