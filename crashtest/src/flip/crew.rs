//! The threads that work through the pieces, with an eye on time, memory and panics.

use super::damage::Damage;
use super::judge::{Class, Verdict};
use super::plan::Piece;
use super::subject::{Flavour, Subject};
use super::trial::{self, Depth};
use crate::awake::{awake, awake_since, used};
use crate::image::Kind;
use crate::memory;
use crate::rng::mix;
use anyhow::{Context, Result};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// The most memory that a trial may take beyond what is taken anyway.
const MEMORY: usize = 64 << 20;
/// The longest that a trial may keep a processor busy.
const LONGEST: Duration = Duration::from_secs(5);
/// How long one that does not end at all is waited for, on a machine with other work, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often each class was met, by kind of file, and what was violated.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) ran: u64,
    pub(crate) classes: BTreeMap<(Kind, Class), u64>,
    pub(crate) violations: Vec<String>,
    /// Hashes of the messages, without their numbers.
    pub(crate) messages: BTreeSet<u64>,
    /// Messages that name the damaged file.
    pub(crate) named: u64,
    pub(crate) told: u64,
}

impl Tally {
    fn add(&mut self, subject: &Subject, damage: &Damage, verdict: Verdict) {
        let Verdict { class, said } = verdict;
        self.ran += 1;
        *self.classes.entry((Kind::of(&damage.file), class)).or_default() += 1;
        if class.is_forbidden() {
            let name = &subject.name;
            self.violations
                .push(format!("{class:?}: {said}; repeat: flip --fixture {name} --only {damage}"));
        } else if !matches!(class, Class::Identical | Class::TailLoss | Class::ProofLoss) {
            self.told += 1;
            self.named += u64::from(said.contains(&damage.file));
            let words: String = said.chars().filter(|c| !c.is_ascii_digit()).collect();
            self.messages.insert(xxh3_64(words.as_bytes()));
        }
    }

    pub(crate) fn merge(&mut self, other: Tally) {
        self.ran += other.ran;
        for (class, count) in other.classes {
            *self.classes.entry(class).or_default() += count;
        }
        self.violations.extend(other.violations);
        self.messages.extend(other.messages);
        self.named += other.named;
        self.told += other.told;
    }
}

/// What all threads share.
struct Crew<'a> {
    subjects: &'a [Subject],
    pieces: &'a [Piece],
    next: AtomicUsize,
    done: AtomicBool,
    /// What each thread is at, and since when.
    at: Vec<Mutex<Option<(Duration, String, Damage)>>>,
    /// Held for writing by a trial that is repeated alone.
    alone: RwLock<()>,
    /// Grows whenever too much memory was seen.
    excess: AtomicU64,
    /// What is allocated when nothing runs.
    baseline: usize,
}

/// Panics of all threads, the engine's own included.
static PANICS: AtomicU64 = AtomicU64::new(0);
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

/// From now on panics are counted instead of printed.
pub(crate) fn count_panics() {
    std::panic::set_hook(Box::new(|info| {
        *LAST_PANIC.lock() = info.to_string().replace('\n', " ");
        PANICS.fetch_add(1, Ordering::SeqCst);
    }));
}

/// Tries all damages of the pieces on all processors.
pub(crate) fn work(subjects: &[Subject], pieces: &[Piece]) -> Result<Tally> {
    let threads = thread::available_parallelism().map_or(1, |n| n.get());
    memory::forget_peak();
    let crew = Crew {
        subjects,
        pieces,
        next: AtomicUsize::new(0),
        done: AtomicBool::new(false),
        at: (0..threads).map(|_| Mutex::new(None)).collect(),
        alone: RwLock::new(()),
        excess: AtomicU64::new(0),
        baseline: memory::now(),
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|n| {
                scope.spawn({
                    let crew = &crew;
                    move || crew.worker(n)
                })
            })
            .collect();
        scope.spawn(|| crew.watch());
        let mut tally = Tally::default();
        let mut outcome = Ok(());
        for worker in workers {
            match worker.join() {
                Ok(Ok(part)) => tally.merge(part),
                Ok(Err(error)) => outcome = Err(error),
                Err(_) => {
                    outcome = Err(anyhow::anyhow!("the harness panicked: {}", LAST_PANIC.lock()))
                }
            }
        }
        crew.done.store(true, Ordering::Release);
        outcome.map(|()| tally)
    })
}

/// What else is done in a trial; it depends on the damage alone, so that a repetition is one.
pub(crate) fn depth(damage: &Damage) -> Depth {
    let draw = mix(xxh3_64(damage.to_string().as_bytes()));
    Depth {
        flavour: Flavour { tight: draw & 1 == 1, read_only: false },
        read_only: draw >> 8 & 7 == 0,
        rewrite: draw >> 16 & 15 == 0,
    }
}

impl Crew<'_> {
    fn worker(&self, number: usize) -> Result<Tally> {
        let mut tally = Tally::default();
        loop {
            let piece = self.pieces.get(self.next.fetch_add(1, Ordering::Relaxed));
            let Some(piece) = piece else { return Ok(tally) };
            let subject = self.subjects.get(piece.subject).context("there is no such subject")?;
            for damage in piece.damages(self.subjects) {
                if let Some(verdict) = self.guarded(number, subject, &damage)? {
                    tally.add(subject, &damage, verdict);
                }
            }
        }
    }

    /// A trial, and another one alone where too much memory was taken meanwhile.
    fn guarded(
        &self,
        number: usize,
        subject: &Subject,
        damage: &Damage,
    ) -> Result<Option<Verdict>> {
        let slot = self.at.get(number).context("there is no such thread")?;
        *slot.lock() = Some((awake(), subject.name.clone(), damage.clone()));
        let excess = self.excess.load(Ordering::SeqCst);
        let panics = PANICS.load(Ordering::SeqCst);
        let begun = used();
        let mut verdict = {
            let _running = self.alone.read();
            trial::run(subject, damage, depth(damage))?
        };
        let took = used().saturating_sub(begun);
        if took > LONGEST {
            verdict = Some(Verdict::new(Class::Hang, format!("it took {took:?}")));
        }
        if self.too_much() {
            self.excess.fetch_add(1, Ordering::SeqCst);
        }
        let suspect = excess != self.excess.load(Ordering::SeqCst);
        if suspect || panics != PANICS.load(Ordering::SeqCst) {
            *slot.lock() = None;
            let _alone = self.alone.write();
            memory::forget_peak();
            let panics = PANICS.load(Ordering::SeqCst);
            verdict = trial::run(subject, damage, depth(damage))?;
            if self.too_much() {
                verdict = Some(Verdict::new(Class::Memory, "more than 64 MiB"));
            }
            if panics != PANICS.load(Ordering::SeqCst) {
                verdict = Some(Verdict::new(Class::Panic, LAST_PANIC.lock().clone()));
            }
            memory::forget_peak();
        }
        *slot.lock() = None;
        Ok(verdict)
    }

    fn too_much(&self) -> bool {
        memory::peak().saturating_sub(self.baseline) > MEMORY
    }

    /// Ends the program where a trial does not end: a thread cannot be taken back.
    fn watch(&self) {
        while !self.done.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(100));
            for slot in &self.at {
                if let Some((since, name, damage)) = &*slot.lock()
                    && awake_since(*since) > PATIENCE
                {
                    eprintln!(
                        "! Hang: more than 30 s; repeat: flip --fixture {name} --only {damage}"
                    );
                    std::process::exit(1);
                }
            }
        }
    }
}
