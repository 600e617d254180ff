//! Plays a scenario on a disk that fails, goes on where a store may go on, and keeps the set of
//! states that may be found afterwards.
//!
//! A step that was acknowledged is in every later state. One that failed is in none of them if it
//! was refused before it reached the log or the manifest, and else it may be.

use crate::awake::{awake, awake_since};
use crate::fault::scenario::Scenario;
use crate::history::Step;
use crate::jobs;
use crate::oracle::{DIR, scan};
use crate::record::{Run, Stage};
use crate::timeline::{Model, Seen, differences, digest};
use kv_engine::ErrorKind;
use kv_vfs::{FaultFs, FaultKind, Note, OpKind, Struck};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Why a state should not have been found.
#[derive(Clone, Debug)]
pub(crate) enum Wrong {
    /// It is the state of this index, which is too old.
    Back(u64, String),
    /// It is of no index, or could not be looked at.
    Other(String),
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Wrong::Back(_, text) | Wrong::Other(text)) = self;
        f.write_str(text)
    }
}

/// What a drive came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The index of every state that was possible, by its digest.
    states: HashMap<u64, Vec<u64>>,
    /// The last index that was acknowledged as durable, or shown by an open.
    pub(crate) floor: u64,
    /// The last state that was acknowledged, and its index.
    last: (u64, Seen),
    /// What the last record of the log proves to have been durable before it. Behind this index
    /// begins the group of the last sync.
    proven: u64,
    pub(crate) violations: Vec<String>,
    /// Whether the loss of a log's last group to a flipped bit had to be excused.
    pub(crate) excused: bool,
    /// Whether the first open failed.
    pub(crate) unopened: bool,
    /// The points of the backups that must be there.
    pub(crate) points: Vec<u64>,
}

impl Outcome {
    fn allow(&mut self, index: u64, seen: &Seen) {
        self.states.entry(digest(seen)).or_default().push(index);
    }

    /// The last index that was acknowledged: nothing less may be found where no power cut was.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.last.0.max(self.floor)
    }

    /// Whether this may be found, at an index from `floor` on.
    pub(crate) fn judge(&self, seen: &Seen, floor: u64) -> Result<u64, Wrong> {
        let indexes = self.states.get(&digest(seen)).map_or(&[][..], Vec::as_slice);
        if let Some(index) = indexes.iter().find(|index| **index >= floor) {
            return Ok(*index);
        }
        if let Some(index) = indexes.iter().max() {
            let text = format!("it went back to index {index}; {floor} was acknowledged");
            return Err(Wrong::Back(*index, text));
        }
        let (index, last) = &self.last;
        let (count, text) = differences(last, seen);
        let text = format!("no state fits; from index {index} it differs in {count}:{text}");
        Err(Wrong::Other(text))
    }

    /// Whether this is the loss of the log's last group, or of a part of it, where a read of a
    /// log was struck by a flipped bit.
    pub(crate) fn excuses(&self, wrong: &Wrong, struck: &[Struck]) -> bool {
        matches!(wrong, Wrong::Back(index, _) if *index >= self.proven)
            && struck.iter().any(is_flip_of_a_log)
    }

    fn violation(&mut self, text: String) {
        self.violations.push(text);
    }
}

/// Whether the call was a write or a sync of the store's log or manifest that failed. A copy that
/// is made of it has its own; and a log that is only held for consumers is not written to any more,
/// and replayed already.
fn is_final(struck: &Struck) -> bool {
    let name = struck.path.file_name().unwrap_or_default().to_string_lossy();
    let moved = matches!(struck.kind, FaultKind::Short(1..) | FaultKind::FlipBit(_));
    matches!(struck.op, OpKind::Write | OpKind::Sync)
        && !moved
        && struck.path.parent() == Some(Path::new(DIR))
        && !struck.site.file.ends_with("open/held.rs")
        && (name.ends_with(".log") || name.starts_with("MANIFEST"))
}

fn is_read(struck: &Struck) -> bool {
    matches!(struck.op, OpKind::Read | OpKind::Open | OpKind::Len | OpKind::Metadata)
}

