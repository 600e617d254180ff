//! Many sorted cursors as one, in both directions.
//!
//! The child that stands first is kept outside of the heap: its next entry is compared with the
//! runner-up alone (the heap's root), so a run of entries from one child costs one comparison
//! each, and a single child costs none. Beside each of the others lies its rank, a word by which most
//! keys are told apart. Nothing is allocated once every child has been seen.

use super::rank::Ranking;
use kv_core::{Cursor, SeqNo, Trailer};
use kv_sstable::BlockPlace;
use kv_vfs::testing::{bug, planted};
use std::cmp::Ordering;

/// Where a seek will have to look, as far as that can be told without reading.
pub(crate) type Aim = Option<BlockPlace>;

/// A cursor that can leave out a stretch which a range tombstone hides, without reading it.
pub(crate) trait Skip: Cursor {
    /// Has the processor fetch what [`Skip::seek_aimed`] with the same target will ask first. The
    /// cursor may not be used before that, or before another positioning call.
    fn aim(&mut self, key: &[u8], trailer: Trailer) -> Aim;

    /// [`Cursor::seek`]; `aim` is what [`Skip::aim`] answered for the same target, or `None`.
    fn seek_aimed(&mut self, key: &[u8], trailer: Trailer, aim: Aim) -> Result<(), Self::Error>;

    /// Leaves entries out up to a target that lies behind the present entry, mostly near it: of
    /// several sorted runs perhaps in one of them only, so that the present entry may still lie
    /// before the target.
    fn pass(&mut self, key: &[u8], trailer: Trailer) -> Result<(), Self::Error> {
        self.seek(key, trailer)
    }

    /// Goes on to the first entry that is not below `end` or not older than `seq`, where that
    /// can be told without reading what lies between. Answers whether it moved; an answer of
    /// false means that the caller has to go step by step.
    fn skip_forward(&mut self, end: &[u8], seq: SeqNo) -> Result<bool, Self::Error>;

    /// Goes back to the last entry that is below `start` or not older than `seq`, under the same
    /// condition.
    fn skip_backward(&mut self, start: &[u8], seq: SeqNo) -> Result<bool, Self::Error>;

    /// How many of the next entries are *plain*: puts that `snapshot` sees, each the only entry
    /// of its key, with keys below `end`. So many may be reached by [`Skip::step_ahead`], which
    /// cannot fail. A guess that is too low costs time alone.
    fn plain_ahead(&self, snapshot: SeqNo, end: Option<&[u8]>) -> usize;

    /// The same backward, beginning with the present entry: keys of at least `start` and greater
    /// than `above`. All but the first are reached by [`Skip::step_back`].
    fn plain_behind(&self, snapshot: SeqNo, start: Option<&[u8]>, above: Option<&[u8]>) -> usize;

    /// Whether no newer entry of the present key lies before this one. A false no costs time alone.
    fn is_newest(&self) -> bool;

    /// Goes on to the next entry, which is plain.
    fn step_ahead(&mut self);

    /// Goes back to the previous entry, which is plain.
    fn step_back(&mut self);
}

/// So many children look up where they will go before the first of them goes there, so that all wait
/// for memory at the same time.
const AIMED: usize = 8;

/// After so many comparisons that a rank could not decide ranks are chosen anew.
const BLURRED: usize = 8;

/// A child that waits for its turn.
#[derive(Clone, Copy)]
struct Waiting {
    rank: u64,
    child: usize,
}

/// The union of its children in internal order. Of two entries that are equal in key and
/// trailer, the one of the earlier child comes first.
pub(crate) struct Merge<C: Cursor> {
    children: Vec<C>,
    /// The child that stands first in the direction of travel; none where the merge is invalid.
    winner: Option<usize>,
    /// The other valid children, a binary heap whose root is the runner-up.
    others: Vec<Waiting>,
    ranking: Ranking,
    /// How many different keys had the same rank since ranks were chosen.
    blurred: usize,
    backward: bool,
    error: Option<C::Error>,
    /// Keeps the key while the others are moved on a change of direction.
    turning: Vec<u8>,
}

