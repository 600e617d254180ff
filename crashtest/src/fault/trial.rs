//! One fault in one scenario, and all that is checked behind it.

use crate::fault::copies;
use crate::fault::drive::{Outcome, Wrong, drive};
use crate::fault::plan::Case;
use crate::fault::scenario::{Scenario, copy};
use crate::oracle::{DIR, Violation, examine};
use crate::rng::Rng;
use crate::settings::Settings;
use crate::timeline::Seen;
use kv_engine::Db;
use kv_vfs::{
    Covered, CutPolicy, Fault, FaultFs, FaultKind, Fs, FsFileExt, MemFs, Mode, OpKind, Struck,
};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// What states show that were examined before, by scenario and fingerprint.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<HashMap<(usize, u64), Result<Seen, Violation>>>);

impl Known {
    /// What a disk shows after a crash. The answer is remembered where nothing is pending on it.
    fn look(&self, case: &Case, scenario: &Scenario, disk: &MemFs) -> Result<Seen, Violation> {
        let look = || {
            let settings = Settings { threads: 1, level0_runs: 64, ..scenario.settings };
            examine(disk, &scenario.keys, &settings, |seen| Ok(seen.clone()))
        };
        if !disk.pending().is_empty() {
            return look();
        }
        let place = (case.scenario, disk.fingerprint());
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&place) {
            return known.clone();
        }
        let found = look();
        lock().insert(place, found.clone());
        found
    }

    pub(crate) fn distinct(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// What a trial came to.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    pub(crate) violations: Vec<String>,
    pub(crate) coverage: Vec<Covered>,
    /// Whether the fault struck at all.
    pub(crate) struck: bool,
    /// Whether the loss of a log's last group to a flipped bit had to be excused.
    pub(crate) excused: bool,
    /// Whether the store could not be opened under the fault.
    pub(crate) unopened: bool,
}

/// Plays the scenario with the fault, then disarms it, crashes, and opens again.
pub(crate) fn run(case: &Case, scenario: &Scenario, known: &Known) -> Trial {
    let disk = scenario.disk();
    let before = copy(&disk);
    let fs = FaultFs::new(Arc::new(disk.clone()));
    let last = case.faults().into_iter().fold(None, |_, fault| Some(fs.arm(fault)));
    let outcome = drive(scenario, &fs);
    let struck = fs.struck(0);
    let mut trial = Trial {
        violations: outcome.violations.clone(),
        coverage: fs.coverage(),
        struck: last.is_some_and(|last| fs.fired(last) > 0),
        unopened: outcome.unopened,
        excused: outcome.excused,
    };
    if outcome.unopened
        && let Err(text) = untouched(&before, &disk)
    {
        trial.violations.push(format!("a failed open {text}"));
    }
    let mut rng = Rng::new(case.seed);
    let policy = CutPolicy::ALL[rng.below(CutPolicy::ALL.len() as u64) as usize];
    let cuts = [
        ("a cut that takes all", disk.crash()),
        ("a random cut", disk.power_cut(policy, case.seed)),
    ];
    let disks = cuts.into_iter().map(|(name, disk)| (name, disk, false));
    for (name, disk, live) in disks.chain([("the disk as it is", disk, true)]) {
        if let Err(text) = copies::check(&disk, &outcome.points, &struck) {
            trial.violations.push(format!("after {name}: {text}"));
        }
        let lost = struck.iter().any(|struck| struck.kind == FaultKind::LostReadable);
        if live && struck.iter().any(is_lost_name_of_the_store) {
            continue;
        }
        let seen = if live && lost {
            let settings = scenario.settings;
            examine(&disk, &scenario.keys, &settings, |seen| Ok(seen.clone()))
        } else {
            known.look(case, scenario, &disk)
        };
        // Where no power was lost the store must have what it acknowledged, synced or not.
        let floor = if live { outcome.acknowledged() } else { outcome.floor };
        let judge = Judge { outcome: &outcome, struck: &struck, floor };
        judge.judge(&mut trial, seen, name);
    }
    trial
}

/// The name of the store's own directory, once lost, is saved by no sync; only a power cut shows
/// it, and then there is no store.
fn is_lost_name_of_the_store(struck: &Struck) -> bool {
    let lost = struck.kind == FaultKind::LostReadable && struck.op == OpKind::SyncDir;
    lost && struck.path != Path::new(DIR)
}

/// What states behind a drive are judged by.
struct Judge<'a> {
    outcome: &'a Outcome,
    struck: &'a [Struck],
    /// The least index that may be found.
    floor: u64,
}

impl Judge<'_> {
    fn judge(&self, trial: &mut Trial, seen: Result<Seen, Violation>, name: &str) {
        let judged = seen.map_err(Wrong::Other);
        let judged = judged.and_then(|seen| self.outcome.judge(&seen, self.floor));
        match judged {
            Ok(_) => {}
            Err(wrong) if self.outcome.excuses(&wrong, self.struck) => trial.excused = true,
            Err(wrong) => trial.violations.push(format!("after {name}: {wrong}")),
        }
    }
}

