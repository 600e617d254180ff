//! The golden bytes: the worked examples of `docs/format` against what the encoders write. The
//! comparisons are tests of the crates that own the formats, so that they fail there first.

use crate::report::Row;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// A crate, and which of its tests compare bytes with a document.
const GOLDENS: &[(&str, &str)] = &[
    ("kv-core", "batch"),
    ("kv-core", "internal_key"),
    ("kv-wal", "worked_example"),
    ("kv-manifest", "worked_example"),
    ("kv-sstable", "worked_example"),
    ("kv-sstable", "document"),
    ("kv-index", "worked_example"),
    ("kv-index", "golden_bytes"),
];

/// Runs them; a filter that finds no test is a violation.
pub(crate) fn rows() -> Result<Vec<Row>> {
    let mut row = Row::new("format golden", "tests");
    row.floor = GOLDENS.len() as u64;
    let begin = Instant::now();
    for (package, filter) in GOLDENS {
        let output = Command::new("cargo")
            .args(["test", "--quiet", "--package", package, "--all-targets", "--", filter])
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
            .output()
            .context("cannot start cargo")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let passed = passed(&text);
        row.ran += passed;
        if !output.status.success() || passed == 0 {
            row.violations
                .push(format!("{package}: {passed} passed; cargo test -p {package} {filter}"));
        }
    }
    row.elapsed = begin.elapsed();
    Ok(vec![row])
}

/// How many tests passed, as the lines of the test programs say.
fn passed(text: &str) -> u64 {
    let counts = text.lines().filter_map(|line| {
        line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<u64>().ok()
    });
    counts.sum()
}

#[cfg(test)]
mod tests {
    #[test]
    fn passed_tests_are_counted_over_all_programs() {
        let text = "x\ntest result: ok. 2 passed; 0 failed\n\ntest result: ok. 3 passed; 1\n";
        assert_eq!(super::passed(text), 5);
    }
}
