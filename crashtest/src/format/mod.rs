//! `cargo xtask format`: what was written once stays readable, and is never written again.
//!
//! Fixtures lie below `xtask/fixtures`, in a directory for each format version, each a store with
//! `expect.json` beside it. `make` writes a fixture that is not there and refuses to touch one that is.

mod compat;
mod dump;
mod expect;
pub(crate) mod fixture;
mod golden;
mod maker;
pub(crate) mod newer;
pub(crate) mod recipes;

use crate::report::Row;
use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Opens every fixture, damaged twins of it, and twins of a newer format.
    Compat,
    /// Prints a file of a store, or each of a directory, as annotated text.
    Dump { path: PathBuf },
    /// Compares what the encoders write with the worked examples of the documents.
    Golden,
    /// Writes a fixture that is not there yet; `all` writes each that is missing.
    Make { name: String },
}

/// What was written once is still read.
pub(crate) fn quick() -> Result<Vec<Row>> {
    compat::rows()
}

pub(crate) fn run(command: &Command) -> Result<Vec<Row>> {
    match command {
        Command::Compat => compat::rows(),
        Command::Dump { path } => dump::print(path).map(|()| Vec::new()),
        Command::Golden => golden::rows(),
        Command::Make { name } => fixture::make(name),
    }
}
