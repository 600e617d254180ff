//! What a store tells while it works.
//!
//! Events are queued where they happen, also under locks, and handed to the listener where none is
//! held: by the thread that met them, or else by the next background thread. One thread at a time
//! hands them over, in their order.

use crate::error::Error;
use crate::health::Work;
use crate::options::Options;
use crate::write::stall::Cause;
use kv_vfs::sync::Mutex;
use kv_vfs::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// Hears of what a store does: see [`Options::listener`]. Any `Fn(&Event) + Send + Sync` is one.
///
/// It is called outside of the store's locks, by one thread at a time and in the order of the events,
/// so it may use the store; but the thread that calls it is a background thread of the store, or a
/// writer that changed memtables or had to wait. What takes long belongs into a thread of its
/// own. A panic in it is caught, and that event is lost.
///
/// ```
/// use kv_engine::{Db, Event, EventListener, Options};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// #[derive(Default)]
/// struct Flushes(AtomicUsize);
///
/// impl EventListener for Flushes {
///     fn event(&self, event: &Event) {
///         if let Event::FlushEnded { .. } = event {
///             self.0.fetch_add(1, Ordering::Relaxed);
///         }
///     }
/// }
///
/// let flushes = Arc::new(Flushes::default());
/// let db = Db::in_memory(Options::default().listener(flushes.clone()))?;
/// db.put("key", "value")?;
/// db.close()?; // hands over what it told last
/// assert!(flushes.0.load(Ordering::Relaxed) > 0);
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub trait EventListener: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event);
}

impl<F: Fn(&Event) + Send + Sync> EventListener for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}

/// Something that a store did or met. `Display` is a line for a log; no event holds a key or a
/// value.
///
/// ```
/// # use kv_engine::Event;
/// fn worth_a_look(event: &Event) -> bool {
///     matches!(event, Event::StallStarted { .. } | Event::WorkFailed { .. } | Event::WritesRefused { .. })
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A memtable of this many bytes of memory and entries is being written out.
    FlushStarted {
        /// Bytes of memory.
        bytes: u64,
        /// Entries, overwritten ones too.
        entries: u64,
    },
    /// It is in tables, and its log can go.
    FlushEnded {
        /// Bytes of tables and value files written.
        bytes: u64,
        /// How many tables.
        tables: usize,
        /// How long it took.
        took: Duration,
    },
    /// Tables are being merged, moved down or dropped.
    CompactionStarted {
        /// The lowest of the levels that they come from; 0 is the newest.
        from: usize,
        /// The level that they go to.
        to: usize,
        /// How many tables.
        tables: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// The outcome is in force.
    CompactionEnded {
        /// Bytes of tables and value files written; 0 where tables were only moved or dropped.
        bytes: u64,
        /// How many tables were written.
        tables: usize,
        /// How long it took.
        took: Duration,
    },
    /// The store has a new table.
    TableCreated {
        /// The number in its name.
        number: u64,
        /// Its level.
        level: usize,
        /// Its size.
        bytes: u64,
        /// Its entries.
        entries: u64,
    },
    /// A table that nobody needs any more was removed from the disk.
    TableDeleted {
        /// The number in its name.
        number: u64,
        /// Its size.
        bytes: u64,
    },
    /// The store has a new file of long values.
    ValuesCreated {
        /// The number in its name.
        number: u64,
        /// Its size.
        bytes: u64,
    },
    /// A file of long values that nobody needs any more was removed from the disk.
    ValuesDeleted {
        /// The number in its name.
        number: u64,
        /// Its size.
        bytes: u64,
    },
    /// The memtable was full: writes go on in a new one, with a new log.
    LogRotated {
        /// The number of the new log.
        number: u64,
        /// The bytes of the one before.
        closed_bytes: u64,
    },
    /// Writes are slowed down, because compaction is behind, or no longer.
    WritesDelayed {
        /// What a written KiB costs from now on; zero where they run freely again.
        per_kib: Duration,
    },
    /// A writer waits.
    StallStarted {
        /// For what.
        cause: Cause,
    },
    /// It goes on, or gave up.
    StallEnded {
        /// For what it waited.
        cause: Cause,
        /// How long it waited.
        took: Duration,
    },
    /// Background work failed; it is tried again.
    WorkFailed {
        /// What failed.
        work: Work,
        /// Why.
        error: Error,
        /// How often in a row it has failed.
        failures: u32,
        /// When it is tried again, from now.
        retry_in: Duration,
    },
    /// Background work that had failed succeeded.
    WorkRecovered {
        /// What succeeded.
        work: Work,
    },
    /// The store takes no writes until it is opened again.
    WritesRefused {
        /// Why.
        error: Error,
    },
    /// When the store was opened, this many bytes were cut from the unsynced end of its log:
    /// writes that were not made durable, and no record any more.
    LogCut {
        /// How many bytes.
        bytes: u64,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::FlushStarted { bytes, entries } => {
                write!(f, "flush of {entries} entries, {bytes} bytes of memory")
            }
            Event::FlushEnded { bytes, tables, took } => {
                write!(f, "flush ended: {tables} tables, {bytes} bytes in {took:.1?}")
            }
            Event::CompactionStarted { from, to, tables, bytes } => {
                write!(f, "compaction of {tables} tables, {bytes} bytes, from level {from} to {to}")
            }
            Event::CompactionEnded { bytes, tables, took } => {
                write!(f, "compaction ended: {tables} tables, {bytes} bytes in {took:.1?}")
            }
            Event::TableCreated { number, level, bytes, entries } => {
                write!(f, "table {number} on level {level}: {entries} entries, {bytes} bytes")
            }
            Event::TableDeleted { number, bytes } => {
                write!(f, "table {number} removed, {bytes} bytes")
            }
            Event::ValuesCreated { number, bytes } => {
                write!(f, "value file {number}, {bytes} bytes")
            }
            Event::ValuesDeleted { number, bytes } => {
                write!(f, "value file {number} removed, {bytes} bytes")
            }
            Event::LogRotated { number, closed_bytes } => {
                write!(f, "log {number} behind one of {closed_bytes} bytes")
            }
            Event::WritesDelayed { per_kib } if per_kib.is_zero() => {
                write!(f, "writes run freely again")
            }
            Event::WritesDelayed { per_kib } => {
                write!(f, "writes are slowed down: {per_kib:?} for each KiB")
            }
            Event::StallStarted { cause } => write!(f, "a writer waits: {cause}"),
            Event::StallEnded { cause, took } => {
                write!(f, "a writer has waited for {took:.1?}: {cause}")
            }
            Event::WorkFailed { work, error, failures, retry_in } => write!(
                f,
                "{work} failed, {failures} times in a row, tried again in {retry_in:?}: {error}"
            ),
            Event::WorkRecovered { work } => write!(f, "{work} succeeds again"),
            Event::WritesRefused { error } => write!(f, "no more writes: {error}"),
            Event::LogCut { bytes } => {
                write!(f, "{bytes} bytes cut from the unsynced end of the log")
            }
        }
    }
}

