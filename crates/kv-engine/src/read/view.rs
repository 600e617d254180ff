//! What a read sees: the memtables and the version of one moment, never changed once published.

use crate::background::Background;
use crate::error::Result;
use crate::write::buffer::WriteBuffer;
use arc_swap::{ArcSwap, Guard};
use kv_core::{RangeTombstone, RangeTombstones, SeqNo};
use kv_manifest::{LEVELS, Version};
use kv_sstable::Table;
use kv_vfs::sync::atomic::{AtomicU64, Ordering};
use kv_vfs::sync::step;
use std::sync::{Arc, OnceLock};

/// The sources of a read, newest first: active memtable, sealed memtables, tables.
pub(crate) struct View {
    /// Takes the writes.
    pub(crate) active: Arc<WriteBuffer>,
    /// Wait to be written out; newest first.
    pub(crate) sealed: Vec<Arc<WriteBuffer>>,
    /// The tables.
    pub(crate) version: Arc<Version>,
    /// The open tables of the version.
    pub(crate) opened: Arc<Opened>,
    /// Whether any table holds range tombstones, so that reads without any pay nothing.
    pub(crate) tables_delete_ranges: bool,
    /// Hears when the view ends.
    background: Arc<Background>,
    /// The tables' range tombstones joined, made by the first iterator that needs them.
    pub(crate) table_tombstones: OnceLock<Arc<RangeTombstones>>,
}

/// The open tables of a version that point reads have asked for, by their place in it, so that
/// the next one asks nobody: no lock, no reference count.
///
/// What is held here stays open as long as the view. A store with more tables than half of the
/// files that it may have open holds none.
pub(crate) struct Opened {
    places: Box<[OnceLock<Arc<Table>>]>,
    most: usize,
    /// How many cursors were opened over the version, if any, and how many are enough to merge level 0
    /// for them.
    cursors: AtomicU64,
    enough: u64,
}

/// A cursor over level 0 costs its readers about what it costs to merge so many bytes.
const BYTES_OF_CURSOR: u64 = 4096;

/// Level 0 is not merged for fewer cursors.
const FEW_CURSORS: u64 = 10_000;

/// Level 0 is merged for cursors where below it lie at most so many times its bytes.
const MOST_BELOW: u64 = 8;

/// How many cursors are enough to merge level 0 of a version for them.
fn enough_cursors(version: &Version) -> u64 {
    let upper = version.size(0);
    let below = (1..LEVELS).map(|level| version.size(level)).find(|size| *size > 0).unwrap_or(0);
    match upper > 0 && below <= upper.saturating_mul(MOST_BELOW) {
        true => (upper.saturating_add(below) / BYTES_OF_CURSOR).max(FEW_CURSORS),
        false => u64::MAX,
    }
}

impl Opened {
    /// Holds no table yet, and never any where there are more than `most`.
    pub(crate) fn new(version: &Version, most: usize) -> Arc<Opened> {
        let count = version.files().count();
        let count = if count <= most { count } else { 0 };
        let places = (0..count).map(|_| OnceLock::new()).collect();
        let (cursors, enough) = (AtomicU64::new(0), enough_cursors(version));
        Arc::new(Opened { places, most, cursors, enough })
    }

    /// Whether so many cursors had to look through level 0 that it should be merged.
    pub(crate) fn is_worn(&self) -> bool {
        self.cursors.load(Ordering::Relaxed) >= self.enough
    }

    /// Has the processor fetch what the table at `place` will be asked first, if it is open.
    #[inline]
    pub(crate) fn prefetch(&self, place: usize, hash: u64) {
        if let Some(table) = self.places.get(place).and_then(OnceLock::get) {
            table.prefetch(hash);
        }
    }

    /// The open table at `place`; `open` opens it.
    #[inline]
    pub(crate) fn get_or<R>(
        &self,
        place: usize,
        open: impl FnOnce() -> Result<Arc<Table>>,
        read: impl FnOnce(&Table) -> Result<R>,
    ) -> Result<R> {
        match self.places.get(place) {
            Some(held) => match held.get() {
                Some(table) => read(table),
                None => {
                    let table = open()?;
                    read(held.get_or_init(|| table))
                }
            },
            None => read(&*open()?),
        }
    }
}

