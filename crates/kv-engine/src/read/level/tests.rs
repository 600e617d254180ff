//! Several tables read as one list, and none is opened in vain.

use super::*;
use crate::error::ErrorKind;
use crate::read::merge::tests::{Entry, Fuse, VecCursor, any_key, sort};
use kv_core::Kind;
use kv_sstable::{BlockCache, Compression, TableBuilder, TableOptions};
use kv_vfs::{Fs, FsFile, FsFileExt, MemFs};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Tables in memory, which counts how often one is opened, and refuses to open one of them.
pub(crate) struct Shelf {
    tables: HashMap<u64, (Arc<Table>, Arc<dyn FsFile>)>,
    opened: AtomicUsize,
    refused: AtomicU64,
}

impl OpenTable for Shelf {
    fn open(&self, meta: &FileMeta) -> Result<Arc<Table>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        if self.refused.load(Ordering::Relaxed) == meta.number {
            return Err(Error::new(ErrorKind::Io, "refused"));
        }
        Ok(Arc::clone(&self.tables[&meta.number].0))
    }
}

impl Shelf {
    /// Each group of sorted entries becomes a table; its number is its place, from 1 on.
    pub(crate) fn new(groups: &[Vec<Entry>]) -> (Arc<Shelf>, Vec<Arc<FileMeta>>) {
        let fs = MemFs::new();
        let cache = BlockCache::new(1 << 20);
        let mut tables = HashMap::new();
        let mut files = Vec::new();
        for (number, entries) in (1..).zip(groups) {
            let path = PathBuf::from(format!("/{number}.sst"));
            let file = fs.create_new(&path).unwrap();
            let options =
                TableOptions { block_size: 64, bloom_bits: 10.0, compression: Compression::None };
            let mut builder = TableBuilder::new(file.clone(), path.clone(), number, options);
            for (key, trailer, value) in entries {
                builder.add(key, *trailer, value).unwrap();
            }
            let summary = builder.finish().unwrap();
            let meta = FileMeta {
                number,
                size: summary.size,
                smallest: summary.smallest,
                largest: summary.largest,
                max_seq: summary.max_seq,
                footer: summary.footer,
                ..FileMeta::default()
            };
            let cache = Arc::clone(&cache);
            let opened = file.clone();
            let table = Table::open(opened, path, number, meta.size, &meta.footer, cache).unwrap();
            tables.insert(number, (table, file));
            files.push(Arc::new(meta));
        }
        let (opened, refused) = (AtomicUsize::new(0), AtomicU64::new(0));
        (Arc::new(Shelf { tables, opened, refused }), files)
    }

    /// Overwrites the file of the table with this number.
    fn damage(&self, number: u64) {
        let file = &self.tables[&number].1;
        let len = file.len().unwrap() as usize;
        file.write_all_at(&vec![0xA5; len], 0).unwrap();
    }

    /// From now on the table with this number cannot be opened.
    pub(crate) fn refuse(&self, number: u64) {
        self.refused.store(number, Ordering::Relaxed);
    }
}

/// Sorted entries, cut into groups of different keys.
fn any_groups() -> impl Strategy<Value = Vec<Vec<Entry>>> {
    let versions = prop::collection::btree_set((any_key(), 1u64..30), 0..60);
    let cuts = prop::collection::vec(any::<bool>(), 60);
    (versions, cuts).prop_map(|(versions, cuts): (BTreeSet<_>, _)| {
        let mut entries: Vec<Entry> = versions
            .into_iter()
            .map(|(key, seq)| (key, Trailer::new(seq, Kind::Put), Bytes::from(vec![seq as u8])))
            .collect();
        sort(&mut entries);
        let mut groups: Vec<Vec<Entry>> = Vec::new();
        for (entry, cut) in entries.into_iter().zip(cuts) {
            match groups.last_mut() {
                Some(group) if !cut || group.last().unwrap().0 == entry.0 => group.push(entry),
                _ => groups.push(vec![entry]),
            }
        }
        groups
    })
}

#[derive(Clone, Debug)]
enum Move {
    First,
    Last,
    Seek(Bytes, SeqNo),
    SeekBefore(Bytes),
    Next,
    Prev,
    SkipForward(Bytes, SeqNo),
    SkipBackward(Bytes, SeqNo),
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        1 => Just(Move::First),
        1 => Just(Move::Last),
        2 => (any_key(), 0u64..30).prop_map(|(key, seq)| Move::Seek(key, seq)),
        2 => any_key().prop_map(Move::SeekBefore),
        6 => Just(Move::Next),
        6 => Just(Move::Prev),
        2 => (any_key(), 0u64..40).prop_map(|(key, seq)| Move::SkipForward(key, seq)),
        2 => (any_key(), 0u64..40).prop_map(|(key, seq)| Move::SkipBackward(key, seq)),
    ]
}

fn make<C: Skip<Error = Error>>(cursor: &mut C, step: &Move) -> Result<bool> {
    match step {
        Move::First => cursor.first()?,
        Move::Last => cursor.last()?,
        Move::Seek(key, seq) => cursor.seek(key, Trailer::upper_bound(*seq))?,
        Move::SeekBefore(key) => cursor.seek_before(key)?,
        Move::Next => cursor.next()?,
        Move::Prev => cursor.prev()?,
        Move::SkipForward(end, seq) => return cursor.skip_forward(end, *seq),
        Move::SkipBackward(start, seq) => return cursor.skip_backward(start, *seq),
    }
    Ok(false)
}

