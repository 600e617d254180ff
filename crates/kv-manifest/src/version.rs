//! Which tables make up the database at one moment.

use crate::level::Level;
use crate::values::live_values;
use crate::{FileMeta, KeySpan, LiveValues, ValueMeta};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many levels there are; the last is `LEVELS - 1`.
pub const LEVELS: usize = 7;

/// The tables of each level. Metadata only: a version opens no file, and cloning it is cheap.
///
/// INVARIANTS, by the names that [`Version::check`] reports, are listed at
/// [`crate::Broken::invariant`].
///
/// ```
/// use kv_manifest::{FileMeta, Version, VersionEdit};
/// use std::sync::Arc;
///
/// let table = |number, smallest: &'static str, largest: &'static str| FileMeta {
///     number,
///     entries: 1,
///     smallest: smallest.into(),
///     largest: largest.into(),
///     min_seq: number,
///     max_seq: number,
///     ..FileMeta::default()
/// };
/// let tables = [(0, table(9, "d", "p")), (1, table(5, "a", "f")), (1, table(6, "k", "r"))];
/// let added = tables.map(|(level, table)| (level, Arc::new(table))).to_vec();
/// let version = Version::default().apply(&VersionEdit { added, ..VersionEdit::default() })?;
///
/// // The tables that may hold "m", newest first.
/// let newest = version.level(0).iter().filter(|table| table.contains(b"m"));
/// let older = version.sorted_levels().filter_map(|level| version.find(level, b"m"));
/// let numbers: Vec<u64> = newest.chain(older).map(|table| table.number).collect();
/// assert_eq!(numbers, [9, 6]);
/// # Ok::<(), kv_manifest::Broken>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Version {
    levels: [Arc<Level>; LEVELS],
    /// How many tables lie in the levels above.
    places: [usize; LEVELS],
    /// The levels below 0 that have tables, one bit for each.
    sorted: u8,
    range_tombstones: bool,
    /// By number.
    values: Arc<[LiveValues]>,
}

impl Version {
    /// A version of these tables, whatever their order, and of those value files that they refer
    /// to.
    pub(crate) fn from_levels(
        levels: [Arc<Level>; LEVELS],
        values: &BTreeMap<u64, ValueMeta>,
    ) -> Version {
        let range_tombstones =
            levels.iter().flat_map(|level| level.files()).any(|file| file.range_tombstones > 0);
        let mut before = 0;
        let places = std::array::from_fn(|level| {
            let place = before;
            before += levels.get(level).map_or(0, |level| level.files().len());
            place
        });
        let has_tables = |level: &usize| !levels.get(*level).is_none_or(|l| l.files().is_empty());
        let sorted = (1..LEVELS).filter(has_tables).fold(0, |bits, level| bits | 1 << level);
        let values = live_values(values, levels.iter().flat_map(|level| level.files()));
        Version { levels, places, sorted, range_tombstones, values }
    }

    pub(crate) fn levels(&self) -> &[Arc<Level>; LEVELS] {
        &self.levels
    }

    /// The tables of a level; none where there is no such level. Level 0 newest first, so that
    /// the first table with a key has its newest version; the others by key, disjoint.
    pub fn level(&self, level: usize) -> &[Arc<FileMeta>] {
        self.levels.get(level).map_or(&[], |level| level.files())
    }

    /// The one table of a level below 0 that may hold `key`.
    pub fn find(&self, level: usize, key: &[u8]) -> Option<&Arc<FileMeta>> {
        self.levels.get(level)?.find(key)
    }

    /// The levels below 0 that have tables, from the top.
    #[inline]
    pub fn sorted_levels(&self) -> impl Iterator<Item = usize> + use<> {
        let mut bits = self.sorted;
        std::iter::from_fn(move || {
            let level = bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            (level < LEVELS).then_some(level)
        })
    }

