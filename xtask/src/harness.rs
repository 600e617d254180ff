//! Starts the harness, a program of its own: it is built optimised, with the hooks for planted bugs
//! and marks compiled in, and in a folder of its own so that other builds stay as they are.

use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// Runs the harness with these arguments; answers whether it passed.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<bool> {
    let status = Command::new("cargo")
        .args(["run", "--quiet", "--profile", "crashtest", "--package", "kv-crashtest"])
        .args(["--config", r#"build.rustflags=["--cfg","kv_harness"]"#, "--target-dir"])
        .arg(root.join("target/crashtest"))
        // A file system of our own needs the kernel's help.
        .args(if cfg!(target_os = "linux") { &["--features", "fuse"][..] } else { &[] })
        .arg("--")
        .args(arguments)
        // It would take the place of the flags above, and planted bugs would do nothing.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(root)
        .status()
        .context("cannot start cargo")?;
    Ok(status.success())
}
