//! The streams of writes, and the state that a store must have after each of them.
//!
//! Eight streams belong to one writer each and touch keys of their own. The ninth is the bank:
//! every writer adds to it, one at a time, so that its order is known too. What a write does
//! follows from the seed, the life, the stream and its index, and for the bank from the balances
//! before it.

use crate::torture::draw::Draw;
use crate::torture::store::Place;
use crate::torture::value::Tag;
use std::collections::BTreeMap;

/// How many streams there are; the last is the bank.
pub(crate) const STREAMS: u8 = 9;
/// The stream that all writers share.
pub(crate) const BANK: u8 = STREAMS - 1;
/// Not a stream of writes, but of syncs of everything.
pub(crate) const SYNCS: u8 = STREAMS;

const KEYS: u64 = 48;
const ACCOUNTS: u64 = 12;
const BALANCE: i64 = 1000;

/// One key set or removed.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which key.
    pub place: Place,
    /// Its new value; `None` removes it.
    pub value: Option<Vec<u8>>,
    pub(crate) tag: Option<Tag>,
}

/// One write of a stream.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) index: u64,
    pub(crate) sync: bool,
    pub(crate) changes: Vec<Change>,
}

/// The state of one stream's keys after its first writes.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    seed: u64,
    stream: u8,
    next: u64,
    state: BTreeMap<Place, Tag>,
}

impl Model {
    pub(crate) fn new(seed: u64, stream: u8) -> Model {
        Model { seed, stream, next: 0, state: BTreeMap::new() }
    }

    /// How many writes it has seen.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn state(&self) -> &BTreeMap<Place, Tag> {
        &self.state
    }

    /// Applies the next write, of that life, and answers it with its values left out, and what its
    /// keys were before.
    pub(crate) fn step(&mut self, life: u32) -> (Write, BTreeMap<Place, Option<Tag>>) {
        let parts = [self.seed, u64::from(self.stream), u64::from(life), self.next];
        let mut draw = Draw::new(&parts);
        let changes = match self.stream {
            BANK => self.transfer(life, &mut draw),
            _ => self.own(life, &mut draw),
        };
        let mut before = BTreeMap::new();
        for change in &changes {
            let old = match change.tag {
                Some(tag) => self.state.insert(change.place.clone(), tag),
                None => self.state.remove(&change.place),
            };
            before.entry(change.place.clone()).or_insert(old);
        }
        // How often a life syncs is drawn too: never, now and then, always.
        let often = [0, 10, 10, 50, 50, 100];
        let kind = Draw::new(&[self.seed, u64::from(life)]).below(often.len() as u64);
        let percent = often.get(kind as usize).copied().unwrap_or(50);
        let write = Write { index: self.next, sync: draw.chance(percent), changes };
        self.next += 1;
        (write, before)
    }

    fn own(&self, life: u32, draw: &mut Draw) -> Vec<Change> {
        let many = match draw.below(100) {
            0..=59 => 1,
            60..=97 => 2 + draw.below(9),
            _ => 50 + draw.below(200),
        };
        let change = |slot: u32, place: Place, keep: bool| {
            let (stream, index) = (self.stream, self.next);
            let tag = keep.then_some(Tag { stream, life, index, slot, number: 0 });
            Change { place, value: None, tag }
        };
        let mut changes = Vec::new();
        for slot in 0..many {
            let key = format!("w{}/{:02}", self.stream, draw.below(KEYS));
            // Some keys are long, and share a prefix with a short one.
            let long = if draw.chance(10) { "-".repeat(180) } else { String::new() };
            let place = (u8::from(draw.chance(40)), (key + &long).into_bytes());
            changes.push(change(slot as u32, place, draw.chance(75)));
        }
        if many > 1 {
            // The counter: a batch that is not whole shows in it.
            let place = (0, format!("w{}/count", self.stream).into_bytes());
            changes.push(change(many as u32, place, true));
        }
        changes
    }

    /// From an account in one keyspace to one in the other.
    fn transfer(&self, life: u32, draw: &mut Draw) -> Vec<Change> {
        let side = draw.below(2) as u8;
        let from = account(side, draw.below(ACCOUNTS));
        let to = account(1 - side, draw.below(ACCOUNTS));
        let amount = draw.below(100).cast_signed();
        let balance = |place: &Place| self.state.get(place).map_or(BALANCE, |tag| tag.number);
        let change = |slot: u32, place: Place, number: i64| {
            let tag = Tag { stream: BANK, life, index: self.next, slot, number };
            Change { place, value: None, tag: Some(tag) }
        };
        let (left, right) = (balance(&from) - amount, balance(&to) + amount);
        let last = (0, b"bank/last".to_vec());
        vec![change(0, from, left), change(1, to, right), change(2, last, 0)]
    }
}

impl Write {
    /// The same with the bytes of its values.
    pub(crate) fn filled(mut self) -> Write {
        for change in &mut self.changes {
            change.value = change.tag.map(|tag| tag.value(&change.place));
        }
        self
    }
}

fn account(side: u8, number: u64) -> Place {
    (side, format!("bank/{number:02}").into_bytes())
}

/// How much money there is too much in a state of the bank.
pub(crate) fn surplus(state: &BTreeMap<Place, Tag>) -> i64 {
    let accounts = (0..2).flat_map(|side| (0..ACCOUNTS).map(move |n| account(side, n)));
    accounts.filter_map(|place| state.get(&place)).map(|tag| tag.number - BALANCE).sum()
}

/// The stream that a key belongs to.
pub(crate) fn stream_of(place: &Place) -> Option<u8> {
    let key = std::str::from_utf8(&place.1).ok()?;
    let (owner, _) = key.split_once('/')?;
    match owner {
        "bank" => Some(BANK),
        _ => owner.strip_prefix('w')?.parse().ok().filter(|stream| *stream < BANK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_writes_the_same_and_money_stays() {
        for stream in 0..STREAMS {
            let (mut one, mut two) = (Model::new(7, stream), Model::new(7, stream));
            for life in 0..3 {
                for _ in 0..200 {
                    let ((a, _), (b, _)) = (one.step(life), two.step(life));
                    assert_eq!(a.changes.len(), b.changes.len());
                    assert!(a.changes.iter().all(|c| stream_of(&c.place) == Some(stream)));
                }
            }
            assert_eq!(one.state(), two.state());
            assert_eq!(one.next(), 600);
            if stream == BANK {
                assert_eq!(surplus(one.state()), 0);
                assert!(one.state().len() > 20);
            }
        }
    }
}
