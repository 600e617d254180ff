//! From a seed to a case. Each seed weighs the kinds of operations anew, so that some runs do
//! much of what others never do.

use super::op::{Case, Cut, Edge, End, Failing, HOT, Item, Key, LONGEST, Move, NASTY, Op};
use super::rng::Rng;
use super::settings::Settings;

/// What a case may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) ops: usize,
    /// Power cuts, full disks and clocks that go back: what makes several answers right.
    pub(super) faults: bool,
}

impl Plan {
    pub(super) fn full(ops: usize) -> Plan {
        Plan { ops, faults: true }
    }
}

/// A kind of operation and its weight.
type Kind = (fn(&mut Rng) -> Op, u32);

/// Writes and reads of single keys and short ranges.
const COMMON: &[Kind] = &[
    (put, 2400),
    (|r| Op::PutTtl { space: space(r), key: key(r), len: len(r), ms: ttl(r) }, 250),
    (|r| Op::Delete { space: space(r), key: key(r) }, 700),
    (delete_range, 160),
    (batch, 500),
    (|r| Op::Get { space: space(r), key: key(r) }, 2400),
    (|r| Op::Contains { space: space(r), key: key(r) }, 400),
    (range, 500),
    (|r| Op::Prefix { space: space(r), key: key(r), ends: r.next() }, 200),
    (open_cursor, 60),
    (cursor, 700),
    (open_iter, 60),
    (|r| Op::StepIter { slot: slot(r), steps: 1 + r.below(20) as u8, ends: r.next() }, 400),
    (|r| Op::Snapshot { slot: slot(r) }, 60),
    (|r| Op::Within { slot: slot(r), from: slot(r), space: space(r) }, 40),
    (|r| Op::SnapshotGet { slot: slot(r), key: key(r) }, 400),
    (snapshot_range, 200),
    (|r| Op::Release { slot: slot(r) }, 30),
];

/// What looks at everything or changes much.
const RARE: &[Kind] = &[
    (|r| Op::Iter { space: space(r), ends: r.next() }, 20),
    (|r| Op::ReadSnapshot { slot: slot(r) }, 16),
    (|_| Op::ReadSnapshots, 4),
    (|r| Op::Create { space: 1 + r.below(3) as u8 }, 60),
    (|r| Op::DropSpace { space: 1 + r.below(3) as u8 }, 20),
    (|_| Op::Stale, 20),
    (|_| Op::Names, 20),
    (|_| Op::Flush, 50),
    (|_| Op::Sync, 60),
    (|_| Op::Compact, 16),
    (|_| Op::Verify, 8),
    (|_| Op::Stats, 10),
    (|_| Op::Check, 8),
    (|r| Op::Reopen { end: End::Close, settings: settings(r) }, 12),
    (|r| Op::Reopen { end: End::Drop, settings: settings(r) }, 6),
    (|_| Op::ReadOnly, 8),
    (|_| Op::SecondOpen, 8),
    (|r| Op::Clock { ms: forward(r) }, 30),
    (|r| Op::Limits { space: space(r) }, 2),
    (ingest, 30),
];

/// What makes several answers right.
const FAULTS: &[Kind] = &[
    (crash, 24),
    (|r| Op::Clock { ms: -forward(r) }, 10),
    (|r| Op::Full { room: r.below(40_000) as u32 }, 8),
    (|_| Op::Free, 24),
    (break_once, 8),
];

/// The case of a seed.
pub(super) fn generate(seed: u64, plan: &Plan) -> Case {
    let mut rng = Rng::new(seed);
    let mut settings = Settings::draw(&mut rng);
    if !plan.faults {
        settings.disk_limit = None;
    }
    let faults = if plan.faults { FAULTS } else { &[] };
    let mut total = 0;
    let mut kinds: Vec<Kind> = Vec::new();
    for (kind, weight) in COMMON.iter().chain(RARE).chain(faults) {
        // A quarter of the kinds is left out, another quarter comes four times as often; what
        // is costly comes at most twice as often.
        let costly = *weight < 100;
        let weight = match rng.below(4) {
            0 => 0,
            1 if costly => weight * 2,
            1 => weight * 4,
            _ => *weight,
        };
        total += weight;
        kinds.push((*kind, total));
    }
    // Whatever is left out, something is written.
    total += 200;
    kinds.push((put, total));
    let ops = (0..plan.ops).map(|_| {
        let at = rng.below(total as usize) as u32;
        let index = kinds.partition_point(|(_, end)| *end <= at);
        kinds.get(index).map_or(Op::Check, |(kind, _)| kind(&mut rng))
    });
    let mut ops: Vec<Op> = ops.collect();
    if !plan.faults {
        ops.retain(
            |op| !matches!(op, Op::Reopen { settings: Some(s), .. } if s.disk_limit.is_some()),
        );
    }
    if let Some(first) = ops.first_mut().filter(|_| rng.chance(40)) {
        *first = Op::Snapshot { slot: 0 };
    }
    Case { settings, ops }
}

fn break_once(rng: &mut Rng) -> Op {
    let at = *rng.pick(&[
        Failing::LogWrite,
        Failing::LogSync,
        Failing::LogSyncDone,
        Failing::ManifestSync,
        Failing::ManifestSyncDone,
    ]);
    Op::Break { at, after: rng.below(40) as u8 }
}

fn put(rng: &mut Rng) -> Op {
    Op::Put { space: space(rng), key: key(rng), len: len(rng) }
}

/// Mostly the default keyspace; 4 is a handle of it.
fn space(rng: &mut Rng) -> u8 {
    match rng.below(10) {
        0..=4 => 0,
        5 | 6 => 1,
        7 => 2,
        8 => 3,
        _ => 4,
    }
}

