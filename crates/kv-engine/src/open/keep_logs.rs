//! The open that recovery must not be, for the planted bug `LOGS_KEPT_BY_RECOVERY`: what the logs
//! hold is shown out of memory, and the logs go on to be all that holds it. Where the last sync of
//! one had failed, the next power cut takes what readers have seen.

use super::files::Files;
use super::replay::Filler;
use super::{Opening, Parts};
use crate::engine::{Engine, Writer};
use crate::error::Result;
use crate::stats::Counters;
use kv_manifest::{FileName, Manifest, State};
use kv_vfs::FsLock;
use kv_vfs::sync::Mutex;
use kv_wal::{Log, Segment};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

impl Opening {
    /// Opens for writing; the replayed memtables are written out later, like any other.
    pub(super) fn keep_logs(
        &self,
        mut state: State,
        files: &Files,
        lock: Box<dyn FsLock>,
    ) -> Result<Engine> {
        let counters = Counters::default();
        let segments = self.segments(&state, &files.logs())?;
        let mut buffers = Vec::new();
        let mut filler = Filler::new(self, state.last_seq, |buffer, last_seq| {
            buffer.seal(last_seq);
            buffers.push(buffer);
            Ok(())
        });
        let replay = self.replay(&segments, &mut filler, &counters)?;
        let last_seq = filler.finish()?;

        let numbers = AtomicU64::new(state.next_file.max(files.max_number.saturating_add(1)));
        let log_number = numbers.fetch_add(1, Ordering::Relaxed);
        let path = FileName::Log(log_number).path(&self.dir);
        let segment = Segment::create(&*self.fs, &path, log_number)?;
        let manifest_number = numbers.fetch_add(1, Ordering::Relaxed);
        state.next_file = numbers.load(Ordering::Relaxed);
        let (version, floor) = (Arc::clone(&state.version), state.log_floor);
        let manifest = Manifest::create(Arc::clone(&self.fs), &self.dir, state, manifest_number)?;
        let manifest = manifest.growing(self.options.manifest_slack());
        let needed = |name: &FileName| matches!(name, FileName::Log(number) if *number >= floor);
        let names = files.names.iter().copied().filter(|name| !needed(name)).collect();
        self.clean_up(&Files { names, max_number: files.max_number }, &version, &[])?;
        let log =
            Log::start(segment, replay.end_of_last, last_seq + 1, self.options.log_options())?;
        buffers.push(self.buffer(log_number));
        let writer = Writer {
            log,
            manifest: Mutex::new(manifest),
            next_segment: Mutex::new(None),
            next_file: numbers,
        };
        let (writer, lock) = (Some(writer), Some(lock));
        let parts = Parts { version, buffers, last_seq, writer, lock, counters };
        let engine = self.assemble(parts, self.tables());
        engine.load_catalog()?;
        Ok(engine)
    }
}
