//! The harness that tries to make the engine lose something.
//!
//! `cargo xtask crashtest`, `cargo xtask model` and `cargo xtask format` build this program, with
//! the hooks of `kv_vfs::testing` compiled in, and run it. Every command answers rows of a table:
//! what ran, how often, how many distinct states, what was violated, what was skipped and why.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "a program beside the store works on the real files, not through its seam"
)]

mod awake;
mod checks;
mod child;
mod contents;
mod crash;
#[cfg(feature = "fuse")]
mod ext4;
mod fault;
mod flip;
mod format;
mod fuse;
mod history;
mod image;
mod jobs;
mod kill;
mod ledger;
mod memory;
mod model;
mod mutate;
mod oracle;
mod panics;
mod planted;
mod quick;
mod record;
mod report;
mod rng;
mod settings;
mod soak;
mod tally;
mod timeline;
mod transactions;

use anyhow::Result;
use clap::{Parser, Subcommand};
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask crashtest", about = "Tries to make the engine lose something")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Also write the result as JSON to this file.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Add what was run to the ledger.
    #[arg(long, global = true)]
    record: bool,
}

#[derive(Subcommand)]
enum Command {
    /// The short form of everything, which the gate runs: a table, and JSON in one line.
    Quick,
    /// Cuts power at every operation of a workload, in every way.
    Exhaustive(crash::exhaustive::Arguments),
    /// Cuts the power of a disk with a real ext4 on it.
    #[cfg(feature = "fuse")]
    Ext4(ext4::Arguments),
    /// Crashes many drawn histories again and again, going on from what each crash left.
    Sim(crash::sim::Arguments),
    /// The share of `exhaustive`, nested crashes and `sim` that the gate runs.
    Memory,
    /// Repeats a seed of `sim`, or a case that was written down.
    Repro(crash::repro::Arguments),
    /// Situations that are set up on purpose.
    Checks(checks::Arguments),
    /// Plants each bug and runs what should find it.
    Planted(planted::Arguments),
    /// What a check asks of a process of its own.
    #[command(hide = true)]
    Probe(checks::Probe),
    /// Fails every call of small workloads, in every manner.
    Fault(fault::Arguments),
    /// Changes files of the engine byte by byte, checksums forged, and reads them.
    Mutate(mutate::Arguments),
    /// Writes the seeds of the fuzz targets.
    Corpus,
    /// Damages every byte, length, sector and file of real stores.
    Flip(flip::Arguments),
    /// The formats: fixtures that are never written again, goldens, files as text.
    #[command(subcommand)]
    Format(format::Command),
    /// The totals of all recorded runs.
    Ledger,
    /// Kills a program that writes, and looks at what a fresh one finds.
    Kill(kill::Arguments),
    /// Cuts the power of a file system on which a program writes, and looks at what is left.
    Fuse(fuse::Arguments),
    /// Random operations over the whole public face, against a model.
    Model(model::Arguments),
    /// Transactions of many threads, replayed in the order of their commits, and the anomalies.
    Transactions(transactions::Arguments),
    /// Queues, expiry and overwriting, for millions of operations: does the store keep its size?
    Soak(soak::Arguments),
    /// The program that is killed.
    #[command(hide = true)]
    Torture(kv_crashtest::torture::Life),
    /// The program with a table that is killed.
    #[command(hide = true)]
    TableLife(transactions::TableLife),
    /// The program with transactions that is killed.
    #[command(hide = true)]
    TransactionLife(transactions::TransactionLife),
}

fn main() -> ExitCode {
    panics::abort();
    kv_vfs::testing::plant_from_environment();
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command; answers whether nothing was violated and no floor was missed.
fn run(arguments: Arguments) -> Result<bool> {
    let quick = matches!(arguments.command, Command::Quick);
    let report: Report = match arguments.command {
        Command::Exhaustive(arguments) => crash::exhaustive::run(&arguments)?.into(),
        #[cfg(feature = "fuse")]
        Command::Ext4(arguments) => ext4::run(&arguments)?.into(),
        Command::Quick => quick::run()?.into(),
        Command::Sim(arguments) => crash::sim::run(&arguments)?.into(),
        Command::Memory => crash::quick()?.into(),
        Command::Repro(arguments) => crash::repro::run(&arguments)?.into(),
        Command::Checks(arguments) => checks::run(&arguments)?.into(),
        Command::Planted(arguments) => planted::run(&arguments)?.into(),
        Command::Probe(probe) => return probe.run(),
        Command::Fault(arguments) => fault::run(&arguments)?.into(),
        Command::Mutate(arguments) => mutate::run(&arguments)?.into(),
        Command::Corpus => mutate::seeds()?.into(),
        Command::Flip(arguments) => flip::run(&arguments)?.into(),
        Command::Format(command) => format::run(&command)?.into(),
        Command::Ledger => ledger::rows()?.into(),
        Command::Kill(arguments) => kill::run(&arguments)?.into(),
        Command::Fuse(arguments) => fuse::run(&arguments)?.into(),
        Command::Soak(arguments) => soak::run(&arguments)?.into(),
        Command::Model(arguments) => model::run(&arguments)?.into(),
        Command::Transactions(arguments) => transactions::run(&arguments)?.into(),
        Command::Torture(life) => return child::live(&life),
        Command::TableLife(life) => return transactions::live_table(&life),
        Command::TransactionLife(life) => return transactions::live_transactions(&life),
    };
    println!("{report}");
    if quick {
        println!("{}", report.json());
    }
    if let Some(file) = &arguments.json {
        std::fs::write(file, report.json().to_string())?;
    }
    if arguments.record {
        ledger::record(&report)?;
    }
    Ok(report.passed())
}