fn slot(rng: &mut Rng) -> u8 {
    rng.below(12) as u8
}

fn key(rng: &mut Rng) -> Key {
    match rng.below(100) {
        0..70 => Key::Hot(rng.below(usize::from(HOT)) as u8),
        70..90 => Key::Uniform(rng.below(4_000) as u32),
        90..99 => Key::Nasty(rng.below(usize::from(NASTY)) as u8),
        _ => Key::Long(
            *rng.pick(&[255, 256, 257, 511, 512, 513, 1_000, 1_000, 4_096, 4_097, LONGEST]),
        ),
    }
}

fn len(rng: &mut Rng) -> u32 {
    match rng.below(100) {
        0..4 => 0,
        4..90 => 28 + rng.below(90) as u32,
        90..98 => 28 + rng.below(1_000) as u32,
        98 => 28 + rng.below(5_000) as u32,
        _ if rng.chance(20) => 28 + rng.below(40_000) as u32,
        _ => 28,
    }
}

fn ttl(rng: &mut Rng) -> u64 {
    *rng.pick(&[0, 1, 10, 1_000, 1_000, 60_000, 60_000, 3_600_000, 86_400_000 * 4_000, u64::MAX])
}

/// A step of the clock, up to ten years.
fn forward(rng: &mut Rng) -> i64 {
    *rng.pick(&[1, 10, 999, 1_000, 1_001, 60_000, 3_600_000, 86_400_000, 86_400_000 * 3_653])
}

fn edge(rng: &mut Rng) -> Edge {
    match rng.below(12) {
        0 => Edge::Open,
        1..6 => Edge::In(key(rng)),
        6..11 => Edge::Ex(key(rng)),
        _ => {
            Edge::Table { n: rng.below(32) as u8, last: rng.chance(50), inclusive: rng.chance(50) }
        }
    }
}

/// Two ends: any two, also inverted, or two close to each other.
fn edges(rng: &mut Rng) -> (Edge, Edge) {
    if rng.chance(50) {
        let n = rng.below(usize::from(HOT)) as u8;
        let other = Key::Hot(n.saturating_add(4 * rng.below(4) as u8));
        return match rng.below(3) {
            0 => (Edge::In(Key::Hot(n)), Edge::In(other)),
            1 => (Edge::In(Key::Hot(n)), Edge::Ex(other)),
            _ => (Edge::Ex(Key::Hot(n)), Edge::Ex(other)),
        };
    }
    (edge(rng), edge(rng))
}

fn delete_range(rng: &mut Rng) -> Op {
    let (from, to) = edges(rng);
    Op::DeleteRange { space: space(rng), from, to }
}

fn range(rng: &mut Rng) -> Op {
    let (from, to) = edges(rng);
    Op::Range { space: space(rng), from, to, ends: rng.next() }
}

fn snapshot_range(rng: &mut Rng) -> Op {
    let (from, to) = edges(rng);
    Op::SnapshotRange { slot: slot(rng), from, to, ends: rng.next() }
}

fn open_iter(rng: &mut Rng) -> Op {
    let (from, to) = if rng.chance(50) { (Edge::Open, Edge::Open) } else { edges(rng) };
    Op::OpenIter { slot: slot(rng), space: space(rng), from, to }
}

fn open_cursor(rng: &mut Rng) -> Op {
    let snapshot = rng.chance(30).then(|| slot(rng));
    Op::OpenCursor { slot: slot(rng), space: space(rng), snapshot }
}

fn cursor(rng: &mut Rng) -> Op {
    let moves = (0..1 + rng.below(12)).map(|_| match rng.below(16) {
        0 => Move::First,
        1 => Move::Last,
        2..7 => Move::Next,
        7..12 => Move::Prev,
        12 | 13 => Move::Seek(key(rng)),
        _ => Move::SeekPrev(key(rng)),
    });
    let moves = moves.collect();
    Op::Cursor { slot: slot(rng), moves }
}

fn batch(rng: &mut Rng) -> Op {
    let mut most = 12;
    if rng.chance(3) {
        most = 120;
    }
    let items = (0..rng.below(most)).map(|_| match rng.below(100) {
        0..60 => Item::Put { key: key(rng), len: len(rng) },
        60..66 => Item::PutTtl { key: key(rng), len: len(rng), ms: ttl(rng) },
        66..82 => Item::Delete { key: key(rng) },
        82..88 => {
            let (from, to) = edges(rng);
            Item::DeleteRange { from, to }
        }
        88..99 => Item::Within { space: space(rng) },
        _ => Item::Clear,
    });
    let items = items.collect();
    Op::Batch { space: space(rng), sync: *rng.pick(&[None, None, Some(true), Some(false)]), items }
}

fn ingest(rng: &mut Rng) -> Op {
    let most = if rng.chance(10) { 400 } else { 30 };
    let pairs = (0..rng.below(most)).map(|_| (key(rng), len(rng))).collect();
    Op::Ingest { space: space(rng), pairs }
}

fn settings(rng: &mut Rng) -> Option<Settings> {
    rng.chance(70).then(|| Settings::draw(rng))
}

fn crash(rng: &mut Rng) -> Op {
    let cut = match rng.below(8) {
        0 => Cut::Nothing,
        1 => Cut::Everything,
        2 | 3 => Cut::Some(rng.below(101) as u8),
        _ => Cut::Policy(rng.below(64) as u8),
    };
    Op::Reopen { end: End::Crash { cut, seed: rng.next() }, settings: settings(rng) }
}