    /// [`Version::find`], with the table's place among all of [`Version::files`].
    ///
    /// ```
    /// # use kv_manifest::{FileMeta, KeySpan, LEVELS, ValueMeta, ValueRef, Version, VersionEdit};
    /// # use std::sync::Arc;
    /// # let table = |number, smallest: &'static str, largest: &'static str| FileMeta {
    /// #     number,
    /// #     size: 1000,
    /// #     entries: 1,
    /// #     smallest: smallest.into(),
    /// #     largest: largest.into(),
    /// #     min_seq: number,
    /// #     max_seq: number,
    /// #     ..FileMeta::default()
    /// # };
    /// # let tables = [(0, table(9, "d", "p")), (1, table(5, "a", "f")), (1, table(6, "k", "r"))];
    /// # let added = tables.map(|(level, table)| (level, Arc::new(table))).to_vec();
    /// # let version = Version::default().apply(&VersionEdit { added, ..VersionEdit::default() })?;
    /// // What is kept for each table can lie in one array.
    /// let numbers: Vec<u64> = version.files().map(|(_, table)| table.number).collect();
    /// assert_eq!(numbers, [9, 5, 6]);
    /// let (place, table) = version.find_place(1, b"m").unwrap();
    /// assert_eq!((numbers[place], table.number), (6, 6));
    /// assert_eq!(numbers[version.place(1)], 5);
    /// # Ok::<(), kv_manifest::Broken>(())
    /// ```
    pub fn find_place(&self, level: usize, key: &[u8]) -> Option<(usize, &Arc<FileMeta>)> {
        let (i, file) = self.levels.get(level)?.find_index(key)?;
        Some((self.place(level) + i, file))
    }

    /// The place of a level's first table among all of [`Version::files`].
    pub fn place(&self, level: usize) -> usize {
        self.places.get(level).copied().unwrap_or_default()
    }

    /// The index of the first table of a level below 0 that does not end before `key`.
    pub fn lower_bound(&self, level: usize, key: &[u8]) -> usize {
        self.levels.get(level).map_or(0, |level| level.lower_bound(key))
    }

    /// The tables of a level below 0 that overlap `span`, by key.
    ///
    /// ```
    /// # use kv_manifest::{FileMeta, KeySpan, LEVELS, ValueMeta, ValueRef, Version, VersionEdit};
    /// # use std::sync::Arc;
    /// # let table = |number, smallest: &'static str, largest: &'static str| FileMeta {
    /// #     number,
    /// #     size: 1000,
    /// #     entries: 1,
    /// #     smallest: smallest.into(),
    /// #     largest: largest.into(),
    /// #     min_seq: number,
    /// #     max_seq: number,
    /// #     ..FileMeta::default()
    /// # };
    /// # let tables = [(0, table(9, "d", "p")), (1, table(5, "a", "f")), (1, table(6, "k", "r"))];
    /// # let added = tables.map(|(level, table)| (level, Arc::new(table))).to_vec();
    /// # let version = Version::default().apply(&VersionEdit { added, ..VersionEdit::default() })?;
    /// // A table over these keys comes from level 0: what it has to be merged with on level 1, and
    /// // whether anything older lies below.
    /// let span = KeySpan::closed("e".into(), "h".into());
    /// let inputs = version.overlapping(1, &span);
    /// assert_eq!(inputs.iter().map(|table| table.number).collect::<Vec<_>>(), [5]);
    /// assert!(!(2..LEVELS).any(|level| version.overlaps(level, &span)));
    /// // The first table with a key from "h" on.
    /// assert_eq!(version.level(1)[version.lower_bound(1, b"h")].number, 6);
    /// # Ok::<(), kv_manifest::Broken>(())
    /// ```
    pub fn overlapping(&self, level: usize, span: &KeySpan) -> &[Arc<FileMeta>] {
        let from = self.lower_bound(level, &span.smallest);
        let rest = self.level(level).get(from..).unwrap_or_default();
        let count = rest.partition_point(|file| !span.ends_before(&file.smallest));
        rest.get(..count).unwrap_or_default()
    }

