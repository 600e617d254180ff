//! The program `kv`: an ordered key-value store on the command line.
//!
//! `args` is the grammar of the command line, each of `data`, `scan`, `load`, `dump`, `keyspaces`,
//! `changes`, `maintain`, `backup`, `repair`, `inspect`, `shell`, `top` and `bench` a group of commands. `form` knows how
//! bytes are shown and given, `records` how a key and its value stand in a line of a file. `store`
//! opens the store, `output` and `failure` are the ways out, `signals` what Ctrl-C does where it is not simply the end.
//!
//! Exit codes: 0 done; 1 the key, keyspace or store is not there; 2 wrong usage; 3 the store, a
//! file or the input is damaged or refused. What went wrong is one line on standard error. A
//! reader of the output that goes away ends the program quietly.
#![forbid(unsafe_code)]

mod args;
mod backup;
mod bench;
mod changes;
mod data;
mod dump;
mod failure;
mod form;
mod inspect;
mod keyspaces;
mod load;
mod maintain;
mod metrics;
mod output;
mod pages;
mod progress;
mod records;
mod repair;
mod scan;
mod shell;
mod signals;
mod store;
mod top;

use args::{Args, Command};
use clap::Parser;
use failure::Failure;
use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(args: Args) -> Result<(), Failure> {
    let dir = &args.data_dir;
    let mut out = Output::new(args.json);
    match args.command {
        Command::Put(args) => data::put(dir, args),
        Command::Get(args) => data::get(dir, args, &mut out),
        Command::Delete(args) => data::delete(dir, args),
        Command::Scan(args) => scan::scan(dir, args, &mut out),
        Command::Count(args) => scan::count(dir, args, &mut out),
        Command::Load(args) => load::load(dir, args, &mut out),
        Command::Ingest(args) => load::ingest(dir, args, &mut out),
        Command::Dump(args) => dump::dump(dir, args, &mut out),
        Command::Changes(args) => changes::changes(dir, args, &mut out),
        Command::Shell(args) => shell::shell(dir, args, &mut out),
        Command::Keyspaces => keyspaces::list(dir, &mut out),
        Command::DropKeyspace { name } => keyspaces::remove(dir, &name),
        Command::Flush => maintain::flush(dir),
        Command::Checkpoint { path } => maintain::checkpoint(dir, &path),
        Command::Backup(args) => backup::backup(dir, args, &mut out),
        Command::Restore(args) => backup::restore(args, &mut out),
        Command::Compact => maintain::compact(dir),
        Command::Stats { prometheus } => maintain::stats(dir, prometheus, &mut out),
        Command::Top(args) => top::top(dir, args, &mut out),
        Command::Verify => repair::verify(dir, &mut out),
        Command::Repair(args) => repair::repair(args, &mut out),
        Command::Inspect(what) => inspect::inspect(what, &mut out),
        Command::Bench(args) => bench::bench(*args, &mut out),
        Command::Completions { shell } => pages::completions(shell, &mut out),
        Command::Man { dir } => pages::man(&dir),
    }?;
    out.finish()
}
