//! Merging agrees with sorting, in both directions and after every change of direction.

use super::*;
use crate::error::{Error, ErrorKind};
use bytes::Bytes;
use kv_core::Kind;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Key, trailer, stored value.
pub(crate) type Entry = (Bytes, Trailer, Bytes);

pub(crate) fn sort(entries: &mut [Entry]) {
    entries.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
}

/// Fails one call: the one that finds the count at 1.
pub(crate) type Fuse = Arc<AtomicUsize>;

/// A cursor over entries in memory, which fails when its fuse says so.
pub(crate) struct VecCursor {
    entries: Vec<Entry>,
    at: Option<usize>,
    max_seq: SeqNo,
    fuse: Fuse,
    error: Option<Error>,
}

impl VecCursor {
    pub(crate) fn new(mut entries: Vec<Entry>, fuse: Fuse) -> VecCursor {
        sort(&mut entries);
        let max_seq = entries.iter().map(|e| e.1.seq()).max().unwrap_or(0);
        VecCursor { entries, at: None, max_seq, fuse, error: None }
    }

    fn go(&mut self, at: Option<usize>) -> Result<(), Error> {
        let fuse = self.fuse.load(Ordering::Relaxed);
        self.fuse.store(fuse.saturating_sub(1), Ordering::Relaxed);
        if fuse == 1 {
            let error = Error::new(ErrorKind::Io, "injected");
            self.at = None;
            self.error = Some(error.clone());
            return Err(error);
        }
        self.error = None;
        self.at = at.filter(|&at| at < self.entries.len());
        Ok(())
    }

    fn is_plain(&self, i: usize, snapshot: SeqNo) -> bool {
        let (key, trailer, _) = &self.entries[i];
        let twins = self.entries.iter().filter(|e| e.0 == *key).count();
        twins == 1 && trailer.kind() == Some(Kind::Put) && trailer.seq() <= snapshot
    }

    fn entry(&self) -> &Entry {
        &self.entries[self.at.expect("valid")]
    }
}

impl Cursor for VecCursor {
    type Error = Error;

    fn first(&mut self) -> Result<(), Error> {
        self.go(Some(0))
    }

    fn last(&mut self) -> Result<(), Error> {
        self.go(self.entries.len().checked_sub(1))
    }

    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<(), Error> {
        let at = self
            .entries
            .partition_point(|e| e.0.as_ref() < key || (e.0.as_ref() == key && e.1 > trailer));
        self.go(Some(at))
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<(), Error> {
        let at = self.entries.partition_point(|e| e.0.as_ref() < key);
        self.go(at.checked_sub(1))
    }

    fn next(&mut self) -> Result<(), Error> {
        match self.at {
            Some(at) => self.go(Some(at + 1)),
            None => self.error.clone().map_or(Ok(()), Err),
        }
    }

    fn prev(&mut self) -> Result<(), Error> {
        match self.at {
            Some(at) => self.go(at.checked_sub(1)),
            None => self.error.clone().map_or(Ok(()), Err),
        }
    }

    fn valid(&self) -> bool {
        self.at.is_some()
    }

    fn key(&self) -> &[u8] {
        &self.entry().0
    }

    fn trailer(&self) -> Trailer {
        self.entry().1
    }

    fn value(&self) -> &[u8] {
        &self.entry().2
    }
}

impl Skip for VecCursor {
    fn aim(&mut self, _: &[u8], _: Trailer) -> Aim {
        None
    }

    fn seek_aimed(&mut self, key: &[u8], trailer: Trailer, _: Aim) -> Result<(), Error> {
        self.seek(key, trailer)
    }

    /// As a block's first entry, every fourth one does not know.
    fn is_newest(&self) -> bool {
        self.at.is_some_and(|at| at % BLOCK > 0 && self.entries[at - 1].0 != self.entries[at].0)
    }

    fn skip_forward(&mut self, end: &[u8], seq: SeqNo) -> Result<bool, Error> {
        let hidden = self.valid() && self.max_seq < seq && self.key() < end;
        if hidden {
            self.seek(end, Trailer::MAX)?;
        }
        Ok(hidden)
    }

    fn skip_backward(&mut self, start: &[u8], seq: SeqNo) -> Result<bool, Error> {
        let hidden = self.valid() && self.max_seq < seq && self.key() >= start;
        if hidden {
            self.seek_before(start)?;
        }
        Ok(hidden)
    }

    fn plain_ahead(&self, snapshot: SeqNo, end: Option<&[u8]>) -> usize {
        let Some(at) = self.at else { return 0 };
        let plain = |&i: &usize| {
            self.is_plain(i, snapshot) && end.is_none_or(|end| self.entries[i].0 < end)
        };
        (at + 1..self.entries.len()).take_while(plain).take(BLOCK).count()
    }

    fn plain_behind(&self, snapshot: SeqNo, start: Option<&[u8]>, above: Option<&[u8]>) -> usize {
        let Some(at) = self.at else { return 0 };
        let plain = |&i: &usize| {
            let key = &self.entries[i].0;
            self.is_plain(i, snapshot)
                && start.is_none_or(|start| key >= start)
                && above.is_none_or(|above| key > above)
        };
        (0..=at).rev().take_while(plain).take(BLOCK).count()
    }

