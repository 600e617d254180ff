//! Runs every fuzz target for some minutes. They need a nightly compiler and `cargo-fuzz`; where one
//! is missing, one line says so.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// A trial may take so many seconds, and allocate so many MiB at once. Naming each function that is
/// new to the fuzzer takes longer than the fuzzing.
const LIMITS: [&str; 3] = ["-timeout=5", "-malloc_limit_mb=64", "-print_funcs=0"];

/// `--minutes N`: each target for so long; one minute where nothing is said.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<bool> {
    let seconds = seconds(arguments)?;
    if let Some(missing) = missing() {
        println!("fuzz: skipped: {missing}");
        return Ok(true);
    }
    if !crate::harness::run(root, &["corpus".to_owned()])? {
        return Ok(false);
    }
    let mut passed = true;
    for target in targets(root)? {
        println!("fuzz: {target}, {seconds} s");
        let limit = format!("-max_total_time={seconds}");
        let status = Command::new("cargo")
            .args(["+nightly", "fuzz", "run", &target, "--", &limit])
            .args(LIMITS)
            .current_dir(root)
            .status()
            .context("cannot start cargo")?;
        passed &= status.success();
    }
    Ok(passed)
}

fn seconds(arguments: &[String]) -> Result<u64> {
    match arguments {
        [_] => Ok(60),
        [_, option, minutes] if option == "--minutes" => {
            let minutes: f64 = minutes.parse().with_context(|| format!("--minutes {minutes}"))?;
            Ok((minutes * 60.0).max(1.0) as u64)
        }
        _ => bail!("usage: cargo xtask fuzz [--minutes N]"),
    }
}

/// What keeps the targets from running here.
fn missing() -> Option<&'static str> {
    let works = |arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    if !works(&["+nightly", "--version"]) {
        Some("no nightly compiler: rustup toolchain install nightly")
    } else if !works(&["fuzz", "--version"]) {
        Some("no cargo-fuzz: cargo install cargo-fuzz --locked")
    } else {
        None
    }
}

/// The names of the targets, sorted.
fn targets(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root.join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        if let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_become_seconds() {
        let say = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(seconds(&say(&["fuzz"])).ok(), Some(60));
        assert_eq!(seconds(&say(&["fuzz", "--minutes", "0.5"])).ok(), Some(30));
        assert!(seconds(&say(&["fuzz", "--hours", "1"])).is_err());
    }
}
