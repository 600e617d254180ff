//! What a run of the harness says: rows for people, JSON for machines, and whether it passed.

use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// How many violations of one row are printed whole; all are counted.
const SHOWN: usize = 10;

/// One kind of trial.
#[derive(Debug, Default)]
pub(crate) struct Row {
    /// What was tried, such as `exhaustive small`.
    pub(crate) name: String,
    /// What is counted, such as `crash states`.
    pub(crate) unit: &'static str,
    /// How many ran.
    pub(crate) ran: u64,
    /// How many must run for the row to pass.
    pub(crate) floor: u64,
    /// How many of them were distinct, and how many must be, where that is known.
    pub(crate) distinct: Option<(u64, u64)>,
    /// Each in one line, with the way to repeat it.
    pub(crate) violations: Vec<String>,
    /// Why it could not run here. It then counts as skipped, never as passed.
    pub(crate) skipped: Option<String>,
    /// Figures worth reading, such as a histogram.
    pub(crate) notes: Vec<String>,
    pub(crate) elapsed: Duration,
}

/// How a row ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed,
    Skipped,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, unit: &'static str) -> Row {
        Row { name: name.into(), unit, ..Row::default() }
    }

    /// A row for what cannot run on this machine.
    pub(crate) fn skipped(name: impl Into<String>, unit: &'static str, why: &str) -> Row {
        Row { skipped: Some(why.to_owned()), ..Row::new(name, unit) }
    }

    /// Adds more trials of the same kind.
    pub(crate) fn add(&mut self, more: Row) {
        self.ran += more.ran;
        self.distinct = match (self.distinct, more.distinct) {
            (Some((found, floor)), Some((more, _))) => Some((found + more, floor)),
            (found, _) => found,
        };
        self.violations.extend(more.violations);
        self.notes.extend(more.notes);
        self.elapsed += more.elapsed;
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let few = self.distinct.is_some_and(|(found, floor)| found < floor);
        if !self.violations.is_empty() {
            Verdict::Failed
        } else if self.skipped.is_some() {
            Verdict::Skipped
        } else if self.ran < self.floor || few {
            Verdict::Failed
        } else {
            Verdict::Passed
        }
    }

    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit,
            "ran": self.ran,
            "floor": self.floor,
            "distinct": self.distinct.map(|(found, _)| found),
            "distinct_floor": self.distinct.map(|(_, floor)| floor),
            "violations": self.violations,
            "skipped": self.skipped,
            "notes": self.notes,
            "seconds": self.elapsed.as_secs_f64(),
            "verdict": format!("{:?}", self.verdict()).to_lowercase(),
        })
    }
}

/// The rows of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// Whether no row failed.
    pub(crate) fn passed(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.verdict() != Verdict::Failed)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "passed": self.passed(),
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
        })
    }
}

impl From<Vec<Row>> for Report {
    fn from(rows: Vec<Row>) -> Self {
        Report { rows }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(4);
        writeln!(
            f,
            "{:width$}  {:>12} {:<16} {:>12} {:>10} {:>8}  verdict",
            "what", "ran", "", "distinct", "violations", "seconds"
        )?;
        for row in &self.rows {
            let distinct = row.distinct.map_or(String::new(), |(found, _)| found.to_string());
            write!(
                f,
                "{:width$}  {:>12} {:<16} {:>12} {:>10} {:>8.1}  ",
                row.name,
                row.ran,
                row.unit,
                distinct,
                row.violations.len(),
                row.elapsed.as_secs_f64()
            )?;
            match (row.verdict(), &row.skipped) {
                (Verdict::Skipped, Some(why)) => writeln!(f, "skipped: {why}")?,
                (Verdict::Failed, _) if row.violations.is_empty() => {
                    let distinct = row.distinct.map_or(0, |(_, floor)| floor);
                    writeln!(
                        f,
                        "FAILED: below the floor ({} ran, {distinct} distinct)",
                        row.floor
                    )?;
                }
                (Verdict::Failed, _) => writeln!(f, "FAILED")?,
                (Verdict::Passed | Verdict::Skipped, _) => writeln!(f, "passed")?,
            }
        }
        for row in &self.rows {
            for note in &row.notes {
                writeln!(f, "  {}: {note}", row.name)?;
            }
            for violation in row.violations.iter().take(SHOWN) {
                writeln!(f, "! {}: {violation}", row.name)?;
            }
            if let Some(more) = row.violations.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                writeln!(f, "! {}: and {more} more", row.name)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_fails_and_a_skip_does_not_pass() {
        let mut row = Row { ran: 5, floor: 5, ..Row::new("a", "states") };
        assert_eq!(row.verdict(), Verdict::Passed);
        row.violations.push("lost".to_owned());
        assert_eq!(row.verdict(), Verdict::Failed);
        assert_eq!(Row::skipped("b", "cuts", "no device").verdict(), Verdict::Skipped);
    }

    #[test]
    fn too_few_runs_or_too_few_distinct_states_fail() {
        let few = Row { ran: 4, floor: 5, ..Row::new("a", "states") };
        assert_eq!(few.verdict(), Verdict::Failed);
        let same = Row { ran: 9, floor: 5, distinct: Some((1, 2)), ..Row::new("a", "states") };
        assert_eq!(same.verdict(), Verdict::Failed);
        assert!(!Report::from(vec![same]).passed());
    }
}
