//! What is noted of a transaction while it runs, and the state that its own writes make of another.

use kv_engine::Isolation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Keys of each keyspace.
pub(super) const KEYS: u8 = 32;
/// Keys that begin alike.
pub(super) const ALIKE: u8 = 8;

/// A keyspace, by number, and a key in it.
pub(super) type Key = (u8, u8);
/// Every value is written once.
pub(super) type Value = u64;
/// A state of the store.
pub(super) type State = BTreeMap<Key, Value>;

/// A key's bytes: in the order of the numbers, and with a prefix that it shares.
pub(super) fn bytes(key: u8) -> [u8; 2] {
    [b'a' + key / ALIKE, b'0' + key % ALIKE]
}

/// The key of these bytes.
pub(super) fn number(bytes: &[u8]) -> Option<u8> {
    (0..KEYS).find(|key| self::bytes(*key) == bytes)
}

/// Something that a transaction did, with the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Event {
    Put(Key, Value),
    Delete(Key),
    Get(Key, Option<Value>),
    Scan(Scan),
    /// A savepoint.
    Save,
    /// Back to one of the savepoints that there are.
    Back(usize),
}

/// A range of a keyspace, read in part.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Scan {
    pub(super) space: u8,
    pub(super) from: u8,
    /// Behind the last.
    pub(super) to: u8,
    /// Each pair that was shown, or the end, and whether it was asked for from behind.
    pub(super) shown: Vec<(bool, Option<(u8, Value)>)>,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With the first sequence number of what it wrote.
    Committed(Option<u64>),
    Conflict,
    RolledBack,
}

impl End {
    /// The first number of what it committed.
    pub(super) fn seq(self) -> Option<u64> {
        match self {
            End::Committed(seq) => seq,
            End::Conflict | End::RolledBack => None,
        }
    }
}

/// A transaction that is over.
#[derive(Clone, Debug)]
pub(super) struct Over {
    pub(super) isolation: Isolation,
    /// The newest sequence number that it saw.
    pub(super) snapshot: u64,
    /// The newest commit that was acknowledged before it began.
    pub(super) acknowledged: u64,
    pub(super) events: Vec<Event>,
    pub(super) end: End,
}

impl Over {
    /// The first answer that this state would not have given.
    pub(super) fn differs(&self, state: &State) -> Option<String> {
        let mut own = Own::default();
        self.events.iter().find_map(|event| own.step(state, event))
    }

    /// What it writes in the end; `None` stands for a delete.
    pub(super) fn writes(&self) -> BTreeMap<Key, Option<Value>> {
        let mut own = Own::default();
        for event in &self.events {
            own.write(event);
        }
        own.writes
    }
}

/// A transaction's own writes, and what they were at its savepoints.
#[derive(Default)]
struct Own {
    writes: BTreeMap<Key, Option<Value>>,
    saved: Vec<BTreeMap<Key, Option<Value>>>,
}

impl Own {
    fn write(&mut self, event: &Event) {
        match event {
            Event::Put(key, value) => drop(self.writes.insert(*key, Some(*value))),
            Event::Delete(key) => drop(self.writes.insert(*key, None)),
            Event::Save => self.saved.push(self.writes.clone()),
            Event::Back(at) => {
                self.saved.truncate(at + 1);
                self.writes = self.saved.last().cloned().unwrap_or_default();
            }
            Event::Get(..) | Event::Scan(_) => {}
        }
    }

    fn value(&self, state: &State, key: Key) -> Option<Value> {
        self.writes.get(&key).copied().unwrap_or_else(|| state.get(&key).copied())
    }

    /// Goes on by an event; answers what is wrong with its answer over this state.
    fn step(&mut self, state: &State, event: &Event) -> Option<String> {
        self.write(event);
        match event {
            Event::Get(key, shown) => {
                let due = self.value(state, *key);
                (due != *shown).then(|| format!("{key:?} was {shown:?}, should be {due:?}"))
            }
            Event::Scan(scan) => self.scan(state, scan),
            _ => None,
        }
    }

    fn scan(&self, state: &State, scan: &Scan) -> Option<String> {
        let pair = |key| Some((key, self.value(state, (scan.space, key))?));
        let mut left = (scan.from..scan.to).filter_map(pair);
        for (back, shown) in &scan.shown {
            let due = if *back { left.next_back() } else { left.next() };
            if due != *shown {
                let Scan { space, from, to, .. } = scan;
                let way = if *back { "backward" } else { "forward" };
                return Some(format!(
                    "{way} in {from}..{to} of keyspace {space} came {shown:?}, should be {due:?}"
                ));
            }
        }
        None
    }
}
