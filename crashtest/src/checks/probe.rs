//! What a check asks of a process of its own.

use super::base::{key, value};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use kv_engine::{Db, ErrorKind, Options};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

#[derive(Args)]
pub(crate) struct Probe {
    what: String,
    dir: PathBuf,
}

/// What a process has said, and how it ended.
pub(super) struct Said {
    pub(super) stdout: String,
    pub(super) ended: ExitStatus,
}

/// Runs a probe in a process of its own.
pub(super) fn run_probe(what: &str, dir: &Path) -> Result<Said> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).arg("probe").arg(what).arg(dir).output()?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Said { stdout, ended: output.status })
}

impl Probe {
    /// Does what is asked, and says one word.
    pub(crate) fn run(&self) -> Result<bool> {
        let word = match self.what.as_str() {
            "open" => match Db::open(&self.dir, Options::default()) {
                Ok(_) => "open".to_owned(),
                Err(error) if error.kind() == ErrorKind::Locked => "locked".to_owned(),
                Err(error) => error.to_string(),
            },
            "cut" => cut(&self.dir)?.to_owned(),
            what => bail!("there is no probe {what:?}"),
        };
        println!("{word}");
        Ok(true)
    }
}

/// Reads tables that were cut short after they were opened.
fn cut(dir: &Path) -> Result<&'static str> {
    const KEYS: u64 = 3000;
    // Few merges.
    let settings = Options::default().sync_on_write(false).memory_budget(64 << 10).level0_runs(64);
    let db = Db::open(dir, settings)?;
    for n in 0..KEYS {
        db.put(key(n), value(n, 0, 100))?;
    }
    db.flush()?;
    db.get(key(0))?.context("a key is there")?;
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "sst") {
            match std::fs::OpenOptions::new().write(true).open(&path) {
                // A merge took it away meanwhile.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                opened => opened?.set_len(100)?,
            }
        }
    }
    let mut errors = 0;
    for n in 0..KEYS {
        match db.get(key(n)) {
            Err(_) => errors += 1,
            Ok(Some(found)) if found == value(n, 0, 100) => {}
            Ok(_) => return Ok("a wrong answer"),
        }
    }
    Ok(if errors > 0 { "errors" } else { "no error" })
}