    fn step_ahead(&mut self) {
        self.at = self.at.map(|at| at + 1);
    }

    fn step_back(&mut self) {
        self.at = self.at.map(|at| at - 1);
    }
}

/// So many entries are told to be plain at once, as if they lay in one block.
const BLOCK: usize = 4;

/// Short keys over few letters: many are prefixes of each other, and some sort at the ends. Some of
/// them lie behind a long start that others do not have.
pub(crate) fn any_key() -> impl Strategy<Value = Bytes> {
    let letter = prop::sample::select(vec![0u8, b'a', b'b', 0xFF]);
    let start = prop_oneof![3 => Just(""), 1 => Just("a start of some length")];
    (start, prop::collection::vec(letter, 0..4))
        .prop_map(|(start, end)| Bytes::from([start.as_bytes(), &end].concat()))
}

/// A call on a cursor.
#[derive(Clone, Debug)]
enum Move {
    First,
    Last,
    Seek(Bytes, SeqNo),
    SeekBefore(Bytes),
    Next,
    Prev,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        1 => Just(Move::First),
        1 => Just(Move::Last),
        2 => (any_key(), 0u64..40).prop_map(|(key, seq)| Move::Seek(key, seq)),
        2 => any_key().prop_map(Move::SeekBefore),
        8 => Just(Move::Next),
        8 => Just(Move::Prev),
    ]
}

/// Entries for up to five children. The same key and version may be in several of them; the
/// value tells which child an entry is from.
fn any_children() -> impl Strategy<Value = Vec<Vec<Entry>>> {
    let entry = (any_key(), 1u64..40);
    let child = prop::collection::btree_set(entry, 0..30);
    prop::collection::vec(child, 0..6).prop_map(|children| {
        let number = |(child, entries): (usize, std::collections::BTreeSet<(Bytes, u64)>)| {
            let value = Bytes::from(vec![child as u8]);
            entries
                .into_iter()
                .map(|(key, seq)| (key, Trailer::new(seq, Kind::Put), value.clone()))
                .collect()
        };
        children.into_iter().enumerate().map(number).collect()
    })
}

fn merge(children: &[Vec<Entry>], fuse: &Fuse) -> Merge<VecCursor> {
    Merge::new(children.iter().map(|c| VecCursor::new(c.clone(), fuse.clone())).collect())
}

fn make(cursor: &mut impl Cursor<Error = Error>, step: &Move) -> Result<(), Error> {
    match step {
        Move::First => cursor.first(),
        Move::Last => cursor.last(),
        Move::Seek(key, seq) => cursor.seek(key, Trailer::upper_bound(*seq)),
        Move::SeekBefore(key) => cursor.seek_before(key),
        Move::Next => cursor.next(),
        Move::Prev => cursor.prev(),
    }
}

fn shown(cursor: &impl Cursor) -> Option<(Bytes, Trailer, Bytes)> {
    cursor.valid().then(|| {
        let key = Bytes::copy_from_slice(cursor.key());
        assert_eq!(cursor.value(), cursor.value_bytes());
        (key, cursor.trailer(), cursor.value_bytes())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_walk_agrees_with_one_sorted_list(
        children in any_children(),
        moves in prop::collection::vec(any_move(), 1..60),
    ) {
        let mut all = children.concat();
        // Stable: of equal entries the one of the earlier child comes first.
        sort(&mut all);
        let mut list = VecCursor::new(all, Fuse::default());
        let mut merged = merge(&children, &Fuse::default());
        for step in &moves {
            make(&mut list, step).unwrap();
            make(&mut merged, step).unwrap();
            prop_assert_eq!(shown(&merged), shown(&list), "after {:?}", step);
        }
    }

    #[test]
    fn an_error_is_repeated_until_the_cursor_is_placed_again(
        children in any_children(),
        moves in prop::collection::vec(any_move(), 1..60),
        fuse in 1usize..80,
    ) {
        let mut all = children.concat();
        sort(&mut all);
        let mut list = VecCursor::new(all, Fuse::default());
        let mut merged = merge(&children, &Fuse::new(AtomicUsize::new(fuse)));
        let mut failed = false;
        for step in &moves {
            make(&mut list, step).unwrap();
            let moved = make(&mut merged, step);
            if matches!(step, Move::Next | Move::Prev) && failed {
                prop_assert_eq!(moved.unwrap_err().kind(), ErrorKind::Io);
            } else {
                failed = moved.is_err();
            }
            if failed {
                prop_assert!(!merged.valid());
            } else {
                prop_assert_eq!(shown(&merged), shown(&list), "after {:?}", step);
            }
        }
    }
}

#[test]
fn no_children_are_an_empty_list() {
    let mut merged = merge(&[], &Fuse::default());
    for step in [Move::First, Move::Last, Move::Next, Move::Prev] {
        make(&mut merged, &step).unwrap();
        assert!(!merged.valid());
    }
}
