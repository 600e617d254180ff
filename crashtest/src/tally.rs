//! What the chains of lives of the black box found together.

use crate::child::Outcome;
use crate::report::Row;
use anyhow::{Result, anyhow};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Chains that run side by side.
const CHAINS: u64 = 2;
/// After so many violations the rest would say the same.
const ENOUGH: usize = 6;
/// Of so many lives at least one must come to a verdict.
const VERDICTS: u64 = 4;
/// So many acknowledged writes must be owed and found for each trial.
const OWED: u64 = 5;
/// How long an open may take, on a machine that does much else too.
const OPEN: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Kills or cuts.
    pub(crate) trials: u64,
    pub(crate) lives: u64,
    /// Lives that looked at the whole store.
    pub(crate) verdicts: u64,
    /// Looks at a copy of the directory.
    pub(crate) copies: u64,
    /// Acknowledged writes that had to be there and were looked for.
    pub(crate) owed: u64,
    /// Where in the program or the file system it ended.
    pub(crate) sites: BTreeSet<String>,
    pub(crate) slowest: Duration,
    pub(crate) violations: Vec<String>,
}

impl Found {
    /// Where the lives looked at too little to prove anything.
    fn shallow(&self, count: u64) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.violations.is_empty() {
            // It ended early, and fails anyhow.
            return lines;
        }
        if self.verdicts < self.lives / VERDICTS {
            lines.push(format!("only {} of {} lives had a verdict", self.verdicts, self.lives));
        }
        if self.owed < count * OWED {
            lines.push(format!("only {} writes were owed, not {}", self.owed, count * OWED));
        }
        lines
    }
}

/// What a life left out that was neither killed nor hindered.
fn unfinished(outcome: &Outcome) -> Option<&'static str> {
    if outcome.killed || outcome.broken.is_some() || outcome.failed.is_some() {
        return None;
    }
    match &outcome.verdict {
        None => Some("it ended by itself, without a verdict"),
        Some(verdict) if verdict.violations.is_empty() && !outcome.closed => {
            Some("it ended by itself, without a close")
        }
        Some(_) => None,
    }
}

/// Counts what happens until there were enough trials.
#[derive(Debug)]
pub(crate) struct Tally {
    found: Mutex<Found>,
    count: u64,
    begun: Instant,
}

impl Tally {
    pub(crate) fn new(count: u64) -> Tally {
        Tally { found: Mutex::default(), count, begun: Instant::now() }
    }

    pub(crate) fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there were as many trials as asked for.
    pub(crate) fn enough(&self) -> bool {
        let found = self.found();
        found.trials >= self.count || found.violations.len() >= ENOUGH
    }

    /// Calls `chain` with numbers of its own until it is enough.
    pub(crate) fn run(&self, chain: impl Fn(u64) -> Result<()> + Sync) -> Result<()> {
        let chain = &chain;
        std::thread::scope(|scope| {
            let worker = move |first: u64| -> Result<()> {
                let mut number = first;
                while !self.enough() {
                    chain(number)?;
                    number += CHAINS;
                }
                Ok(())
            };
            let workers: Vec<_> = (0..CHAINS).map(|n| scope.spawn(move || worker(n))).collect();
            for worker in workers {
                worker.join().map_err(|_| anyhow!("a chain panicked"))??;
            }
            Ok(())
        })
    }

    /// Counts a life, and answers what it violated.
    pub(crate) fn count(&self, outcome: &Outcome, site: Option<String>) -> Vec<String> {
        let mut found = self.found();
        found.lives += 1;
        found.verdicts += u64::from(outcome.verdict.is_some());
        found.trials += u64::from(site.is_some());
        found.sites.extend(site);
        found.slowest = found.slowest.max(outcome.opened.unwrap_or_default());
        found.owed += outcome.verdict.as_ref().map_or(0, |verdict| verdict.owed);
        drop(found);
        let mut lines = outcome.verdict.as_ref().map_or(vec![], |found| found.violations.clone());
        lines.extend(unfinished(outcome).map(str::to_owned));
        // An engine that nothing hinders must not refuse anything.
        lines.extend(outcome.failed.clone());
        lines.extend(outcome.broken.clone());
        if let Some(opened) = outcome.opened.filter(|opened| *opened > OPEN) {
            lines.push(format!("an open took {opened:?}"));
        }
        lines
    }

    /// The row of a command that counts `unit`.
    pub(crate) fn row(self, name: String, unit: &'static str) -> Row {
        let elapsed = self.begun.elapsed();
        let mut found = self.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let shallow = found.shallow(self.count);
        found.violations.extend(shallow);
        let sites: Vec<&str> = found.sites.iter().map(String::as_str).collect();
        let speed = found.trials as f64 / elapsed.as_secs_f64();
        Row {
            ran: found.trials,
            floor: self.count,
            distinct: Some((sites.len() as u64, (self.count / 4).min(25))),
            notes: vec![
                format!("{} acknowledged writes were owed and looked for", found.owed),
                format!("{} lives, {} with a verdict", found.lives, found.verdicts),
                format!("{} copies looked at", found.copies),
                format!("slowest open {:.1} ms", found.slowest.as_secs_f64() * 1e3),
                format!("{speed:.1} {unit} per second"),
                format!("sites: {}", sites.join(", ")),
            ],
            violations: found.violations,
            elapsed,
            ..Row::new(name, unit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_crashtest::torture::Verdict;

    #[test]
    fn a_life_that_ends_by_itself_owes_a_verdict_and_a_close() {
        let tally = Tally::new(1);
        let silent = Outcome::default();
        assert_eq!(tally.count(&silent, None), ["it ended by itself, without a verdict"]);
        let verdict = Some(Verdict::default());
        let open = Outcome { verdict, ..Outcome::default() };
        assert_eq!(tally.count(&open, None), ["it ended by itself, without a close"]);
        let whole = Outcome { closed: true, ..open };
        assert!(tally.count(&whole, None).is_empty());
        let killed = Outcome { killed: true, ..Outcome::default() };
        assert!(tally.count(&killed, None).is_empty());
    }

    #[test]
    fn trials_without_verdicts_or_owed_writes_fail() {
        let found = Found { lives: 8, verdicts: 2, owed: 40, ..Found::default() };
        assert!(found.shallow(8).is_empty());
        assert_eq!(found.shallow(9).len(), 1);
        assert_eq!(Found { verdicts: 1, ..found }.shallow(8).len(), 1);
    }
}
