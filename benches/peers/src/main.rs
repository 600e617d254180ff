//! The workloads of `kv bench` on other engines: `kv-peers run --engine E WORKLOAD...`. Each run is
//! a process of its own; `cargo xtask bench peers` runs many in turn and writes the report.
//!
//! The driver is the same for all, this project's engine included, and so are processor, compiler
//! and allocator.

mod fjalls;
mod lmdb;
mod redbs;
mod rocks;
mod sleds;
mod transactions;

use anyhow::{Context, Result, bail};
use clap::Parser;
use kv_benches::keys::Shape;
use kv_benches::kv::Kv;
use kv_benches::store::Engine;
use kv_benches::{Bench, Config, Filler, Silent, Workload, crash, report};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(about = "Measures other engines with the workloads of `kv bench`")]
enum Command {
    /// Runs workloads in order on one store, and prints an object of JSON for each
    Run(Run),
    /// Fills a store and waits to be killed
    #[command(hide = true)]
    Fill { engine: String, job: String },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// kv, rocksdb, fjall, redb, lmdb or sled
    #[arg(long)]
    engine: String,
    /// Where the stores lie; emptied before
    #[arg(long)]
    dir: PathBuf,
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    #[arg(long, default_value_t = 16)]
    key_size: usize,
    /// Load all keys beforehand, in batches and random order, without measuring
    #[arg(long)]
    load: bool,
    /// Keys of a long prefix that many share
    #[arg(long)]
    prefix: bool,
    #[arg(long, default_value_t = 100)]
    value_size: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long)]
    ops: Option<u64>,
    /// End each workload after so many seconds
    #[arg(long)]
    seconds: Option<f64>,
    #[arg(long, default_value_t = 256 << 20)]
    cache: u64,
    #[arg(long, default_value_t = 64 << 20)]
    write_buffer: u64,
    #[arg(long)]
    sync: bool,
    #[arg(long, default_value_t = 100)]
    batch: u64,
    #[arg(long, value_delimiter = ',', default_value = "10")]
    seek_steps: Vec<u64>,
    #[arg(long)]
    write_rate: Option<u64>,
    #[arg(long, default_value_t = 4)]
    rounds: u64,
    #[arg(long)]
    warm: bool,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(required = true)]
    workloads: Vec<String>,
}

fn engine(name: &str) -> Result<&'static dyn Engine> {
    let engines: [&'static dyn Engine; 6] =
        [&Kv, &rocks::Rocks, &fjalls::Fjall, &redbs::Redb, &lmdb::Lmdb, &sleds::Sled];
    let found = engines.into_iter().find(|engine| engine.name() == name);
    found.with_context(|| format!("there is no engine {name}"))
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Run(arguments) => run(&arguments),
        Command::Fill { engine: name, job } => crash::fill_and_wait(engine(&name)?, &job),
    }
}

fn run(arguments: &Run) -> Result<()> {
    let engine = engine(&arguments.engine)?;
    let workloads = arguments.workloads.iter().map(|name| name.parse::<Workload>());
    let workloads: Vec<Workload> = match workloads.collect() {
        Ok(workloads) => workloads,
        Err(unknown) => bail!("{unknown}"),
    };
    let mut config = config(arguments)?;
    if arguments.load {
        load(engine, &config)?;
        config.existing = true;
    }
    config.transactions = workloads.iter().all(|workload| workload.is_transactional());
    let about = report::about(engine, &config);
    let mut bench = Bench::new(engine, &config, &Silent)?;
    for workload in workloads {
        for row in bench.run(workload)? {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", Value::Object(row.json(&about)))?;
            out.flush()?;
        }
    }
    bench.finish()
}

/// Leaves a store with all keys in it, and nothing put off.
fn load(engine: &dyn Engine, config: &Config) -> Result<()> {
    let config = Config { batch: 1000, operations: None, limit: None, ..config.clone() };
    let mut bench = Bench::new(engine, &config, &Silent)?;
    for workload in [Workload::FillBatch, Workload::Flush, Workload::Settle] {
        bench.run(workload)?;
    }
    bench.finish()
}

fn config(arguments: &Run) -> Result<Config> {
    Ok(Config {
        dir: arguments.dir.clone(),
        keys: arguments.keys,
        shape: if arguments.prefix { Shape::Prefix } else { Shape::Plain },
        key_len: arguments.key_size,
        value_len: arguments.value_size,
        batch: arguments.batch,
        threads: arguments.threads,
        operations: arguments.ops,
        limit: arguments.seconds.map(Duration::from_secs_f64),
        cache_bytes: arguments.cache,
        write_buffer_bytes: arguments.write_buffer,
        sync: arguments.sync,
        seek_steps: arguments.seek_steps.clone(),
        write_rate: arguments.write_rate,
        rounds: arguments.rounds,
        warm: arguments.warm,
        seed: arguments.seed,
        filler: Some(Filler {
            program: std::env::current_exe()?,
            arguments: vec!["fill".to_owned(), arguments.engine.clone()],
        }),
        ..Config::default()
    })
}
