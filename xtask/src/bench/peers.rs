//! This engine beside others: builds the program in `benches/peers`, runs it once for each group,
//! round and engine, engine after engine in turn, and writes the report.

use super::chart;
use super::conditions;
use super::page;
use super::plan::{Group, Wanted};
use super::results::Results;
use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::process::Command;

const RESULTS: &str = "benches/results/peers.json";

/// Measures what is wanted, and writes results, report and charts; answers whether all engines did
/// what they were asked.
pub(crate) fn run(root: &Path, wanted: &Wanted) -> Result<bool> {
    let path = root.join(RESULTS);
    let mut results = Results::load(&path)?;
    let mut failures = 0;
    if !wanted.report {
        let program = program(root, wanted.built)?;
        let dir = wanted.dir.as_ref().map_or_else(|| root.join("target/peers"), PathBuf::from);
        let dir = dir.join("stores");
        std::fs::create_dir_all(&dir).context("cannot make the folder of the stores")?;
        conditions::warn();
        results.conditions = conditions::of(root, &dir, wanted.keys);
        wanted.say(&mut results.conditions);
        for group in &wanted.groups {
            if !wanted.add {
                let (workloads, engines) = (wanted.workloads_of(group), wanted.engines_of(group));
                results.forget(group.name, &workloads, &engines);
            }
            failures += measure(&program, &dir, wanted, group, &mut |text| {
                take(group.name, text, &mut results)?;
                // At once, so that a run that is stopped keeps what it has.
                results.save(&path)
            })?;
        }
    }
    if wanted.report && wanted.note.is_some() {
        wanted.say(&mut results.conditions);
        results.save(&path)?;
    }
    page::write(root, &results)?;
    chart::write(root, &results)?;
    println!("peers: {failures} runs failed; see docs/benchmarks.md");
    Ok(failures == 0)
}

/// Runs a group: rounds outside, engines inside, so that whatever changes on the machine meets all
/// alike. `keep` takes what each printed. Answers how many runs failed.
fn measure(
    program: &Path,
    dir: &Path,
    wanted: &Wanted,
    group: &Group,
    keep: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<usize> {
    let (workloads, engines) = (wanted.workloads_of(group), wanted.engines_of(group));
    if workloads.is_empty() {
        return Ok(0);
    }
    let mut failures = 0;
    for round in 1..=wanted.rounds {
        for engine in &engines {
            println!("{} {round}/{}: {engine}", group.name, wanted.rounds);
            // What the one before left unwritten is not to be written in the time of this one.
            Command::new("sync").status().context("cannot start sync")?;
            let place = dir.join(engine);
            let done = Command::new(program)
                .args(["run", "--engine", engine, "--keys", &group.keys(wanted.keys).to_string()])
                .args(group.arguments.split(' ').filter(|argument| !argument.is_empty()))
                .arg("--dir")
                .arg(&place)
                .args(&workloads)
                .output()
                .context("cannot start the program")?;
            if place.exists() {
                std::fs::remove_dir_all(&place).context("cannot remove a store")?;
            }
            keep(&String::from_utf8_lossy(&done.stdout))?;
            if !done.status.success() {
                failures += 1;
                println!("  failed: {}", String::from_utf8_lossy(&done.stderr));
            }
        }
    }
    Ok(failures)
}

/// Takes in what a run printed, an object to a line.
fn take(group: &str, text: &str, results: &mut Results) -> Result<()> {
    for line in text.lines() {
        let row: Map<String, Value> = serde_json::from_str(line).context("a row is no JSON")?;
        let rate = row.get("operations_per_second").and_then(Value::as_f64).unwrap_or_default();
        let name = row.get("workload").and_then(Value::as_str).unwrap_or_default();
        let warning = row.get("warning").and_then(Value::as_str).unwrap_or_default();
        println!("  {name:<18} {rate:>12.0}/s  {warning}");
        results.add(group, row).context("a row without a name")?;
    }
    Ok(())
}

/// The program, built unless that was done.
fn program(root: &Path, built: bool) -> Result<PathBuf> {
    let home = root.join("benches/peers");
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => home.join("target"),
    };
    if !built {
        println!("peers: building; the first time this compiles RocksDB, which takes long");
        // Its own settings of the compiler hold in its folder only.
        let status = Command::new("cargo")
            .args(["build", "--release"])
            .current_dir(&home)
            .env_remove("RUSTFLAGS")
            .status()
            .context("cannot start cargo")?;
        ensure!(status.success(), "the program in benches/peers does not build");
    }
    Ok(target.join("release/kv-peers"))
}
