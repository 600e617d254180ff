//! The state of one open store, shared by its handles and its background threads.
//!
//! Locks, what each protects, and the order in which they may be taken (an earlier one may be
//! held while a later one is taken, never the other way round):
//!
//! | order | lock | protects | held across I/O |
//! |---|---|---|---|
//! | 0 | `closed` | that only one closes | all of the close |
//! | 1 | `catalog` | names of keyspaces | one commit, on create and drop only |
//! | 2 | `next_segment` | the log segment made ahead of need | its creation |
//! | 3 | `manifest` | the manifest file | its append and sync; no reader or writer waits for it |
//! | 4 | inside `held` | logs that consumers need | the removal of logs |
//! | 4 | `background.state` | which jobs run | no |
//! | 5 | inside `log` | sequence numbers, the group buffer | reserving disk space, once a step |
//! | 6 | inside `window` | what was committed lately, open transactions | no |
//! | 7 | `snapshots` | live snapshots | no |
//! | 8 | inside `publisher`, `health`, `tables` | their own state | opening a table: no |
//!
//! `view` is swapped atomically: by rotation under the log's lock, by flush and compaction under
//! the manifest's. Readers take no lock.

use crate::background::Background;
use crate::changes::Held;
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Event, Events};
use crate::health::Health;
use crate::keyspace::Catalog;
use crate::limiter::Limiter;
use crate::options::Options;
use crate::output::Made;
use crate::read::view::{CurrentView, View};
use crate::snapshots::Snapshots;
use crate::stats::Counters;
use crate::stats::latency::Latencies;
use crate::tables::Tables;
use crate::transaction::Window;
use crate::write::limit::Space;
use crate::write::publish::Publisher;
use kv_core::SeqNo;
use kv_manifest::{FileMeta, FileName, Manifest, Version, VersionEdit};
use kv_vfs::sync::Mutex;
use kv_vfs::testing::{Mark, bug, mark, planted};
use kv_vfs::{Clock, Fs, FsLock, LatchedFs, Thread};
use kv_wal::{Log, Segment};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

/// What only a store that takes writes has.
pub(crate) struct Writer {
    pub(crate) log: Log,
    pub(crate) manifest: Mutex<Manifest>,
    /// The next log segment, made by a background thread before it is needed.
    pub(crate) next_segment: Mutex<Option<Segment>>,
    /// The next file number to give.
    pub(crate) next_file: AtomicU64,
}

/// One open store.
pub(crate) struct Engine {
    pub(crate) fs: Arc<dyn Fs>,
    /// The same file system, asked whether a directory sync has failed.
    pub(crate) latch: LatchedFs,
    pub(crate) dir: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    /// Tells this open store from every other one of this process.
    pub(crate) id: u64,
    pub(crate) health: Health,
    pub(crate) view: CurrentView,
    pub(crate) publisher: Publisher,
    pub(crate) snapshots: Snapshots,
    pub(crate) window: Window,
    pub(crate) tables: Arc<Tables>,
    pub(crate) catalog: Mutex<Catalog>,
    /// `None` where the store was opened read-only.
    pub(crate) writer: Option<Writer>,
    pub(crate) background: Arc<Background>,
    pub(crate) counters: Counters,
    pub(crate) latencies: Arc<Latencies>,
    pub(crate) events: Events,
    /// Bytes of tables and of closed logs.
    pub(crate) disk_bytes: AtomicU64,
    /// Thousandths of a memtable that were written anew while it was written out lately.
    pub(crate) overlap: AtomicU64,
    /// What a limit on the disk is compared with; counted where there is one.
    pub(crate) space: Space,
    pub(crate) limiter: Limiter,
    /// The logs that are kept for consumers of changes.
    pub(crate) held: Held,
    /// Whether someone has closed the store.
    pub(crate) closed: Mutex<bool>,
    pub(crate) threads: Mutex<Vec<Box<dyn Thread>>>,
    pub(crate) lock: Mutex<Option<Box<dyn FsLock>>>,
    /// Its open files are those of other stores too: a close leaves them open.
    pub(crate) shares_files: bool,
}

