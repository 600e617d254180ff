//! What is shown agrees with a model that knows nothing of cursors.

use super::*;
use crate::error::ErrorKind;
use crate::read::merge::Merge;
use crate::read::merge::tests::{Entry, Fuse, VecCursor, any_key};
use kv_core::Kind;
use kv_core::RangeTombstone;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A write, in the order of the sequence numbers; the number says which child holds it.
#[derive(Clone, Debug)]
enum Write {
    Put(Bytes, usize),
    /// With the moment of its expiry.
    Expiring(Bytes, usize, u64),
    Delete(Bytes, usize),
    DeleteRange(Bytes, Bytes),
}

const CHILDREN: usize = 4;
const NOW: u64 = 1000;

fn any_write() -> impl Strategy<Value = Write> {
    // One hot key, so that runs of versions grow past what is passed step by step.
    let key = || prop_oneof![2 => any_key(), 1 => Just(Bytes::from_static(b"ab"))];
    let child = || 0..CHILDREN;
    prop_oneof![
        8 => (key(), child()).prop_map(|(key, child)| Write::Put(key, child)),
        2 => (key(), child(), NOW - 2..NOW + 3)
            .prop_map(|(key, child, at)| Write::Expiring(key, child, at)),
        3 => (key(), child()).prop_map(|(key, child)| Write::Delete(key, child)),
        1 => (any_key(), any_key()).prop_map(|(start, end)| Write::DeleteRange(start, end)),
    ]
}

/// A call on the cursor under test.
#[derive(Clone, Debug)]
enum Move {
    First,
    Last,
    Seek(Bytes),
    SeekForPrev(Bytes),
    Next,
    Prev,
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        1 => Just(Move::First),
        1 => Just(Move::Last),
        2 => any_key().prop_map(Move::Seek),
        2 => any_key().prop_map(Move::SeekForPrev),
        8 => Just(Move::Next),
        8 => Just(Move::Prev),
    ]
}

/// A history, and what one reader asks of it.
#[derive(Clone, Debug)]
struct Case {
    writes: Vec<Write>,
    snapshot: SeqNo,
    lower: Option<Bytes>,
    upper: Option<Bytes>,
}

fn any_case() -> impl Strategy<Value = Case> {
    let early = prop::collection::vec(any_write(), 0..120);
    // So that children lie as a whole under tombstones.
    let cuts = prop::collection::vec((any_key(), any_key()), 0..3);
    let late = prop::collection::vec(any_write(), 0..10);
    let bound = || prop::option::of(any_key());
    (early, cuts, late, bound(), bound(), any::<prop::sample::Index>()).prop_map(
        |(mut writes, cuts, late, lower, upper, at)| {
            writes.extend(cuts.into_iter().map(|(start, end)| Write::DeleteRange(start, end)));
            writes.extend(late);
            let snapshot = at.index(writes.len() + 1) as u64;
            Case { writes, snapshot, lower, upper }
        },
    )
}

/// A history of eras: each writes to its own child and ends with range deletes, as flushes do.
/// Older children lie as a whole under newer tombstones, so that whole stretches are left out.
fn any_eras() -> impl Strategy<Value = Case> {
    let key = || (0u32..60).prop_map(number);
    let era = (
        prop::collection::vec((key(), any::<bool>()), 0..60),
        prop::collection::vec((key(), key()), 0..3),
    );
    let bound = || prop::option::of(key());
    (prop::collection::vec(era, CHILDREN), bound(), bound()).prop_map(|(eras, lower, upper)| {
        let mut writes = Vec::new();
        for (child, (puts, cuts)) in eras.into_iter().enumerate() {
            writes.extend(puts.into_iter().map(|(key, put)| match put {
                true => Write::Put(key, child),
                false => Write::Delete(key, child),
            }));
            writes.extend(cuts.into_iter().map(|(start, end)| Write::DeleteRange(start, end)));
        }
        Case { snapshot: writes.len() as u64, writes, lower, upper }
    })
}

impl Case {
    /// The value that write number `seq` stores for the user.
    fn value(seq: SeqNo) -> Bytes {
        Bytes::from(format!("value {seq}"))
    }

    fn numbered(&self) -> impl Iterator<Item = (SeqNo, &Write)> {
        (1..).zip(&self.writes)
    }

