//! What a transaction has written so far, and what its iterators have shown.

use crate::transaction::keys::Ranges;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;

/// What a transaction has made of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// Nothing: the snapshot counts.
    Unset,
    Put(Bytes),
    Delete,
}

#[derive(Debug)]
struct Version {
    /// The number of the write.
    at: u64,
    own: Own,
}

/// What a transaction has made of one key, over time.
#[derive(Debug)]
struct Versions {
    newest: Version,
    /// Older ones that an iterator or a savepoint may still ask for, oldest first.
    older: Vec<Version>,
}

impl Versions {
    fn at(&self, at: u64) -> &Own {
        if self.newest.at <= at {
            return &self.newest.own;
        }
        self.older.iter().rev().find(|v| v.at <= at).map_or(&Own::Unset, |v| &v.own)
    }
}

/// The writes of a transaction by stored key.
///
/// INVARIANT: what was visible at `pinned` stays visible at it: a version up to there is never
/// replaced, only hidden by a newer one.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    keys: BTreeMap<Bytes, Versions>,
    /// The number of the last write.
    now: u64,
    /// The newest moment at which someone still looks.
    pinned: u64,
    /// Iterators that look.
    viewers: usize,
    /// Savepoints that can be gone back to: their number, and the moment.
    savepoints: Vec<(u64, u64)>,
    next_savepoint: u64,
    /// The keys written since the first savepoint, with the moment.
    history: Vec<(u64, Bytes)>,
}

impl Overlay {
    /// The number of the last write.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// Counts a write that was refused, so that going back behind it can be told.
    pub(crate) fn skip(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(crate) fn write(&mut self, key: &[u8], own: Own) {
        self.now += 1;
        let version = Version { at: self.now, own };
        if let Some(versions) = self.keys.get_mut(key) {
            let older = std::mem::replace(&mut versions.newest, version);
            if older.at > self.pinned {
                if self.pinned == 0 {
                    versions.older.clear();
                }
                return;
            }
            versions.older.push(older);
            if !self.savepoints.is_empty() {
                self.history.push((self.now, Bytes::copy_from_slice(key)));
            }
            return;
        }
        let key = Bytes::copy_from_slice(key);
        if !self.savepoints.is_empty() {
            self.history.push((self.now, key.clone()));
        }
        self.keys.insert(key, Versions { newest: version, older: Vec::new() });
    }

    /// What was made of `key`.
    pub(crate) fn get(&self, key: &[u8]) -> &Own {
        self.keys.get(key).map_or(&Own::Unset, |versions| &versions.newest.own)
    }

    /// The first key between the bounds that was written at the moment `at`.
    pub(crate) fn first(
        &self,
        low: Bound<&[u8]>,
        high: Bound<&[u8]>,
        at: u64,
    ) -> Option<(&Bytes, &Own)> {
        self.between(low, high)?
            .map(|(key, versions)| (key, versions.at(at)))
            .find(|(_, own)| **own != Own::Unset)
    }

    /// The last key between the bounds that was written at the moment `at`.
    pub(crate) fn last(
        &self,
        low: Bound<&[u8]>,
        high: Bound<&[u8]>,
        at: u64,
    ) -> Option<(&Bytes, &Own)> {
        self.between(low, high)?
            .rev()
            .map(|(key, versions)| (key, versions.at(at)))
            .find(|(_, own)| **own != Own::Unset)
    }

    fn between(
        &self,
        low: Bound<&[u8]>,
        high: Bound<&[u8]>,
    ) -> Option<impl DoubleEndedIterator<Item = (&Bytes, &Versions)>> {
        use Bound::{Excluded, Included};
        // A map panics where bounds are inverted, or equal and both excluded.
        match (low, high) {
            (Included(a) | Excluded(a), Included(b)) | (Included(a), Excluded(b)) if a > b => None,
            (Excluded(a), Excluded(b)) if a >= b => None,
            _ => Some(self.keys.range::<[u8], _>((low, high))),
        }
    }

    /// What is to be written, by key.
    pub(crate) fn writes(&self) -> impl Iterator<Item = (&Bytes, &Own)> {
        let newest = self.keys.iter().map(|(key, versions)| (key, &versions.newest.own));
        newest.filter(|(_, own)| **own != Own::Unset)
    }

    /// Someone looks at what is written now; answers the moment.
    pub(crate) fn view(&mut self) -> u64 {
        self.viewers += 1;
        self.pinned = self.now;
        self.now
    }

    /// Ends [`Overlay::view`].
    pub(crate) fn end_view(&mut self) {
        self.viewers -= 1;
        self.unpin();
    }

    fn unpin(&mut self) {
        if self.viewers == 0 && self.savepoints.is_empty() {
            self.pinned = 0;
        }
    }

    /// Notes a moment to go back to; answers its number and the moment.
    pub(crate) fn save(&mut self) -> (u64, u64) {
        self.next_savepoint += 1;
        self.pinned = self.now;
        let savepoint = (self.next_savepoint, self.now);
        self.savepoints.push(savepoint);
        savepoint
    }

    /// Makes everything as it was at a savepoint, and forgets the later ones. Answers `false`
    /// where it is not known any more.
    pub(crate) fn go_back(&mut self, number: u64) -> bool {
        let Ok(place) = self.savepoints.binary_search_by_key(&number, |(number, _)| *number) else {
            return false;
        };
        self.savepoints.truncate(place + 1);
        let moment = self.savepoints.get(place).map_or(0, |(_, at)| *at);
        let from = self.history.partition_point(|(at, _)| *at <= moment);
        self.now += 1;
        for (_, key) in self.history.split_off(from) {
            let Some(versions) = self.keys.get_mut(&key) else { continue };
            let own = versions.at(moment).clone();
            if self.viewers == 0 {
                // Nobody asks for what lies between.
                versions.older.retain(|version| version.at <= moment);
                versions.newest = Version { at: self.now, own };
            } else {
                let newest = Version { at: self.now, own };
                let older = std::mem::replace(&mut versions.newest, newest);
                versions.older.push(older);
            }
        }
        self.pinned = self.now;
        true
    }
}

/// How much of a range an iterator has shown, as stored keys.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) start: Bytes,
    pub(crate) end: Bytes,
    /// The last key shown at the front, and at the back.
    pub(crate) front: Option<Vec<u8>>,
    pub(crate) back: Option<Vec<u8>>,
    /// The ends have met: all of it.
    pub(crate) all: bool,
}

