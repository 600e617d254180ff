//! `kill -9` of a process that changes rows and builds an index, again and again; then each row
//! must have its entries, and each entry its row, and the build must come to its end.

use super::tables::{self, LATE};
use crate::report::Row;
use anyhow::{Context, Result, bail};
use kv_crashtest::torture::Draw;
use kv_engine::{Db, Options};
use kv_index::Table;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Kills of the gate, and of one store.
const KILLS: u64 = 40;
const LIVES: u64 = 10;
/// A life ends so long after its store was opened, at most.
const LONGEST: Duration = Duration::from_millis(60);
/// Rows that are there, about half of them at a time.
const ROWS: u64 = 400;
/// What a row may hold, and what it may claim.
const COLUMNS: u64 = 16;
const CLAIMS: u64 = 256;
/// What a build sorts in memory, of some 200 rows.
const MEMORY: usize = 4 << 10;

/// The process that is killed.
#[derive(clap::Args)]
pub(crate) struct Life {
    dir: PathBuf,
    seed: u64,
}

pub(super) fn run(from: u64) -> Row {
    let begun = Instant::now();
    let mut row = Row::new("tables killed", "kills");
    let mut unbuilt = 0;
    for chain in 0..KILLS / LIVES {
        match self::chain(from + chain) {
            Ok(found) => {
                row.ran += LIVES;
                unbuilt += found;
            }
            Err(error) => row.violations.push(format!("store {}: {error:#}", from + chain)),
        }
    }
    row.floor = KILLS;
    // A kill between creation and the end of the build is what this is about.
    row.distinct = Some((unbuilt, KILLS / 10));
    row.notes.push(format!("{unbuilt} left an index that was not built, the others one that was"));
    row.elapsed = begun.elapsed();
    row
}

/// Kills one process after the other on one store; answers how many left an index unbuilt.
fn chain(seed: u64) -> Result<u64> {
    let dir = TempDir::with_prefix("crashtest-tables-")?;
    let mut draw = Draw::new(&[seed]);
    let mut unbuilt = 0;
    for number in 0..LIVES {
        let limit = LONGEST.as_micros() as u64;
        kill_one(dir.path(), draw.number(), Duration::from_micros(draw.below(limit)))?;
        let db = Db::open(dir.path(), options()).with_context(|| format!("life {number}"))?;
        // Before the look: it builds what is not built.
        let look = tables::look(&db, MEMORY).with_context(|| format!("life {number}"))?;
        unbuilt += u64::from(!look);
        db.close()?;
    }
    Ok(unbuilt)
}

fn options() -> Options {
    // What was not synced survives a kill as well.
    Options::default().sync_on_write(false).write_buffer(64 << 10)
}

/// Starts a process and kills it so long after it has opened its store.
fn kill_one(dir: &Path, seed: u64, after: Duration) -> Result<()> {
    let mut process = Command::new(std::env::current_exe()?)
        .arg("table-life")
        .arg(dir)
        .arg(seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a life")?;
    let out = process.stdout.take().context("no pipe")?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line)?;
    std::thread::sleep(after);
    let ended = process.try_wait()?;
    process.kill()?;
    process.wait()?;
    match (line.as_str(), ended) {
        ("opened\n", None) => Ok(()),
        _ => bail!("a life ended by itself: {ended:?}, it said {line:?}"),
    }
}

/// Changes rows on one thread, and drops, creates and builds an index on another, until killed.
pub(crate) fn live(life: &Life) -> Result<bool> {
    let db = Db::open(&life.dir, options())?;
    let table = tables::open(&db, MEMORY)?;
    println!("opened");
    std::io::stdout().flush()?;
    let changes = table.clone();
    let mut draw = Draw::new(&[life.seed]);
    std::thread::spawn(move || {
        loop {
            if let Err(error) = change(&changes, &mut draw) {
                eprintln!("a change failed: {error}");
                std::process::exit(3);
            }
        }
    });
    let mut pauses = Draw::new(&[life.seed, 1]);
    loop {
        LATE.into_iter().try_for_each(|late| table.build(late))?;
        std::thread::sleep(Duration::from_micros(pauses.below(20_000)));
        LATE.into_iter().try_for_each(|late| table.drop_index(late))?;
        tables::late().into_iter().try_for_each(|late| table.create_index(late))?;
    }
}

fn change(table: &Table, draw: &mut Draw) -> kv_index::Result<()> {
    let key = draw.below(ROWS).to_be_bytes();
    let fresh = (!draw.chance(40))
        .then(|| tables::row(draw.below(COLUMNS) as u8, draw.below(CLAIMS) as u8));
    tables::change(table, &key, fresh.as_deref()).map(|_| ())
}
