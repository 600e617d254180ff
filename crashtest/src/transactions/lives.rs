//! `kill -9` of a process whose threads run transactions, again and again on one store, by its
//! parent or by itself in a call of the file system. What each commit has read and written is noted
//! outside of the store before it is tried, and its number once it is acknowledged. What is left must
//! be a replay of them: all that were acknowledged, those under way in whole or not at all, no number
//! between them that is nobody's, and every read what it would have been there.

use super::crashes::committed;
use super::history::{End, Over, State};
use super::judge;
use super::order::Order;
use super::side::{Notes, Side};
use super::work::{Aims, Stage, contents};
use crate::report::Row;
use anyhow::{Context, Result, anyhow, bail, ensure};
use kv_crashtest::torture::{Death, Draw, DyingFs, Ledger, Phase, Sort, When};
use kv_engine::{Db, Options};
use kv_vfs::{Fs, StdFs};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Kills of the gate, and of one store.
const KILLS: u64 = 40;
const LIVES: u64 = 10;
/// A life ends so long after its store was opened, at most, in microseconds.
const LONGEST: u64 = 30_000;
/// One that ends by itself does so in one of so many calls.
const CALLS: u64 = 1_000;

/// The process that is killed.
#[derive(clap::Args)]
pub(crate) struct Life {
    dir: PathBuf,
    /// Where it takes its notes.
    notes: PathBuf,
    seed: u64,
    /// How it ends, if it does so by itself.
    #[arg(long)]
    death: Option<Death>,
}

#[derive(Default)]
struct Found {
    commits: u64,
    flying: u64,
    kept: u64,
}

pub(super) fn run(from: u64) -> Row {
    let begun = Instant::now();
    let mut row = Row::new("transactions killed", "kills");
    let mut found = Found::default();
    for chain in from..from + KILLS / LIVES {
        let lived = self::chain(chain, &mut found, &mut row.ran);
        if let Err(error) = lived {
            row.violations.push(format!("store {chain}: {error:#} [transactions --from {chain}]"));
        }
    }
    row.floor = KILLS;
    let Found { commits, flying, kept } = found;
    // A kill inside a commit is what this is about.
    row.distinct = Some((flying, KILLS / 10));
    row.notes.push(format!("{commits} commits; {flying} were under way, {kept} of them are there"));
    row.elapsed = begun.elapsed();
    row
}

/// Kills one process after the other on one store, and looks at what each has left.
fn chain(seed: u64, found: &mut Found, ran: &mut u64) -> Result<()> {
    let dir = TempDir::with_prefix("crashtest-transactions-")?;
    let notes = crate::child::ledger_dir()?;
    let mut draw = Draw::new(&[seed, 2]);
    let mut state = State::new();
    for number in 0..LIVES {
        let file = notes.path().join(number.to_string());
        let life = || format!("life {number}");
        let value = (number + 1) << 32 | draw.below(1 << 16);
        let death = draw.chance(60).then(|| Death {
            phase: Phase::Run,
            sort: if draw.chance(70) { Sort::Any } else { Sort::Sync },
            nth: draw.skewed(CALLS),
            when: [When::Before, When::After, When::Inside]
                .get(draw.below(3) as usize)
                .copied()
                .unwrap_or(When::After),
        });
        let after = Duration::from_micros(draw.below(LONGEST));
        kill_one(dir.path(), &file, value, (death, after)).with_context(life)?;
        let db = Db::open(dir.path(), options(StdFs::new())).with_context(life)?;
        let left = contents(&db)?;
        let notes = Notes::read(&file)?;
        found.flying += notes.flying.len() as u64;
        let kept =
            explain(&notes, &state, &left).with_context(|| format!("{}, {death:?}", life()))?;
        found.kept += kept;
        found.commits += committed(&notes.over).count() as u64 + kept;
        *ran += 1;
        state = left;
        db.close()?;
    }
    Ok(())
}

fn options(fs: impl Fs) -> Options {
    // What was not synced survives a kill as well.
    Options::default()
        .sync_on_write(false)
        .write_buffer(64 << 10)
        .background_threads(1)
        .file_system(Arc::new(fs))
}

/// Starts a process and kills it so long after it has opened its store, unless it has done so by
/// itself.
fn kill_one(
    dir: &Path,
    notes: &Path,
    seed: u64,
    (death, after): (Option<Death>, Duration),
) -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("transaction-life").arg(dir).arg(notes).arg(seed.to_string());
    if let Some(death) = death {
        command.arg("--death").arg(death.to_string());
    }
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a life")?;
    let out = process.stdout.take().context("no pipe")?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line)?;
    let until =
        Instant::now() + after + Duration::from_millis(if death.is_some() { 200 } else { 0 });
    while death.is_some() && Instant::now() < until && process.try_wait()?.is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    if death.is_none() {
        std::thread::sleep(after);
    }
    process.kill()?;
    let status = process.wait()?;
    match (line.as_str(), status.signal()) {
        ("opened\n", Some(9)) => Ok(()),
        _ => bail!("a life ended by itself: {status}, it said {line:?}"),
    }
}

