//! What the store must hold: of every key every version that anyone may still ask for.
//!
//! Each write has a number. A state is a number and a time of day, and what it shows is computed
//! from the versions. Where the clock has gone back, an entry that had expired may or may not have
//! been removed in between: such an entry is there *maybe*.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

/// How many named keyspaces there may be, besides the default one.
pub(super) const NAMED: usize = 3;

/// "Never" as an expiry.
pub(super) const NEVER: u64 = u64::MAX;

/// One version of a key.
#[derive(Clone, Debug)]
struct Version {
    seq: u64,
    value: Option<Rc<[u8]>>,
    expiry: u64,
}

type Tree = BTreeMap<Vec<u8>, Vec<Version>>;

/// One end of a range of keys.
pub(super) type End = Bound<Vec<u8>>;

/// What one write does; a keyspace by the number of its tree.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Put {
        tree: usize,
        key: Vec<u8>,
        value: Rc<[u8]>,
        expiry: u64,
    },
    Delete {
        tree: usize,
        key: Vec<u8>,
    },
    DeleteRange {
        tree: usize,
        from: End,
        to: End,
    },
    /// A keyspace begins, with this tree, or ends.
    Name {
        space: usize,
        tree: Option<usize>,
    },
}

/// What a reader sees: the writes up to a number, at a time of day.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) seq: u64,
    pub(super) now_ms: u64,
    /// Times of day that were left: the last write before, and the time.
    left: Rc<[(u64, u64)]>,
}

/// An entry that a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    /// It may also be hidden.
    pub(super) maybe: bool,
}

/// The model of a store.
#[derive(Clone, Debug)]
pub(super) struct Oracle {
    trees: Vec<Tree>,
    /// Of each keyspace, the default one first, when it began or ended.
    names: [Vec<(u64, Option<usize>)>; 1 + NAMED],
    pub(super) seq: u64,
    /// A power cut takes nothing up to here.
    pub(super) durable: u64,
    pub(super) now_ms: u64,
    left: Rc<[(u64, u64)]>,
}

impl Oracle {
    pub(super) fn new(now_ms: u64) -> Oracle {
        let mut names: [Vec<_>; 1 + NAMED] = Default::default();
        names[0].push((0, Some(0)));
        let trees = vec![Tree::new()];
        Oracle { trees, names, seq: 0, durable: 0, now_ms, left: Rc::new([]) }
    }

    /// The moment of now.
    pub(super) fn now(&self) -> Moment {
        self.at(self.seq)
    }

    /// The state behind write `seq`, at this time of day.
    pub(super) fn at(&self, seq: u64) -> Moment {
        Moment { seq, now_ms: self.now_ms, left: Rc::clone(&self.left) }
    }

    /// Moves the time of day.
    pub(super) fn set_clock(&mut self, now_ms: u64) {
        if now_ms < self.now_ms {
            // Earlier times that are not later than this one tell nothing more.
            let mut left: Vec<_> =
                self.left.iter().filter(|(_, at)| *at > self.now_ms).copied().collect();
            left.push((self.seq, self.now_ms));
            self.left = left.into();
        }
        self.now_ms = now_ms;
    }

    /// The tree of a keyspace at `seq`.
    pub(super) fn tree(&self, space: usize, seq: u64) -> Option<usize> {
        let names = self.names.get(space)?;
        names.iter().rev().find(|(since, _)| *since <= seq).and_then(|(_, tree)| *tree)
    }

    /// A tree for a keyspace that is about to begin.
    pub(super) fn new_tree(&mut self) -> usize {
        self.trees.push(Tree::new());
        self.trees.len() - 1
    }

    /// Adds a write; versions that nobody asks for any more may go: all moments that are still
    /// held are `oldest` or later.
    pub(super) fn commit(&mut self, write: &[Effect], oldest: u64) {
        self.seq += 1;
        let (seq, floor) = (self.seq, oldest.min(self.durable));
        for effect in write {
            match effect {
                Effect::Put { tree, key, value, expiry } => {
                    let version = Version { seq, value: Some(Rc::clone(value)), expiry: *expiry };
                    push(self.trees[*tree].entry(key.clone()).or_default(), version, floor);
                }
                Effect::Delete { tree, key } => {
                    if let Some(versions) = self.trees[*tree].get_mut(key) {
                        push(versions, Version { seq, value: None, expiry: NEVER }, floor);
                    }
                }
                Effect::DeleteRange { tree, from, to } => {
                    if is_empty(from, to) {
                        continue;
                    }
                    let range = (as_slice(from), as_slice(to));
                    for (_, versions) in self.trees[*tree].range_mut::<[u8], _>(range) {
                        if versions.last().is_some_and(|last| last.value.is_some()) {
                            push(versions, Version { seq, value: None, expiry: NEVER }, floor);
                        }
                    }
                }
                Effect::Name { space, tree } => self.names[*space].push((seq, *tree)),
            }
        }
    }

