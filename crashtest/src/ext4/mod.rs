//! Power cuts of a real ext4: the engine runs on a file system whose disk remembers every write
//! and flush, and then every disk that a cut might have left is mounted, its journal replayed,
//! and the store in it opened.
//!
//! Unlike the crash model in memory, nothing here is ours but the disk: the kernel decides what is
//! written when.

mod disk;
mod image;
mod mount;

use crate::crash::workload::Workload;
use crate::history::Step;
use crate::oracle::scan;
use crate::record::{Stage, Start, play};
use crate::report::Row;
use crate::rng::Rng;
use crate::settings::Settings;
use crate::timeline::{Model, Timeline};
use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;
use disk::{Disk, Event};
use image::{Unflushed, after_cut};
use kv_engine::Db;
use kv_vfs::{ManualClock, Note, StdFs};
use mount::Mounted;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const SIZE: u64 = 24 << 20;

/// After this long without an end the mounts are torn down and the program gives up.
const PATIENCE: Duration = Duration::from_secs(1800);

/// How the file system orders data and journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Ordered,
    Writeback,
    Journal,
}

impl Mode {
    const ALL: [Mode; 3] = [Mode::Ordered, Mode::Writeback, Mode::Journal];

    fn options(self) -> &'static str {
        match self {
            Mode::Ordered => "noatime,data=ordered",
            Mode::Writeback => "noatime,data=writeback",
            Mode::Journal => "noatime,data=journal",
        }
    }
}

/// Cuts the power of a disk with a real ext4 on it.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// How many disks after a cut to mount, for each way in which ext4 keeps its data.
    #[arg(long, default_value_t = 200)]
    count: u64,
    /// Only this way.
    #[arg(long)]
    mode: Option<Mode>,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the cuts.
pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    if let Some(why) = mount::missing() {
        return Ok(vec![Row::skipped("ext4", "crash images", &why)]);
    }
    let modes = arguments.mode.map_or(Mode::ALL.to_vec(), |mode| vec![mode]);
    modes.into_iter().map(|mode| cuts(mode, arguments.count, arguments.seed)).collect()
}

/// What was known when the disk had come to a position.
#[derive(Clone, Copy, Debug)]
struct Known {
    position: usize,
    note: Note,
    index: u64,
}

/// A run on a recorded disk.
struct Run {
    base: Vec<u8>,
    events: Vec<Event>,
    known: Vec<Known>,
    timeline: Timeline,
}

impl Run {
    /// What may be found after a cut at `position`: from what was durable to what was attempted.
    fn bounds(&self, position: usize) -> (u64, u64) {
        let before = self.known.iter().filter(|known| known.position <= position);
        let (mut floor, mut ceiling) = (0, 0);
        for known in before {
            match known.note {
                Note::Durable | Note::Shown => floor = floor.max(known.index),
                Note::Attempted => ceiling = ceiling.max(known.index),
                Note::Returned | Note::Clock => {}
            }
        }
        // A note of an attempt is made before the attempt reaches the disk.
        (floor, ceiling.max(floor))
    }
}

