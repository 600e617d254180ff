//! Opens states and remembers what they were, so that the same state is opened once.

use crate::crash::case;
use crate::crash::cut::Cut;
use crate::crash::watchdog::beat;
use crate::oracle::{Depth, Violation, check};
use crate::record::Start;
use crate::settings::Settings;
use crate::timeline::Timeline;
use kv_vfs::MemFs;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The indexes at which a state may be found, or what is wrong with it.
type Verdict = Result<Arc<[u64]>, Violation>;

/// After so many violations nothing more is judged: what is wrong is clear.
const ENOUGH: usize = 20;

/// What was known at the moment of a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The last index that was acknowledged as durable, or shown by an open.
    pub(crate) floor: u64,
    /// The last index that was attempted.
    pub(crate) ceiling: u64,
    /// The last index that answered: it outlives the end of a process, though not a power cut.
    pub(crate) returned: u64,
    pub(crate) epoch: u64,
}

/// A history whose crashes are judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) start: &'a Start,
    pub(crate) steps: &'a [crate::history::Step],
    pub(crate) timeline: &'a Timeline,
    /// The settings with which it ran.
    pub(crate) settings: &'a Settings,
}

/// Judges states that crashes of one history left.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    pub(crate) subject: Subject<'a>,
    /// The settings with which states are opened.
    pub(crate) settings: Settings,
    verdicts: Mutex<HashMap<(u64, u64), Verdict>>,
    ran: AtomicU64,
    /// What opening and checking took, in nanoseconds.
    spent: AtomicU64,
    violations: Mutex<Vec<String>>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(subject: Subject<'a>, settings: Settings) -> Checker<'a> {
        Checker {
            subject,
            settings,
            verdicts: Mutex::default(),
            ran: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            violations: Mutex::default(),
        }
    }

    /// How many states were judged.
    pub(crate) fn ran(&self) -> u64 {
        self.ran.load(Ordering::Relaxed)
    }

    /// How many of them were distinct, and so opened.
    pub(crate) fn distinct(&self) -> u64 {
        lock(&self.verdicts).len() as u64
    }

    /// How long a state took to be opened and checked, on average.
    pub(crate) fn pace(&self) -> String {
        let each = self.spent.load(Ordering::Relaxed) / self.distinct().max(1);
        format!("a state is opened four times and checked in {} us", each / 1000)
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }

    pub(crate) fn note(&self, violation: String) {
        lock(&self.violations).push(violation);
    }

    /// Judges what a cut of `fs` leaves; answers the least index that it may have, where nothing
    /// is wrong. `what` says where it came from.
    pub(crate) fn judge(
        &self,
        fs: &MemFs,
        cut: &Cut,
        bounds: Bounds,
        what: impl FnOnce() -> String,
    ) -> Option<u64> {
        if lock(&self.violations).len() >= ENOUGH {
            return None;
        }
        self.ran.fetch_add(1, Ordering::Relaxed);
        let survived = if cut.loses_nothing(fs) { bounds.returned } else { 0 };
        let bounds = Bounds { floor: bounds.floor.max(survived), ..bounds };
        let within = |index: &&u64| (bounds.floor..=bounds.ceiling).contains(*index);
        let state = cut.apply(fs);
        let outcome = self.verdict(&state, bounds.epoch).and_then(|indexes| {
            indexes.iter().find(within).copied().ok_or_else(|| {
                let Bounds { floor, ceiling, .. } = bounds;
                format!("it holds index {indexes:?}, which is not from {floor} to {ceiling}")
            })
        });
        match outcome {
            Ok(index) => Some(index),
            Err(violation) => {
                let line = format!("{violation} [{}, {cut}]", what());
                self.note(case::save(self, &line, &cut.apply(fs), bounds));
                None
            }
        }
    }

    fn verdict(&self, state: &MemFs, epoch: u64) -> Verdict {
        let print = (state.fingerprint(), epoch);
        if let Some(known) = lock(&self.verdicts).get(&print) {
            return known.clone();
        }
        beat("");
        let started = Instant::now();
        let found = check(state, self.subject.timeline, epoch, &self.settings, Depth::Whole);
        let took = started.elapsed().as_nanos();
        self.spent.fetch_add(u64::try_from(took).unwrap_or(u64::MAX), Ordering::Relaxed);
        let verdict: Verdict = found.map(Into::into);
        lock(&self.verdicts).insert(print, verdict.clone());
        verdict
    }
}

/// The lock, also after a panic of another thread: what it guards is only ever added to.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