/// Every file that was there holds what it held, unless the open had come to its switch.
fn untouched(before: &MemFs, after: &MemFs) -> Result<(), Violation> {
    let current = Path::new(DIR).join("CURRENT");
    if contents(before, &current) != contents(after, &current) {
        return Ok(());
    }
    for entry in before.list(Path::new(DIR)).unwrap_or_default() {
        let path = Path::new(DIR).join(&entry.name);
        if contents(before, &path) != contents(after, &path) {
            return Err(format!("changed {}", entry.name));
        }
    }
    Ok(())
}

fn contents(fs: &MemFs, path: &Path) -> Option<Vec<u8>> {
    let file = fs.open(path, Mode::Read).ok()?;
    let mut bytes = vec![0; file.len().ok()? as usize];
    file.read_exact_at(&mut bytes, 0).ok()?;
    Some(bytes)
}

/// After the fault, a second one at every call of the recovery, one by one; then a last open.
pub(crate) fn run_pairs(
    case: &Case,
    scenario: &Scenario,
    known: &Known,
    trials: &mut u64,
) -> Trial {
    let disk = scenario.disk();
    let fs = FaultFs::new(Arc::new(disk.clone()));
    for fault in case.faults() {
        fs.arm(fault);
    }
    let outcome = drive(scenario, &fs);
    let struck = fs.struck(0);
    let mut trial = Trial { struck: !struck.is_empty(), ..Trial::default() };
    // The copies of the disk are without what a failed sync lost for good.
    let lost = struck.iter().any(|struck| struck.kind == FaultKind::LostReadable);
    let floor = if lost { outcome.floor } else { outcome.acknowledged() };
    let cut = Judge { outcome: &outcome, struck: &struck, floor: outcome.floor };
    let uncut = Judge { floor, ..cut };
    for second in 0.. {
        *trials += 1;
        let kind = [FaultKind::Fail, FaultKind::FailButDone, FaultKind::LostReadable]
            [(case.seed.wrapping_add(second) % 3) as usize];
        let disk = copy(&disk);
        let fs = FaultFs::new(Arc::new(disk.clone()));
        let id = fs.arm(Fault::nth(second).kind(kind));
        let options = scenario.settings.options(Arc::new(fs.clone()));
        let opened = Db::open(DIR, options);
        let struck_in_open = fs.fired(id) > 0;
        if opened.is_err() && !struck_in_open {
            trial.violations.push(format!("the recovery failed with no fault: {opened:?}"));
        }
        drop(opened);
        let name = format!("a recovery whose call {second} failed ({kind:?}), and a cut");
        cut.judge(&mut trial, known.look(case, scenario, &disk.crash()), &name);
        if fs.struck(0).iter().any(is_lost_name_of_the_store) {
            continue;
        }
        let name = format!("a recovery whose call {second} failed ({kind:?})");
        let settings = scenario.settings;
        let seen = examine(&disk, &scenario.keys, &settings, |seen| Ok(seen.clone()));
        uncut.judge(&mut trial, seen, &name);
        if !struck_in_open {
            return trial;
        }
    }
    trial
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::plan::{self, Then};
    use crate::fault::scenario::draw_all;

    fn run_it(case: &Case, scenario: &Scenario) -> Trial {
        run(case, scenario, &Known::default())
    }

    /// The call of this kind in recovery's care for what it cuts, if the trial came to it.
    fn in_recovery(trial: &Trial, op: OpKind) -> Option<Then> {
        let here =
            |covered: &&Covered| covered.op == op && covered.site.file.ends_with("open/recover.rs");
        let site = trial.coverage.iter().find(here)?.site;
        let manner = *plan::manners(op).last()?;
        Some(Then { site, op, manner, for_ever: true })
    }

    /// A flipped bit in the last group of the log is excused also where all reads are flipped from
    /// the copy of what was cut on, so that no read tells what is left.
    #[test]
    fn the_loss_of_a_last_group_is_excused_where_nothing_can_be_read_behind_it() {
        let scenarios = draw_all(3).expect("they are drawn");
        let (number, scenario) = (2, &scenarios[2]);
        let flips = plan::cases(&scenarios).into_iter().filter(|case| {
            case.scenario == number
                && case.site.file.ends_with("kv-wal/src/window.rs")
                && case.manner.name == "bit-flip"
                && !case.for_ever
        });
        let flips: Vec<Case> = flips.collect();
        let places = (0..400).flat_map(|place| flips.iter().map(move |flip| (flip, place * 64)));
        for (flip, byte) in places {
            let alone = Case { seed: byte * 8 + 3, ..flip.clone() };
            let trial = run_it(&alone, scenario);
            assert_eq!(trial.violations, Vec::<String>::new(), "{alone}");
            if !trial.excused {
                continue;
            }
            let Some(mut link) = in_recovery(&trial, OpKind::HardLink) else { continue };
            link.for_ever = false;
            let linked = alone.with(link);
            let trial = run_it(&linked, scenario);
            let read = in_recovery(&trial, OpKind::Read).expect("the log is copied");
            let blind = linked.with(read);
            let trial = run_it(&blind, scenario);
            assert_eq!(trial.violations, Vec::<String>::new(), "{blind}");
            return;
        }
        panic!("no flipped bit was in the last group");
    }
}