/// How long a thread may take from a call's answer to telling the whole store that writes are
/// over; it may be one in the background on a busy machine.
const NOTICE: Duration = Duration::from_secs(10);

struct Driver<'a> {
    fs: &'a FaultFs,
    run: Run<'a>,
    outcome: Outcome,
    /// The states if steps that failed are there all the same.
    maybes: Vec<Model>,
    /// Faults that struck before this handle was opened.
    known: usize,
    durable: &'a Cell<u64>,
    /// Whether every step is printed.
    told: bool,
    /// Faults that struck before the last step began.
    earlier: usize,
    /// Whether a failure of log or manifest is known to the whole store by now.
    noticed: bool,
    strikes: RefCell<Strikes>,
}

/// The calls that faults have struck, as far as they were asked for: a fault that strikes for ever may
/// do so thousands of times, and each step asks.
#[derive(Default)]
struct Strikes {
    all: Vec<Struck>,
    /// Up to where they were looked at, and whether one of them was the end of the log or manifest.
    looked: usize,
    ended: bool,
}

/// Plays a scenario on `fs`, over whose disk it begins. Leaves the store dropped.
pub(crate) fn drive(scenario: &Scenario, fs: &FaultFs) -> Outcome {
    let durable = Cell::new(scenario.start.index);
    let note = |note, index| {
        if note == Note::Durable {
            durable.set(index);
        }
    };
    let stage: Stage<'_> = scenario.stage(Arc::new(fs.clone()), &scenario.clock, &note);
    let start = (scenario.start.index, scenario.start.model.seen(0));
    let mut outcome = Outcome {
        floor: start.0,
        last: start.clone(),
        proven: scenario.proven,
        ..Outcome::default()
    };
    scenario.earlier.iter().for_each(|(index, seen)| outcome.allow(*index, seen));
    outcome.allow(start.0, &start.1);
    let run = match Run::begin(&stage, &scenario.start) {
        Ok(run) => run,
        Err(error) => {
            if fs.struck(0).is_empty() {
                outcome.violation(format!("the first open failed with no fault: {error:#}"));
            }
            return Outcome { unopened: true, ..outcome };
        }
    };
    let mut driver = Driver {
        fs,
        run,
        outcome,
        maybes: Vec::new(),
        known: 0,
        earlier: 0,
        durable: &durable,
        told: scenario.told,
        noticed: false,
        strikes: RefCell::default(),
    };
    if !driver.look_at_the_beginning() {
        return driver.finish();
    }
    for step in &scenario.steps {
        let goes_on = if *step == Step::Reopen { driver.reopen() } else { driver.step(step) };
        if !goes_on {
            return driver.finish();
        }
        if step_reads(step) {
            driver.look("after a step");
        }
    }
    fs.disarm();
    driver.look("at the end");
    driver.finish()
}

/// Steps after which everything is read, as what is read from has changed.
fn step_reads(step: &Step) -> bool {
    matches!(step, Step::Flush | Step::Compact | Step::Checkpoint | Step::Backup)
}

