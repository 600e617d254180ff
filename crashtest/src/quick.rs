//! The short form of everything: what is run before a change is taken.

use crate::report::Row;
use crate::{checks, crash, fault, flip, format, fuse, kill, model, mutate, planted};
use crate::{soak, transactions};
use anyhow::Result;
use std::time::{Duration, Instant};

/// How long all of it may take on two processors.
const LIMIT: Duration = Duration::from_secs(360);

type Part = (&'static str, fn() -> Result<Vec<Row>>);

/// In this order: what finds most in the least time comes first.
const PARTS: &[Part] = &[
    ("formats", format::quick),
    ("rare situations", checks::quick),
    ("crashes in memory", crash::quick),
    ("faults", fault::quick),
    ("damage", flip::quick),
    ("mutations", mutate::quick),
    ("model", model::quick),
    ("transactions", transactions::quick),
    ("soak", soak::quick),
    ("kills", kill::quick),
    ("power cuts under a mount", fuse::quick),
    ("planted bugs", planted::quick),
];

/// Runs every part, whatever became of the ones before. A part that cannot be run has failed.
pub(crate) fn run() -> Result<Vec<Row>> {
    let begun = Instant::now();
    let mut rows = Vec::new();
    for (name, part) in PARTS {
        let from = Instant::now();
        match part() {
            Ok(found) => rows.extend(found),
            Err(error) => {
                let mut row = Row::new(*name, "");
                row.violations.push(format!("it does not run: {error:#}"));
                rows.push(row);
            }
        }
        eprintln!("{name}: {:.0} s", from.elapsed().as_secs_f64());
    }
    let all = begun.elapsed();
    let mut whole = Row { elapsed: all, ran: PARTS.len() as u64, ..Row::new("all of it", "parts") };
    if all > LIMIT {
        // A slow machine loses nothing, so it is told and does not fail.
        whole.notes.push(format!("took longer than the {} s it is meant to", LIMIT.as_secs()));
    }
    rows.push(whole);
    Ok(rows)
}
