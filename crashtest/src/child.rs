//! The program that writes until it is killed, as its parent sees it: started, listened to,
//! killed, waited for. A child never outlives its handle.

use crate::awake::{awake, awake_since};
use anyhow::{Context, Result, bail};
use kv_crashtest::torture::{DyingFs, Kv, Ledger, Life, Verdict};
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus, waitid};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a life may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it is listened to at once.
const TICK: Duration = Duration::from_millis(50);

/// Lives: this is the child.
pub(crate) fn live(life: &Life) -> Result<bool> {
    let file_system = DyingFs::new(life.death, &Ledger::new(&life.ledger));
    let phases = file_system.clone();
    let engine = Kv { file_system: Arc::new(file_system) };
    Ok(kv_crashtest::torture::run(&engine, life, &|phase| phases.enter(phase)).is_ok())
}

/// The program to start where no other is named: this one, as the child.
pub(crate) fn program() -> Result<Vec<String>> {
    Ok(vec![std::env::current_exe()?.display().to_string(), "torture".to_owned()])
}

/// Where a ledger lies best: in memory that outlives the process.
pub(crate) fn ledger_dir() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let prefix = "crashtest-ledger-";
    Ok(if memory.is_dir() {
        TempDir::with_prefix_in(prefix, memory)
    } else {
        TempDir::with_prefix(prefix)
    }?)
}

/// What a child told.
#[derive(Debug)]
pub(crate) enum Event {
    Opened(Duration),
    Checked(Verdict),
    Closing,
    Closed,
    Failed(String),
    /// A whole line that no child should tell.
    Strange(String),
}

/// Where in its life a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Started,
    Opened,
    Checked,
    Closing,
}

/// A child that runs, or that died and was not waited for.
pub(crate) struct Child {
    process: std::process::Child,
    events: Receiver<Event>,
}

/// How a life went.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// It was killed, by itself or by its parent.
    pub(crate) killed: bool,
    /// How long the store took to open.
    pub(crate) opened: Option<Duration>,
    pub(crate) verdict: Option<Verdict>,
    /// It came to its end in order.
    pub(crate) closed: bool,
    /// What the engine refused, or where a thread of it panicked.
    pub(crate) failed: Option<String>,
    /// It panicked, hung or died of something else.
    pub(crate) broken: Option<String>,
}

impl Outcome {
    /// Takes note; answers the stage that was reached.
    fn note(&mut self, event: Event) -> Option<Stage> {
        match event {
            Event::Opened(time) => {
                self.opened = Some(time);
                return Some(Stage::Opened);
            }
            Event::Checked(verdict) => {
                self.verdict = Some(verdict);
                return Some(Stage::Checked);
            }
            Event::Closing => return Some(Stage::Closing),
            Event::Failed(why) => self.failed = Some(why),
            Event::Closed => self.closed = true,
            Event::Strange(line) => {
                self.broken = Some(format!("it told something strange: {line:?}"));
            }
        }
        None
    }
}

impl Child {
    /// Starts `program`, whose first part is the file and the rest come before the life's.
    pub(crate) fn start(program: &[String], life: &Life) -> Result<Child> {
        let (file, first) = program.split_first().context("no program")?;
        let mut process = Command::new(file)
            .args(first)
            .args(life.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {file}"))?;
        let out = process.stdout.take().context("no pipe")?;
        let (sender, events) = channel();
        std::thread::spawn(move || listen(out, |event| sender.send(event).is_ok()));
        Ok(Child { process, events })
    }

    /// Follows it to its end. `strike` is called once, so long after it reached a stage.
    pub(crate) fn follow(
        &mut self,
        stage: Option<(Stage, Duration)>,
        mut strike: impl FnMut(&mut Child) -> Result<()>,
    ) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let begun = awake();
        let (mut at, mut struck, mut strike_at) = (Stage::Started, false, None);
        loop {
            if let Some((stage, delay)) = stage
                && strike_at.is_none()
                && at >= stage
            {
                strike_at = Some(Instant::now() + delay);
            }
            let strike_in = strike_at
                .filter(|_| !struck)
                .map(|at: Instant| at.saturating_duration_since(Instant::now()));
            match self.events.recv_timeout(strike_in.unwrap_or(TICK)) {
                Ok(event) => at = outcome.note(event).unwrap_or(at),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if strike_in.is_some() => {
                    struck = true;
                    strike(self)?;
                }
                Err(RecvTimeoutError::Timeout) if awake_since(begun) < PATIENCE => {}
                Err(RecvTimeoutError::Timeout) => {
                    self.kill()?;
                    outcome.broken = Some(format!("hung for {} s at {at:?}", PATIENCE.as_secs()));
                    break;
                }
            }
        }
        let status = self.ended()?;
        outcome.killed = status.terminating_signal() == Some(9) && outcome.broken.is_none();
        let sound = outcome.killed || status.exit_status().is_some_and(|code| code < 2);
        if !sound && outcome.broken.is_none() {
            outcome.broken = Some(format!("ended badly at {at:?}: {status:?}"));
        }
        Ok(outcome)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.kill().context("cannot kill a child")
    }

    pub(crate) fn id(&self) -> Option<Pid> {
        i32::try_from(self.process.id()).ok().and_then(Pid::from_raw)
    }

    /// Waits until it died, and leaves it as it is: a process that nobody waited for.
    fn ended(&self) -> Result<WaitIdStatus> {
        let pid = self.id().context("no id")?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let ended = rustix::io::retry_on_intr(|| waitid(WaitId::Pid(pid), options))?;
        match ended {
            Some(status) => Ok(status),
            None => bail!("the child has not ended"),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Passes on each whole line until nobody listens. A line that a kill cut short does not count.
fn listen(out: impl Read, pass_on: impl Fn(Event) -> bool) {
    let mut out = BufReader::new(out);
    let mut line = Vec::new();
    while out.read_until(b'\n', &mut line).is_ok() && line.pop() == Some(b'\n') {
        let text = String::from_utf8_lossy(&line);
        if !pass_on(parse(&text).unwrap_or_else(|| Event::Strange(text.into_owned()))) {
            break;
        }
        line.clear();
    }
}

fn parse(line: &str) -> Option<Event> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    Some(match word {
        "opened" => Event::Opened(Duration::from_micros(rest.parse().ok()?)),
        "checked" => Event::Checked(Verdict::parse(rest).ok()?),
        "closing" => Event::Closing,
        "closed" => Event::Closed,
        "failed" => Event::Failed(rest.to_owned()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn told(out: &[u8]) -> Outcome {
        let outcome = RefCell::new(Outcome::default());
        listen(out, |event| {
            outcome.borrow_mut().note(event);
            true
        });
        outcome.into_inner()
    }

    #[test]
    fn a_strange_line_is_a_fault_and_hides_nothing_after_it() {
        let outcome = told(b"opened 12\nhello\nchecked {\"owed\": 3}\nclosing\nclosed\n");
        assert!(outcome.broken.is_some_and(|why| why.contains("hello")));
        assert_eq!(outcome.verdict.map(|verdict| verdict.owed), Some(3));
        assert!(outcome.closed);
    }

    #[test]
    fn a_line_cut_short_by_a_kill_does_not_count() {
        let outcome = told(b"opened 12\nchecked {\"ow");
        assert!(outcome.opened.is_some() && outcome.verdict.is_none() && outcome.broken.is_none());
    }
}
