//! Transactions when the power goes: threads commit, each commit synced, and at many calls of the
//! file system what a power cut would leave is set aside. Each of these opens as the state after some
//! commit, none of those that were acknowledged missing. The order of commits is what the threads
//! were told, and nothing that the store has written.

use super::history::{Over, State};
use super::judge;
use super::order::Order;
use super::work::{Aims, Stage, contents};
use crate::checks::hook::HookFs;
use crate::oracle::DIR;
use crate::report::Row;
use anyhow::{Context, Result, anyhow};
use kv_engine::{Db, Options};
use kv_vfs::{CutPolicy, Fs, MemFs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Seeds of the gate.
const SEEDS: u64 = 24;
/// What each thread does.
const STEPS: usize = 400;
/// The power is cut at every so many calls. Threads do not meet the same way twice, so over the
/// seeds the cuts come to every step of a commit.
const EVERY: u64 = 11;

/// What a power cut would have left.
struct Image {
    call: u64,
    what: &'static str,
    /// The newest commit that was acknowledged before it.
    acknowledged: u64,
    disk: MemFs,
}

pub(super) fn run(from: u64) -> Row {
    let begun = Instant::now();
    let mut row = Row::new("transactions cut", "cuts");
    let (mut behind, mut commits) = (0, 0);
    for seed in from..from + SEEDS {
        match one(seed) {
            Ok(found) => {
                row.ran += found.images;
                behind += found.behind;
                commits += found.commits;
                let repeat = |text| format!("seed {seed}: {text} [transactions --from {seed}]");
                row.violations.extend(found.violations.into_iter().map(repeat));
            }
            Err(error) => row.violations.push(format!("seed {seed}: {error:#}")),
        }
        if row.violations.len() > 10 {
            break;
        }
    }
    row.floor = SEEDS * 4;
    // Cuts beside a commit that is under way: it may be there and may not.
    row.distinct = Some((behind, SEEDS / 4));
    row.notes.push(format!(
        "{commits} commits; {behind} cuts left a commit that was not acknowledged yet"
    ));
    row.elapsed = begun.elapsed();
    row
}

#[derive(Default)]
struct Found {
    images: u64,
    behind: u64,
    commits: u64,
    violations: Vec<String>,
}

fn options(fs: impl Fs) -> Options {
    Options::default()
        .sync_on_write(true)
        .memory_budget(256 << 10)
        .write_buffer(8 << 10)
        .table_size(4 << 10)
        .block_size(256)
        .background_threads(1)
        .file_system(Arc::new(fs))
}

fn one(seed: u64) -> Result<Found> {
    let (disk, _clock) = crate::record::fresh();
    let images = Arc::new(Mutex::new(Vec::new()));
    let (calls, armed) = (AtomicU64::new(0), Arc::new(AtomicBool::new(false)));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let fs = {
        let (disk, images, armed) = (disk.clone(), Arc::clone(&images), Arc::clone(&armed));
        let acknowledged = Arc::clone(&acknowledged);
        HookFs::new(disk.clone(), move |what, _| {
            let reads = matches!(what, "read" | "open" | "list" | "length" | "metadata");
            if reads || !armed.load(Ordering::SeqCst) {
                return;
            }
            let call = calls.fetch_add(1, Ordering::SeqCst);
            if call % EVERY == seed % EVERY {
                // First: what is acknowledged only meanwhile may be missing.
                let acknowledged = acknowledged.load(Ordering::SeqCst);
                let policy = (call / EVERY) as usize % CutPolicy::ALL.len();
                let Some(policy) = CutPolicy::ALL.get(policy) else { return };
                let disk = disk.power_cut(*policy, seed ^ call);
                let image = Image { call, what, acknowledged, disk };
                images.lock().unwrap_or_else(PoisonError::into_inner).push(image);
            }
        })
    };
    let aims = Aims { kept: None, side: None, steps: STEPS, values: 100, acknowledged };
    let stage = Stage::of(Db::open(DIR, options(fs))?, aims)?;
    let base = stage.db.transaction().snapshot_seq();
    armed.store(true, Ordering::SeqCst);
    let over = stage.play(seed)?;
    armed.store(false, Ordering::SeqCst);
    stage.db.clone().close().map_err(|e| anyhow!("the close failed: {e}"))?;
    let order = Order::of((base, &State::new()), committed(&over));
    let mut found = Found { commits: order.commits.len() as u64, ..Found::default() };
    found.violations.extend(over.iter().filter_map(|over| judge::judge(&order, over)));
    let images = std::mem::take(&mut *images.lock().unwrap_or_else(PoisonError::into_inner));
    for Image { call, what, acknowledged, disk } in images {
        let looked = look(&order, base.max(acknowledged), disk);
        found.images += 1;
        match looked.with_context(|| format!("a cut before call {call}, {what}")) {
            Ok(at) => found.behind += u64::from(at > base.max(acknowledged)),
            Err(error) => found.violations.push(format!("{error:#}")),
        }
    }
    Ok(found)
}

/// The transactions that were committed, by first number.
pub(super) fn committed(over: &[Over]) -> impl Iterator<Item = (u64, &Over)> {
    over.iter().filter_map(|over| Some((over.end.seq()?, over)))
}

/// Opens what a cut has left; answers the commit after which it is.
fn look(order: &Order, acknowledged: u64, disk: MemFs) -> Result<u64> {
    let db = Db::open(DIR, options(disk)).context("it does not open")?;
    let state = contents(&db)?;
    let later = order.commits.range(acknowledged + 1..).map(|(seq, _)| *seq);
    let at = [acknowledged].into_iter().chain(later).find(|seq| order.state(*seq) == state);
    let Some(at) = at else {
        let earlier = order.commits.range(..acknowledged).map(|(seq, _)| *seq);
        let lost = earlier.rev().chain([0]).find(|seq| order.state(*seq) == state);
        return Err(match lost {
            Some(seq) => anyhow!("commit {acknowledged} was acknowledged; it is as after {seq}"),
            None => anyhow!("it is as after no commit; {acknowledged} was acknowledged: {state:?}"),
        });
    };
    let seen = db.transaction().snapshot_seq();
    anyhow::ensure!(seen >= at, "it is as after {at}, and counts on from {seen}");
    db.close()?;
    Ok(at)
}
