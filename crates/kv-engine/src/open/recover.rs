//! What a writer does before the switch: find or make the state that the store will have.

use super::Opening;
use super::files::Files;
use super::replay::Filler;
use crate::error::{Error, Result};
use crate::flush::flush_buffer;
use crate::limiter::Limiter;
use crate::output::{Made, TableMaker};
use crate::snapshots::Kept;
use crate::stats::Counters;
use crate::values::LONG_VALUE;
use kv_manifest::{FileName, State};
use kv_vfs::testing::{bug, planted};
use kv_vfs::{FsFileExt as _, Mode};
use kv_wal::Cut;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

/// The state to switch to. Its tables are complete and durable.
pub(super) struct Recovered {
    pub(super) state: State,
    /// The number for the first log segment.
    pub(super) log_number: u64,
    /// The next file number behind it.
    pub(super) next_file: u64,
    /// What was made of the logs; no manifest names it yet.
    pub(super) made: Made,
    /// What was left out of the logs, to be kept aside.
    pub(super) cut: Option<Cut>,
}

/// Tells a store from every other.
pub(crate) fn new_db_id() -> u128 {
    let random = || u128::from(RandomState::new().hash_one(0));
    random() << 64 | random()
}

impl Opening {
    /// The state of a new store. A creation that was cut has left at most a lock, a manifest
    /// without CURRENT and temporary files; it is begun again.
    pub(super) fn create(&self, files: &Files) -> Result<Recovered> {
        if files.holds_data() {
            return Err(Error::corrupt(format!(
                "{}: the directory holds tables, and CURRENT is missing: a checkpoint or a \
                 restore that was not finished, which can be removed, or a store that lost the \
                 file; restore it from a backup",
                FileName::Current.path(&self.dir).display()
            )));
        }
        if let Some(log) = self.written_log(files)? {
            return Err(Error::corrupt(format!(
                "{}: the log holds writes, and CURRENT is missing; restore CURRENT from a backup",
                log.display()
            )));
        }
        let state = State::new(new_db_id());
        let log_number = state.next_file.max(files.max_number.saturating_add(1));
        Ok(Recovered {
            state,
            log_number,
            next_file: log_number + 1,
            made: Made::default(),
            cut: None,
        })
    }

    /// A log that something was written to. A creation that was cut leaves at most an empty one.
    fn written_log(&self, files: &Files) -> Result<Option<PathBuf>> {
        for number in files.logs() {
            let path = FileName::Log(number).path(&self.dir);
            let failed = |e| Error::io(format!("{}: read failed", path.display()), e);
            let file = self.fs.open(&path, Mode::Read).map_err(failed)?;
            let mut start = [0; 64];
            let len = file.read_full_at(&mut start, 0).map_err(failed)?;
            if start.iter().take(len).any(|byte| *byte != 0) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// The state of a store that was found: its manifest, and its logs written out as tables. A
    /// log that was readable may still not be durable (its last sync may have failed), so nothing
    /// is acknowledged before its writes are in synced tables. Those get the numbers from
    /// `next_file` on.
    pub(super) fn recover(
        &self,
        mut state: State,
        files: &Files,
        counters: &Counters,
        next_file: u64,
    ) -> Result<Recovered> {
        let segments = self.segments(&state, &files.logs())?;
        let numbers = AtomicU64::new(next_file);
        let limiter = Limiter::new(u64::MAX);
        let clock = self.fs.clock();
        let now_ms = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let maker = TableMaker {
            fs: &self.fs,
            dir: &self.dir,
            options: &self.options,
            limiter: &limiter,
            numbers: &numbers,
            long_value: LONG_VALUE,
            warming: None,
        };
        let mut made = Made::default();
        let mut filler = Filler::new(self, state.last_seq, |buffer, last_seq| {
            let kept = Kept { seqs: vec![last_seq], oldest_clock_ms: now_ms };
            let flushed = flush_buffer(&maker, &buffer, 0, false, &kept)?;
            if planted(bug::RECOVERED_TABLES_FORGOTTEN) {
                made = Made::default();
            }
            made.extend(flushed);
            Ok(())
        });
        let replay = self.replay(&segments, &mut filler, counters)?;
        let last_seq = filler.finish()?;
        if !made.is_empty() {
            maker.sync_dir()?;
            let version =
                state.version.apply(&made.added(0)).map_err(|e| Error::corrupt(e.to_string()))?;
            state.version = Arc::new(version);
        }
        if planted(bug::LOGS_REMOVED_BEFORE_SWITCH) {
            segments.iter().for_each(|segment| drop(self.fs.remove(&segment.path)));
        }
        state.last_seq = last_seq;
        let cut = replay.cut.filter(|_| !planted(bug::DAMAGE_ENDS_LOG));
        let log_number = numbers.fetch_add(1, Ordering::Relaxed);
        Ok(Recovered { state, log_number, next_file: numbers.load(Ordering::Relaxed), made, cut })
    }

    /// Gives the log whose end was cut, and those behind it, a second name: what could not be
    /// understood is not destroyed.
    pub(super) fn keep_cut(&self, cut: &Cut) -> Result<()> {
        let logs = std::iter::once(cut.number).chain(cut.segments_dropped.iter().copied());
        for number in logs {
            let from = FileName::Log(number).path(&self.dir);
            let to = from.with_extension("log.cut");
            match self.fs.hard_link(&from, &to) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                // Not every file system has hard links.
                Err(_) => self.copy(&from, &to).map_err(|e| {
                    Error::io(format!("{}: the cut log cannot be kept", to.display()), e)
                })?,
            }
        }
        Ok(())
    }

    fn copy(&self, from: &Path, to: &Path) -> io::Result<()> {
        let from = self.fs.open(from, Mode::Read)?;
        let to = self.fs.create_new(to)?;
        let mut buffer = vec![0; 1 << 20];
        let mut offset = 0;
        loop {
            let len = from.read_full_at(&mut buffer, offset)?;
            to.write_all_at(buffer.get(..len).unwrap_or_default(), offset)?;
            offset += len as u64;
            if len < buffer.len() {
                return to.sync_data();
            }
        }
    }
}
