//! Lives on one volume, each ended by a cut.

use super::Arguments;
use super::mount::Mount;
use super::volume::Volume;
use crate::child::{self, Child, Outcome, Stage};
use crate::report::Row;
use crate::tally::Tally;
use anyhow::{Context, Result, ensure};
use kv_crashtest::torture::{Draw, Floor, Life};
use kv_vfs::{CutOrder, CutPolicy, MemFs};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Lives of one volume.
const LIVES: u32 = 8;

/// When the power goes.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// At the n-th operation after a stage: before it, or after it was done.
    Operation { stage: Stage, nth: u64, done: bool },
    /// So long after a stage.
    Moment(Stage, Duration),
    /// Never; the life only looks.
    Never,
}

pub(super) fn run(arguments: &Arguments, name: String) -> Result<Row> {
    let program = program(arguments)?;
    let tally = Tally::new(arguments.count);
    tally.run(|number| {
        let seed = arguments.chain.unwrap_or(Draw::new(&[arguments.seed, number]).number());
        Chain::new(seed, program.clone(), arguments.like_ext4)?.run(&tally)
    })?;
    Ok(tally.row(name, "cuts"))
}

/// What to start. Another engine's program is built first; it lies outside the workspace.
fn program(arguments: &Arguments) -> Result<Vec<String>> {
    if arguments.engine == "kv" {
        return child::program();
    }
    let file = match &arguments.program {
        Some(file) => file.clone(),
        None => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
            let target = folder.join("../target/peers");
            let built = Command::new("cargo")
                .args(["build", "--quiet", "--release", "--manifest-path"])
                .arg(folder.join("peers/Cargo.toml"))
                .arg("--target-dir")
                .arg(&target)
                .status()
                .context("cannot start cargo")?;
            ensure!(built.success(), "the program for other engines was not built");
            target.join("release/kv-crashtest-peers")
        }
    };
    Ok(vec![file.display().to_string(), arguments.engine.clone()])
}

/// Lives on one volume.
struct Chain {
    seed: u64,
    program: Vec<String>,
    like_ext4: bool,
    place: TempDir,
    ledger: TempDir,
    draw: Draw,
}

impl Chain {
    fn new(seed: u64, program: Vec<String>, like_ext4: bool) -> Result<Chain> {
        Ok(Chain {
            seed,
            program,
            like_ext4,
            place: TempDir::with_prefix("crashtest-fuse-")?,
            ledger: child::ledger_dir()?,
            draw: Draw::new(&[seed]),
        })
    }

    fn run(mut self, tally: &Tally) -> Result<()> {
        let mut disk = MemFs::new();
        let mut story = Vec::new();
        for number in 1..=LIVES {
            let last = number == LIVES || tally.enough();
            let cut = if last { Cut::Never } else { self.cut() };
            let mount =
                Mount::new(self.place.path(), Volume::new(disk).names_follow(self.like_ext4))?;
            let (outcome, site) = self.live(number, cut, &mount)?;
            let policy = self.policy();
            story.push(format!("{site} {policy}"));
            let lines = tally.count(&outcome, (!last).then_some(site));
            if !lines.is_empty() {
                let (seed, story) = (self.seed, story.join("; "));
                let repeat = format!("repeat: fuse --chain {seed}; cuts: {story}");
                let say = |line| format!("life {number}: {line} ({repeat})");
                tally.found().violations.extend(lines.iter().map(say));
                break;
            }
            disk = mount.volume().disk().power_cut(policy, self.draw.number());
            if last {
                break;
            }
        }
        Ok(())
    }

    /// One life until the cut; answers where that was.
    fn live(&mut self, number: u32, cut: Cut, mount: &Mount) -> Result<(Outcome, String)> {
        let life = self.life(number, cut);
        let mut child = Child::start(&self.program, &life)?;
        let victim = child.id();
        let (stage, delay) = match cut {
            Cut::Operation { stage, .. } => (stage, Duration::ZERO),
            Cut::Moment(stage, delay) => (stage, delay),
            Cut::Never => (Stage::Closing, Duration::ZERO),
        };
        let outcome = child.follow(Some((stage, delay)), |_| {
            match cut {
                Cut::Operation { nth, done, .. } => mount.volume().arm(nth, done, victim),
                Cut::Moment(..) => drop(mount.cut(victim)),
                Cut::Never => {}
            }
            Ok(())
        })?;
        // What was not cut by now is cut when everything is closed.
        let closed = mount.cut(None);
        let site = match (mount.volume().site(), closed) {
            (Some(site), _) => format!("{stage:?} {site}").to_lowercase(),
            (None, true) => "closed".to_owned(),
            (None, false) => format!("{stage:?}").to_lowercase(),
        };
        Ok((outcome, site))
    }

    fn policy(&mut self) -> CutPolicy {
        let possible = |order| match order {
            CutOrder::Nothing | CutOrder::Everything => true,
            CutOrder::Ext4Ordered | CutOrder::GlobalPrefix => true,
            CutOrder::Strict | CutOrder::Writeback | CutOrder::Delayed => !self.like_ext4,
        };
        let policies = CutPolicy::ALL.iter().filter(|policy| possible(policy.order));
        let policies: Vec<CutPolicy> = policies.copied().collect();
        let number = self.draw.below(policies.len() as u64) as usize;
        policies.get(number).copied().unwrap_or(CutPolicy::ALL[0])
    }

    fn cut(&mut self) -> Cut {
        let draw = &mut self.draw;
        let stages = [Stage::Started, Stage::Checked, Stage::Checked, Stage::Closing];
        let stage = stages.get(draw.below(4) as usize).copied().unwrap_or(Stage::Checked);
        let (operations, micros) = match stage {
            Stage::Started | Stage::Opened => (120, 15_000),
            Stage::Checked => (2_000, 40_000),
            Stage::Closing => (30, 3_000),
        };
        match draw.chance(75) {
            true => Cut::Operation { stage, nth: draw.skewed(operations), done: draw.chance(50) },
            false => Cut::Moment(stage, Duration::from_micros(draw.below(micros))),
        }
    }

    fn life(&mut self, number: u32, cut: Cut) -> Life {
        Life {
            dir: self.place.path().join("store"),
            ledger: self.ledger.path().to_owned(),
            seed: self.seed,
            life: number,
            writers: 1 + self.draw.below(8) as u8,
            millis: 10 + self.draw.below(50),
            floor: Floor::Synced,
            death: None,
            look: matches!(cut, Cut::Never),
        }
    }
}