    fn cursor(&self, fuse: &Fuse) -> Visible<Merge<VecCursor>> {
        let mut children: Vec<Vec<Entry>> = vec![Vec::new(); CHILDREN];
        let mut tombstones = Vec::new();
        for (seq, write) in self.numbered() {
            let value = Case::value(seq);
            let (key, child, kind, stored) = match write.clone() {
                Write::Put(key, child) => (key, child, Kind::Put, value),
                Write::Delete(key, child) => (key, child, Kind::Delete, Bytes::new()),
                Write::Expiring(key, child, at) => {
                    let stored = [&at.to_le_bytes(), value.as_ref()].concat();
                    (key, child, Kind::PutExpiring, stored.into())
                }
                Write::DeleteRange(start, end) => {
                    tombstones.push(RangeTombstone { start, end, seq });
                    continue;
                }
            };
            children[child].push((key, Trailer::new(seq, kind), stored));
        }
        let children = children.into_iter().map(|c| VecCursor::new(c, fuse.clone())).collect();
        let sight = Sight {
            snapshot: self.snapshot,
            now_ms: NOW,
            tombstones: Some(Arc::new(RangeTombstones::new(tombstones))),
            lower: self.lower.clone(),
            upper: self.upper.clone(),
        };
        Visible::new(Merge::new(children), sight)
    }

    fn model(&self) -> Model {
        let mut state = BTreeMap::new();
        for (seq, write) in self.numbered().take(self.snapshot as usize) {
            match write.clone() {
                Write::Put(key, _) => {
                    state.insert(key, Case::value(seq));
                }
                Write::Expiring(key, _, at) if at > NOW => {
                    state.insert(key, Case::value(seq));
                }
                Write::Delete(key, _) | Write::Expiring(key, _, _) => {
                    state.remove(&key);
                }
                Write::DeleteRange(start, end) => {
                    state.retain(|key, _| !(start <= *key && *key < end));
                }
            }
        }
        let above = |key: &Bytes| self.lower.as_ref().is_none_or(|lower| key >= lower);
        let below = |key: &Bytes| self.upper.as_ref().is_none_or(|upper| key < upper);
        let pairs = state.into_iter().filter(|(key, _)| above(key) && below(key)).collect();
        Model { pairs, at: None }
    }
}

/// The pairs that are to be seen, and where in them a cursor stands.
struct Model {
    pairs: Vec<(Bytes, Bytes)>,
    at: Option<usize>,
}

impl Model {
    fn make(&mut self, step: &Move) {
        let at = match step {
            Move::First => Some(0),
            Move::Last => self.pairs.len().checked_sub(1),
            Move::Seek(key) => Some(self.pairs.partition_point(|pair| pair.0 < key)),
            Move::SeekForPrev(key) => {
                self.pairs.partition_point(|pair| pair.0 <= key).checked_sub(1)
            }
            Move::Next => self.at.map(|at| at + 1),
            Move::Prev => self.at.and_then(|at| at.checked_sub(1)),
        };
        self.at = at.filter(|&at| at < self.pairs.len());
    }

    fn shown(&self) -> Option<(Bytes, Bytes)> {
        self.at.map(|at| self.pairs[at].clone())
    }
}

fn make(cursor: &mut Visible<Merge<VecCursor>>, step: &Move) -> Result<()> {
    match step {
        Move::First => cursor.first(),
        Move::Last => cursor.last(),
        Move::Seek(key) => cursor.seek(key),
        Move::SeekForPrev(key) => cursor.seek_for_prev(key),
        Move::Next => cursor.next(),
        Move::Prev => cursor.prev(),
    }
}

