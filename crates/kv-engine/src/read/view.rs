//! What a read sees: the memtables and the version of one moment, never changed once published.

use crate::background::Background;
use crate::write::buffer::WriteBuffer;
use arc_swap::{ArcSwap, Guard};
use kv_core::{RangeTombstone, RangeTombstones, SeqNo};
use kv_manifest::Version;
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
    /// Whether any table holds range tombstones, so that reads without any pay nothing.
    pub(crate) tables_delete_ranges: bool,
    /// Hears when the view ends.
    background: Arc<Background>,
    /// The tables' range tombstones joined, made by the first iterator that needs them.
    pub(crate) table_tombstones: OnceLock<Arc<RangeTombstones>>,
}

impl View {
    pub(crate) fn new(
        active: Arc<WriteBuffer>,
        sealed: Vec<Arc<WriteBuffer>>,
        version: Arc<Version>,
        background: Arc<Background>,
    ) -> View {
        let tables_delete_ranges = version.has_range_tombstones();
        let table_tombstones = OnceLock::new();
        View { active, sealed, version, tables_delete_ranges, background, table_tombstones }
    }

    /// This view with another active memtable, the old one sealed.
    pub(crate) fn rotated(&self, active: Arc<WriteBuffer>) -> View {
        let mut sealed = Vec::with_capacity(self.sealed.len() + 1);
        sealed.push(Arc::clone(&self.active));
        sealed.extend(self.sealed.iter().cloned());
        View::new(active, sealed, Arc::clone(&self.version), Arc::clone(&self.background))
    }

    /// This view with other tables, and without the memtable that they now hold.
    pub(crate) fn installed(&self, version: Arc<Version>, flushed: Option<&WriteBuffer>) -> View {
        let sealed = self
            .sealed
            .iter()
            .filter(|buffer| flushed.is_none_or(|gone| !std::ptr::eq(Arc::as_ptr(buffer), gone)))
            .cloned()
            .collect();
        View::new(Arc::clone(&self.active), sealed, version, Arc::clone(&self.background))
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
