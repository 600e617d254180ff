//! Workloads whose live data stays the same for as long as they run, against a store that nobody
//! compacts: what it takes on disk and in memory must stay the same too.

mod clock;
mod work;

use crate::report::Row;
use anyhow::{Result, bail};
use clap::Args;
use clock::{Day, DayFs};
use kv_engine::{Db, Options};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use work::{Live, WORKLOADS, Work};

/// Samples of a run.
const SAMPLES: u64 = 200;
/// The first part of a run, in which the store comes to its size, is not compared.
const WARM_UP: u64 = SAMPLES / 10;
/// What the second half may take of the first half's most.
const STEADY: f64 = 1.3;
/// What the store may take, in live bytes beside [`BUFFERS`] memtables: a level 0 as large as the
/// level below it, and the outcome of their merge beside both.
const MULTIPLE: u64 = 4;
/// Three memtables, their logs with what is reserved, a log made ahead, and their flushed tables.
const BUFFERS: u64 = 10;
const WRITE_BUFFER: u64 = 1 << 20;
const MEMORY: u64 = 32 << 20;
/// Operations of each workload in the gate.
const QUICK: u64 = 300_000;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Operations of each workload.
    #[arg(long, default_value_t = 20_000_000)]
    operations: u64,
    /// Only these workloads, such as `queue,expiry`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Where the stores are made; default: the folder for temporary files.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print every sample.
    #[arg(long)]
    samples: bool,
}

/// What a store takes at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    disk: u64,
    memory: u64,
    tombstones: u64,
    /// From the very front of the keys to the first live one.
    front: Duration,
    live: u64,
}

pub(crate) fn quick() -> Result<Vec<Row>> {
    run(&Arguments { operations: QUICK, only: Vec::new(), dir: None, samples: false })
}

pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    let only = &arguments.only;
    if let Some(none) = only.iter().find(|only| WORKLOADS.iter().all(|(name, _)| name != only)) {
        let names = WORKLOADS.map(|(name, _)| name).join(", ");
        bail!("{none:?} is no workload: there are {names}");
    }
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    WORKLOADS
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, make)| one(name, make().as_mut(), arguments))
        .collect()
}

fn one(name: &str, work: &mut dyn Work, arguments: &Arguments) -> Result<Row> {
    let parent = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let dir = parent.path().join("store");
    let begun = Instant::now();
    let day = Arc::new(Day::default());
    let options = Options::default()
        .file_system(Arc::new(DayFs::new(Arc::clone(&day))))
        .write_buffer(WRITE_BUFFER)
        .memory_budget(MEMORY)
        .sync_on_write(false);
    let db = Db::open(&dir, options)?;
    let operations = (arguments.operations / work.cost()).max(SAMPLES);
    let mut samples = Vec::new();
    for number in 0..operations {
        let live = work.step(&db, &day, number)?;
        if (number + 1) % (operations / SAMPLES) == 0 {
            let sample = sample(&db, &dir, live)?;
            if arguments.samples {
                eprintln!("{name} {number} {sample:?}");
            }
            samples.push(sample);
        }
    }
    let mut row = Row { ran: operations, floor: operations, ..Row::new(name, "operations") };
    row.name.insert_str(0, "soak ");
    judge(&mut row, &samples);
    row.notes.push(format!(
        "{:.0} operations a second",
        operations as f64 / begun.elapsed().as_secs_f64()
    ));
    db.close()?;
    row.elapsed = begun.elapsed();
    Ok(row)
}

/// What is compared, and by how much it may differ where it is small.
type Figure = (&'static str, fn(&Sample) -> u64, u64);

/// Compares the halves of a run, and its most with what is alive.
fn judge(row: &mut Row, samples: &[Sample]) {
    let steady = samples.get(WARM_UP as usize..).unwrap_or_default();
    let (first, second) = steady.split_at(steady.len() / 2);
    let most = |part: &[Sample], of: fn(&Sample) -> u64| part.iter().map(of).max().unwrap_or(0);
    let live = most(steady, |sample| sample.live);
    let figures: [Figure; 3] = [
        // Level 0 comes and goes; in a short run its deepest is met late.
        ("bytes on disk", |sample| sample.disk, WRITE_BUFFER + live),
        ("bytes of memory", |sample| sample.memory, WRITE_BUFFER),
        ("tombstones in tables", |sample| sample.tombstones, 10_000),
    ];
    for (what, of, slack) in figures {
        let (before, after) = (most(first, of), most(second, of));
        row.notes.push(format!("{what}: at most {before}, then {after}"));
        if after as f64 > before as f64 * STEADY + slack as f64 {
            row.violations.push(format!("{what} grow: at most {before}, then {after}"));
        }
    }
    let disk = most(samples, |sample| sample.disk);
    let bound = MULTIPLE * live + BUFFERS * WRITE_BUFFER;
    row.notes.push(format!("{live} bytes live, {disk} on disk at most, bound {bound}"));
    if disk > bound {
        row.violations.push(format!("{disk} bytes on disk for {live} live; the bound is {bound}"));
    }
    let mut fronts: Vec<Duration> = steady.iter().map(|sample| sample.front).collect();
    fronts.sort();
    let at = |share: usize| fronts.get(fronts.len() * share / 100).copied().unwrap_or_default();
    row.notes.push(format!(
        "from the front to the first live key: median {:?}, 99 of 100 {:?}",
        at(50),
        at(99)
    ));
}

fn sample(db: &Db, dir: &Path, live: Live) -> Result<Sample> {
    let begun = Instant::now();
    db.iter().next().transpose()?;
    let front = begun.elapsed();
    let text = db.stats().prometheus();
    let of_level = text.lines().filter(|line| line.starts_with("kv_level_tombstones{"));
    let numbers = of_level.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    let tombstones = numbers.sum();
    Ok(Sample { disk: on_disk(dir)?, memory: memory()?, tombstones, front, live: live.0 })
}

/// Bytes of all files of a store. One may go while they are counted.
fn on_disk(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        bytes += entry?.metadata().map_or(0, |metadata| metadata.len());
    }
    Ok(bytes)
}

/// Memory of the process that no file stands for; 0 where that is not told.
fn memory() -> Result<u64> {
    if !cfg!(target_os = "linux") {
        return Ok(0);
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    Ok(kib.unwrap_or(0) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(disk: impl Fn(u64) -> u64) -> Row {
        let mut row = Row::new("soak", "operations");
        let sample = |n| Sample { disk: disk(n), live: 100 << 20, ..Sample::default() };
        let samples: Vec<Sample> = (0..SAMPLES).map(sample).collect();
        judge(&mut row, &samples);
        row
    }

    #[test]
    fn a_store_that_grows_or_is_too_large_is_told() {
        assert!(judged(|n| 100 + n % 7).violations.is_empty());
        assert_eq!(judged(|n| n << 21).violations.len(), 1);
        assert_eq!(judged(|_| 600 << 20).violations.len(), 1);
    }
}
