//! One life of the program: open, check, write, close, unless it is killed before.
//!
//! What happens is told on standard output, a line each: `opened MICROSECONDS`, `checked JSON`,
//! `closing`, `closed`, and `failed WHY` where the engine answered an error or a thread panicked. A
//! panic of any thread, the engine's own too, ends the program at once with an abort.

use crate::torture::check::{Floor, check};
use crate::torture::die::{Death, Phase};
use crate::torture::draw::Draw;
use crate::torture::ledger::{Ledger, Pen};
use crate::torture::model::{BANK, Model, STREAMS, SYNCS, Write};
use crate::torture::store::{Engine, Store};
use anyhow::{Context, Result};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a life is to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Life {
    /// Where the store lies.
    #[arg(long)]
    pub dir: PathBuf,
    /// Where the ledger lies, outside the store.
    #[arg(long)]
    pub ledger: PathBuf,
    /// What all is drawn from.
    #[arg(long)]
    pub seed: u64,
    /// The number of this life, from 1, higher than those before.
    #[arg(long)]
    pub life: u32,
    /// Threads that write, 1 to 8.
    #[arg(long, default_value_t = 4)]
    pub writers: u8,
    /// How long they write.
    #[arg(long, default_value_t = 50)]
    pub millis: u64,
    /// Which acknowledged writes must be found.
    #[arg(long, value_enum)]
    pub floor: Floor,
    /// Where to kill itself.
    #[arg(long)]
    pub death: Option<Death>,
    /// Only look.
    #[arg(long)]
    pub look: bool,
}

impl Life {
    /// As arguments of a program.
    pub fn arguments(&self) -> Vec<String> {
        let floor = match self.floor {
            Floor::Acknowledged => "acknowledged",
            Floor::Synced => "synced",
        };
        let mut arguments = vec![
            format!("--dir={}", self.dir.display()),
            format!("--ledger={}", self.ledger.display()),
            format!("--seed={}", self.seed),
            format!("--life={}", self.life),
            format!("--writers={}", self.writers),
            format!("--millis={}", self.millis),
            format!("--floor={floor}"),
        ];
        arguments.extend(self.death.map(|death| format!("--death={death}")));
        arguments.extend(self.look.then(|| "--look".to_owned()));
        arguments
    }
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more where this fails, and nothing depends on it.
    let _ = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
}

/// Lives; `enter` is told of each phase as it begins.
pub fn run(engine: &dyn Engine, life: &Life, enter: &dyn Fn(Phase)) -> Result<()> {
    abort_on_panic();
    let lived = live(engine, life, enter);
    if let Err(error) = &lived {
        tell(&format!("failed {}", format!("{error:#}").replace('\n', "; ")));
    }
    lived
}

/// No panic is passed over: a thread of the engine may die of one unnoticed otherwise.
fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        tell(&format!("failed a thread {}", panic.to_string().replace('\n', " ")));
        std::process::abort();
    }));
}

fn live(engine: &dyn Engine, life: &Life, enter: &dyn Fn(Phase)) -> Result<()> {
    let ledger = Ledger::new(&life.ledger);
    enter(Phase::Open);
    let begun = Instant::now();
    let draw = Draw::new(&[life.seed, u64::from(life.life)]).number();
    let store = engine.open(&life.dir, draw).context("open")?;
    tell(&format!("opened {}", begun.elapsed().as_micros()));
    enter(Phase::Run);
    let mut verdict = check(&*store, &ledger, life.seed, life.floor).context("scan")?;
    if let Err(error) = store.verify(&life.dir) {
        verdict.violations.push(format!("verify: {error:#}"));
    }
    let whole = verdict.violations.is_empty();
    if whole && !life.look {
        ledger.saw(life.life, &verdict.found)?;
    }
    tell(&format!("checked {}", verdict.json()));
    if !whole {
        return Ok(());
    }
    if !life.look {
        write(&*store, life, &ledger, &verdict.found)?;
    }
    tell("closing");
    enter(Phase::Close);
    store.close().context("close")?;
    tell("closed");
    Ok(())
}