impl<C: Cursor> Merge<C>
where
    C::Error: Clone,
{
    /// Merges `children`, the newest first. Not valid until positioned.
    pub(crate) fn new(children: Vec<C>) -> Merge<C> {
        Merge {
            others: Vec::with_capacity(children.len()),
            children,
            winner: None,
            ranking: Ranking::default(),
            blurred: 0,
            backward: false,
            error: None,
            turning: Vec::new(),
        }
    }

    /// Positions every child with `go` and finds the winner.
    fn position(
        &mut self,
        backward: bool,
        mut go: impl FnMut(usize, &mut C) -> Result<(), C::Error>,
    ) -> Result<(), C::Error> {
        self.winner = None;
        self.error = None;
        self.backward = backward;
        self.others.clear();
        for (i, child) in self.children.iter_mut().enumerate() {
            if let Err(error) = go(i, child) {
                return self.fail(error);
            }
            if child.valid() {
                self.others.push(Waiting { rank: 0, child: i });
            }
        }
        let mut first = 0;
        for slot in 1..self.others.len() {
            if self.order(self.others[slot].child, self.others[first].child).is_lt() {
                first = slot;
            }
        }
        if first < self.others.len() {
            let winner = self.others.swap_remove(first).child;
            self.winner = Some(winner);
            self.rank_others(winner);
        }
        Ok(())
    }

    /// Chooses ranks that tell the others from child `first`, and builds the heap.
    fn rank_others(&mut self, first: usize) {
        self.blurred = 0;
        if self.others.is_empty() {
            return;
        }
        let children = &self.children;
        let keys = self.others.iter().map(|other| children[other.child].key());
        self.ranking.choose(children[first].key(), keys);
        for other in &mut self.others {
            other.rank = self.ranking.of(children[other.child].key());
        }
        for slot in (0..self.others.len() / 2).rev() {
            self.sift_down(slot);
        }
    }

    fn fail<T>(&mut self, error: C::Error) -> Result<T, C::Error> {
        self.winner = None;
        self.error = Some(error.clone());
        Err(error)
    }

    #[cold]
    fn nowhere(&self) -> Result<(), C::Error> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// Restores the order after child `moved`, the winner until now, has moved.
    #[inline]
    fn settle(&mut self, moved: usize) {
        let Some(&second) = self.others.first() else {
            if !self.children[moved].valid() {
                self.winner = None;
            }
            return;
        };
        if !self.children[moved].valid() {
            self.winner = self.pop();
            return;
        }
        let moved = Waiting { rank: self.ranking.of(self.children[moved].key()), child: moved };
        let mut first = moved.child;
        if self.precedes(second, moved) {
            first = second.child;
            self.winner = Some(first);
            self.others[0] = moved;
            self.sift_down(0);
        }
        if self.blurred > BLURRED {
            self.rank_others(first);
        }
    }

    /// The runner-up's key, by which the winner's plain entries end.
    #[inline]
    fn runner_up(&self) -> Option<&[u8]> {
        self.others.first().map(|second| self.children[second.child].key())
    }

    /// Takes the root out of the heap.
    fn pop(&mut self) -> Option<usize> {
        let last = self.others.pop()?;
        let Some(root) = self.others.first_mut() else { return Some(last.child) };
        let root = std::mem::replace(root, last);
        self.sift_down(0);
        Some(root.child)
    }

    fn sift_down(&mut self, mut slot: usize) {
        loop {
            let mut down = 2 * slot + 1;
            if down >= self.others.len() {
                return;
            }
            let right = down + 1;
            if right < self.others.len() && self.precedes(self.others[right], self.others[down]) {
                down = right;
            }
            if self.precedes(self.others[slot], self.others[down]) {
                return;
            }
            self.others.swap(slot, down);
            slot = down;
        }
    }

    /// Whether one child stands before another in the direction of travel.
    #[inline]
    fn precedes(&mut self, a: Waiting, b: Waiting) -> bool {
        if a.rank != b.rank {
            return (a.rank < b.rank) != self.backward;
        }
        self.precedes_in_rank(a.child, b.child)
    }

    /// [`Merge::precedes`] of children whose ranks are the same.
    #[inline(never)]
    fn precedes_in_rank(&mut self, a: usize, b: usize) -> bool {
        self.blurred += usize::from(self.children[a].key() != self.children[b].key());
        self.order(a, b).is_lt()
    }

    /// How two children stand in the direction of travel. No two children tie.
    fn order(&self, a: usize, b: usize) -> Ordering {
        let (x, y) = (&self.children[a], &self.children[b]);
        let order = x.key().cmp(y.key());
        let order = order.then_with(|| y.trailer().cmp(&x.trailer())).then_with(|| a.cmp(&b));
        if self.backward { order.reverse() } else { order }
    }

    /// Goes one entry on in the other direction than before. The winner steps; every other child
    /// may stand anywhere, so it is sought anew around the winner's entry.
    #[cold]
    fn turn(&mut self) -> Result<(), C::Error> {
        let Some(winner) = self.winner else { return self.nowhere() };
        let backward = !self.backward;
        let mut key = std::mem::take(&mut self.turning);
        key.clear();
        key.extend_from_slice(self.children[winner].key());
        let trailer = self.children[winner].trailer();
        let turned = self.position(backward, |i, child| {
            if i == winner {
                return if backward { child.prev() } else { child.next() };
            }
            child.seek(&key, trailer)?;
            if !child.valid() {
                return if backward { child.last() } else { Ok(()) };
            }
            let twin = child.trailer() == trailer && child.key() == key.as_slice();
            match (backward, twin && i < winner) {
                (true, false) => child.prev(),
                (false, true) => child.next(),
                _ => Ok(()),
            }
        });
        self.turning = key;
        turned
    }
}

