//! Logs whose writes are in tables, and which a consumer still needs.
//!
//! They are no part of the store's state: no manifest names them, no recovery reads them, and no
//! writer waits for them. They go oldest first, so that what is held has no holes.

use super::{Changes, Source, consumers};
use crate::engine::{Engine, Writer};
use crate::error::{Error, ErrorKind, Result};
use kv_core::SeqNo;
use kv_manifest::FileName;
use kv_vfs::Fs;
use kv_vfs::sync::Mutex;
use kv_vfs::sync::atomic::{AtomicU64, Ordering};
use std::path::Path;

/// A log that is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldLog {
    pub(crate) number: u64,
    /// The last sequence number in it.
    pub(crate) last_seq: SeqNo,
    /// What it takes on the disk.
    pub(crate) bytes: u64,
}

/// The logs that are held for consumers.
pub(crate) struct Held {
    state: Mutex<State>,
    bytes: AtomicU64,
}

struct State {
    /// Oldest first.
    logs: Vec<HeldLog>,
    /// Everything up to this sequence number may be in no log any more.
    gone: SeqNo,
    /// Somebody registered in this process, maybe after the consumers were looked for.
    registered: bool,
}

impl Held {
    /// No log is held, and what is up to `gone` is in none.
    pub(crate) fn new(gone: SeqNo) -> Held {
        Held::with(Vec::new(), gone)
    }

    /// Those that a recovery found.
    pub(crate) fn with(logs: Vec<HeldLog>, gone: SeqNo) -> Held {
        let bytes = AtomicU64::new(total(&logs));
        Held { state: Mutex::new(State { logs, gone, registered: false }), bytes }
    }

    /// What they take on the disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Their numbers, oldest first.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.state.lock().logs.iter().map(|log| log.number).collect()
    }
}

fn total(logs: &[HeldLog]) -> u64 {
    logs.iter().map(|log| log.bytes).sum()
}

/// How many of the logs, oldest first, may go: `positions` are the consumers', `gone` is what is in
/// no log any more, and `bound` what the others may take. Who needs something that is gone holds
/// nothing.
pub(crate) fn unneeded(
    logs: &[HeldLog],
    positions: &[SeqNo],
    mut gone: SeqNo,
    bound: u64,
) -> usize {
    let mut left = total(logs);
    let mut count = 0;
    for log in logs {
        let needed = positions.iter().any(|at| *at >= gone && *at < log.last_seq);
        if needed && left <= bound {
            break;
        }
        gone = gone.max(log.last_seq);
        left -= log.bytes;
        count += 1;
    }
    count
}

/// The positions of all consumers. Where they cannot be read, everything may be needed.
fn positions(fs: &dyn Fs, dir: &Path, gone: SeqNo) -> Vec<SeqNo> {
    match consumers::list(fs, dir) {
        Ok(found) => found.into_iter().map(|(_, at)| at.unwrap_or(gone)).collect(),
        Err(_) => vec![gone],
    }
}

/// Whether any consumer is registered; also where that cannot be told.
pub(crate) fn has_consumers(fs: &dyn Fs, dir: &Path) -> bool {
    consumers::list(fs, dir).map_or(true, |found| !found.is_empty())
}

impl Engine {
    /// Before the log of a memtable is let go: makes it durable, where it is to be held, so that a
    /// power cut leaves no hole in it. Answers whether there are consumers.
    pub(crate) fn sync_for_consumers(&self, writer: &Writer) -> Result<bool> {
        let any = self.has_consumers();
        if any {
            writer.log.sync_closed().map_err(|e| self.log_refused(e))?;
        }
        Ok(any)
    }

    /// Whether logs may be needed beyond their memtables.
    pub(crate) fn has_consumers(&self) -> bool {
        has_consumers(&*self.fs, &self.dir)
    }