/// Runs transactions until killed.
pub(crate) fn live(life: &Life) -> Result<bool> {
    let beside = life.notes.parent().context("the notes lie in no directory")?;
    let fs = DyingFs::new(life.death, &Ledger::new(beside));
    let db = Db::open(&life.dir, options(fs.clone()))?;
    let aims = |side| Aims {
        kept: None,
        side,
        steps: usize::MAX,
        values: life.seed << 8,
        acknowledged: Arc::default(),
    };
    // It makes the keyspaces, which takes numbers.
    let opened = Stage::of(db.clone(), aims(None))?.db.transaction().snapshot_seq();
    let stage = Stage::of(db, aims(Some(Side::create(&life.notes, opened)?)))?;
    println!("opened");
    std::io::stdout().flush()?;
    fs.enter(Phase::Run);
    stage.play(life.seed)?;
    Ok(true)
}

/// Replays what was noted over the state from before, up to what is left; answers how many of those
/// under way are in it.
fn explain(notes: &Notes, before: &State, left: &State) -> Result<u64> {
    let mut acknowledged: Vec<(u64, &Over)> = committed(&notes.over).collect();
    acknowledged.sort_by_key(|(seq, _)| *seq);
    let flying = notes.flying.iter().filter(|over| !over.writes().is_empty()).collect();
    let mut why = None;
    let mut replay = Replay { notes, before, left, acknowledged, why: &mut why };
    match replay.from(notes.opened + 1, 0, &mut Vec::new(), flying) {
        Some(kept) => Ok(kept),
        None => Err(why.unwrap_or_else(|| anyhow!("nothing was tried"))),
    }
}

struct Replay<'a> {
    notes: &'a Notes,
    before: &'a State,
    left: &'a State,
    acknowledged: Vec<(u64, &'a Over)>,
    /// Why the first order that was tried cannot have been.
    why: &'a mut Option<anyhow::Error>,
}

impl<'a> Replay<'a> {
    /// Goes on at a number, with the acknowledged commits from `at` on, and those under way that are
    /// in no place yet: each number is somebody's. Answers how many were under way and are there.
    fn from(
        &mut self,
        number: u64,
        at: usize,
        placed: &mut Vec<(u64, &'a Over)>,
        flying: Vec<&'a Over>,
    ) -> Option<u64> {
        match self.acknowledged.get(at).copied() {
            Some((seq, over)) if seq == number => {
                return self.from(number + over.writes().len() as u64, at + 1, placed, flying);
            }
            Some((seq, _)) if seq < number => {
                self.why.get_or_insert(anyhow!("commit {seq} has a number of the one before it"));
                return None;
            }
            None if self.is_so(placed) => return Some(placed.len() as u64),
            Some(_) | None => {}
        }
        for one in 0..flying.len() {
            let mut others = flying.clone();
            let over = others.swap_remove(one);
            placed.push((number, over));
            let next = number + over.writes().len() as u64;
            if let Some(kept) = self.from(next, at, placed, others) {
                return Some(kept);
            }
            placed.pop();
        }
        if let Some((seq, _)) = self.acknowledged.get(at) {
            self.why.get_or_insert(anyhow!("the numbers from {number} to {seq} are nobody's"));
        }
        None
    }

    /// Whether what is left is what these make, beside those that were acknowledged, and each read
    /// is what it would have been.
    fn is_so(&mut self, placed: &[(u64, &'a Over)]) -> bool {
        let outcome = self.judge(placed);
        let is_so = outcome.is_ok();
        if let Err(error) = outcome {
            self.why.get_or_insert(error);
        }
        is_so
    }

    fn judge(&self, placed: &[(u64, &'a Over)]) -> Result<()> {
        let commits = self.acknowledged.iter().chain(placed).copied();
        let order = Order::of((self.notes.opened, self.before), commits);
        let state = order.state(u64::MAX);
        ensure!(state == *self.left, "it should be {state:?}, and is {:?}", self.left);
        let kept = placed
            .iter()
            .map(|(seq, over)| Over { end: End::Committed(Some(*seq)), ..(*over).clone() });
        for over in self.notes.over.iter().cloned().chain(kept) {
            if let Some(text) = judge::judge(&order, &over) {
                bail!("{:?} from {}, {:?}: {text}", over.isolation, over.snapshot, over.end);
            }
        }
        Ok(())
    }
}