fn cuts(mode: Mode, count: u64, seed: u64) -> Result<Row> {
    let begun = Instant::now();
    let name = format!("ext4 {}", format!("{mode:?}").to_lowercase());
    let mut row = Row { floor: count, ..Row::new(name, "crash images") };
    let scratch = Scratch::make()?;
    let (mut drawn, mut states) = (Rng::new(seed ^ (mode as u64) << 32), HashSet::new());
    let mut workloads = Workload::ALL.iter().cycle();
    while row.ran < count && begun.elapsed() < PATIENCE {
        let workload = workloads.next().copied().unwrap_or(Workload::Small);
        let (steps, settings) = workload.steps(120, seed);
        // Epochs are told by a clock that the file system of the system does not have.
        let steps: Vec<Step> = steps.into_iter().filter(|step| *step != Step::Pass).collect();
        let run = record(&scratch, mode, &steps, &settings)?;
        row.notes.push(format!("{}: {} disk events", workload.name(), run.events.len()));
        for _ in 0..(count / Workload::ALL.len() as u64).max(1).min(count - row.ran) {
            let position = drawn.below(run.events.len() as u64 + 1) as usize;
            let how = drawn.pick(Unflushed::Kept, &Unflushed::ALL[1..]);
            let before = run.events.get(..position).unwrap_or(&run.events);
            let image = after_cut(&run.base, before, how, &mut drawn);
            let mut hasher = DefaultHasher::new();
            image.hash(&mut hasher);
            states.insert(hasher.finish());
            row.ran += 1;
            if let Err(wrong) = judge(&scratch, mode, &image, &run, position, &settings) {
                let at = format!("{} {mode:?} event {position} {how:?}", workload.name());
                row.violations.push(format!("{at}, seed {seed}: {wrong:#}"));
            }
        }
    }
    row.distinct = Some((states.len() as u64, count / 4));
    row.elapsed = begun.elapsed();
    Ok(row)
}

/// Plays a history on a fresh file system whose disk is recorded.
fn record(scratch: &Scratch, mode: Mode, steps: &[Step], settings: &Settings) -> Result<Run> {
    let fresh = scratch.dir.join("fresh");
    mount::format(&fresh, SIZE)?;
    let contents = std::fs::read(&fresh)?;
    let (below, above) = (scratch.sub("disk")?, scratch.sub("on")?);
    let disk = Disk::mount(&below, contents)?;
    let timeline = Timeline::new(Model::new(), 0, 0, steps);
    let known = Mutex::new(Vec::new());
    let mounted = Mounted::mount(&disk.file, &above, mode.options())?;
    let base = disk.recorder.start();
    let note = |note, index| {
        let position = disk.recorder.position();
        let known = &mut *known.lock().unwrap_or_else(PoisonError::into_inner);
        known.push(Known { position, note, index });
    };
    let stage = Stage {
        dir: &above.join("store"),
        fs: Arc::new(StdFs::new()),
        clock: &ManualClock::new(),
        note: &note,
        settings,
    };
    let played = play(&stage, &Start::empty(), steps);
    let events = disk.recorder.stop();
    drop(mounted);
    drop(disk);
    played.context("the history failed on a healthy disk")?;
    let known = known.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Run { base, events, known, timeline })
}

/// Mounts what a cut left and looks at the store.
fn judge(
    scratch: &Scratch,
    mode: Mode,
    image: &[u8],
    run: &Run,
    position: usize,
    settings: &Settings,
) -> Result<()> {
    let (file, on) = (scratch.dir.join("after"), scratch.sub("after-on")?);
    std::fs::write(&file, image)?;
    let _mounted = Mounted::mount(&file, &on, mode.options()).context("the file system itself")?;
    let options = settings.options(Arc::new(StdFs::new()));
    let db = Db::open(on.join("store"), options).context("it does not open")?;
    let seen = scan(&db).map_err(|wrong| anyhow!(wrong))?;
    let (floor, ceiling) = run.bounds(position);
    let places = run.timeline.find(&seen, 0);
    if !places.iter().any(|place| (floor..=ceiling).contains(place)) {
        let why = run.timeline.explain(&seen, 0, floor, ceiling);
        return Err(anyhow!("states {places:?}, allowed {floor} to {ceiling}: {why}"));
    }
    let report = db.verify()?;
    if !report.is_ok() {
        return Err(anyhow!("verify: {report}"));
    }
    db.close().context("it does not close")
}

/// A directory for everything, removed at the end.
struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// In memory where the system has such a place, because images are written again and again.
    fn make() -> Result<Scratch> {
        let memory = Path::new("/dev/shm");
        let above = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = above.join(format!("kv-crashtest-ext4-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        Ok(Scratch { dir })
    }

    fn sub(&self, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(name);
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