    /// Lets a log go whose writes, up to `last_seq`, are in tables that the manifest names: it is
    /// held while a consumer needs it, else removed. `consumers` says whether there were any.
    pub(crate) fn release_log(&self, number: u64, last_seq: SeqNo, consumers: bool) {
        let mut state = self.held.state.lock();
        if !consumers && !state.registered && state.logs.is_empty() {
            self.remove_logs(std::iter::once(number));
            state.gone = state.gone.max(last_seq);
            return;
        }
        let path = FileName::Log(number).path(&self.dir);
        let bytes = self.fs.metadata(&path).map_or(0, |found| found.len);
        state.logs.push(HeldLog { number, last_seq, bytes });
        self.drop_unneeded(&mut state, self.options.wal_limit);
    }

    /// Removes what no consumer needs any more.
    pub(crate) fn release_held(&self) {
        let mut state = self.held.state.lock();
        self.drop_unneeded(&mut state, self.options.wal_limit);
    }

    /// Removes all of them, for the room that they take; answers whether there were any.
    pub(crate) fn give_held_up(&self) -> bool {
        let mut state = self.held.state.lock();
        let State { logs, gone, .. } = &mut *state;
        let any = !logs.is_empty();
        for log in logs.drain(..) {
            self.remove_logs(std::iter::once(log.number));
            *gone = log.last_seq.max(*gone);
        }
        self.held.bytes.store(0, Ordering::Relaxed);
        any
    }

    fn drop_unneeded(&self, state: &mut State, bound: u64) {
        if state.logs.is_empty() {
            return;
        }
        let positions = positions(&*self.fs, &self.dir, state.gone);
        let count = unneeded(&state.logs, &positions, state.gone, bound);
        for log in state.logs.drain(..count) {
            self.remove_logs(std::iter::once(log.number));
            state.gone = state.gone.max(log.last_seq);
        }
        self.held.bytes.store(total(&state.logs), Ordering::Relaxed);
    }

    /// Notes that a consumer needs nothing up to `seq`.
    fn acknowledge(&self, name: &str, seq: SeqNo) -> Result<()> {
        // While this is held no log goes.
        let mut state = self.held.state.lock();
        if seq < state.gone {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "the changes behind sequence number {seq} are not held any more: the oldest \
                     one held is {}; read the store as a whole, then the changes since {}",
                    state.gone + 1,
                    state.gone
                ),
            ));
        }
        state.registered = true;
        consumers::write(&*self.options.file_system, &self.dir, name, seq)?;
        self.drop_unneeded(&mut state, self.options.wal_limit);
        Ok(())
    }
}

