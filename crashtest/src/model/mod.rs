//! Random operations over the whole public face of the store, against a model.
//!
//! A seed becomes a case (settings and a list of operations), a case is run beside a versioned
//! map, and every answer must be one that the map allows: now, at every snapshot, through every
//! iterator and cursor that is held open, after every close, crash and full disk. A case that
//! fails is cut down to the smallest one that still does.

mod compare;
mod concurrent;
mod ends;
mod face;
mod files;
mod generate;
mod marks;
mod metamorphic;
mod op;
mod oracle;
mod reads;
mod rng;
mod run;
mod settings;
mod shrink;
mod value;
mod workers;
mod world;
mod writes;

use crate::report::Row;
use anyhow::{Context, Result};
use clap::Args;
use generate::Plan;
use std::path::{Path, PathBuf};
use std::time::Duration;
use workers::Work;

/// Operations of the gate, in seeds of this many.
const QUICK_SEEDS: u64 = 210;
const QUICK_OPS: usize = 5_000;

#[derive(Args)]
pub(crate) struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = QUICK_SEEDS)]
    seeds: u64,
    /// Operations of each seed.
    #[arg(long, default_value_t = QUICK_OPS)]
    ops: usize,
    /// Goes on with further seeds for this long.
    #[arg(long)]
    minutes: Option<u64>,
    /// Runs one seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Runs what the gate runs.
    #[arg(long, conflicts_with_all = ["seed", "minutes", "replay"])]
    quick: bool,
    /// Runs a case from a file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "minutes"])]
    replay: Option<PathBuf>,
}

/// `cargo xtask model`.
pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    if arguments.quick {
        return quick();
    }
    if let Some(file) = &arguments.replay {
        return replay(file);
    }
    let seeds = match arguments.seed {
        Some(seed) => seed..seed + 1,
        None => arguments.from..arguments.from.saturating_add(arguments.seeds),
    };
    let limit = arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    let work = Work { seeds, plan: Plan::full(arguments.ops), limit };
    let total = work.seeds.end.saturating_sub(work.seeds.start) * arguments.ops as u64;
    let full = limit.is_some() || total >= 1_000_000;
    // Small manifests, so that they roll over within a run.
    kv_vfs::testing::set_manifest_slack(4 << 10);
    let mut rows = vec![workers::sequential(&work)];
    if arguments.seed.is_none() {
        // One seed in five is also written by several threads at once, and compared under twelve
        // settings.
        let part = (work.seeds.end - work.seeds.start).div_ceil(5);
        let seeds = work.seeds.start..work.seeds.start + part;
        let limit = limit.map(|limit| limit / 5);
        rows.push(workers::concurrent(&Work { seeds: seeds.clone(), limit, ..work.clone() }));
        rows.push(workers::metamorphic(&Work { seeds, limit, plan: metamorphic::plan() }));
        rows.push(marks::row(full));
    }
    Ok(rows)
}

/// The gate: a million operations.
pub(crate) fn quick() -> Result<Vec<Row>> {
    let mut rows = run(&Arguments {
        seeds: QUICK_SEEDS,
        ops: QUICK_OPS,
        minutes: None,
        seed: None,
        from: 1,
        quick: false,
        replay: None,
    })?;
    if let Some(row) = rows.first_mut() {
        row.floor = 1_000_000;
    }
    Ok(rows)
}

fn replay(file: &Path) -> Result<Vec<Row>> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let case = op::Case::parse(&text)?;
    let mut row = Row::new("model replay", "operations");
    row.ran = case.ops.len() as u64;
    if let Err((at, why)) = run::run(&case, None, &|_| {}) {
        row.violations.push(format!("operation {}: {why}", at + 1));
    }
    Ok(vec![row])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_that_failed_once_pass() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/model/regressions");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "txt") {
                let rows = replay(&path).unwrap();
                assert!(rows[0].violations.is_empty(), "{}: {rows:?}", path.display());
            }
        }
    }

    #[test]
    fn short_runs_equal_the_model() {
        for seed in 0..8 {
            let case = generate::generate(seed, &Plan::full(300));
            if let Err((at, why)) = run::run(&case, None, &|_| {}) {
                panic!("seed {seed}, operation {}: {why}", at + 1);
            }
        }
    }
}