fn shown(cursor: &impl Cursor) -> Option<Entry> {
    cursor.valid().then(|| {
        let key = Bytes::copy_from_slice(cursor.key());
        (key, cursor.trailer(), cursor.value_bytes())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn every_walk_agrees_with_one_sorted_list(
        groups in any_groups(),
        moves in prop::collection::vec(any_move(), 1..60),
    ) {
        let all = groups.concat();
        let mut list = VecCursor::new(all.clone(), Fuse::default());
        let (shelf, files) = Shelf::new(&groups);
        let mut level = LevelCursor::new(files, shelf, Access::Cached);
        for step in &moves {
            let before = shown(&level);
            if !make(&mut level, step).unwrap() {
                if !matches!(step, Move::SkipForward(..) | Move::SkipBackward(..)) {
                    make(&mut list, step).unwrap();
                }
                prop_assert_eq!(shown(&level), shown(&list), "after {:?}", step);
                continue;
            }
            // It moved, and whatever it passed is hidden.
            let place = |entry: Option<Entry>| entry.and_then(|entry| all.iter().position(|e| *e == entry));
            let from = place(before).unwrap();
            let to = place(shown(&level));
            let passed = match step {
                Move::SkipForward(end, seq) => {
                    let to = to.unwrap_or(all.len());
                    prop_assert!(from < to);
                    all[from..to].iter().all(|e| e.0 < end && e.1.seq() < *seq)
                }
                Move::SkipBackward(start, seq) => {
                    let to = to.map_or(0, |to| to + 1);
                    prop_assert!(to <= from);
                    all[to..=from].iter().all(|e| e.0 >= start && e.1.seq() < *seq)
                }
                _ => false,
            };
            prop_assert!(passed, "{:?}", step);
            match shown(&level) {
                Some((key, trailer, _)) => list.seek(&key, trailer).unwrap(),
                None => list.seek(&[0xFF; 9], Trailer::MAX).unwrap(),
            }
        }
    }
}

/// Tables with the keys 10 to 14, 20 to 24 and so on; table `i` holds sequence number `i` only.
fn decades(count: u8) -> Vec<Vec<Entry>> {
    (1..=count)
        .map(|i| {
            let entry = |j: u8| {
                let trailer = Trailer::new(i.into(), Kind::Put);
                (Bytes::from(vec![10 * i + j]), trailer, Bytes::from(vec![j]))
            };
            (0..5).map(entry).collect()
        })
        .collect()
}

#[test]
fn a_table_is_opened_when_the_cursor_enters_it() {
    let (shelf, files) = Shelf::new(&decades(9));
    let mut level = LevelCursor::new(files, Arc::clone(&shelf) as _, Access::Cached);
    level.seek(&[30], Trailer::MAX).unwrap();
    for _ in 0..4 {
        level.next().unwrap();
    }
    assert_eq!(shelf.opened.load(Ordering::Relaxed), 1);
    level.next().unwrap();
    assert_eq!(level.key(), [40]);
    assert_eq!(shelf.opened.load(Ordering::Relaxed), 2);
}

#[test]
fn tables_that_are_hidden_as_a_whole_are_not_opened() {
    let (shelf, files) = Shelf::new(&decades(9));
    let mut level = LevelCursor::new(files, Arc::clone(&shelf) as _, Access::Cached);
    level.first().unwrap();
    assert!(level.skip_forward(&[72], 100).unwrap());
    assert_eq!(level.key(), [72]);
    assert_eq!(shelf.opened.load(Ordering::Relaxed), 2);
    assert!(level.skip_backward(&[33], 100).unwrap());
    assert_eq!(level.key(), [32]);
    assert_eq!(shelf.opened.load(Ordering::Relaxed), 3);
    assert!(level.skip_backward(&[20], 100).unwrap());
    assert_eq!(level.key(), [14]);
    assert_eq!(shelf.opened.load(Ordering::Relaxed), 4);
    level.first().unwrap();
    assert!(level.skip_forward(&[99], 4).unwrap());
    assert_eq!(level.key(), [40], "table 4 is not older than 4");
    assert!(!level.skip_forward(&[99], 4).unwrap());
}

#[test]
fn a_table_that_cannot_be_opened_ends_the_walk_until_the_cursor_is_placed_again() {
    let (shelf, files) = Shelf::new(&decades(3));
    shelf.refuse(2);
    let mut level = LevelCursor::new(files, shelf, Access::Cached);
    level.seek(&[14], Trailer::MAX).unwrap();
    for _ in 0..2 {
        assert_eq!(level.next().unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(level.prev().unwrap_err().kind(), ErrorKind::Io);
        assert!(!level.valid());
    }
    level.last().unwrap();
    assert_eq!(level.key(), [34]);
}

#[test]
fn damage_in_a_table_ends_the_walk_until_the_cursor_is_placed_again() {
    let (shelf, files) = Shelf::new(&decades(3));
    shelf.damage(2);
    let mut level = LevelCursor::new(files, shelf, Access::Cached);
    level.seek(&[14], Trailer::MAX).unwrap();
    for _ in 0..2 {
        assert_eq!(level.next().unwrap_err().kind(), ErrorKind::Corruption);
        assert_eq!(level.prev().unwrap_err().kind(), ErrorKind::Corruption);
        assert!(!level.valid());
    }
    assert_eq!(level.seek(&[22], Trailer::MAX).unwrap_err().kind(), ErrorKind::Corruption);
    level.last().unwrap();
    assert_eq!(level.key(), [34]);
}