fn shown(cursor: &Visible<Merge<VecCursor>>) -> Option<(Bytes, Bytes)> {
    cursor.valid().then(|| {
        assert_eq!(cursor.value(), cursor.value_bytes());
        (Bytes::copy_from_slice(cursor.key()), cursor.value_bytes())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_walk_agrees_with_the_model(
        case in prop_oneof![any_case(), any_eras()],
        moves in prop::collection::vec(any_move(), 1..80),
    ) {
        let mut model = case.model();
        let mut cursor = case.cursor(&Fuse::default());
        for step in &moves {
            model.make(step);
            make(&mut cursor, step).unwrap();
            prop_assert_eq!(shown(&cursor), model.shown(), "after {:?}", step);
        }
    }

    #[test]
    fn whole_scans_show_every_pair_once(case in prop_oneof![any_case(), any_eras()]) {
        let pairs = case.model().pairs;
        let mut cursor = case.cursor(&Fuse::default());
        let mut seen = Vec::new();
        cursor.first().unwrap();
        while let Some(pair) = shown(&cursor) {
            seen.push(pair);
            cursor.next().unwrap();
        }
        prop_assert_eq!(&seen, &pairs);
        let mut seen = Vec::new();
        cursor.last().unwrap();
        while let Some(pair) = shown(&cursor) {
            seen.push(pair);
            cursor.prev().unwrap();
        }
        seen.reverse();
        prop_assert_eq!(&seen, &pairs);
    }

    #[test]
    fn an_error_never_skips_a_pair(
        case in any_case(),
        moves in prop::collection::vec(any_move(), 1..80),
        fuse in 1usize..200,
    ) {
        let mut model = case.model();
        let mut cursor = case.cursor(&Fuse::new(AtomicUsize::new(fuse)));
        let mut failed = false;
        for step in &moves {
            model.make(step);
            let moved = make(&mut cursor, step);
            if matches!(step, Move::Next | Move::Prev) && failed {
                prop_assert_eq!(moved.unwrap_err().kind(), ErrorKind::Io);
            } else {
                failed = moved.is_err();
            }
            if failed {
                prop_assert!(!cursor.valid());
            } else {
                prop_assert_eq!(shown(&cursor), model.shown(), "after {:?}", step);
            }
        }
    }
}

/// How many calls a child sees while `walk` runs.
fn calls(case: &Case, walk: impl Fn(&mut Visible<Merge<VecCursor>>)) -> usize {
    let fuse = Fuse::new(AtomicUsize::new(usize::MAX));
    let mut cursor = case.cursor(&fuse);
    walk(&mut cursor);
    usize::MAX - fuse.load(Ordering::Relaxed)
}

fn whole(cursor: &mut Visible<Merge<VecCursor>>) {
    cursor.first().unwrap();
    while cursor.valid() {
        cursor.next().unwrap();
    }
}

fn whole_backward(cursor: &mut Visible<Merge<VecCursor>>) {
    cursor.last().unwrap();
    while cursor.valid() {
        cursor.prev().unwrap();
    }
}

fn number(i: u32) -> Bytes {
    Bytes::copy_from_slice(&i.to_be_bytes())
}

#[test]
fn a_covered_stretch_is_sought_over_not_stepped_through() {
    let mut writes: Vec<Write> = (0..1000).map(|i| Write::Put(number(i), 0)).collect();
    writes.push(Write::DeleteRange(number(10), number(990)));
    writes.push(Write::Put(number(500), 1));
    let case = Case { writes, snapshot: u64::MAX >> 8, lower: None, upper: None };
    assert_eq!(case.model().pairs.len(), 21);
    assert!(calls(&case, whole) < 60, "{}", calls(&case, whole));
    assert!(calls(&case, whole_backward) < 60, "{}", calls(&case, whole_backward));
}

#[test]
fn many_versions_of_one_key_are_sought_over_not_stepped_through() {
    let mut writes: Vec<Write> = (0..1000).map(|_| Write::Put(number(1), 0)).collect();
    writes.push(Write::Put(number(2), 0));
    // Most are too old, most are too new, some of both.
    for snapshot in [1001, 5, 500] {
        let case = Case { writes: writes.clone(), snapshot, lower: None, upper: None };
        assert!(calls(&case, whole) < 60, "{}", calls(&case, whole));
        assert!(calls(&case, whole_backward) < 60, "{}", calls(&case, whole_backward));
    }
}

#[test]
fn a_tombstone_does_not_hide_its_own_sequence_number() {
    let entry = |seq| (number(seq as u32), Trailer::new(seq, Kind::Put), Bytes::new());
    let child = VecCursor::new(vec![entry(1), entry(2), entry(3)], Fuse::default());
    let all = RangeTombstone { start: number(0), end: number(9), seq: 2 };
    let tombstones = Some(Arc::new(RangeTombstones::new([all])));
    let sight = Sight { snapshot: 9, now_ms: 0, tombstones, lower: None, upper: None };
    let mut cursor = Visible::new(child, sight);
    cursor.first().unwrap();
    assert_eq!(cursor.key(), number(2));
    cursor.last().unwrap();
    cursor.prev().unwrap();
    assert_eq!(cursor.key(), number(2));
    cursor.prev().unwrap();
    assert!(!cursor.valid());
}

#[test]
fn what_is_passed_is_counted() {
    let writes = vec![Write::Put(number(1), 0), Write::Delete(number(1), 0)];
    let case = Case { writes, snapshot: 2, lower: None, upper: None };
    let mut cursor = case.cursor(&Fuse::default());
    whole(&mut cursor);
    assert_eq!(cursor.skipped(), 2);
    whole_backward(&mut cursor);
    assert_eq!(cursor.skipped(), 4);
}

#[test]
fn a_kind_that_no_release_wrote_is_corruption() {
    for trailer in [Trailer::from_raw(1 << 8), Trailer::new(1, Kind::Merge)] {
        let entry = (number(1), trailer, Bytes::new());
        let child = VecCursor::new(vec![entry], Fuse::default());
        let sight = Sight { snapshot: 9, now_ms: 0, tombstones: None, lower: None, upper: None };
        let mut cursor = Visible::new(child, sight);
        assert_eq!(cursor.first().unwrap_err().kind(), ErrorKind::Corruption);
        assert_eq!(cursor.next().unwrap_err().kind(), ErrorKind::Corruption);
        assert_eq!(cursor.last().unwrap_err().kind(), ErrorKind::Corruption);
        assert!(!cursor.valid());
    }
}
