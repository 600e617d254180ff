//! What a workload does, as values: a list of steps that can be written down, cut short and done
//! again.
//!
//! Each step that changes the store has an index; the state behind step k is the model at index k.
//! Every value tells the step that wrote it, its key and its length, and its bytes follow from
//! these, so that a value in the wrong place is known at once.

use crate::rng::{Rng, mix};
use std::fmt;

/// The keyspaces that workloads use; the first is the default one.
pub(crate) const SPACES: [&str; 3] = ["", "users", "t"];

/// How far apart two times of day are that a workload sees, in hours.
pub(crate) const EPOCH_HOURS: u64 = 1;

/// The header of a value: the step, the key, the length and a checksum of the three.
const HEADER: usize = 24;

/// A key by its number; the bytes are [`key_bytes`].
pub(crate) type Key = u16;

/// The key that only a check writes.
pub(crate) const ALIVE: Key = Key::MAX;

/// The bytes of a key. The first few are nasty: empty, zeros, a prefix of another, 0xFF.
pub(crate) fn key_bytes(key: Key) -> Vec<u8> {
    match key {
        0 => Vec::new(),
        1 => vec![0],
        2 => vec![0; 3],
        3 => vec![0xff; 4],
        4 => b"k".to_vec(),
        5 => vec![b'k'; 300],
        n => format!("k{n:05}").into_bytes(),
    }
}

/// The number of a key, `None` where no workload writes it.
pub(crate) fn key_number(bytes: &[u8]) -> Option<Key> {
    if let Some(digits) = bytes.strip_prefix(b"k").filter(|digits| digits.len() == 5) {
        let key = std::str::from_utf8(digits).ok()?.parse().ok()?;
        return (key_bytes(key) == bytes).then_some(key);
    }
    (0..6).find(|key| key_bytes(*key) == bytes)
}

/// What a value says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stamp {
    /// The index of the step that wrote it; writers count apart, in the upper half.
    pub(crate) step: u64,
    /// How long it is.
    pub(crate) len: u32,
}

