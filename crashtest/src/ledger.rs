//! The totals of all recorded runs, in a file that is committed: `crashtest/ledger.json`.

use crate::report::{Report, Row, Verdict};
use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ledger.json")
}

fn read() -> Result<Map<String, Value>> {
    let path = file();
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Map::new()),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let ledger = serde_json::from_str(&text);
    ledger.with_context(|| format!("{} is not a JSON object: mend it by hand", path.display()))
}

/// Adds the rows of a run that ran.
pub(crate) fn record(report: &Report) -> Result<()> {
    let mut ledger = read()?;
    for row in report.rows.iter().filter(|row| row.verdict() != Verdict::Skipped) {
        let entry = ledger.entry(row.name.clone()).or_insert_with(|| json!({}));
        let add = |entry: &mut Value, field: &str, n: u64| {
            entry[field] = json!(entry[field].as_u64().unwrap_or(0) + n);
        };
        entry["unit"] = json!(row.unit);
        add(entry, "ran", row.ran);
        add(entry, "violations", row.violations.len() as u64);
        add(entry, "seconds", row.elapsed.as_secs());
        if let Some((found, _)) = row.distinct {
            // Runs may have met the same states, so the total is a sum over runs.
            add(entry, "distinct_by_run", found);
        }
    }
    let text = serde_json::to_string_pretty(&Value::Object(ledger))?;
    std::fs::write(file(), text + "\n").context("cannot write the ledger")
}

/// The totals. A violation of any recorded run is in them for ever.
pub(crate) fn rows() -> Result<Vec<Row>> {
    let ledger = read()?;
    let rows = ledger.iter().map(|(name, entry)| {
        let number = |field: &str| entry[field].as_u64().unwrap_or(0);
        let found = number("violations");
        Row {
            ran: number("ran"),
            distinct: entry["distinct_by_run"].as_u64().map(|found| (found, 0)),
            violations: vec![
                "recorded, see the commit".to_owned();
                usize::try_from(found).unwrap_or(usize::MAX)
            ],
            elapsed: Duration::from_secs(number("seconds")),
            notes: vec![format!("counted in {}", entry["unit"].as_str().unwrap_or("trials"))],
            ..Row::new(name, "")
        }
    });
    Ok(rows.collect())
}
