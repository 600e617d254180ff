//! Runs mutations on two threads and counts.

use super::edit::{Edit, apply};
use super::random::Random;
use super::watch::{Slot, keep, quiet_panics, repeat, watch};
use crate::report::Row;
use anyhow::{Result, anyhow};
use kv_crashtest::hostile::{Target, corpus};
use std::time::{Duration, Instant};

const THREADS: u64 = 2;
/// How many mutations run between two looks at the clock.
const ROUND: u64 = 64;
/// The most edits of a mutation.
const MOST_EDITS: usize = 5;
/// A target that has broken so many promises is not asked further.
const ENOUGH: usize = 20;

struct Share {
    target: Target,
    seeds: Vec<Vec<u8>>,
    count: u64,
}

/// What one thread found about one target.
#[derive(Default)]
struct Tally {
    ran: u64,
    taken: u64,
    violations: Vec<String>,
    elapsed: Duration,
}

/// How often a target runs beside the others, by how long it takes.
fn weight(target: Target) -> u64 {
    match target {
        Target::Log => 18,
        Target::Manifest => 16,
        Target::Table => 14,
        Target::Block => 18,
        Target::Filter => 8,
        Target::Batch => 12,
        Target::Lengths => 12,
        Target::Tuple => 12,
        Target::Dir | Target::Operations => 1,
    }
}

pub(super) fn run(
    targets: &[Target],
    count: u64,
    limit: Option<Duration>,
    seed: u64,
) -> Result<Vec<Row>> {
    quiet_panics();
    let sum: u64 = targets.iter().map(|target| weight(*target)).sum();
    let mut shares = Vec::new();
    for &target in targets {
        let seeds = corpus(target).map_err(|why| anyhow!("{}: {why}", target.name()))?;
        let count = (count * weight(target)).div_ceil(sum).next_multiple_of(THREADS);
        shares.push(Share { target, seeds, count });
    }
    let slots: Vec<Slot> = (0..THREADS).map(|_| Slot::default()).collect();
    watch(slots.clone());
    let end = limit.map(|limit| Instant::now() + limit);
    let tallies: Vec<Vec<Tally>> = std::thread::scope(|scope| {
        let shares = &shares;
        let start = |(n, slot): (usize, Slot)| {
            scope.spawn(move || thread(&slot, shares, end, seed.wrapping_mul(1_000_003) + n as u64))
        };
        let threads: Vec<_> = slots.into_iter().enumerate().map(start).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    Ok(shares.iter().enumerate().map(|(n, share)| row(share, n, &tallies, limit)).collect())
}

fn row(share: &Share, n: usize, tallies: &[Vec<Tally>], limit: Option<Duration>) -> Row {
    let mut row = Row::new(format!("mutate {}", share.target.name()), "mutations");
    row.floor = if limit.is_some() { 1 } else { share.count };
    let mut taken = 0;
    for tally in tallies.iter().filter_map(|tallies| tallies.get(n)) {
        row.ran += tally.ran;
        taken += tally.taken;
        row.violations.extend(tally.violations.iter().cloned());
        row.elapsed += tally.elapsed / THREADS as u32;
    }
    row.notes.push(format!("{taken} taken as whole, the others refused"));
    row
}

fn thread(slot: &Slot, shares: &[Share], end: Option<Instant>, seed: u64) -> Vec<Tally> {
    let mut random = Random::new(seed);
    let mut tallies: Vec<Tally> = shares.iter().map(|_| Tally::default()).collect();
    loop {
        let mut worked = false;
        for (share, tally) in shares.iter().zip(&mut tallies) {
            let begin = Instant::now();
            let left = match end {
                Some(end) if begin >= end => 0,
                Some(_) => ROUND * weight(share.target) / 16 + 1,
                None => {
                    (share.count / THREADS - tally.ran).min(ROUND * weight(share.target) / 16 + 1)
                }
            };
            for _ in 0..left {
                if tally.violations.len() >= ENOUGH {
                    break;
                }
                mutation(slot, share, &mut random, tally);
                worked = true;
            }
            tally.elapsed += begin.elapsed();
        }
        if !worked {
            return tallies;
        }
    }
}

fn mutation(slot: &Slot, share: &Share, random: &mut Random, tally: &mut Tally) {
    let Some(seed) = share.seeds.get(random.below(share.seeds.len())) else { return };
    let flags = random.one_in(16).then(|| random.next() as u8);
    let most = 1 + random.below(MOST_EDITS);
    let mut edits: Vec<Edit> = (0..most).map(|_| Edit::random(random, seed.len())).collect();
    let input = apply(share.target, seed, flags, &edits);
    tally.ran += 1;
    match judge(slot, share.target, seed, &input) {
        Ok(taken) => tally.taken += u64::from(taken),
        Err(why) => {
            // Without the edits that it does not need.
            let mut n = 0;
            while n < edits.len() {
                let mut fewer = edits.clone();
                fewer.remove(n);
                let smaller = apply(share.target, seed, flags, &fewer);
                match judge(slot, share.target, seed, &smaller) {
                    Err(_) => edits = fewer,
                    Ok(_) => n += 1,
                }
            }
            let input = apply(share.target, seed, flags, &edits);
            let kept = keep(share.target, &input);
            let kept = kept.map_or_else(|e| e.to_string(), |file| repeat(share.target, &file));
            tally.violations.push(format!("{why}; {edits:?}; {kept}"));
        }
    }
}

/// Runs an input. A table whose checksums were not forged is refused unless it is the seed.
fn judge(slot: &Slot, target: Target, seed: &[u8], input: &[u8]) -> Result<bool, String> {
    let taken = slot.run(target, input)?;
    let unforged = input.first().is_some_and(|flags| flags & 1 == 0);
    if taken && target == Target::Table && unforged && input.get(1..) != seed.get(1..) {
        return Err("a table was changed, and no checksum noticed".to_owned());
    }
    Ok(taken)
}
