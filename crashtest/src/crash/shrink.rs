//! Makes the history of a violation small: steps are left out as long as some crash of the rest
//! still violates the property.

use crate::crash::checker::{Checker, Subject};
use crate::crash::cut::Cut;
use crate::crash::sweep::{Base, sweep_parallel};
use crate::history::Step;
use crate::record::{Start, clock_at, record};
use crate::rng::mix;
use crate::settings::Settings;
use anyhow::Result;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After so long the smallest history until then is answered.
const PATIENCE: Duration = Duration::from_secs(15);

/// The smallest history that was found to fail, as text of one line.
pub(crate) fn smallest(
    start: &Start,
    base: Base<'_>,
    steps: &[Step],
    settings: &Settings,
) -> Result<String> {
    if std::env::var_os("KV_PLANTED").is_some() {
        return Ok("a planted bug is not shrunk".to_owned());
    }
    let mut fails = |steps: &[Step]| violation(start, base, steps, settings).map(|v| v.is_some());
    let least = delta_debug(steps, &mut fails)?;
    let text: Vec<String> = least.iter().map(Step::to_string).collect();
    let why = violation(start, base, &least, settings)?;
    let why = why.unwrap_or_else(|| "it depends on the order of threads".to_owned());
    Ok(format!("least history ({} steps): {} | {why}", least.len(), text.join(" | ")))
}

/// A violation that some crash of this history leaves.
fn violation(
    start: &Start,
    base: Base<'_>,
    steps: &[Step],
    settings: &Settings,
) -> Result<Option<String>> {
    let clock = clock_at(start.epoch);
    let recorded = match record(&base(Arc::clone(&clock)), &clock, start, steps, settings) {
        Ok(recorded) => recorded,
        Err(error) => return Ok(Some(format!("{error:#}"))),
    };
    let timeline = &recorded.timeline;
    let checker = Checker::new(Subject { start, steps, timeline, settings }, Settings::quiet());
    sweep_parallel(&recorded, base, &|point| {
        for round in 0..2 {
            for cut in Cut::policies(mix(point.at as u64 + round)) {
                if checker.violations().is_empty() && !point.acknowledged {
                    checker.judge(point.fs, &cut, point.bounds, || format!("at {}", point.at));
                }
            }
        }
    })?;
    Ok(checker.violations().pop())
}

/// Leaves out halves, quarters and so on, down to single steps.
fn delta_debug(
    steps: &[Step],
    fails: &mut dyn FnMut(&[Step]) -> Result<bool>,
) -> Result<Vec<Step>> {
    let until = Instant::now() + PATIENCE;
    let mut left = steps.to_vec();
    let mut size = left.len() / 2;
    while size > 0 && Instant::now() < until {
        let mut from = 0;
        let mut shrunk = false;
        while from < left.len() && Instant::now() < until {
            let to = (from + size).min(left.len());
            let mut fewer = left.clone();
            fewer.drain(from..to);
            if fails(&fewer)? {
                left = fewer;
                shrunk = true;
            } else {
                from = to;
            }
        }
        if !shrunk || size > 1 {
            size /= 2;
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let mut steps = vec![Step::Sync; 40];
        steps.insert(13, Step::Flush);
        steps.insert(29, Step::Compact);
        let mut fails =
            |steps: &[Step]| Ok(steps.contains(&Step::Flush) && steps.contains(&Step::Compact));
        assert_eq!(delta_debug(&steps, &mut fails).unwrap(), [Step::Flush, Step::Compact]);
    }
}