impl Changes {
    /// Registers the consumer `name`, or moves it: it has taken all changes up to
    /// [`Changes::position`], and needs those behind it. That is durable when the call returns, and so
    /// are those changes: what was written without a sync is synced now. The
    /// logs with those changes are held from now on, also over reopening, until it acknowledges them
    /// or is [forgotten](Changes::forget).
    ///
    /// What is held for all consumers together, beside the logs that the store itself needs, takes
    /// no more than [`Options::wal_limit`](crate::Options::wal_limit). Whoever falls so far behind that it
    /// would is not waited for: the oldest logs go, and it gets `NotFound`. They go too before a
    /// `disk_limit` refuses a write.
    ///
    /// The name has up to 64 ASCII letters, digits, hyphens, underscores and dots. A consumer may
    /// be in another process than the writer: on a store that was opened read-only this call
    /// writes the consumer's own small file, and nothing else. Its logs may then go before the
    /// writer has seen it, which this call tells by `NotFound` as far as it can.
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// # let db = Db::in_memory(Options::default())?;
    /// db.put("key", "value")?;
    /// let mut changes = db.changes_since(0)?;
    /// changes.acknowledge("replica")?;
    /// db.flush()?; // the log would be gone
    /// assert!(changes.next().is_some());
    /// changes.acknowledge("replica")?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn acknowledge(&self, name: &str) -> Result<()> {
        let (fs, dir) = self.source.place();
        match &self.source {
            Source::Writer(engine) => {
                engine.health.check_open()?;
                // Else a power cut could take what the consumer has, and its numbers come again.
                engine.sync()?;
                engine.acknowledge(name, self.position())
            }
            Source::Reader { .. } => {
                self.tail.sync()?;
                consumers::write(&**fs, dir, name, self.position())?;
                self.since(self.position()).map(drop)
            }
        }
    }

    /// Goes on behind what the consumer `name` has acknowledged, wherever this began. `NotFound`
    /// where there is no such consumer, or what it needs is not held any more.
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// # let db = Db::in_memory(Options::default())?;
    /// db.put("key", "value")?;
    /// db.changes_since(0)?.acknowledge("replica")?;
    /// // Later, and maybe in another process:
    /// let mut changes = db.changes_since(0)?.resume("replica")?;
    /// assert_eq!(changes.next().unwrap()?.ops.len(), 1);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn resume(mut self, name: &str) -> Result<Changes> {
        let (fs, dir) = self.source.place();
        let at = consumers::read(&**fs, dir, name)?;
        let at = at.ok_or_else(|| consumers::unknown(name))?;
        self.check_not_ahead(at)?;
        self.tail = self.since(at)?;
        self.position = at;
        self.pending = None;
        self.ended = true;
        self.failed = false;
        Ok(self)
    }

    /// Ends the registration of a consumer: nothing is held for it any more.
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// # let db = Db::in_memory(Options::default())?;
    /// let changes = db.changes_since(0)?;
    /// changes.acknowledge("replica")?;
    /// changes.forget("replica")?;
    /// assert!(changes.consumers()?.is_empty());
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn forget(&self, name: &str) -> Result<()> {
        let (fs, dir) = self.source.place();
        consumers::remove(&**fs, dir, name)?;
        if let Source::Writer(engine) = &self.source {
            engine.release_held();
        }
        Ok(())
    }

    /// The registered consumers, each with the sequence number up to which it has acknowledged, by
    /// name.
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// # let db = Db::in_memory(Options::default())?;
    /// assert!(db.changes_since(0)?.consumers()?.is_empty());
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn consumers(&self) -> Result<Vec<(String, u64)>> {
        let (fs, dir) = self.source.place();
        let found = consumers::list(&**fs, dir)?;
        found.into_iter().map(|(name, at)| at.map(|at| (name, at))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(last: &[SeqNo]) -> Vec<HeldLog> {
        let held = |(n, last_seq)| HeldLog { number: n as u64, last_seq, bytes: 10 };
        last.iter().copied().enumerate().map(held).collect()
    }

    #[test]
    fn a_log_goes_when_nobody_needs_it() {
        let held = logs(&[10, 20, 30]);
        assert_eq!(unneeded(&held, &[], 0, 100), 3);
        assert_eq!(unneeded(&held, &[0], 0, 100), 0);
        assert_eq!(unneeded(&held, &[9], 0, 100), 0);
        assert_eq!(unneeded(&held, &[10], 0, 100), 1);
        assert_eq!(unneeded(&held, &[30, 19], 0, 100), 1);
        assert_eq!(unneeded(&held, &[30], 0, 100), 3);
    }

    #[test]
    fn who_is_too_slow_is_not_waited_for_and_holds_nothing_more() {
        let held = logs(&[10, 20, 30]);
        // The oldest must go; nobody else needs the rest.
        assert_eq!(unneeded(&held, &[5], 0, 20), 3);
        // Another one does.
        assert_eq!(unneeded(&held, &[5, 12], 0, 20), 1);
        assert_eq!(unneeded(&held, &[5, 25], 0, 20), 2);
        // It fell behind before.
        assert_eq!(unneeded(&held, &[5], 6, 100), 3);
        assert_eq!(unneeded(&held, &[5, 25], 6, 100), 2);
    }
}
