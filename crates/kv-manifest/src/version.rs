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
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        let tables = self.files().map(|(_, file)| file.number);
        tables.chain(self.values.iter().map(|values| values.meta.number))
    }

    /// Whether any table holds a range tombstone; where none does, reads need not ask.
    pub fn has_range_tombstones(&self) -> bool {
        self.range_tombstones
    }
}
