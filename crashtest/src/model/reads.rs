//! Operations that read: now, at snapshots, through what is held open.

use super::compare::{self, Check, Span, failed, show, stands, walk};
use super::marks::{Met, met};
use super::op::{Edge, Key, Move, Op};
use super::oracle::{End, Moment, is_empty};
use super::run::{HeldCursor, HeldIter, HeldSnapshot, NAMES, Run, SLOTS};
use kv_core::successor;
use std::ops::Bound;

/// How many pairs one read of a range takes at most.
const MOST: usize = 64;

impl Run {
    pub(super) fn read(&mut self, op: &Op) -> Check {
        match op {
            Op::Get { space, key } => self.get(*space, *key),
            Op::Contains { space, key } => self.contains(*space, *key),
            Op::Range { space, from, to, ends } => {
                let (from, to) = (self.bound(*from), self.bound(*to));
                self.range(*space, from, to, *ends, None)
            }
            Op::Prefix { space, key, ends } => {
                let key = key.bytes();
                let to = successor(&key).map_or(Bound::Unbounded, Bound::Excluded);
                self.range(*space, Bound::Included(key.clone()), to, *ends, Some(&key))
            }
            Op::Iter { space, ends } => self.iter(*space, *ends),
            Op::OpenCursor { slot, space, snapshot } => self.open_cursor(*slot, *space, *snapshot),
            Op::Cursor { slot, moves } => self.cursor(*slot, moves),
            Op::OpenIter { slot, space, from, to } => self.open_iter(*slot, *space, *from, *to),
            Op::StepIter { slot, steps, ends } => self.step_iter(*slot, *steps, *ends),
            Op::Snapshot { slot } => self.snapshot(*slot),
            Op::Within { slot, from, space } => self.within(*slot, *from, *space),
            Op::SnapshotGet { slot, key } => self.snapshot_get(*slot, *key),
            Op::SnapshotRange { slot, from, to, ends } => {
                self.snapshot_range(*slot, *from, *to, *ends)
            }
            Op::ReadSnapshot { slot } => self.read_snapshot(usize::from(*slot) % SLOTS),
            Op::ReadSnapshots => self.read_snapshots(),
            Op::Release { slot } => {
                self.held.snapshots[usize::from(*slot) % SLOTS] = None;
                Ok(())
            }
            other => Err(format!("{other:?} is no read")),
        }
    }

    fn get(&mut self, space: u8, key: Key) -> Check {
        let space = self.existing(space);
        let (tree, key) = (self.tree(space)?, key.bytes());
        let now = self.oracle.now();
        if self.oracle.get(tree, &key, &now).is_some_and(|entry| entry.maybe) {
            met(Met::Maybe);
        }
        let got = compare::point(&self.oracle, self.reader(space), tree, &key, &now)?;
        self.note(got.as_deref().unwrap_or(b"none"));
        Ok(())
    }

    fn contains(&mut self, space: u8, key: Key) -> Check {
        let space = self.existing(space);
        let (tree, key) = (self.tree(space)?, key.bytes());
        let got = self.reader(space).contains_key(&key).map_err(failed("contains_key"))?;
        let now = self.oracle.now();
        let due = self.oracle.get(tree, &key, &now);
        if got != due.is_some() && !due.is_some_and(|entry| entry.maybe) {
            return Err(format!("contains_key {} says {got}", show(&key)));
        }
        self.note(&[u8::from(got)]);
        Ok(())
    }

    fn range(&mut self, space: u8, from: End, to: End, ends: u64, prefix: Option<&[u8]>) -> Check {
        let space = self.existing(space);
        let tree = self.tree(space)?;
        if is_empty(&from, &to) {
            met(Met::InvertedRange);
        }
        let reader = self.reader(space);
        let mut iter = match prefix {
            Some(prefix) => reader.prefix(prefix),
            None => reader.range(&from, &to),
        };
        let mut span = Span { tree, moment: self.oracle.now(), from, to };
        walk(&self.oracle, &mut iter, &mut span, MOST, ends)?;
        self.note_span(&span);
        Ok(())
    }

    /// Notes where a read has come to, which depends on all that it saw.
    fn note_span(&mut self, span: &Span) {
        for end in [&span.from, &span.to] {
            match end {
                Bound::Included(key) | Bound::Excluded(key) => self.note(key),
                Bound::Unbounded => self.note(b"unbounded"),
            }
        }
    }