impl Engine {
    /// The part that writes, or `ReadOnly`.
    pub(crate) fn writer(&self) -> Result<&Writer> {
        self.writer.as_ref().ok_or_else(Error::read_only)
    }

    /// The time of day in milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> u64 {
        let since = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// What readers see at this moment: the view first, then the sequence number, so that
    /// everything up to it is in the view.
    pub(crate) fn now(&self) -> (Arc<View>, SeqNo) {
        let view = self.view.load_full();
        (view, self.publisher.visible())
    }

    pub(crate) fn new_file_number(&self) -> Result<u64> {
        Ok(self.writer()?.next_file.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes an edit durable, then visible: the tables that it names are complete and synced,
    /// and what it removes goes once nobody reads it.
    ///
    /// A failure of the manifest is final for the handle, except for a full disk that was
    /// noticed before anything was written.
    pub(crate) fn install(
        &self,
        edit: VersionEdit,
        flushed: Option<&crate::write::buffer::WriteBuffer>,
    ) -> Result<()> {
        let rolled = self.install_as(edit, |old, version| old.installed(version, flushed))?;
        if flushed.is_some() && rolled {
            mark(Mark::ManifestRolledInFlush);
        }
        Ok(())
    }

    /// [`Engine::install`] where `change` makes the view that shows the new version. Answers
    /// whether the manifest began a new file.
    pub(crate) fn install_as(
        &self,
        mut edit: VersionEdit,
        change: impl Fn(&View, Arc<Version>) -> View,
    ) -> Result<bool> {
        let writer = self.writer()?;
        let mut manifest = writer.manifest.lock();
        let before = Arc::clone(&manifest.state().version);
        let mut dead = dead_tables(&before, &edit);
        edit.next_file = Some(writer.next_file.load(Ordering::Relaxed));
        let number = manifest.number();
        let version = manifest.apply(edit).map_err(|e| self.manifest_failed(e))?;
        self.space.manifest.store(manifest.file_size(), Ordering::Relaxed);
        dead.extend(dead_values(&before, &version));
        let rolled = manifest.number() != number;
        // A roll-over takes a number too.
        writer.next_file.fetch_max(manifest.state().next_file, Ordering::Relaxed);
        // Known before anyone can read it, and dead tables only after nobody new can: else a
        // table could go under a reader. The manifest's lock keeps installs in order.
        self.background.register(&version);
        self.view.change(|old| change(old, Arc::clone(&version)));
        self.background.retire(dead);
        drop(manifest);
        self.measure();
        Ok(rolled)
    }

    /// [`Engine::install`] of new tables; where it fails and may be tried again they are removed,
    /// for they hold the space that the next try needs. After a final failure the manifest may
    /// name them, and they stay.
    pub(crate) fn install_made(
        &self,
        edit: VersionEdit,
        flushed: Option<&crate::write::buffer::WriteBuffer>,
        made: &Made,
    ) -> Result<()> {
        let installed = self.install(edit, flushed);
        let unwritten = self.health.fatal().is_none();
        if installed.is_err() && (unwritten || planted(bug::TABLES_REMOVED_AFTER_FAILED_EDIT)) {
            self.discard(made);
        }
        installed
    }

    /// Removes tables and value files that no version names.
    pub(crate) fn discard(&self, made: &Made) {
        made.names().for_each(|name| self.remove_file(name));
    }

    /// Removes a file that no version names. One that cannot be removed now is removed by the
    /// next open.
    pub(crate) fn remove_file(&self, name: FileName) {
        match name {
            FileName::Table(number) => self.tables.forget(number),
            FileName::Values(number) => self.tables.values().forget(number),
            _ => {}
        }
        let _ = self.fs.remove(&name.path(&self.dir));
    }

    /// Queues the events of files that are part of the store now.
    pub(crate) fn note_made(&self, made: &Made, level: usize) {
        self.counters.wrote_to(level, made.tables.iter().map(|table| table.size).sum());
        for table in &made.tables {
            let (number, bytes, entries) = (table.number, table.size, table.entries);
            self.events.note(|| Event::TableCreated { number, level, bytes, entries });
        }
        for values in &made.values {
            let (number, bytes) = (values.number, values.size);
            self.events.note(|| Event::ValuesCreated { number, bytes });
        }
    }

    fn manifest_failed(&self, error: kv_manifest::Error) -> Error {
        let retryable = error.is_retryable();
        let error = Error::from(error);
        if error.kind() == ErrorKind::NoSpace {
            mark(Mark::NoSpaceInManifest);
        }
        if retryable { error } else { self.writes_failed(&error) }
    }

    /// Makes everything written so far survive power loss.
    pub(crate) fn sync(&self) -> Result<()> {
        let writer = self.writer()?;
        self.health.check_write()?;
        writer.log.sync_to(writer.log.end()).map_err(|e| self.writes_failed(&Error::from(e)))
    }

    /// Turns the store read-only for good because of `cause`, and lets everybody go who waits.
    pub(crate) fn writes_failed(&self, cause: &Error) -> Error {
        if planted(bug::RESUMED_AFTER_LOG_FAILURE) {
            return cause.clone();
        }
        let (reason, first) = self.health.fail(cause);
        if first {
            self.events.note(|| Event::WritesRefused { error: reason.clone() });
        }
        self.publisher.break_off();
        self.background.wake_all();
        reason
    }

    /// What making a file with a durable name came to. A failed sync of the directory is final:
    /// which names a power cut would spare is no longer known.
    pub(crate) fn named<T>(&self, made: Result<T>) -> Result<T> {
        made.map_err(|error| match self.latch.has_failed() {
            true => self.writes_failed(&error),
            false => error,
        })
    }

    /// Counts the bytes on disk again, and sets the pace of the writers.
    pub(crate) fn measure(&self) {
        self.count_disk();
        self.set_pace(&self.view.load());
        self.background.wake_all();
    }

    /// Counts tables and value files, dead ones that are still there, and closed and held logs.
    pub(crate) fn count_disk(&self) {
        let view = self.view.load();
        let logs: u64 = view.sealed.iter().map(|buffer| buffer.logged()).sum();
        let live = view.version.total_size() + view.version.value_size();
        let bytes = live + self.background.dead_bytes() + logs + self.held.bytes();
        self.disk_bytes.store(bytes, Ordering::Relaxed);
        if self.is_limited() {
            self.count_space(bytes.saturating_sub(logs));
        }
    }
}

/// The tables that `edit` takes out of `version` for good: name and size.
fn dead_tables(version: &Version, edit: &VersionEdit) -> Vec<(FileName, u64)> {
    let moved = |number| edit.added.iter().any(|(_, meta)| meta.number == number);
    let size = |(level, number): &(usize, u64)| {
        let held = version.level(*level).iter().find(|meta| meta.number == *number)?;
        Some((FileName::Table(*number), held.size)).filter(|_| !moved(*number))
    };
    edit.deleted.iter().filter_map(size).collect()
}

/// The value files that no table of `after` refers to any more: name and size.
fn dead_values(before: &Version, after: &Version) -> impl Iterator<Item = (FileName, u64)> {
    let held = before.values().iter().map(|values| values.meta);
    let unnamed = held.filter(|meta| after.value_file(meta.number).is_none());
    unnamed.map(|meta| (FileName::Values(meta.number), meta.size))
}

/// The total size of some tables.
pub(crate) fn bytes_of(files: &[Arc<FileMeta>]) -> u64 {
    files.iter().map(|file| file.size).sum()
}
