//! `cargo xtask ci`: the script `.ci/run`, which is the one list of what is checked.

use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Runs the script; answers whether everything passed.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let status = Command::new("bash")
        .arg(".ci/run")
        .current_dir(root)
        .status()
        .context("cannot start bash, which .ci/run is written for")?;
    Ok(status.success())
}
