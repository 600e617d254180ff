//! The one place where files go: tables and value files that no version names and nobody reads,
//! logs that are in tables.

use crate::background::State;
use crate::background::next::{Next, next};
use crate::engine::Engine;
use crate::events::Event;
use kv_manifest::{FileName, Version};
use kv_vfs::testing::{Mark, bug, mark, planted};
use std::collections::HashSet;
use std::sync::{Arc, Weak};

impl State {
    /// Whether a dead file may be removed. The current version names none of them, so where it is
    /// the only one that is held, all may go.
    pub(crate) fn has_unread(&mut self) -> bool {
        if self.dead.is_empty() {
            return false;
        }
        self.versions.retain(|version| version.strong_count() > 0);
        self.versions.len() <= 1
            || planted(bug::TABLE_REMOVED_UNDER_READER)
            || self.dead.iter().any(|(name, _)| !self.is_held(*name))
    }

    fn is_held(&self, name: FileName) -> bool {
        let names = |version: Arc<Version>| version.numbers().any(|n| Some(n) == name.number());
        self.versions.iter().filter_map(Weak::upgrade).any(names)
    }

    /// Takes out the dead files that no reader holds any more.
    pub(super) fn take_unread(&mut self) -> Vec<(FileName, u64)> {
        let mut held: HashSet<u64> = HashSet::new();
        self.versions.retain(|version| match version.upgrade() {
            Some(version) => {
                held.extend(version.numbers());
                true
            }
            None => false,
        });
        if planted(bug::TABLE_REMOVED_UNDER_READER) {
            held.clear();
        }
        let (kept, gone): (Vec<_>, Vec<_>) = self
            .dead
            .drain(..)
            .partition(|(name, _)| name.number().is_some_and(|n| held.contains(&n)));
        if !kept.is_empty() {
            mark(Mark::DeadTableHeld);
        }
        self.dead = kept;
        gone
    }
}

impl Engine {
    /// Removes the dead files that nobody reads any more. One that cannot be removed now is
    /// removed by the next open: the manifest does not name it.
    pub(crate) fn reclaim(&self) {
        self.reclaim_while(|| true);
    }

    /// The same on a background thread, which leaves the rest for later where a writer is going to
    /// wait for other work: removing a file takes milliseconds, and a merge leaves many.
    pub(super) fn reclaim_in_spare_time(&self) {
        self.reclaim_while(|| {
            let mut state = self.background.state.lock();
            !matches!(next(&self.situation(&mut state)), Next::Flush | Next::PrepareSegment)
        });
    }

    /// Removes at least one, then more as long as `goes_on`.
    fn reclaim_while(&self, goes_on: impl Fn() -> bool) {
        let mut gone = self.background.take_unread();
        if planted(bug::UNNAMED_TABLES_REMOVED) {
            gone.extend(self.unnamed_tables().into_iter().map(|name| (name, 0)));
        }
        let mut gone = gone.into_iter();
        while let Some((name, bytes)) = gone.next() {
            self.remove_file(name);
            self.note_removed(name, bytes);
            if gone.len() > 0 && !goes_on() {
                break;
            }
        }
        self.background.retire(gone.collect());
        self.count_disk();
    }

    fn note_removed(&self, name: FileName, bytes: u64) {
        match name {
            FileName::Table(number) => self.events.note(|| Event::TableDeleted { number, bytes }),
            FileName::Values(number) => self.events.note(|| Event::ValuesDeleted { number, bytes }),
            _ => {}
        }
    }

    /// The tables in the directory that no version names. Some may only just have been made.
    fn unnamed_tables(&self) -> Vec<FileName> {
        let state = self.background.state.lock();
        let version = Arc::clone(&self.view.load().version);
        let listed = self.fs.list(&self.dir).unwrap_or_default();
        let tables = listed.iter().filter_map(|entry| match FileName::parse(&entry.name) {
            Some(FileName::Table(number)) => Some(number),
            _ => None,
        });
        let named = |number: u64| version.files().any(|(_, meta)| meta.number == number);
        let dead = |number| state.dead.iter().any(|(dead, _)| *dead == FileName::Table(number));
        tables.filter(|number| !named(*number) && !dead(*number)).map(FileName::Table).collect()
    }

    /// Removes the logs below `floor`: their writes are in tables that the manifest names.
    pub(crate) fn remove_logs(&self, logs: impl Iterator<Item = u64>) {
        for number in logs {
            let _ = self.fs.remove(&FileName::Log(number).path(&self.dir));
        }
    }
}