    /// Whether any table of a level overlaps `span`.
    pub fn overlaps(&self, level: usize, span: &KeySpan) -> bool {
        match level {
            0 => self.level(0).iter().any(|file| file.overlaps(span)),
            _ => !self.overlapping(level, span).is_empty(),
        }
    }

    /// Every table with its level, from the top.
    pub fn files(&self) -> impl Iterator<Item = (usize, &Arc<FileMeta>)> {
        self.levels
            .iter()
            .enumerate()
            .flat_map(|(level, files)| files.files().iter().map(move |file| (level, file)))
    }

    /// Bytes of a level's tables.
    pub fn size(&self, level: usize) -> u64 {
        self.levels.get(level).map_or(0, |level| level.size())
    }

    /// Bytes of all tables.
    pub fn total_size(&self) -> u64 {
        self.levels.iter().fold(0, |sum, level| sum.saturating_add(level.size()))
    }

    /// The value files that some table refers to, by number.
    pub fn values(&self) -> &[LiveValues] {
        &self.values
    }

    /// A value file that some table refers to.
    pub fn value_file(&self, number: u64) -> Option<&LiveValues> {
        let at = self.values.binary_search_by_key(&number, |values| values.meta.number).ok()?;
        self.values.get(at)
    }

    /// Bytes of all value files.
    pub fn value_size(&self) -> u64 {
        self.values.iter().fold(0, |sum, values| sum.saturating_add(values.meta.size))
    }

    /// The numbers of all tables and value files.
    ///
    /// ```
    /// # use kv_manifest::{FileMeta, KeySpan, LEVELS, ValueMeta, ValueRef, Version, VersionEdit};
    /// # use std::sync::Arc;
    /// # let table = |number, smallest: &'static str, largest: &'static str| FileMeta {
    /// #     number,
    /// #     size: 1000,
    /// #     entries: 1,
    /// #     smallest: smallest.into(),
    /// #     largest: largest.into(),
    /// #     min_seq: number,
    /// #     max_seq: number,
    /// #     ..FileMeta::default()
    /// # };
    /// # let tables = [(0, table(9, "d", "p")), (1, table(5, "a", "f")), (1, table(6, "k", "r"))];
    /// # let added = tables.map(|(level, table)| (level, Arc::new(table))).to_vec();
    /// # let version = Version::default().apply(&VersionEdit { added, ..VersionEdit::default() })?;
    /// // A table whose long values lie apart, and a range tombstone in it.
    /// let values = ValueMeta { number: 10, size: 800, records: 1, bytes: 700, checksum: 0 };
    /// let refers = vec![ValueRef { file: 10, bytes: 700 }];
    /// let range = FileMeta { range_tombstones: 1, values: refers, ..table(11, "a", "z") };
    /// let edit = VersionEdit {
    ///     added: vec![(0, Arc::new(range))],
    ///     values_added: vec![values],
    ///     ..VersionEdit::default()
    /// };
    /// let version = version.apply(&edit)?;
    ///
    /// // What must stay in the directory, and what it takes.
    /// assert_eq!(version.numbers().collect::<Vec<_>>(), [11, 9, 5, 6, 10]);
    /// assert_eq!((version.size(1), version.total_size(), version.value_size()), (2000, 4000, 800));
    /// assert_eq!(version.value_file(10), version.values().first());
    /// assert!(version.has_range_tombstones());
    /// # Ok::<(), kv_manifest::Broken>(())
    /// ```
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        let tables = self.files().map(|(_, file)| file.number);
        tables.chain(self.values.iter().map(|values| values.meta.number))
    }

    /// Whether any table holds a range tombstone; where none does, reads need not ask.
    pub fn has_range_tombstones(&self) -> bool {
        self.range_tombstones
    }
}
