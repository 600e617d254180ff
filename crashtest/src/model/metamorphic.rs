//! One history under twelve settings, from everything on to everything off: whoever reads sees
//! the same.

use super::generate::{Plan, generate};
use super::run::run as run_case;
use super::settings::Settings;

/// Nothing in which two right answers differ.
pub(super) fn plan() -> Plan {
    Plan { ops: 1_000, faults: false }
}

/// Runs a seed under each setting; answers how many operations ran.
pub(super) fn run(seed: u64, plan: &Plan, progress: &dyn Fn(usize)) -> Result<u64, String> {
    let case = generate(seed, plan);
    let mut first = None;
    let mut ran = 0;
    for (i, settings) in Settings::twelve().into_iter().enumerate() {
        let history = run_case(&case, Some(settings), progress)
            .map_err(|(at, why)| format!("under settings {i}, operation {}: {why}", at + 1))?;
        if *first.get_or_insert(history) != history {
            return Err(format!("seed {seed} reads otherwise under settings {i} than under 0"));
        }
        ran += case.ops.len() as u64;
    }
    Ok(ran)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_looks_the_same_under_every_setting() {
        let plan = Plan { ops: 150, ..plan() };
        assert_eq!(run(3, &plan, &|_| {}), Ok(12 * 150));
    }
}