impl View {
    pub(crate) fn new(
        active: Arc<WriteBuffer>,
        sealed: Vec<Arc<WriteBuffer>>,
        version: Arc<Version>,
        opened: Arc<Opened>,
        background: Arc<Background>,
    ) -> View {
        let tables_delete_ranges = version.has_range_tombstones();
        let table_tombstones = OnceLock::new();
        View { active, sealed, version, opened, tables_delete_ranges, background, table_tombstones }
    }

    /// This view with another active memtable, the old one sealed.
    pub(crate) fn rotated(&self, active: Arc<WriteBuffer>) -> View {
        let mut sealed = Vec::with_capacity(self.sealed.len() + 1);
        sealed.push(Arc::clone(&self.active));
        sealed.extend(self.sealed.iter().cloned());
        let (version, opened) = (Arc::clone(&self.version), Arc::clone(&self.opened));
        View::new(active, sealed, version, opened, Arc::clone(&self.background))
    }

    /// This view with other tables, and without the memtable that they now hold.
    pub(crate) fn installed(&self, version: Arc<Version>, flushed: Option<&WriteBuffer>) -> View {
        let sealed = self
            .sealed
            .iter()
            .filter(|buffer| flushed.is_none_or(|gone| !std::ptr::eq(Arc::as_ptr(buffer), gone)))
            .cloned()
            .collect();
        let opened = Opened::new(&version, self.opened.most);
        let active = Arc::clone(&self.active);
        View::new(active, sealed, version, opened, Arc::clone(&self.background))
    }

    /// This view with other tables, which hold all that its active memtable did, and with another
    /// one.
    pub(crate) fn ingested(&self, version: Arc<Version>, active: &Arc<WriteBuffer>) -> View {
        let (sealed, opened) = (self.sealed.clone(), Opened::new(&version, self.opened.most));
        View::new(Arc::clone(active), sealed, version, opened, Arc::clone(&self.background))
    }

    /// This view of a store that is closed: it opens no table and holds none open.
    pub(crate) fn closed(&self) -> View {
        let (active, version) = (Arc::clone(&self.active), Arc::clone(&self.version));
        let opened = Opened::new(&version, 0);
        View::new(active, self.sealed.clone(), version, opened, Arc::clone(&self.background))
    }

    /// Notes that a cursor is opened over the view.
    #[inline]
    pub(crate) fn note_cursor(&self) {
        let opened = &self.opened;
        if opened.enough < u64::MAX
            && opened.cursors.fetch_add(1, Ordering::Relaxed) + 1 == opened.enough
        {
            self.background.wake_all();
        }
    }

    /// All memtables, newest first.
    pub(crate) fn buffers(&self) -> impl Iterator<Item = &Arc<WriteBuffer>> {
        std::iter::once(&self.active).chain(&self.sealed)
    }

    /// The range tombstones of all memtables that a reader at `snapshot` sees.
    pub(crate) fn buffer_tombstones(&self, snapshot: SeqNo) -> Vec<RangeTombstone> {
        self.buffers()
            .filter(|buffer| buffer.table.has_range_deletes())
            .flat_map(|buffer| {
                let seen = buffer.table.range_tombstones_seen_by(&[snapshot]);
                seen.iter().collect::<Vec<_>>()
            })
            .filter(|tombstone| tombstone.seq <= snapshot)
            .collect()
    }
}

/// The view that counts now: read without a lock, swapped in one step.
pub(crate) struct CurrentView(ArcSwap<View>);

impl CurrentView {
    pub(crate) fn new(view: View) -> CurrentView {
        CurrentView(ArcSwap::from_pointee(view))
    }

    /// The view, for a short look.
    #[inline]
    pub(crate) fn load(&self) -> Guard<Arc<View>> {
        step();
        self.0.load()
    }

    /// The view, to be held.
    #[inline]
    pub(crate) fn load_full(&self) -> Arc<View> {
        step();
        self.0.load_full()
    }

    /// Puts what `change` makes of the view in its place.
    pub(crate) fn change(&self, change: impl Fn(&View) -> View) {
        step();
        self.0.rcu(|old| Arc::new(change(old)));
        step();
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.background.reader_left();
    }
}