impl Driver<'_> {
    fn finish(mut self) -> Outcome {
        self.settle();
        self.outcome.points = std::mem::take(&mut self.run.copies.points);
        self.outcome
    }

    /// Raises the floor to what was acknowledged as durable. The number that was noted may be
    /// that of a step which failed.
    fn settle(&mut self) {
        if self.durable.get() >= self.outcome.last.0 {
            self.outcome.floor = self.outcome.last.0;
        }
    }

    /// Whether the log or the manifest has failed since this handle was opened.
    fn ended(&self) -> bool {
        let count = self.struck();
        let Strikes { all, looked, ended } = &mut *self.strikes.borrow_mut();
        let from = std::mem::replace(looked, count).max(self.known);
        *ended |= all.get(from..).unwrap_or_default().iter().any(is_final);
        *ended
    }

    /// How many calls were struck by now.
    fn struck(&self) -> usize {
        let mut strikes = self.strikes.borrow_mut();
        let new = self.fs.struck(strikes.all.len());
        strikes.all.extend(new);
        strikes.all.len()
    }

    /// Does a step; answers whether there is a store to go on with.
    fn step(&mut self, step: &Step) -> bool {
        let (ended, before) = (self.ended(), self.struck());
        self.earlier = before;
        let floor = self.outcome.floor;
        if ended && !self.noticed {
            self.await_notice();
        }
        // To create what exists writes nothing, nor does to change what does not.
        let exists = |space: &u8| self.run.model.spaces.contains_key(space);
        let writes = match step {
            Step::Create(space) => !exists(space),
            Step::Drop(space) => exists(space),
            Step::Write(ops, _) | Step::Ingest(ops) => ops.iter().any(|op| exists(&op.space())),
            step => step.counts(),
        };
        let done = self.run.step(step);
        if self.told {
            let (index, durable) = (self.run.index, self.durable.get());
            let answer = done.as_ref().map_or_else(ToString::to_string, |()| "done".to_owned());
            println!("{index:>4} {step}: {answer}; durable {durable}");
            self.fs.struck(before).iter().for_each(|struck| println!("     {struck:?}"));
        }
        match done {
            Ok(()) => {
                if ended && writes {
                    self.outcome.violation(format!("{step} was acknowledged after the log failed"));
                }
                if writes && matches!(step, Step::Write(..)) {
                    self.outcome.proven = floor;
                }
                if writes || !step.counts() {
                    self.took(step);
                }
            }
            Err(error) => {
                let struck = self.fs.struck(before);
                let kind = error.downcast_ref::<kv_engine::Error>().map(kv_engine::Error::kind);
                if self.struck() == 0 {
                    self.outcome.violation(format!("{step} failed with no fault: {error:#}"));
                }
                let refused = match kind {
                    Some(ErrorKind::ReadOnly | ErrorKind::Closed | ErrorKind::NoSpace) => {
                        !struck.iter().any(is_final) && (ended || !self.ended())
                    }
                    Some(_) => false,
                    None => {
                        self.outcome.violation(format!("{step}: {error:#}"));
                        return false;
                    }
                };
                if step.counts() {
                    self.failed(step, refused);
                }
                self.run_clock();
                self.look("after a failed step");
            }
        }
        true
    }

    /// Waits until the store says of itself that it takes no more writes: a background thread
    /// whose call has failed may not have come to tell it. A store that is never told is found
    /// out by the next write.
    fn await_notice(&mut self) {
        let since = awake();
        while !self.run.db.stats().to_string().contains("takes no more writes")
            && awake_since(since) < NOTICE
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.noticed = true;
    }

    /// Looks at what the first open shows; answers whether to go on.
    fn look_at_the_beginning(&mut self) -> bool {
        let start = self.outcome.last.0;
        let struck = self.fs.struck(0);
        match scan(&self.run.db).map(|seen| self.outcome.judge(&seen, start)) {
            Ok(Err(wrong)) if self.outcome.excuses(&wrong, &struck) => {
                self.outcome.excused = true;
                return false;
            }
            // The open may have cut the last group, and no read tells. What is on the disk is
            // judged as it is then: behind further steps its index could not be found.
            Err(_) if struck.iter().any(is_flip_of_a_log) => return false,
            _ => {}
        }
        self.outcome.proven = start;
        self.look("after the open");
        true
    }

    /// Lets the time pass after which work that failed is tried again.
    fn run_clock(&self) {
        use kv_vfs::Fs;
        self.fs.clock().sleep(Duration::from_secs(3));
    }

    fn took(&mut self, step: &Step) {
        if !step.counts() {
            self.settle();
            return;
        }
        let index = self.run.index;
        for maybe in &mut self.maybes {
            maybe.apply(step, index, 0);
        }
        let seen = self.run.model.seen(0);
        self.outcome.allow(index, &seen);
        self.outcome.last = (index, seen);
        self.settle();
        self.allow_maybes(index);
    }

    fn failed(&mut self, step: &Step, refused: bool) {
        // Its number is used up: the values that it may have written carry it.
        self.run.index += 1;
        let index = self.run.index;
        if refused || self.maybes.len() > 16 {
            return;
        }
        let with_it = |model: &Model| {
            let mut model = model.clone();
            model.apply(step, index, 0);
            model
        };
        let more: Vec<Model> = self.maybes.iter().chain([&self.run.model]).map(with_it).collect();
        self.maybes.extend(more);
        self.allow_maybes(index);
    }

    fn allow_maybes(&mut self, index: u64) {
        for maybe in &self.maybes {
            self.outcome.allow(index, &maybe.seen(0));
        }
    }

    /// Reads everything: what was acknowledged is there, or an error says why not.
    fn look(&mut self, when: &str) {
        let before = self.struck();
        match scan(&self.run.db) {
            Ok(seen) => self.compare(&seen, when),
            Err(error) => {
                if !self.fs.struck(before).iter().any(is_read) {
                    self.outcome.violation(format!("{when}, a read failed with no cause: {error}"));
                }
            }
        }
    }

    fn compare(&mut self, seen: &Seen, when: &str) {
        let model = self.run.model.seen(0);
        if *seen == model {
            return;
        }
        if self.maybes.iter().any(|maybe| maybe.seen(0) == *seen) {
            return;
        }
        let (count, text) = differences(&model, seen);
        self.outcome.violation(format!("{when}, reads differ in {count}:{text}"));
    }

    /// Closes and opens again; answers whether that went well.
    fn reopen(&mut self) -> bool {
        // Work in the background that failed before, and was to be tried again, fails the close.
        // Its thread may be at it still, so that faults of the step before count as well.
        let before = self.struck();
        let new = before > self.earlier;
        let busy = before > 0 && jobs::running(&self.run.db) > 0;
        let stats = self.run.db.stats().to_string();
        let troubled = new || busy || self.ended() || !stats.ends_with("open");
        let done = self.run.close_and_open();
        if self.told {
            let answer = done.as_ref().map_or_else(ToString::to_string, |seen| format!("{seen:?}"));
            println!("     reopen: {answer}; durable {}", self.durable.get());
        }
        let seen = match done {
            Ok(seen) => seen,
            Err(error) => {
                if self.struck() == before && !troubled {
                    self.outcome.violation(format!("a reopen failed with no fault: {error:#}"));
                }
                return false;
            }
        };
        self.settle();
        match self.outcome.judge(&seen, self.outcome.acknowledged()) {
            Ok(index) => self.outcome.floor = index,
            Err(wrong) if self.outcome.excuses(&wrong, &self.fs.struck(before)) => {
                self.outcome.excused = true;
                return false;
            }
            Err(wrong) => {
                self.outcome.violation(format!("after a reopen {wrong}"));
                return false;
            }
        }
        let same = |model: &&Model| model.seen(0) == seen;
        if let Some(maybe) = self.maybes.iter().find(same) {
            self.run.model = maybe.clone();
        } else if self.run.model.seen(0) != seen {
            let index = self.run.index;
            self.outcome.violation(format!("after a reopen it is not the state of index {index}"));
            return false;
        }
        self.maybes.clear();
        // The numbers of steps that failed are used up.
        self.outcome.allow(self.run.index, &seen);
        self.outcome.last = (self.run.index, seen);
        self.outcome.proven = self.run.index;
        (self.known, self.earlier) = (before, before);
        let strikes = self.strikes.get_mut();
        (strikes.looked, strikes.ended) = (before, false);
        self.noticed = false;
        true
    }
}

/// A flipped bit in the last group of a log, behind which nothing proves that it was durable,
/// cannot be told from a torn end: the one exception that the contract names.
fn is_flip_of_a_log(struck: &Struck) -> bool {
    matches!(struck.kind, FaultKind::FlipBit(_))
        && struck.op == OpKind::Read
        && struck.path.extension().is_some_and(|end| end == "log")
}
