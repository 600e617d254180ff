//! What a writer does before the switch: find or make the state that the store will have.

use super::Opening;
use super::files::Files;
use super::replay::Filler;
use crate::error::{Error, Result};
use crate::flush::flush_buffer;
use crate::limiter::Limiter;
use crate::output::TableMaker;
use crate::snapshots::Kept;
use crate::stats::Counters;
use kv_manifest::{FileName, State, VersionEdit};
use kv_wal::Cut;
use std::hash::{BuildHasher, RandomState};
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
}

impl Opening {
    /// The state of a new store. A creation that was cut has left at most a lock, a manifest
    /// without CURRENT and temporary files; it is begun again.
    pub(super) fn create(&self, files: &Files) -> Result<Recovered> {
        if files.holds_data() {
            return Err(Error::corrupt(format!(
                "{}: the directory holds tables, and CURRENT is missing; restore CURRENT from a \
                 backup",
                FileName::Current.path(&self.dir).display()
            )));
        }
        let random = || u128::from(RandomState::new().hash_one(0));
        let state = State::new(random() << 64 | random());
        let log_number = state.next_file.max(files.max_number + 1);
        Ok(Recovered { state, log_number, next_file: log_number + 1 })
    }

    /// The state of a store that was found: its manifest, and its logs written out as tables. A
    /// log that was readable may still not be durable (its last sync may have failed), so nothing
    /// is acknowledged before its writes are in synced tables.
    pub(super) fn recover(
        &self,
        mut state: State,
        files: &Files,
        counters: &Counters,
    ) -> Result<Recovered> {
        let segments = self.segments(&state, &files.logs())?;
        let numbers = AtomicU64::new(state.next_file.max(files.max_number + 1));
        let limiter = Limiter::new(u64::MAX);
        let clock = self.fs.clock();
        let now_ms = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let maker = TableMaker {
            fs: &self.fs,
            dir: &self.dir,
            options: &self.options,
            limiter: &limiter,
            numbers: &numbers,
        };
        let mut edit = VersionEdit::default();
        let mut filler = Filler::new(self, state.last_seq, |buffer, last_seq| {
            let kept = Kept { seqs: vec![last_seq], oldest_clock_ms: now_ms };
            let tables = flush_buffer(&maker, &buffer, 0, false, &kept)?;
            edit.added.extend(tables.into_iter().map(|table| (0, table)));
            Ok(())
        });
        let replay = self.replay(&segments, &mut filler, counters)?;
        let last_seq = filler.finish()?;
        if !edit.added.is_empty() {
            maker.sync_dir()?;
            let version = state.version.apply(&edit).map_err(|e| Error::corrupt(e.to_string()))?;
            state.version = Arc::new(version);
        }
        state.last_seq = last_seq;
        if let Some(cut) = &replay.cut {
            self.keep_cut(cut)?;
        }
        let log_number = numbers.fetch_add(1, Ordering::Relaxed);
        Ok(Recovered { state, log_number, next_file: numbers.load(Ordering::Relaxed) })
    }

    /// Gives the log whose end was cut, and those behind it, a second name: what could not be
    /// understood is not destroyed.
    fn keep_cut(&self, cut: &Cut) -> Result<()> {
        let logs = std::iter::once(cut.number).chain(cut.segments_dropped.iter().copied());
        for number in logs {
            let from = FileName::Log(number).path(&self.dir);
            let to = from.with_extension("log.cut");
            match self.fs.hard_link(&from, &to) {
                Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                    let what = format!("{}: the cut log cannot be kept", to.display());
                    return Err(Error::io(what, e));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