impl Shown {
    /// Adds what was shown to `ranges`.
    fn add_to(&self, ranges: &mut Ranges) {
        if self.all {
            ranges.add(&self.start, &self.end);
            return;
        }
        if let Some(front) = &self.front {
            ranges.add(&self.start, &[front.as_slice(), &[0]].concat());
        }
        if let Some(back) = &self.back {
            ranges.add(back, &self.end);
        }
    }
}

/// What a transaction shares with its iterators.
#[derive(Debug, Default)]
pub(crate) struct Local {
    pub(crate) overlay: Overlay,
    /// What the iterators that live have shown; places are used again.
    live: Vec<Option<Shown>>,
    free: Vec<usize>,
    /// What those that are gone have shown.
    done: Ranges,
}

impl Local {
    /// An iterator begins; answers its place.
    pub(crate) fn begin(&mut self, start: Bytes, end: Bytes) -> usize {
        let shown = Some(Shown { start, end, front: None, back: None, all: false });
        if let Some(place) = self.free.pop()
            && let Some(slot) = self.live.get_mut(place)
        {
            *slot = shown;
            return place;
        }
        self.live.push(shown);
        self.live.len() - 1
    }

    /// What the iterator at `place` has shown.
    pub(crate) fn shown(&mut self, place: usize) -> Option<&mut Shown> {
        self.live.get_mut(place)?.as_mut()
    }

    /// The iterator at `place` ends.
    pub(crate) fn end(&mut self, place: usize) {
        if let Some(shown) = self.live.get_mut(place).and_then(Option::take) {
            shown.add_to(&mut self.done);
            self.free.push(place);
        }
    }

    /// All that was shown so far.
    pub(crate) fn ranges(&self) -> Ranges {
        let mut ranges = self.done.clone();
        self.live.iter().flatten().for_each(|shown| shown.add_to(&mut ranges));
        ranges
    }
}