/// The child that the merge stands on. Panics where it stands on none, as the trait says.
macro_rules! winner {
    ($merge:expr) => {
        match $merge.winner {
            Some(i) => &$merge.children[i],
            None => panic!("the cursor stands on no entry"),
        }
    };
}

impl<C: Skip> Cursor for Merge<C>
where
    C::Error: Clone,
{
    type Error = C::Error;

    fn first(&mut self) -> Result<(), C::Error> {
        self.position(false, |_, child| child.first())
    }

    fn last(&mut self) -> Result<(), C::Error> {
        self.position(true, |_, child| child.last())
    }

    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<(), C::Error> {
        let mut aims = [None; AIMED];
        if self.children.len() > 1 {
            for (aim, child) in aims.iter_mut().zip(&mut self.children) {
                *aim = child.aim(key, trailer);
            }
        }
        self.position(false, |i, child| {
            child.seek_aimed(key, trailer, aims.get(i).copied().flatten())
        })
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<(), C::Error> {
        self.position(true, |_, child| child.seek_before(key))
    }

    #[inline]
    fn next(&mut self) -> Result<(), C::Error> {
        if self.backward {
            return self.turn();
        }
        let Some(winner) = self.winner else { return self.nowhere() };
        if let Err(error) = self.children[winner].next() {
            if planted(bug::ERROR_NOT_LATCHED) {
                self.settle(winner);
                return Err(error);
            }
            return self.fail(error);
        }
        self.settle(winner);
        Ok(())
    }

    #[inline]
    fn prev(&mut self) -> Result<(), C::Error> {
        if !self.backward {
            return self.turn();
        }
        let Some(winner) = self.winner else { return self.nowhere() };
        if let Err(error) = self.children[winner].prev() {
            return self.fail(error);
        }
        self.settle(winner);
        Ok(())
    }

    #[inline]
    fn valid(&self) -> bool {
        self.winner.is_some()
    }

    #[inline]
    fn key(&self) -> &[u8] {
        winner!(self).key()
    }

    #[inline]
    fn trailer(&self) -> Trailer {
        winner!(self).trailer()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        winner!(self).value()
    }

    #[inline]
    fn value_bytes(&self) -> bytes::Bytes {
        winner!(self).value_bytes()
    }
}

/// Only the winner skips: another child gets its turn when it has become the winner.
impl<C: Skip> Skip for Merge<C>
where
    C::Error: Clone,
{
    fn aim(&mut self, _: &[u8], _: Trailer) -> Aim {
        None
    }

    fn seek_aimed(&mut self, key: &[u8], trailer: Trailer, _: Aim) -> Result<(), C::Error> {
        self.seek(key, trailer)
    }

    /// Only the winner goes there: of the others those that stand before the target come next.
    fn pass(&mut self, key: &[u8], trailer: Trailer) -> Result<(), C::Error> {
        let Some(winner) = self.winner.filter(|_| !self.backward) else {
            return self.seek(key, trailer);
        };
        if let Err(error) = self.children[winner].pass(key, trailer) {
            return self.fail(error);
        }
        self.settle(winner);
        Ok(())
    }

    #[inline]
    fn is_newest(&self) -> bool {
        let Some(winner) = self.winner.filter(|_| self.backward) else { return false };
        let winner = &self.children[winner];
        winner.is_newest() && self.runner_up().is_none_or(|key| key != winner.key())
    }

    fn skip_forward(&mut self, end: &[u8], seq: SeqNo) -> Result<bool, C::Error> {
        let Some(winner) = self.winner.filter(|_| !self.backward) else { return Ok(false) };
        match self.children[winner].skip_forward(end, seq) {
            Ok(moved) => {
                self.settle(winner);
                Ok(moved)
            }
            Err(error) => self.fail(error),
        }
    }

    fn skip_backward(&mut self, start: &[u8], seq: SeqNo) -> Result<bool, C::Error> {
        let Some(winner) = self.winner.filter(|_| self.backward) else { return Ok(false) };
        match self.children[winner].skip_backward(start, seq) {
            Ok(moved) => {
                self.settle(winner);
                Ok(moved)
            }
            Err(error) => self.fail(error),
        }
    }

    fn plain_ahead(&self, snapshot: SeqNo, end: Option<&[u8]>) -> usize {
        let Some(winner) = self.winner.filter(|_| !self.backward) else { return 0 };
        let end = match (self.runner_up(), end) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.children[winner].plain_ahead(snapshot, end)
    }

    fn plain_behind(&self, snapshot: SeqNo, start: Option<&[u8]>, above: Option<&[u8]>) -> usize {
        let Some(winner) = self.winner.filter(|_| self.backward) else { return 0 };
        self.children[winner].plain_behind(snapshot, start, self.runner_up().max(above))
    }

    #[inline]
    fn step_ahead(&mut self) {
        if let Some(winner) = self.winner {
            self.children[winner].step_ahead();
        }
    }

    #[inline]
    fn step_back(&mut self) {
        if let Some(winner) = self.winner {
            self.children[winner].step_back();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
