//! `kill -9` of a real process on the real file system, and a fresh process that looks.
//!
//! A chain of lives works on one store: each opens what the one before left, while that one is
//! dead but not waited for, checks it against the ledger, writes on, and is killed: by its parent
//! after some microseconds, or by itself at the n-th operation of opening, running or closing,
//! before, inside or after the call. A life may be killed before it has checked; then the next
//! checks for both. Now and then a copy of the directory is checked as well.

use crate::child::{self, Child, Stage};
use crate::report::Row;
use crate::tally::Tally;
use anyhow::{Context, Result};
use kv_crashtest::torture::{Death, Draw, Floor, Ledger, Life, Phase, Sort, When};
use std::time::Duration;
use tempfile::TempDir;

/// Lives of one store.
const LIVES: u32 = 10;
/// One kill in so many is also looked at in a copy of the directory.
const COPY: u64 = 8;

#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// How many kills.
    #[arg(long, default_value_t = 200)]
    count: u64,
    /// What all is drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this chain of lives, again and again.
    #[arg(long)]
    chain: Option<u64>,
}

/// What continuous integration runs.
pub(crate) fn quick() -> Result<Vec<Row>> {
    run(&Arguments { count: 100, seed: 1, chain: None })
}

pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    let tally = Tally::new(arguments.count);
    tally.run(|number| {
        let seed = arguments.chain.unwrap_or(Draw::new(&[arguments.seed, number]).number());
        Chain::new(seed)?.run(&tally)
    })?;
    Ok(vec![tally.row("kill".to_owned(), "kills")])
}

/// How a life is ended.
#[derive(Clone, Copy, Debug)]
enum End {
    /// By its parent, so long after a stage.
    Parent(Stage, Duration),
    /// By itself.
    Own(Death),
    /// Not at all.
    None,
}

/// Lives on one store.
struct Chain {
    seed: u64,
    program: Vec<String>,
    store: TempDir,
    ledger: TempDir,
    draw: Draw,
}

impl Chain {
    fn new(seed: u64) -> Result<Chain> {
        Ok(Chain {
            seed,
            program: child::program()?,
            store: TempDir::with_prefix("crashtest-")?,
            ledger: child::ledger_dir()?,
            draw: Draw::new(&[seed]),
        })
    }

    fn run(mut self, tally: &Tally) -> Result<()> {
        // Dead, but not waited for until the next one has opened the store.
        let mut dead = None;
        for number in 1..=LIVES {
            let last = number == LIVES || tally.enough();
            let end = if last { End::None } else { self.end() };
            let life = self.life(number, end);
            let mut child = Child::start(&self.program, &life)?;
            let stage = match end {
                End::Parent(stage, delay) => Some((stage, delay)),
                End::Own(_) | End::None => None,
            };
            let outcome = child.follow(stage, Child::kill)?;
            drop(dead.replace(child));
            let own = Ledger::new(self.ledger.path()).take_site();
            let site = outcome.killed.then(|| {
                let by_parent = || format!("parent, {:?}", stage.map(|(stage, _)| stage));
                own.unwrap_or_else(by_parent)
            });
            let killed = outcome.killed;
            let whose = format!("life {number}, {end:?}");
            if self.violated(&tally.count(&outcome, site), &whose, tally) {
                self.keep();
                return Ok(());
            }
            // Drawn in any case: a repeated chain goes the same way.
            let copied = self.draw.below(COPY) == 0;
            if killed && copied && !self.copy(number, tally)? {
                self.keep();
                return Ok(());
            }
            if last {
                break;
            }
        }
        Ok(())
    }

    /// Draws how the next life is ended.
    fn end(&mut self) -> End {
        let draw = &mut self.draw;
        let stages = [Stage::Started, Stage::Opened, Stage::Checked, Stage::Closing];
        match draw.below(100) {
            0..=34 => {
                let stage = stages.get(draw.below(4) as usize).copied().unwrap_or(Stage::Checked);
                let limit = match stage {
                    Stage::Started => 12_000,
                    Stage::Opened | Stage::Closing => 3_000,
                    Stage::Checked => 60_000,
                };
                End::Parent(stage, Duration::from_micros(draw.below(limit)))
            }
            other => {
                let (phase, limit) = match other {
                    35..=54 => (Phase::Open, 40),
                    55..=84 => (Phase::Run, 2_000),
                    _ => (Phase::Close, 12),
                };
                let sorts = [Sort::Any, Sort::Any, Sort::Sync, Sort::Name];
                let whens = [When::Before, When::After, When::Inside];
                End::Own(Death {
                    phase,
                    sort: sorts.get(draw.below(4) as usize).copied().unwrap_or(Sort::Any),
                    nth: draw.skewed(limit),
                    when: whens.get(draw.below(3) as usize).copied().unwrap_or(When::After),
                })
            }
        }
    }

    fn life(&mut self, number: u32, end: End) -> Life {
        Life {
            dir: self.store.path().to_owned(),
            ledger: self.ledger.path().to_owned(),
            seed: self.seed,
            life: number,
            writers: 1 + self.draw.below(8) as u8,
            millis: match end {
                // Closing is what is waited for.
                End::Own(Death { phase: Phase::Close, .. }) | End::Parent(Stage::Closing, _) => 15,
                _ => 60,
            },
            floor: Floor::Acknowledged,
            death: match end {
                End::Own(death) => Some(death),
                End::Parent(..) | End::None => None,
            },
            look: matches!(end, End::None),
        }
    }

    /// Notes what was violated, if anything was.
    fn violated(&self, lines: &[String], whose: &str, tally: &Tally) -> bool {
        let kept = format!("{} and {}", self.store.path().display(), self.ledger.path().display());
        let seed = self.seed;
        let repeat = format!("repeat: kill --chain {seed}; kept: {kept}");
        let say = |line| format!("{whose}: {line} ({repeat})");
        tally.found().violations.extend(lines.iter().map(say));
        !lines.is_empty()
    }

    /// Looks at a copy of the directory; answers whether nothing was violated.
    fn copy(&mut self, number: u32, tally: &Tally) -> Result<bool> {
        let place = TempDir::with_prefix("crashtest-copy-")?;
        for entry in std::fs::read_dir(self.store.path())? {
            let entry = entry?;
            std::fs::copy(entry.path(), place.path().join(entry.file_name())).context("copy")?;
        }
        let mut life = self.life(number + 1, End::None);
        life.dir = place.path().to_owned();
        let outcome = Child::start(&self.program, &life)?.follow(None, Child::kill)?;
        tally.found().copies += 1;
        let whose = format!("a copy after life {number}, looked at as life {}", number + 1);
        let violated = self.violated(&tally.count(&outcome, None), &whose, tally);
        if violated {
            let _ = place.keep();
        }
        Ok(!violated)
    }

    /// Leaves everything where it is, for a look.
    fn keep(self) {
        let _ = (self.store.keep(), self.ledger.keep());
    }
}
