//! Watches the trials from outside: panics on any thread, trials that do not end, and memory.

use crate::awake::{awake, awake_since, used};
use crate::memory;
use anyhow::Result;
use kv_crashtest::hostile::{Outcome, Target};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A trial that keeps a processor busy for longer hangs.
const LONGEST: Duration = Duration::from_secs(5);
/// One that does not come to an end at all, on a machine with other work, too.
const NO_END: Duration = Duration::from_secs(30);
/// What a trial may allocate above what there was.
const MOST_MEMORY: usize = 64 << 20;

/// Panics on threads that a store started.
static PANICS: AtomicU64 = AtomicU64::new(0);
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

thread_local! {
    /// What this thread panicked with, if trials run on it.
    static OWN_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    static HAS_TRIALS: Cell<bool> = const { Cell::new(false) };
}

/// A trial under way.
struct Trial {
    since: Duration,
    target: Target,
    input: Vec<u8>,
}

/// The trial of one thread.
#[derive(Clone, Default)]
pub(super) struct Slot(Arc<Mutex<Option<Trial>>>);

/// Counts panics of all threads instead of printing them.
pub(super) fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        if HAS_TRIALS.get() {
            OWN_PANIC.set(Some(info.to_string()));
            return;
        }
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
        PANICS.fetch_add(1, Ordering::SeqCst);
    }));
}

impl Slot {
    /// Runs a target; an error names the promise that is broken.
    pub(super) fn run(&self, target: Target, input: &[u8]) -> Outcome {
        let trial = Trial { since: awake(), target, input: input.to_vec() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(trial);
        HAS_TRIALS.set(true);
        let panics = PANICS.load(Ordering::SeqCst);
        let before = memory::now();
        let begun = used();
        memory::forget_peak();
        let outcome = catch_unwind(AssertUnwindSafe(|| target.run(input)));
        let peak = memory::peak().saturating_sub(before);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(panic) = OWN_PANIC.take() {
            return Err(panic.replace('\n', " "));
        }
        if PANICS.load(Ordering::SeqCst) != panics {
            let last = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner);
            return Err(last.replace('\n', " "));
        }
        let took = used().saturating_sub(begun);
        if took > LONGEST {
            return Err(format!("took {took:?} of a processor"));
        }
        if peak > MOST_MEMORY {
            return Err(format!("{} MiB allocated", peak >> 20));
        }
        outcome.unwrap_or(Ok(false))
    }

    /// Ends the program where the trial does not end.
    fn check(&self) {
        let trial = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trial) = trial.as_ref().filter(|trial| awake_since(trial.since) > NO_END) {
            let kept = keep(trial.target, &trial.input);
            let kept = kept.map_or_else(|e| e.to_string(), |file| repeat(trial.target, &file));
            eprintln!("! {}: no end after {NO_END:?}; {kept}", trial.target.name());
            std::process::exit(1);
        }
    }
}

/// Looks after the slots until the program ends.
pub(super) fn watch(slots: Vec<Slot>) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(NO_END / 100);
            slots.iter().for_each(Slot::check);
        }
    });
}

/// Keeps an input that broke a promise.
pub(super) fn keep(target: Target, input: &[u8]) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/hostile");
    std::fs::create_dir_all(&root)?;
    let file = root.join(format!("{}-{:08x}", target.name(), crc32fast::hash(input)));
    std::fs::write(&file, input)?;
    Ok(file.canonicalize()?)
}

/// How to repeat a trial.
pub(super) fn repeat(target: Target, file: &Path) -> String {
    format!("cargo xtask crashtest mutate --target {} --input {}", target.name(), file.display())
}
