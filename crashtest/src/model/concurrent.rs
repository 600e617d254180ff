//! Several writers, readers and upkeep over one store at once. The order of the writers is not
//! known, but each one's own is: what is found of a writer is one of its batches, whole, not older
//! than the last one acknowledged and not newer than the last one attempted.

use super::compare::{Check, failed};
use super::rng::Rng;
use super::settings::Settings;
use super::value;
use super::world::{DIR, World};
use kv_engine::{Bytes, Db, Durability, Error, ErrorKind, Keyspace, Snapshot, WriteBatch};
use kv_vfs::{CutPolicy, Fault, FaultFs, FaultId, Fs, MemFs, OpKind};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Keys of each writer in each of two keyspaces; one batch writes them all.
const KEYS: usize = 3;
/// Writes that a writer still tries after one has failed.
const AFTERWARDS: usize = 3;

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Close,
    /// The power goes while all are at work.
    Cut,
    /// A sync of the log fails while all are at work.
    FailedSync,
}

/// What one writer tells outside of the store: numbers of its batches.
#[derive(Default)]
struct Ledger {
    attempted: AtomicU64,
    acknowledged: AtomicU64,
    durable: AtomicU64,
}

struct Shared {
    db: Db,
    named: Keyspace,
    ledgers: Vec<Ledger>,
    /// A write has failed as it was meant to.
    failing: AtomicBool,
    done: AtomicBool,
    /// The sync that is to fail, where one is.
    armed: Option<(Arc<FaultFs>, FaultId)>,
}

impl Shared {
    /// Whether writes may be refused: the sync that was to fail has failed.
    fn may_refuse(&self, error: &Error) -> bool {
        let fired = self.armed.as_ref().is_some_and(|(faults, id)| faults.fired(*id) > 0);
        fired && error.kind() == ErrorKind::ReadOnly
    }
}

fn key(writer: usize, n: usize) -> Vec<u8> {
    format!("w{writer}:{n}").into_bytes()
}