/// What all writers share.
struct Desk<'a> {
    store: &'a dyn Store,
    life: &'a Life,
    stop: AtomicBool,
    failure: Mutex<Option<anyhow::Error>>,
    bank: Mutex<Stream>,
    syncs: Mutex<Pen>,
    until: Instant,
}

/// A stream that this life goes on with.
struct Stream {
    model: Model,
    pen: Pen,
}

impl Stream {
    /// The stream as it was found: after `from` writes.
    fn resume(life: &Life, ledger: &Ledger, number: u8, from: u64) -> Result<Stream> {
        let history = ledger.history()?;
        let mut model = Model::new(life.seed, number);
        while model.next() < from {
            // The last of those that had begun here wrote it.
            let of = history.iter().rev().find(|seen| seen.start(number) <= model.next());
            model.step(of.map_or(0, |seen| seen.life));
        }
        Ok(Stream { model, pen: ledger.pen(life.life, number)? })
    }
}

fn write(store: &dyn Store, life: &Life, ledger: &Ledger, found: &[u64]) -> Result<()> {
    let from = |stream: u8| found.get(usize::from(stream)).copied().unwrap_or(0);
    let streams = (0..life.writers.clamp(1, STREAMS - 1))
        .map(|number| Stream::resume(life, ledger, number, from(number)));
    let streams = streams.collect::<Result<Vec<_>>>()?;
    let desk = Desk {
        store,
        life,
        stop: AtomicBool::new(false),
        failure: Mutex::new(None),
        bank: Mutex::new(Stream::resume(life, ledger, BANK, from(BANK))?),
        syncs: Mutex::new(ledger.pen(life.life, SYNCS)?),
        until: Instant::now() + Duration::from_millis(life.millis),
    };
    std::thread::scope(|scope| {
        let desk = &desk;
        for (number, stream) in (0..).zip(streams) {
            scope.spawn(move || desk.note(desk.writer(number, stream)));
        }
        scope.spawn(move || desk.note(desk.keeper()));
    });
    match desk.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

impl Desk<'_> {
    fn note(&self, result: Result<()>) {
        if let Err(error) = result {
            self.stop.store(true, Ordering::SeqCst);
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert(error);
        }
    }

    fn over(&self) -> bool {
        self.stop.load(Ordering::SeqCst) || Instant::now() >= self.until
    }

    /// Writes its own stream, and now and then to the bank.
    fn writer(&self, number: u64, mut stream: Stream) -> Result<()> {
        let mut draw = Draw::new(&[self.life.seed, u64::from(self.life.life), number, 1]);
        while !self.over() {
            if draw.chance(20) {
                let mut bank = self.bank.lock().unwrap_or_else(PoisonError::into_inner);
                self.step(&mut bank)?;
            } else {
                self.step(&mut stream)?;
            }
        }
        Ok(())
    }

    fn step(&self, stream: &mut Stream) -> Result<()> {
        let write = stream.model.step(self.life.life).0.filled();
        stream.pen.intent(write.index)?;
        self.call(&write)?;
        stream.pen.acknowledged(write.index)
    }

    fn call(&self, write: &Write) -> Result<()> {
        match write.changes.as_slice() {
            [one] => match &one.value {
                Some(value) => self.store.put(&one.place, value, write.sync).context("put"),
                None => self.store.delete(&one.place, write.sync).context("delete"),
            },
            several => self.store.batch(several, write.sync).context("batch"),
        }
    }

    /// Moves data about beside the writers, and syncs everything now and then.
    fn keeper(&self) -> Result<()> {
        let mut draw = Draw::new(&[self.life.seed, u64::from(self.life.life), 2]);
        let (moves, mut syncs) = (draw.chance(50), draw.chance(50));
        let mut pen = self.syncs.lock().unwrap_or_else(PoisonError::into_inner);
        for index in 0.. {
            if self.over() {
                break;
            }
            std::thread::sleep(Duration::from_micros(draw.below(8_000)));
            pen.intent(index)?;
            let mut durable = false;
            if syncs && draw.chance(30) {
                syncs = self.store.sync().context("sync")?;
                durable = syncs;
            } else if moves {
                durable = self.store.maintain(draw.number()).context("flush or compact")?;
            }
            if durable {
                pen.acknowledged(index)?;
            }
        }
        Ok(())
    }
}