/// Events on their way to the listener.
pub(crate) struct Events {
    listener: Option<Arc<dyn EventListener>>,
    queue: Mutex<VecDeque<Event>>,
    /// How many are in the queue.
    waiting: AtomicUsize,
    /// Whether a thread is handing events over.
    busy: AtomicBool,
}

impl Events {
    pub(crate) fn new(options: &Options) -> Events {
        Events {
            listener: options.listener.clone(),
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
            busy: AtomicBool::new(false),
        }
    }

    /// Queues an event; any lock may be held. Without a listener it costs a branch.
    pub(crate) fn note(&self, event: impl FnOnce() -> Event) {
        if self.listener.is_some() {
            let mut queue = self.queue.lock();
            queue.push_back(event());
            self.waiting.store(queue.len(), Ordering::Release);
        }
    }

    /// Whether events are queued that nobody is handing over.
    pub(crate) fn are_waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0 && !self.busy.load(Ordering::Acquire)
    }

    /// Hands queued events over; no lock may be held. Where another thread is at it, or this one
    /// is called from the listener, that one goes on with what has come.
    pub(crate) fn hand_over(&self) {
        let Some(listener) = &self.listener else { return };
        while self.are_waiting() && !self.busy.swap(true, Ordering::AcqRel) {
            while let Some(event) = self.take() {
                let _ = catch_unwind(AssertUnwindSafe(|| listener.event(&event)));
            }
            self.busy.store(false, Ordering::Release);
        }
    }

    /// [`Events::note`] and [`Events::hand_over`].
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        self.note(event);
        self.hand_over();
    }

    fn take(&self) -> Option<Event> {
        let mut queue = self.queue.lock();
        let event = queue.pop_front();
        self.waiting.store(queue.len(), Ordering::Release);
        event
    }
}