/// The bytes of a value.
pub(crate) fn value_bytes(key: Key, stamp: Stamp) -> Vec<u8> {
    let len = (stamp.len as usize).max(HEADER);
    let mut bytes = Vec::with_capacity(len + 8);
    bytes.extend(stamp.step.to_le_bytes());
    bytes.extend(stamp.len.to_le_bytes());
    bytes.extend(u32::from(key).to_le_bytes());
    let check = mix(stamp.step ^ mix(u64::from(stamp.len) << 32 | u64::from(key)));
    bytes.extend(check.to_le_bytes());
    let mut filler = check;
    while bytes.len() < len {
        // Half of it repeats, so that it compresses as real values do.
        filler = mix(filler);
        bytes.extend((filler & 0xffff_ffff).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// What a value says of itself; an error names what it is instead of a value of this key.
pub(crate) fn read_value(key: Key, bytes: &[u8]) -> Result<Stamp, String> {
    let number = |from: usize, len: usize| {
        let field = bytes.get(from..from + len).unwrap_or_default();
        field.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let stamp = Stamp { step: number(0, 8), len: number(8, 4) as u32 };
    let theirs = number(12, 4);
    if theirs != u64::from(key) {
        return Err(format!("a value of key {theirs} under key {key}"));
    }
    if stamp.len as usize > 1 << 24 || value_bytes(key, stamp) != bytes {
        return Err(format!("key {key} has bytes that nobody wrote ({} of them)", bytes.len()));
    }
    Ok(stamp)
}

/// One operation of a batch, in the keyspace with this place in [`SPACES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Sets a key: its length.
    Put(u8, Key, u32),
    /// Sets a key for so many epochs and a half: its length.
    PutFor(u8, Key, u32, u64),
    Delete(u8, Key),
    /// Deletes the keys whose bytes are from the first's up to the second's, which is excluded.
    DeleteRange(u8, Key, Key),
}

impl Op {
    pub(crate) fn space(&self) -> u8 {
        match self {
            Op::Put(space, ..)
            | Op::PutFor(space, ..)
            | Op::Delete(space, _)
            | Op::DeleteRange(space, ..) => *space,
        }
    }
}

/// One step of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A batch, and whether it is to survive power loss when it has answered.
    Write(Vec<Op>, bool),
    /// Puts to one keyspace, ingested in the order of their keys; of one key the last counts.
    Ingest(Vec<Op>),
    /// Creates a keyspace.
    Create(u8),
    /// Drops a keyspace.
    Drop(u8),
    Sync,
    Flush,
    Compact,
    /// Closes and opens again.
    Reopen,
    /// An epoch passes.
    Pass,
    /// Makes a checkpoint and compares it with the store.
    Checkpoint,
    /// Makes a backup, removes old ones, and compares a restored one with the store.
    Backup,
}

impl Step {
    /// Whether the step gets an index: it changes what a reader sees.
    pub(crate) fn counts(&self) -> bool {
        matches!(self, Step::Write(..) | Step::Ingest(_) | Step::Create(_) | Step::Drop(_))
    }
}

/// How often a workload does what.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    pub(crate) keys: Key,
    /// Longest value.
    pub(crate) longest: u32,
    /// Percentages of the steps.
    pub(crate) batches: u64,
    pub(crate) deletes: u64,
    pub(crate) ranges: u64,
    pub(crate) spaces: u64,
    pub(crate) expiring: u64,
    pub(crate) synced: u64,
    pub(crate) syncs: u64,
    pub(crate) flushes: u64,
    pub(crate) compactions: u64,
    pub(crate) reopens: u64,
    pub(crate) passes: u64,
    pub(crate) ingests: u64,
}

impl Weights {
    /// A bit of everything.
    pub(crate) fn even() -> Weights {
        Weights {
            keys: 40,
            longest: 200,
            batches: 30,
            deletes: 15,
            ranges: 5,
            spaces: 4,
            expiring: 5,
            synced: 25,
            syncs: 2,
            flushes: 2,
            compactions: 1,
            reopens: 1,
            passes: 1,
            ingests: 0,
        }
    }

    /// Drawn at random, so that each seed stresses something else.
    pub(crate) fn drawn(rng: &mut Rng) -> Weights {
        Weights {
            keys: rng.pick(40, &[8, 20, 80, 200]),
            longest: rng.pick(100, &[24, 400, 1500, 6000]),
            batches: rng.pick(30, &[0, 10, 80]),
            deletes: rng.pick(15, &[0, 40]),
            ranges: rng.pick(5, &[0, 1, 20]),
            spaces: rng.pick(3, &[0, 10]),
            expiring: rng.pick(5, &[0, 0, 30]),
            synced: rng.pick(25, &[0, 5, 60, 100]),
            syncs: rng.pick(2, &[0, 10]),
            flushes: rng.pick(2, &[0, 8]),
            compactions: rng.pick(1, &[0, 4]),
            reopens: rng.pick(1, &[0, 4]),
            passes: rng.pick(1, &[0, 3]),
            ingests: rng.pick(0, &[3, 15]),
        }
    }

    fn key(&self, rng: &mut Rng) -> Key {
        // A few hot keys, which change often, and all others.
        let among = if rng.chance(40) { 8.min(self.keys) } else { self.keys };
        rng.below(u64::from(among)) as Key
    }

    fn op(&self, rng: &mut Rng, spaces: &[u8]) -> Op {
        let space = match rng.chance(60) {
            true => 0,
            false => rng.pick(0, spaces),
        };
        let key = self.key(rng);
        if rng.chance(self.ranges) {
            let end = key.saturating_add(1 + rng.below(12) as Key);
            return Op::DeleteRange(space, key, end);
        }
        if rng.chance(self.deletes) {
            return Op::Delete(space, key);
        }
        let len = HEADER as u32 + rng.below(u64::from(self.longest)) as u32;
        match rng.chance(self.expiring) {
            true => Op::PutFor(space, key, len, rng.below(2)),
            false => Op::Put(space, key, len),
        }
    }
}

/// Draws `count` steps; `present` are the keyspaces that exist at the beginning.
pub(crate) fn draw(rng: &mut Rng, weights: &Weights, count: usize, present: &[u8]) -> Vec<Step> {
    let mut spaces: Vec<u8> = present.to_vec();
    let mut steps = Vec::with_capacity(count);
    while steps.len() < count {
        let roll = |rng: &mut Rng, percent| rng.chance(percent);
        let step = if roll(rng, weights.syncs) {
            Step::Sync
        } else if roll(rng, weights.flushes) {
            Step::Flush
        } else if roll(rng, weights.compactions) {
            Step::Compact
        } else if roll(rng, weights.reopens) {
            Step::Reopen
        } else if roll(rng, weights.passes) {
            Step::Pass
        } else if weights.ingests > 0 && roll(rng, weights.ingests) {
            let space = rng.pick(0, &spaces);
            let longest = u64::from(weights.longest);
            let put = |rng: &mut Rng| {
                Op::Put(space, weights.key(rng), HEADER as u32 + rng.below(longest) as u32)
            };
            Step::Ingest((0..1 + rng.below(20)).map(|_| put(rng)).collect())
        } else if roll(rng, weights.spaces) {
            let space = 1 + rng.below(SPACES.len() as u64 - 1) as u8;
            match spaces.iter().position(|known| *known == space) {
                Some(place) => {
                    spaces.remove(place);
                    Step::Drop(space)
                }
                None => {
                    spaces.push(space);
                    Step::Create(space)
                }
            }
        } else {
            let ops = if rng.chance(weights.batches) { 2 + rng.below(6) } else { 1 };
            let ops = (0..ops).map(|_| weights.op(rng, &spaces)).collect();
            Step::Write(ops, rng.chance(weights.synced))
        };
        steps.push(step);
    }
    steps
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Put(space, key, len) => write!(f, "put {space} {key} {len}"),
            Op::PutFor(space, key, len, epochs) => write!(f, "for {space} {key} {len} {epochs}"),
            Op::Delete(space, key) => write!(f, "del {space} {key}"),
            Op::DeleteRange(space, from, to) => write!(f, "range {space} {from} {to}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Write(ops, synced) => {
                f.write_str(if *synced { "write synced" } else { "write" })?;
                ops.iter().try_for_each(|op| write!(f, "; {op}"))
            }
            Step::Ingest(ops) => {
                f.write_str("ingest")?;
                ops.iter().try_for_each(|op| write!(f, "; {op}"))
            }
            Step::Create(space) => write!(f, "create {space}"),
            Step::Drop(space) => write!(f, "drop {space}"),
            Step::Sync => f.write_str("sync"),
            Step::Flush => f.write_str("flush"),
            Step::Compact => f.write_str("compact"),
            Step::Reopen => f.write_str("reopen"),
            Step::Pass => f.write_str("pass"),
            Step::Checkpoint => f.write_str("checkpoint"),
            Step::Backup => f.write_str("backup"),
        }
    }
}