    /// A power cut took every write behind `seq`. Nobody holds a moment any more.
    pub(super) fn cut(&mut self, seq: u64) {
        for names in &mut self.names {
            names.retain(|(since, _)| *since <= seq);
        }
        for tree in &mut self.trees {
            tree.values_mut().for_each(|versions| versions.retain(|v| v.seq <= seq));
        }
    }

    /// Forgets what no moment from now on shows. Nobody holds an earlier one, and all is durable.
    pub(super) fn tidy(&mut self) {
        self.durable = self.seq;
        for names in &mut self.names {
            let last = names.len().saturating_sub(1);
            names.drain(..last);
        }
        let alive: Vec<usize> = self
            .names
            .iter()
            .filter_map(|names| names.last().and_then(|(_, tree)| *tree))
            .collect();
        for (number, tree) in self.trees.iter_mut().enumerate() {
            if !alive.contains(&number) {
                tree.clear();
                continue;
            }
            tree.retain(|_, versions| {
                let last = versions.len().saturating_sub(1);
                versions.drain(..last);
                versions.last().is_some_and(|last| last.value.is_some())
            });
        }
    }

    /// What `moment` shows of a key.
    pub(super) fn get(&self, tree: usize, key: &[u8], moment: &Moment) -> Option<Entry<'_>> {
        let (key, versions) = self.trees[tree].get_key_value(key)?;
        seen(key, versions, moment)
    }

    /// What `moment` shows of a range, in order.
    pub(super) fn range<'a>(
        &'a self,
        tree: usize,
        from: &End,
        to: &End,
        moment: &'a Moment,
    ) -> Box<dyn DoubleEndedIterator<Item = Entry<'a>> + 'a> {
        if is_empty(from, to) {
            return Box::new(std::iter::empty());
        }
        let range = self.trees[tree].range::<[u8], _>((as_slice(from), as_slice(to)));
        Box::new(range.filter_map(move |(key, versions)| seen(key, versions, moment)))
    }

    /// Who wrote a value that is not the expected one, for a message.
    pub(super) fn whose(&self, value: &[u8]) -> String {
        super::value::describe(value)
    }
}

fn push(versions: &mut Vec<Version>, version: Version, floor: u64) {
    if versions.len() >= 4 {
        let needed = versions.iter().rposition(|v| v.seq <= floor).unwrap_or(0);
        versions.drain(..needed);
    }
    versions.push(version);
}

fn seen<'a>(key: &'a [u8], versions: &'a [Version], moment: &Moment) -> Option<Entry<'a>> {
    let version = versions.iter().rev().find(|version| version.seq <= moment.seq)?;
    let value = version.value.as_deref()?;
    if version.expiry <= moment.now_ms {
        return None;
    }
    let passed = |(last, at): &(u64, u64)| *last >= version.seq && *at >= version.expiry;
    let maybe = version.expiry != NEVER && moment.left.iter().any(passed);
    Some(Entry { key, value, maybe })
}

/// A bound that borrows.
pub(super) fn as_slice(end: &End) -> Bound<&[u8]> {
    match end {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// Whether no key can lie between the two, as for inverted ones.
pub(super) fn is_empty(from: &End, to: &End) -> bool {
    match (from, to) {
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from >= to,
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str, expiry: u64) -> Effect {
        Effect::Put { tree: 0, key: key.into(), value: value.as_bytes().into(), expiry }
    }

    fn shown(oracle: &Oracle, moment: &Moment) -> Vec<(String, bool)> {
        let all = oracle.range(0, &Bound::Unbounded, &Bound::Unbounded, moment);
        all.map(|e| (String::from_utf8_lossy(e.value).into_owned(), e.maybe)).collect()
    }

    #[test]
    fn a_moment_shows_what_was_written_before_it() {
        let mut oracle = Oracle::new(0);
        oracle.commit(&[put("a", "1", NEVER)], 0);
        let then = oracle.now();
        let (from, to) = (Bound::Unbounded, Bound::Excluded(b"b".to_vec()));
        oracle.commit(&[Effect::DeleteRange { tree: 0, from, to }, put("b", "2", NEVER)], 0);
        assert_eq!(shown(&oracle, &then), [("1".to_owned(), false)]);
        assert_eq!(shown(&oracle, &oracle.now()), [("2".to_owned(), false)]);
        oracle.cut(1);
        assert_eq!(shown(&oracle, &oracle.now()), [("1".to_owned(), false)]);
    }

    #[test]
    fn what_had_expired_before_the_clock_went_back_is_there_maybe() {
        let mut oracle = Oracle::new(0);
        oracle.commit(&[put("a", "1", 10)], 0);
        oracle.set_clock(10);
        assert_eq!(shown(&oracle, &oracle.now()), []);
        oracle.set_clock(5);
        oracle.commit(&[put("b", "2", 8)], 0);
        let expected = [("1".to_owned(), true), ("2".to_owned(), false)];
        assert_eq!(shown(&oracle, &oracle.now()), expected);
    }
}