/// Runs one seed of about `ops` batches; answers how many operations ran.
pub(super) fn run(seed: u64, ops: usize, progress: &dyn Fn(usize)) -> Result<u64, String> {
    let mut rng = Rng::new(seed ^ 0xC0_FFEE);
    let settings = Settings { disk_limit: None, ..Settings::draw(&mut rng) };
    let ending = *rng.pick(&[Ending::Close, Ending::Cut, Ending::FailedSync]);
    let world = World::new();
    let faults = Arc::new(FaultFs::new(Arc::clone(&world.fs) as Arc<dyn Fs>));
    let writers = if ending == Ending::FailedSync { 8 } else { *rng.pick(&[1, 2, 4, 8]) };
    let db = Db::open(DIR, settings.options(Arc::clone(&faults) as Arc<dyn Fs>))
        .map_err(failed("open"))?;
    let named = db.keyspace("a").map_err(failed("keyspace"))?;
    db.sync().map_err(failed("sync"))?;
    let ledgers = (0..writers).map(|_| Ledger::default()).collect();
    let (failing, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let rounds = ops / writers;
    let armed = (ending == Ending::FailedSync).then(|| {
        let after = rng.below(rounds.max(1)) as u64;
        let fault = Fault::new(OpKind::Sync, io::ErrorKind::Other).on(".log");
        (Arc::clone(&faults), faults.arm(fault.after(after).times(1)))
    });
    let shared = Shared { db, named, ledgers, failing, done, armed };
    let mut found: Option<(Vec<u64>, MemFs, Vec<u64>)> = None;
    let read = AtomicU64::new(0);
    let checked: Check = std::thread::scope(|scope| {
        let shared = &shared;
        let mut threads = Vec::new();
        for writer in 0..writers {
            let rng = Rng::new(rng.next());
            let job = move || write(shared, writer, rounds, rng, ending);
            threads.push(scope.spawn(job));
        }
        let read = &read;
        let readers = [
            scope.spawn(move || read_on(shared, read)),
            scope.spawn(move || keep_up(shared, Rng::new(seed))),
        ];
        let cut_at = rng.below(ops.max(1)) as u64;
        while threads.iter().any(|thread| !thread.is_finished()) {
            let attempted = |l: &Ledger| l.attempted.load(Ordering::SeqCst);
            let so_far: u64 = shared.ledgers.iter().map(attempted).sum();
            progress(so_far as usize);
            if ending == Ending::Cut && found.is_none() && so_far >= cut_at {
                found = Some(cut(shared, &world.fs, &mut rng));
            }
            std::thread::yield_now();
        }
        shared.done.store(true, Ordering::SeqCst);
        let panicked = |_| Err("a thread panicked".to_owned());
        let outcomes: Vec<Check> = threads
            .into_iter()
            .chain(readers)
            .map(|thread| thread.join().unwrap_or_else(panicked))
            .collect();
        outcomes.into_iter().collect()
    });
    checked.map_err(|why| format!("seed {seed}, {ending:?}: {why}"))?;
    finish(shared, settings, ending, &faults, found)
        .map_err(|why| format!("seed {seed}, {ending:?}: {why}"))?;
    Ok((rounds * writers) as u64 + read.into_inner())
}

/// The disk after a power cut now, with what each writer must and may be found with.
fn cut(shared: &Shared, fs: &MemFs, rng: &mut Rng) -> (Vec<u64>, MemFs, Vec<u64>) {
    let durable = |l: &Ledger| l.durable.load(Ordering::SeqCst);
    let attempted = |l: &Ledger| l.attempted.load(Ordering::SeqCst);
    let floors = shared.ledgers.iter().map(durable).collect();
    let after = fs.power_cut(*rng.pick(CutPolicy::ALL), rng.next());
    (floors, after, shared.ledgers.iter().map(attempted).collect())
}

/// Ends the store, opens it again and looks at what every writer left.
fn finish(
    shared: Shared,
    settings: Settings,
    ending: Ending,
    faults: &Arc<FaultFs>,
    found: Option<(Vec<u64>, MemFs, Vec<u64>)>,
) -> Check {
    let Shared { db, named, ledgers, .. } = shared;
    faults.disarm();
    drop(named);
    match ending {
        Ending::Close => db.close().map_err(failed("close"))?,
        Ending::Cut | Ending::FailedSync => drop(db),
    }
    let number = |counter: fn(&Ledger) -> &AtomicU64| -> Vec<u64> {
        ledgers.iter().map(|ledger| counter(ledger).load(Ordering::SeqCst)).collect()
    };
    let (floors, fs, ceilings) = match found {
        Some((floors, fs, ceilings)) => (floors, Arc::new(fs) as Arc<dyn Fs>, ceilings),
        None => (
            number(|ledger| &ledger.acknowledged),
            Arc::clone(faults) as Arc<dyn Fs>,
            number(|ledger| &ledger.attempted),
        ),
    };
    let db = Db::open(DIR, settings.options(fs)).map_err(failed("opening again"))?;
    let named = db.keyspace("a").map_err(failed("keyspace"))?;
    let snapshot = db.snapshot();
    for (writer, (floor, ceiling)) in floors.into_iter().zip(ceilings).enumerate() {
        let number = batch_of(&snapshot, &snapshot.within(&named), writer)?;
        if number < floor || number > ceiling {
            return Err(format!(
                "writer {writer} is found with batch {number}, which must be from {floor} to \
                 {ceiling}"
            ));
        }
    }
    let report = db.verify().map_err(failed("verify"))?;
    if report.is_ok() { Ok(()) } else { Err(format!("verify finds {report}")) }
}

/// One writer: batches of the same number over all its keys.
fn write(shared: &Shared, writer: usize, rounds: usize, mut rng: Rng, ending: Ending) -> Check {
    let ledger = &shared.ledgers[writer];
    let mut failures = 0;
    for number in 1..=rounds as u64 {
        let mut batch = WriteBatch::new();
        let len = 28 + rng.below(150) as u32;
        for within in [None, Some(&shared.named)] {
            if let Some(keyspace) = within {
                batch.within(keyspace);
            }
            if rng.chance(10) {
                batch.delete_range(key(writer, 0)..key(writer, 9));
            }
            for n in 0..KEYS {
                let key = key(writer, n);
                batch.put(&key, value::make(writer as u32, number as u32, &key, len));
            }
        }
        let sync = ending == Ending::FailedSync || rng.chance(40);
        let durability = if sync { Durability::Sync } else { Durability::Os };
        let refuses = shared.failing.load(Ordering::SeqCst);
        if !refuses {
            ledger.attempted.store(number, Ordering::SeqCst);
        }
        match shared.db.write_with(batch, durability) {
            Ok(()) if refuses => {
                return Err(format!("batch {number} was acknowledged after a failed sync"));
            }
            Ok(()) => {
                ledger.acknowledged.store(number, Ordering::SeqCst);
                if sync {
                    ledger.durable.store(number, Ordering::SeqCst);
                }
            }
            Err(error) if shared.may_refuse(&error) => {
                shared.failing.store(true, Ordering::SeqCst);
                failures += 1;
                if failures > AFTERWARDS {
                    return Ok(());
                }
            }
            Err(error) => return Err(failed("write")(error)),
        }
    }
    Ok(())
}

/// Snapshots while all are at work: batches whole, none that was acknowledged missing, and none
/// that goes back.
fn read_on(shared: &Shared, read: &AtomicU64) -> Check {
    let mut last = vec![0; shared.ledgers.len()];
    while !shared.done.load(Ordering::SeqCst) {
        let acknowledged = |l: &Ledger| l.acknowledged.load(Ordering::SeqCst);
        let floors: Vec<u64> = shared.ledgers.iter().map(acknowledged).collect();
        let snapshot = shared.db.snapshot();
        let named = snapshot.within(&shared.named);
        for (writer, floor) in floors.iter().enumerate() {
            let number = batch_of(&snapshot, &named, writer)?;
            let again = batch_of(&snapshot, &named, writer)?;
            if number < *floor || number < last[writer] || again != number {
                return Err(format!(
                    "a snapshot shows batch {number} and then {again} of writer {writer}; {floor} \
                     was acknowledged and {} seen before",
                    last[writer]
                ));
            }
            last[writer] = number;
            read.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// The batch whose values a snapshot shows in all keys of a writer.
fn batch_of(default: &Snapshot, named: &Snapshot, writer: usize) -> Check<u64> {
    let mut numbers = Vec::new();
    for snapshot in [default, named] {
        let pairs: Vec<(Bytes, Bytes)> = snapshot
            .prefix(format!("w{writer}:"))
            .collect::<Result<_, _>>()
            .map_err(failed("a snapshot's prefix"))?;
        if !pairs.is_empty() && pairs.len() != KEYS {
            return Err(format!("{} of {KEYS} keys of writer {writer}", pairs.len()));
        }
        numbers.push(0);
        for (key, value) in pairs {
            let point = snapshot.get(&key).map_err(failed("a snapshot's get"))?;
            match value::parse(&value) {
                Some((from, number))
                    if from as usize == writer && point.as_ref() == Some(&value) =>
                {
                    numbers.pop_if(|number| *number == 0);
                    numbers.push(u64::from(number));
                }
                _ => {
                    return Err(format!("{} at a key of writer {writer}", value::describe(&value)));
                }
            }
        }
    }
    numbers.dedup();
    match numbers[..] {
        [number] => Ok(number),
        _ => Err(format!("batches {numbers:?} of writer {writer} in one snapshot")),
    }
}

/// Flushes and merges meanwhile.
fn keep_up(shared: &Shared, mut rng: Rng) -> Check {
    while !shared.done.load(Ordering::SeqCst) {
        let outcome = match rng.below(4) {
            0 => shared.db.flush(),
            1 => shared.db.compact(),
            2 => shared.db.sync(),
            _ => shared.db.verify().map(|_| ()),
        };
        match outcome {
            Err(error) if !shared.may_refuse(&error) => {
                return Err(failed("upkeep")(error));
            }
            _ => {}
        }
        for _ in 0..rng.below(2_000) {
            std::thread::yield_now();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_writer_is_found_with_a_batch_that_it_may_be_found_with() {
        for seed in 0..6 {
            run(seed, 200, &|_| {}).unwrap();
        }
    }
}
