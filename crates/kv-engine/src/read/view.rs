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
    wear: Arc<Wear>,
}

/// How often cursors had to find their place in level 0 of a version, and how often is enough to
/// merge it for them.
pub(crate) struct Wear {
    seeks: AtomicU64,
    enough: u64,
}

/// To find a place in level 0 costs readers about what it costs to merge so many bytes.
const BYTES_OF_SEEK: u64 = 4096;

/// Level 0 is not merged for fewer seeks.
const FEW_SEEKS: u64 = 10_000;

/// Level 0 is merged for cursors where below it lie at most so many times its bytes.
const MOST_BELOW: u64 = 8;

impl Wear {
    fn new(version: &Version) -> Arc<Wear> {
        let upper = version.size(0);
        let below = (1..LEVELS).map(|level| version.size(level)).find(|size| *size > 0);
        let below = below.unwrap_or(0);
        let enough = match upper > 0 && below <= upper.saturating_mul(MOST_BELOW) {
            true => (upper.saturating_add(below) / BYTES_OF_SEEK).max(FEW_SEEKS),
            false => u64::MAX,
        };
        Arc::new(Wear { seeks: AtomicU64::new(0), enough })
    }

    /// Counts seeks; whether these make it enough.
    #[inline]
    fn add(&self, seeks: u64) -> bool {
        if self.enough == u64::MAX {
            return false;
        }
        let before = self.seeks.fetch_add(seeks, Ordering::Relaxed);
        before < self.enough && before.saturating_add(seeks) >= self.enough
    }

    fn is_enough(&self) -> bool {
        self.seeks.load(Ordering::Relaxed) >= self.enough
    }
}

/// Counts the seeks of a cursor. The first one counted for level 0 of its version when the cursor was
/// opened, the others do when it goes: for as long as it lives it has nothing of a merge.
pub(crate) struct Seeks {
    count: u64,
    wear: Arc<Wear>,
    background: Arc<Background>,
}

impl Seeks {
    /// Notes that it finds a place.
    #[inline]
    pub(crate) fn note(&mut self) {
        self.count += 1;
    }
}

impl Drop for Seeks {
    fn drop(&mut self) {
        let more = self.count.saturating_sub(1);
        if more > 0 && self.wear.add(more) {
            self.background.wake_all();
        }
    }
}

impl Opened {
    /// Holds no table yet, and never any where there are more than `most`.
    pub(crate) fn new(version: &Version, most: usize) -> Arc<Opened> {
        let count = version.files().count();
        let count = if count <= most { count } else { 0 };
        let places = (0..count).map(|_| OnceLock::new()).collect();
        Arc::new(Opened { places, most, wear: Wear::new(version) })
    }

    /// Whether cursors had to look through level 0 so often that it should be merged.
    pub(crate) fn is_worn(&self) -> bool {
        self.wear.is_enough()
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

    /// Notes that a cursor or an iterator is opened over the view.
    #[inline]
    pub(crate) fn note_cursor(&self) {
        if self.opened.wear.add(1) {
            self.background.wake_all();
        }
    }

    /// What hears of all seeks of a cursor over the view, if they count.
    pub(crate) fn seeks(&self) -> Option<Seeks> {
        let wear = Some(&self.opened.wear).filter(|wear| wear.enough < u64::MAX).cloned()?;
        Some(Seeks { count: 0, wear, background: Arc::clone(&self.background) })
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