    fn iter(&mut self, space: u8, ends: u64) -> Check {
        let space = self.existing(space);
        let mut span = Span::all(self.tree(space)?, self.oracle.now());
        let mut iter = self.reader(space).iter();
        walk(&self.oracle, &mut iter, &mut span, usize::MAX, ends)?;
        self.note_span(&span);
        Ok(())
    }

    fn open_cursor(&mut self, slot: u8, space: u8, snapshot: Option<u8>) -> Check {
        let slot = usize::from(slot) % SLOTS;
        let since = self.upheavals;
        let held = match snapshot.map(|at| usize::from(at) % SLOTS) {
            Some(at) => {
                let Some(HeldSnapshot { snapshot, tree: Some(tree), moment }) =
                    &self.held.snapshots[at]
                else {
                    return Ok(());
                };
                let (tree, moment) = (*tree, moment.clone());
                HeldCursor { cursor: snapshot.cursor(), tree, moment, at: None, since }
            }
            None => {
                let space = self.existing(space);
                let (tree, moment) = (self.tree(space)?, self.oracle.now());
                let cursor = self.reader(space).cursor();
                HeldCursor { cursor, tree, moment, at: None, since }
            }
        };
        if held.cursor.valid() {
            return Err("a new cursor stands on a key".to_owned());
        }
        self.held.cursors[slot] = Some(held);
        Ok(())
    }

    fn cursor(&mut self, slot: u8, moves: &[Move]) -> Check {
        let slot = usize::from(slot) % SLOTS;
        let Some(mut held) = self.held.cursors[slot].take() else { return Ok(()) };
        if self.upheavals > held.since {
            met(Met::LongCursor);
        }
        let mut last = None;
        for to in moves {
            let turned = matches!(
                (last.replace(*to), to),
                (Some(Move::Next), Move::Prev) | (Some(Move::Prev), Move::Next)
            );
            if turned {
                met(Met::DirectionChange);
            }
            self.move_cursor(&mut held, *to).map_err(|e| format!("{to:?}: {e}"))?;
            let at = held.at.take().unwrap_or_else(|| b"nowhere".to_vec());
            self.note(&at);
            held.at = held.cursor.valid().then_some(at);
        }
        self.held.cursors[slot] = Some(held);
        Ok(())
    }

    fn move_cursor(&self, held: &mut HeldCursor, to: Move) -> Check {
        let cursor = &mut held.cursor;
        let all = Span::all(held.tree, held.moment.clone());
        let (outcome, span, back) = match (to, held.at.take()) {
            (Move::First, _) => (cursor.first(), Some(all), false),
            (Move::Last, _) => (cursor.last(), Some(all), true),
            (Move::Seek(key), _) => {
                let key = key.bytes();
                let outcome = cursor.seek(&key);
                (outcome, Some(Span { from: Bound::Included(key), ..all }), false)
            }
            (Move::SeekPrev(key), _) => {
                let key = key.bytes();
                let outcome = cursor.seek_for_prev(&key);
                (outcome, Some(Span { to: Bound::Included(key), ..all }), true)
            }
            (Move::Next, Some(at)) => {
                (cursor.next(), Some(Span { from: Bound::Excluded(at), ..all }), false)
            }
            (Move::Prev, Some(at)) => {
                (cursor.prev(), Some(Span { to: Bound::Excluded(at), ..all }), true)
            }
            (Move::Next, None) => (cursor.next(), None, false),
            (Move::Prev, None) => (cursor.prev(), None, true),
        };
        outcome.map_err(failed("a cursor's move"))?;
        match span {
            Some(span) => stands(&self.oracle, cursor, &span, back)?,
            None if cursor.valid() => return Err("a step from nowhere found a key".to_owned()),
            None => {}
        }
        held.at = cursor.valid().then(|| cursor.key().to_vec());
        Ok(())
    }

    fn open_iter(&mut self, slot: u8, space: u8, from: Edge, to: Edge) -> Check {
        let space = self.existing(space);
        let (from, to) = (self.bound(from), self.bound(to));
        let iter = self.reader(space).range(&from, &to);
        let span = Span { tree: self.tree(space)?, moment: self.oracle.now(), from, to };
        let held = HeldIter { iter, span, ended: false, since: self.upheavals };
        self.held.iters[usize::from(slot) % SLOTS] = Some(held);
        Ok(())
    }