/// Reads what `Display` shows; `None` where it is no step.
pub(crate) fn parse_step(line: &str) -> Option<Step> {
    let mut parts = line.split("; ");
    let head = parts.next()?;
    let step = match head.split(' ').collect::<Vec<_>>().as_slice() {
        ["write"] => Step::Write(parts.map(parse_op).collect::<Option<_>>()?, false),
        ["write", "synced"] => Step::Write(parts.map(parse_op).collect::<Option<_>>()?, true),
        ["ingest"] => Step::Ingest(parts.map(parse_op).collect::<Option<_>>()?),
        ["create", space] => Step::Create(space.parse().ok()?),
        ["drop", space] => Step::Drop(space.parse().ok()?),
        ["sync"] => Step::Sync,
        ["flush"] => Step::Flush,
        ["compact"] => Step::Compact,
        ["reopen"] => Step::Reopen,
        ["pass"] => Step::Pass,
        ["checkpoint"] => Step::Checkpoint,
        ["backup"] => Step::Backup,
        _ => return None,
    };
    Some(step)
}

fn parse_op(text: &str) -> Option<Op> {
    let mut words = text.split(' ');
    let name = words.next()?;
    let numbers: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    match (name, numbers.as_slice()) {
        ("put", [space, key, len]) => Some(Op::Put(*space as u8, *key as Key, *len as u32)),
        ("for", [space, key, len, epochs]) => {
            Some(Op::PutFor(*space as u8, *key as Key, *len as u32, *epochs))
        }
        ("del", [space, key]) => Some(Op::Delete(*space as u8, *key as Key)),
        ("range", [space, from, to]) => {
            Some(Op::DeleteRange(*space as u8, *from as Key, *to as Key))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_tell_what_they_are() {
        let stamp = Stamp { step: 7, len: 100 };
        let mut bytes = value_bytes(9, stamp);
        assert_eq!(read_value(9, &bytes), Ok(stamp));
        assert!(read_value(8, &bytes).is_err());
        bytes[60] ^= 1;
        assert!(read_value(9, &bytes).is_err());
        assert!(read_value(9, &[]).is_err());
    }

    #[test]
    fn keys_have_numbers() {
        for key in 0..300 {
            assert_eq!(key_number(&key_bytes(key)), Some(key));
        }
        assert_eq!(key_number(&key_bytes(ALIVE)), Some(ALIVE));
        assert_eq!(key_number(b"another"), None);
    }

    #[test]
    fn steps_can_be_written_down() {
        let mut rng = Rng::new(1);
        for _ in 0..5 {
            let weights = Weights::drawn(&mut rng);
            for step in draw(&mut rng, &weights, 200, &[]) {
                assert_eq!(parse_step(&step.to_string()), Some(step));
            }
        }
    }
}
