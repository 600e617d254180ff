//! A store whose process was killed: the log is as long as it was, and nothing is in tables.

use crate::config::Config;
use crate::keys::{KeyBuf, Shape};
use crate::permute::Permutation;
use crate::store::{Engine, Settings};
use crate::values::Values;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What the process that will be killed has to write, as text on its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    dir: PathBuf,
    settings: Settings,
    shape: Shape,
    seed: u64,
}

/// What it says when it is done.
const READY: &str = "ready";

impl Job {
    /// How many keys it writes: all of [`Settings::keys`].
    pub(crate) fn keys(&self) -> u64 {
        self.settings.keys
    }

    fn to_text(&self) -> String {
        let Settings { cache_bytes, write_buffer_bytes, log_limit_bytes, sync, .. } = self.settings;
        json!({
            "dir": self.dir,
            "cache": cache_bytes,
            "write_buffer": write_buffer_bytes,
            "log_limit": log_limit_bytes,
            "sync": sync,
            "threads": self.settings.threads,
            "keys": self.settings.keys,
            "key_len": self.settings.key_len,
            "value_len": self.settings.value_len,
            "prefix": self.shape == Shape::Prefix,
            "seed": self.seed,
        })
        .to_string()
    }

    fn from_text(text: &str) -> Option<Job> {
        let value: Value = serde_json::from_str(text).ok()?;
        let number = |name: &str| value.get(name)?.as_u64();
        let flag = |name: &str| value.get(name)?.as_bool();
        Some(Job {
            dir: value.get("dir")?.as_str()?.into(),
            settings: Settings {
                cache_bytes: number("cache")?,
                write_buffer_bytes: number("write_buffer")?,
                log_limit_bytes: number("log_limit")?,
                sync: flag("sync")?,
                transactions: false,
                threads: number("threads")? as usize,
                keys: number("keys")?,
                key_len: number("key_len")? as usize,
                value_len: number("value_len")? as usize,
            },
            shape: if flag("prefix")? { Shape::Prefix } else { Shape::Plain },
            seed: number("seed")?,
        })
    }
}

/// The part of the process that will be killed: fills a new store in random order, says so on
/// standard output, and waits for its end, which is also that of its standard input.
///
/// # Errors
///
/// Where `text` is no job, or the store cannot be written.
pub fn fill_and_wait(engine: &dyn Engine, text: &str) -> Result<()> {
    let job = Job::from_text(text).context("the job of the filling process is not understood")?;
    let store = engine.open(&job.dir, &job.settings)?;
    let mut session = store.session()?;
    let values = Values::new(job.settings.value_len);
    let mut key = KeyBuf::new(job.shape, job.settings.key_len);
    let order = Permutation::new(job.keys(), job.seed);
    for n in 0..job.keys() {
        let key = key.set(order.of(n));
        session.put(key, values.of(key))?;
    }
    println!("{READY}");
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Makes such a store in a directory that is not there yet; answers how many keys it holds.
pub(crate) fn make(config: &Config, dir: &Path) -> Result<u64> {
    let Some(filler) = &config.filler else {
        bail!("openlog needs a process that can be killed, and this program offers none");
    };
    let job = Job {
        dir: dir.to_owned(),
        settings: config.log_settings(),
        shape: config.shape,
        seed: config.seed,
    };
    let mut child = filler
        .command(&job.to_text())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("the process that fills the log cannot be started")?;
    let mut line = String::new();
    let said = child.stdout.take().map(|out| BufReader::new(out).read_line(&mut line));
    // SIGKILL: nothing of the store is closed.
    child.kill()?;
    child.wait()?;
    match said {
        Some(Ok(_)) if line.trim_end() == READY => Ok(job.keys()),
        _ => bail!("the process that fills the log failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_the_command_line() {
        let settings = Config { sync: true, ..Config::default() }.log_settings();
        let job = Job { dir: "a \"b\"".into(), settings, shape: Shape::Prefix, seed: 3 };
        assert_eq!(Job::from_text(&job.to_text()), Some(job));
        assert_eq!(Job::from_text("{}"), None);
    }
}
