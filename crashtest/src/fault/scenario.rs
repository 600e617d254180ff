//! Small pieces of a store's life, each beginning on a disk of its own.

use crate::fault::drive::drive;
use crate::history::{ALIVE, Key, Op, Step, Weights, draw};
use crate::oracle::DIR;
use crate::record::{Run, Stage, Start, fresh};
use crate::rng::Rng;
use crate::settings::Settings;
use crate::timeline::Seen;
use anyhow::{Result, ensure};
use kv_vfs::{CallSite, CutFill, CutGrain, CutOrder, CutPolicy, FaultFs, Fs, FsFileExt as _};
use kv_vfs::{ManualClock, MemFs, Mode, Note, OpKind};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

/// How long one is, in steps.
const STEPS: usize = 14;
const STEPS_BEFORE: usize = 30;

/// A disk, what is on it, and what happens next.
#[derive(Debug)]
pub(crate) struct Scenario {
    base: MemFs,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) start: Start,
    /// The states that led to the start, with their indexes.
    pub(crate) earlier: Vec<(u64, Seen)>,
    /// What the last record of the log at the start proves to have been durable before it.
    pub(crate) proven: u64,
    pub(crate) steps: Vec<Step>,
    pub(crate) settings: Settings,
    pub(crate) keys: Vec<Key>,
    /// Every call that it makes on the file system where none fails.
    pub(crate) calls: Vec<(CallSite, OpKind)>,
    /// Whether its steps are printed as they are done.
    pub(crate) told: bool,
}

/// What a killed process leaves: all that it did.
pub(crate) fn copy(fs: &MemFs) -> MemFs {
    fs.power_cut(CutPolicy::new(CutOrder::Everything, CutGrain::Whole, CutFill::Zero), 0)
}

impl Scenario {
    /// The disk as it is at the beginning.
    pub(crate) fn disk(&self) -> MemFs {
        copy(&self.base)
    }
}

/// Draws scenarios: on an empty disk, on a store that was closed, and on one that was killed; of
/// the last every other has a torn end of its log.
pub(crate) fn draw_all(count: usize) -> Result<Vec<Scenario>> {
    (0..count).map(|number| draw_one(number as u64)).collect()
}

fn draw_one(number: u64) -> Result<Scenario> {
    let mut rng = Rng::new(number);
    let weights = Weights {
        keys: 24,
        // Every fourth puts some values into value files.
        longest: if number % 4 == 1 { 2_500 } else { 500 },
        expiring: 0,
        passes: 0,
        reopens: 5,
        flushes: 8,
        compactions: 5,
        spaces: 8,
        ranges: 8,
        synced: 50,
        syncs: 4,
        ..Weights::even()
    };
    let settings = Settings { threads: 1 + number as usize % 2, ..Settings::small() };
    let (disk, clock) = fresh();
    let mut scenario = Scenario {
        base: disk.clone(),
        clock,
        start: Start::empty(),
        earlier: Vec::new(),
        proven: 0,
        steps: vec![Step::Create(1)],
        settings,
        keys: (0..weights.keys + 12).chain([ALIVE]).collect(),
        calls: Vec::new(),
        told: false,
    };
    if !number.is_multiple_of(3) {
        let mut before = vec![Step::Create(1), Step::Write(vec![Op::Put(1, 7, 300)], true)];
        before.extend(draw(&mut rng, &weights, STEPS_BEFORE, &[1]));
        scenario.steps = vec![Step::Compact];
        scenario.begin_after(&before, &disk, number % 3 == 1)?;
        if number % 6 == 2 {
            tear(&scenario.base)?;
        }
    }
    let present = scenario.start.model.spaces.keys().copied().filter(|space| *space > 0);
    let present: Vec<u8> = present.chain(number.is_multiple_of(3).then_some(1)).collect();
    scenario.steps.extend(draw(&mut rng, &weights, STEPS, &present));
    add_copies(&mut scenario.steps, number);
    let fs = FaultFs::new(Arc::new(scenario.disk()));
    fs.record();
    let outcome = drive(&scenario, &fs);
    ensure!(outcome.violations.is_empty(), "without any fault: {:?}", outcome.violations);
    scenario.calls = fs.sequence();
    Ok(scenario)
}

/// Has some make a checkpoint, and some two backups.
fn add_copies(steps: &mut Vec<Step>, number: u64) {
    match number % 6 {
        3 => steps.insert(steps.len() / 2, Step::Checkpoint),
        4 | 5 => {
            steps.insert(steps.len() / 3, Step::Backup);
            steps.insert(steps.len() * 2 / 3, Step::Backup);
            steps.insert(steps.len() * 3 / 4, Step::Backup);
        }
        _ => {}
    }
}

/// Leaves a write behind the end of the last log, if anything is in one, that was cut off before it
/// was whole, so that the first open has something to keep aside.
fn tear(disk: &MemFs) -> Result<()> {
    let mut logs: Vec<_> = disk.list(Path::new(DIR))?;
    logs.retain(|entry| entry.name.ends_with(".log"));
    logs.sort_by(|a, b| b.name.cmp(&a.name));
    for entry in logs {
        let file = disk.open(&Path::new(DIR).join(&entry.name), Mode::ReadWrite)?;
        let mut bytes = vec![0; file.len()? as usize];
        file.read_exact_at(&mut bytes, 0)?;
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            // The last record may end in zeros.
            file.write_all_at(&[0xA5; 100], last as u64 + 65)?;
            return Ok(());
        }
    }
    // Its last step wrote nothing, and all before went into tables.
    Ok(())
}

impl Scenario {
    /// Lets it begin on what `before` leaves, closed or killed.
    fn begin_after(&mut self, before: &[Step], disk: &MemFs, closed: bool) -> Result<()> {
        let clock = Arc::clone(&self.clock);
        let durable = Cell::new(0);
        let note = |note, index| {
            if note == Note::Durable {
                durable.set(index);
            }
        };
        let stage = self.stage(Arc::new(disk.clone()), &clock, &note);
        let mut run = Run::begin(&stage, &self.start)?;
        let (mut earlier, mut proven) = (vec![(0, run.model.seen(0))], 0);
        for step in before {
            let known = durable.get();
            run.step(step)?;
            if matches!(step, Step::Write(..)) {
                proven = known;
            }
            earlier.push((run.index, run.model.seen(0)));
        }
        let start = Start { model: run.model.clone(), index: run.index, epoch: 0 };
        if closed {
            run.db.clone().close()?;
        }
        let base = copy(disk);
        drop(run);
        self.base = base;
        self.start = start;
        self.earlier = earlier;
        self.proven = proven;
        Ok(())
    }

    /// Where it is played.
    pub(crate) fn stage<'a>(
        &'a self,
        fs: Arc<dyn Fs>,
        clock: &'a ManualClock,
        note: &'a dyn Fn(Note, u64),
    ) -> Stage<'a> {
        Stage { dir: Path::new(DIR), fs, clock, note, settings: &self.settings }
    }
}
