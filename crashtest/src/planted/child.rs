//! The harness's own commands in processes of their own, with a bug planted or without.

use anyhow::{Context as _, Result};
use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The most that a command may take with a bug, beside what it takes without.
const PATIENCE: Duration = Duration::from_secs(20);
/// With a bug a command may take so many times what it takes without.
const SLOWER: u32 = 4;
/// How long a command that has told a violation may go on: to cut a failing case down is of no use
/// here.
const ENOUGH: Duration = Duration::from_secs(5);
/// The most that a command may take without a bug.
const LIMIT: Duration = Duration::from_secs(300);

/// What counts as finding a bug, beside a violation that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing does.
    Violation,
    /// A panic: the bug makes the engine panic.
    Panic,
    /// That the command does not end, twice in a row.
    Hang,
}

/// How a command ended, with seconds, and the line that says why.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Passed(f64),
    /// It showed what was looked for.
    Found(String, f64),
    /// It ended badly in another way: a floor was missed, it could not run, it was stopped.
    Failed(String),
    /// This harness has no such command.
    Unknown,
}

/// Runs commands, and remembers how they end without a bug.
pub(super) struct Runs {
    program: PathBuf,
    folder: TempDir,
    clean: Mutex<HashMap<&'static str, Outcome>>,
}

impl Runs {
    pub(super) fn new() -> Result<Runs> {
        let program = std::env::current_exe().context("where is this program?")?;
        Ok(Runs { program, folder: tempfile::tempdir()?, clean: Mutex::default() })
    }

    /// How a command ends without a bug.
    pub(super) fn clean(&self, way: &'static str) -> Outcome {
        // Held meanwhile: two bugs of one command do not run it twice.
        let mut clean = self.clean.lock().unwrap_or_else(PoisonError::into_inner);
        clean.entry(way).or_insert_with(|| self.run(0, way, Sign::Violation, LIMIT)).clone()
    }

    /// How it ends with a bug.
    pub(super) fn planted(&self, bug: u8, way: &'static str, sign: Sign) -> Outcome {
        let usual = match self.clean(way) {
            Outcome::Passed(seconds) => Duration::from_secs_f64(seconds),
            _ => Duration::ZERO,
        };
        self.run(bug, way, sign, PATIENCE + usual * SLOWER)
    }

    fn run(&self, bug: u8, way: &str, sign: Sign, limit: Duration) -> Outcome {
        let started = Instant::now();
        let took = || started.elapsed().as_secs_f64();
        let hung = format!("it hung, and was stopped after {} s", limit.as_secs());
        let wait = || self.wait(bug, way, limit);
        match wait() {
            Ok(Ended { code: Code::Stopped, said }) if told(&said).is_none() => {
                if sign != Sign::Hang {
                    return Outcome::Failed(hung);
                }
                match wait() {
                    Ok(Ended { code: Code::Stopped, .. }) => {
                        Outcome::Found(format!("{hung}, twice"), took())
                    }
                    Ok(_) => Outcome::Failed(format!("{hung}, but only once")),
                    Err(error) => Outcome::Failed(format!("{error:#}")),
                }
            }
            Ok(ended) => ended.judge(sign, took()),
            Err(error) => Outcome::Failed(format!("{error:#}")),
        }
    }

    /// Waits for a command's end, or stops it: where the limit is over, or where it has told a
    /// violation and goes on.
    fn wait(&self, bug: u8, way: &str, limit: Duration) -> Result<Ended> {
        let name = format!("{bug}-{}", way.replace([' ', '/'], "_"));
        let output = self.folder.path().join(name);
        let file = File::create(&output)?;
        let mut child = Command::new(&self.program)
            .args(way.split(' '))
            .env("KV_PLANTED", bug.to_string())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()?;
        let said =
            || Ok::<_, std::io::Error>(String::from_utf8_lossy(&std::fs::read(&output)?).into());
        let mut until = Instant::now() + limit;
        let (mut read, mut found) = (0, false);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Ended { code: Code::Ended(status.code()), said: said()? });
            }
            let len = std::fs::metadata(&output)?.len();
            if !found && len > read {
                read = len;
                found = told(&said()?).is_some();
                if found {
                    until = until.min(Instant::now() + ENOUGH);
                }
            }
            if Instant::now() > until {
                child.kill()?;
                child.wait()?;
                return Ok(Ended { code: Code::Stopped, said: said()? });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The line of a violation, if one was told.
fn told(said: &str) -> Option<&str> {
    said.lines().find(|line| line.starts_with("! "))
}

/// How a command came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    /// By itself; by a signal where there is no code.
    Ended(Option<i32>),
    Stopped,
}

/// A command that came to its end.
struct Ended {
    code: Code,
    said: String,
}

impl Ended {
    fn judge(&self, sign: Sign, took: f64) -> Outcome {
        match self.code {
            Code::Ended(Some(0)) => return Outcome::Passed(took),
            // What clap answers to a command or an argument that it does not know.
            Code::Ended(Some(2)) => return Outcome::Unknown,
            _ => {}
        }
        let first = |tells: &dyn Fn(&str) -> bool| {
            let line = self.said.lines().find(|line| tells(line));
            line.map(|line| line.chars().take(200).collect::<String>())
        };
        let panicked = |line: &str| line.contains(" panicked at ");
        let found = told(&self.said).map(|line| line.chars().take(200).collect::<String>());
        let found = found.or_else(|| first(&panicked).filter(|_| sign == Sign::Panic));
        if let Some(line) = found {
            return Outcome::Found(line, took);
        }
        let tells =
            |line: &str| line.starts_with("error: ") || panicked(line) || line.contains("FAILED");
        let line = first(&tells).unwrap_or_else(|| "it says nothing".to_owned());
        Outcome::Failed(format!("ended with {:?}, no violation: {line}", self.code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: i32, said: &str, sign: Sign) -> bool {
        let ended = Ended { code: Code::Ended(Some(code)), said: said.to_owned() };
        matches!(ended.judge(sign, 0.0), Outcome::Found(..))
    }

    #[test]
    fn a_violation_counts_although_the_command_was_stopped() {
        let judged = |said: &str| {
            Ended { code: Code::Stopped, said: said.to_owned() }.judge(Sign::Violation, 0.0)
        };
        assert!(matches!(judged("! seed 3 fails; cutting it down\n"), Outcome::Found(..)));
        assert!(matches!(judged("error: x\n"), Outcome::Failed(_)));
    }

    #[test]
    fn only_a_violation_finds_a_bug() {
        assert!(found(1, "sim FAILED\n! sim: lost\n", Sign::Violation));
        assert!(!found(0, "! sim: lost\n", Sign::Violation));
        assert!(!found(1, "sim  FAILED: below the floor\n", Sign::Violation));
        assert!(!found(1, "error: no space left\n", Sign::Violation));
        assert!(!found(137, "", Sign::Hang));
    }

    #[test]
    fn a_panic_finds_only_a_bug_that_panics() {
        let said = "thread 'x' (7) panicked at src/a.rs:1:1:\n";
        assert!(found(134, said, Sign::Panic));
        assert!(!found(134, said, Sign::Violation) && !found(134, said, Sign::Hang));
    }
}
