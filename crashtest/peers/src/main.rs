//! The black box over other engines: the same child, the same writes, the same check, each engine
//! in its safest settings. `cargo xtask crashtest fuse --engine NAME` builds and starts it.
#![forbid(unsafe_code)]

mod fjall_store;
mod redb_store;
mod rocks_store;
mod sled_store;

use clap::{Parser, ValueEnum};
use kv_crashtest::torture::{Engine, Life, run};
use std::process::ExitCode;

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    Rocksdb,
    Fjall,
    Redb,
    Sled,
}

#[derive(Parser)]
struct Arguments {
    engine: Name,
    #[command(flatten)]
    life: Life,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let engine: &dyn Engine = match arguments.engine {
        Name::Rocksdb => &rocks_store::Rocks,
        Name::Fjall => &fjall_store::Fjall,
        Name::Redb => &redb_store::Redb,
        Name::Sled => &sled_store::Sled,
    };
    match run(engine, &arguments.life, &|_| {}) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
