//! A case as text: the settings a run begins with and its operations, each complete in itself.
//!
//! An operation names places (the n-th cursor, the n-th keyspace) and never depends on what an
//! earlier one answered. So every sublist of a case is a case, which is what shrinking needs, and
//! a line of JSON each is a format that a person can cut by hand.

use super::settings::Settings;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// How many hot keys there are.
pub(super) const HOT: u8 = 64;
/// How many awkward keys there are.
pub(super) const NASTY: u8 = 10;
/// The longest legal key.
pub(super) const LONGEST: u32 = 65_535;

/// A key by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Key {
    /// One of a few, many of which are prefixes of others.
    Hot(u8),
    /// One of many.
    Uniform(u32),
    /// Empty, zeros, 0xFF, neighbours of hot ones.
    Nasty(u8),
    /// This many bytes.
    Long(u32),
}

impl Key {
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Key::Hot(n) => hot(n % HOT),
            Key::Uniform(n) => format!("u{:08x}", n.wrapping_mul(0x9E37_79B1)).into_bytes(),
            Key::Nasty(n) => nasty(n % NASTY),
            Key::Long(len) => vec![b'L'; len.min(LONGEST + 1) as usize],
        }
    }
}

fn hot(n: u8) -> Vec<u8> {
    let group = usize::from(n / 4);
    match n % 4 {
        // k, kk, kkk: each a prefix of the next.
        0 => vec![b'k'; 1 + group],
        1 => format!("user:{:04}", n / 4).into_bytes(),
        2 => format!("user:{:04}:name", n / 4).into_bytes(),
        _ => [&b"user:"[..], &[0, n / 4]].concat(),
    }
}

fn nasty(n: u8) -> Vec<u8> {
    match n {
        0 => Vec::new(),
        1 => vec![0],
        2 => vec![0, 0],
        3 => vec![0xFF],
        4 => vec![0xFF; 3],
        5 => vec![0xFF; 300],
        6 => vec![0, 0xFF],
        7 => b"k\0".to_vec(),
        8 => b"user:0001\0".to_vec(),
        _ => vec![0; 300],
    }
}

/// One end of a range of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Edge {
    Open,
    In(Key),
    Ex(Key),
    /// The first or last key of one of the tables that are there, inclusive or not.
    Table {
        n: u8,
        last: bool,
        inclusive: bool,
    },
}

/// One operation of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Item {
    Put { key: Key, len: u32 },
    PutTtl { key: Key, len: u32, ms: u64 },
    Delete { key: Key },
    DeleteRange { from: Edge, to: Edge },
    Within { space: u8 },
    Clear,
}

/// One move of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Move {
    First,
    Last,
    Next,
    Prev,
    Seek(Key),
    SeekPrev(Key),
}

/// What a power cut spares of what is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cut {
    Nothing,
    Everything,
    /// Each operation with this chance in percent.
    Some(u8),
    /// What the n-th of the policies of `kv_vfs` draws.
    Policy(u8),
}

/// How a store ends before it is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    Close,
    Drop,
    Crash { cut: Cut, seed: u64 },
}

/// A call that fails once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Failing {
    LogWrite,
    LogSync,
    /// It says that it failed, and did its work.
    LogSyncDone,
    ManifestSync,
    ManifestSyncDone,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Op {
    Put {
        space: u8,
        key: Key,
        len: u32,
    },
    PutTtl {
        space: u8,
        key: Key,
        len: u32,
        ms: u64,
    },
    Delete {
        space: u8,
        key: Key,
    },
    DeleteRange {
        space: u8,
        from: Edge,
        to: Edge,
    },
    Batch {
        space: u8,
        sync: Option<bool>,
        items: Vec<Item>,
    },
    /// Sorted, and of one key the last.
    Ingest {
        space: u8,
        pairs: Vec<(Key, u32)>,
    },
    Get {
        space: u8,
        key: Key,
    },
    Contains {
        space: u8,
        key: Key,
    },
    /// Reads a range; each bit of `ends`, from the lowest, says from which end.
    Range {
        space: u8,
        from: Edge,
        to: Edge,
        ends: u64,
    },
    Prefix {
        space: u8,
        key: Key,
        ends: u64,
    },
    Iter {
        space: u8,
        ends: u64,
    },
    OpenCursor {
        slot: u8,
        space: u8,
        snapshot: Option<u8>,
    },
    Cursor {
        slot: u8,
        moves: Vec<Move>,
    },
    OpenIter {
        slot: u8,
        space: u8,
        from: Edge,
        to: Edge,
    },
    StepIter {
        slot: u8,
        steps: u8,
        ends: u64,
    },
    Snapshot {
        slot: u8,
    },
    Within {
        slot: u8,
        from: u8,
        space: u8,
    },
    SnapshotGet {
        slot: u8,
        key: Key,
    },
    SnapshotRange {
        slot: u8,
        from: Edge,
        to: Edge,
        ends: u64,
    },
    ReadSnapshot {
        slot: u8,
    },
    ReadSnapshots,
    Release {
        slot: u8,
    },
    Create {
        space: u8,
    },
    DropSpace {
        space: u8,
    },
    /// Uses the handle of a dropped keyspace.
    Stale,
    Names,
    Flush,
    Sync,
    Compact,
    Verify,
    Stats,
    /// Compares the whole store with the model.
    Check,
    Reopen {
        end: End,
        settings: Option<Settings>,
    },
    ReadOnly,
    SecondOpen,
    /// Moves the time of day by so many milliseconds.
    Clock {
        ms: i64,
    },
    /// Leaves the disk so many bytes.
    Full {
        room: u32,
    },
    Free,
    /// Lets one call fail, after some that go well.
    Break {
        at: Failing,
        after: u8,
    },
    /// Arguments at their limits.
    Limits {
        space: u8,
    },
}

/// A run: what it begins with and what it does.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case {
    pub(super) settings: Settings,
    pub(super) ops: Vec<Op>,
}

impl Case {
    /// One line of JSON for the settings, and one for each operation. `#` begins a comment.
    pub(super) fn text(&self) -> Result<String> {
        let mut text = serde_json::to_string(&self.settings)? + "\n";
        for op in &self.ops {
            writeln!(text, "{}", serde_json::to_string(op)?)?;
        }
        Ok(text)
    }

    pub(super) fn parse(text: &str) -> Result<Case> {
        let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
        let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let (number, first) = lines.next().context("an empty case")?;
        let settings = serde_json::from_str(first)
            .with_context(|| format!("line {number} holds no settings"))?;
        let ops = lines.map(|(number, line)| {
            serde_json::from_str(line).with_context(|| format!("line {number} is no operation"))
        });
        Ok(Case { settings, ops: ops.collect::<Result<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::generate::{Plan, generate};

    #[test]
    fn a_case_reads_back_what_it_wrote() {
        let case = generate(7, &Plan::full(400));
        let text = case.text().unwrap();
        assert_eq!(Case::parse(&format!("# a comment\n\n{text}")).unwrap(), case);
    }

    #[test]
    fn a_line_that_is_no_operation_is_named() {
        let text = Case { settings: Settings::plain(), ops: Vec::new() }.text().unwrap();
        let error = Case::parse(&(text + "{\"Fly\":1}")).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
