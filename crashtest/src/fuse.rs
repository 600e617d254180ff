//! A file system whose power is cut under a real program that writes with real system calls.
//!
//! The volume is the crash model that lies in memory, mounted through the kernel's FUSE: contents
//! are durable by a sync of the file, names by a sync of the directory, and nothing is cached that
//! a cut could not take. A chain of lives works on one volume. Each ends in a cut: at the n-th
//! operation, before or after it; at a random moment; or after an orderly close. The program is
//! killed before it can see an answer, what survives is drawn by a policy, and that is mounted
//! anew for the next life, which checks it against the ledger before it writes on. Cuts may come
//! before it has checked; then the next life checks for both.

#[cfg(feature = "fuse")]
mod chain;
#[cfg(feature = "fuse")]
mod mount;
#[cfg(feature = "fuse")]
mod serve;
#[cfg(feature = "fuse")]
mod volume;

use crate::report::Row;
use anyhow::Result;
use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// How many cuts.
    #[arg(long, default_value_t = 200)]
    count: u64,
    /// What all is drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this chain of lives, again and again.
    #[arg(long)]
    chain: Option<u64>,
    /// The engine under test: kv, rocksdb, fjall, redb or sled.
    #[arg(long, default_value = "kv")]
    engine: String,
    /// Loses only what ext4 with `data=ordered` may lose: names in their order, and none that is
    /// older than a sync of any file.
    #[arg(long)]
    like_ext4: bool,
    /// The program that writes to another engine; built here where it is not given.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// What continuous integration runs.
pub(crate) fn quick() -> Result<Vec<Row>> {
    let (engine, program) = ("kv".to_owned(), None);
    run(&Arguments { count: 100, seed: 1, chain: None, engine, like_ext4: false, program })
}

pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    let like = if arguments.like_ext4 { " like ext4" } else { "" };
    let name = format!("fuse {}{like}", arguments.engine);
    #[cfg(feature = "fuse")]
    return match mount::missing() {
        Some(why) => Ok(vec![Row::skipped(name, "cuts", &why)]),
        None => Ok(vec![chain::run(arguments, name)?]),
    };
    #[cfg(not(feature = "fuse"))]
    Ok(vec![Row::skipped(name, "cuts", "this build knows no FUSE; it is part of builds on Linux")])
}