    fn step_iter(&mut self, slot: u8, steps: u8, ends: u64) -> Check {
        let Some(held) = &mut self.held.iters[usize::from(slot) % SLOTS] else { return Ok(()) };
        if self.upheavals > held.since + 1 {
            met(Met::LongIterator);
        }
        if held.ended {
            return match held.iter.next().is_none() && held.iter.next_back().is_none() {
                true => Ok(()),
                false => Err("an iterator went on behind its end".to_owned()),
            };
        }
        let steps = usize::from(steps);
        held.ended = !walk(&self.oracle, &mut held.iter, &mut held.span, steps, ends)?;
        let span = held.span.clone();
        self.note_span(&span);
        Ok(())
    }

    fn snapshot(&mut self, slot: u8) -> Check {
        let snapshot = self.open.db.snapshot();
        let held = HeldSnapshot { snapshot, tree: Some(self.tree(0)?), moment: self.oracle.now() };
        self.held.snapshots[usize::from(slot) % SLOTS] = Some(held);
        if self.held.snapshots.iter().flatten().count() >= 8 {
            met(Met::EightSnapshots);
        }
        Ok(())
    }

    /// The same moment in another keyspace, whether that existed then or not.
    fn within(&mut self, slot: u8, from: u8, space: u8) -> Check {
        let space = self.existing(space);
        let Some(held) = &self.held.snapshots[usize::from(from) % SLOTS] else { return Ok(()) };
        let Some(Some(keyspace)) = self.open.spaces.get(space) else { return Ok(()) };
        let moment = held.moment.clone();
        let snapshot = held.snapshot.within(keyspace);
        // The tree of this handle, if it had begun by then.
        let tree = Some(self.tree(space)?);
        self.held.snapshots[usize::from(slot) % SLOTS] =
            Some(HeldSnapshot { snapshot, tree, moment });
        Ok(())
    }

    fn snapshot_get(&mut self, slot: u8, key: Key) -> Check {
        let held = &self.held.snapshots[usize::from(slot) % SLOTS];
        let Some(HeldSnapshot { snapshot, tree: Some(tree), moment }) = held else { return Ok(()) };
        let got = compare::point(&self.oracle, snapshot, *tree, &key.bytes(), moment)
            .map_err(|e| format!("a snapshot's {e}"))?;
        self.note(got.as_deref().unwrap_or(b"none"));
        Ok(())
    }

    fn snapshot_range(&mut self, slot: u8, from: Edge, to: Edge, ends: u64) -> Check {
        let (from, to) = (self.bound(from), self.bound(to));
        let held = &self.held.snapshots[usize::from(slot) % SLOTS];
        let Some(HeldSnapshot { snapshot, tree: Some(tree), moment }) = held else { return Ok(()) };
        let mut iter = super::face::Reads::range(snapshot, &from, &to);
        let mut span = Span { tree: *tree, moment: moment.clone(), from, to };
        walk(&self.oracle, &mut iter, &mut span, MOST, ends)
            .map_err(|e| format!("on a snapshot, {e}"))?;
        self.note_span(&span);
        Ok(())
    }

    /// Reads all of one snapshot.
    pub(super) fn read_snapshot(&mut self, slot: usize) -> Check {
        let held = &self.held.snapshots[slot];
        let Some(HeldSnapshot { snapshot, tree: Some(tree), moment }) = held else { return Ok(()) };
        if moment.seq == 0 {
            met(Met::SnapshotAtZero);
        }
        let span = Span::all(*tree, moment.clone());
        let pairs = compare::whole(&self.oracle, snapshot, &span, true)
            .map_err(|e| format!("a snapshot behind write {}: {e}", moment.seq))?;
        if moment.seq % 8 == 3 {
            compare::neighbours(&self.oracle, snapshot, &pairs, &span)
                .map_err(|e| format!("a snapshot behind write {}: {e}", moment.seq))?;
        }
        Ok(())
    }

    /// Reads all of every snapshot.
    pub(super) fn read_snapshots(&mut self) -> Check {
        (0..SLOTS).try_for_each(|slot| self.read_snapshot(slot))
    }

    /// Which moment and keyspaces a whole read compares with.
    pub(super) fn agree(&self, dump: &super::files::Dump, moment: &Moment) -> Check {
        for (space, name) in NAMES.iter().enumerate() {
            match (dump.get(*name), self.oracle.tree(space, moment.seq)) {
                (None, None) => {}
                (Some(pairs), Some(tree)) => {
                    compare::agrees(&self.oracle, pairs, &Span::all(tree, moment.clone()))
                        .map_err(|e| format!("keyspace {name:?}: {e}"))?;
                }
                (found, _) => {
                    return Err(format!("keyspace {name:?} is there: {}", found.is_some()));
                }
            }
        }
        Ok(())
    }
}
