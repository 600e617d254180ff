//! Closing: everything to tables, the logs gone that no consumer needs, the lock free when the call
//! returns.

use crate::engine::{Engine, Writer};
use crate::error::{Error, Result};
use crate::read::view::View;
use kv_manifest::VersionEdit;
use std::sync::atomic::Ordering;

impl Engine {
    /// Closes the store for every handle. Whatever fails on the way, the threads are stopped and
    /// the lock is released; what was acknowledged is in tables or in the logs.
    pub(crate) fn close(&self) -> Result<()> {
        // One closer at a time: the lock goes only when nobody writes any more.
        let mut closed = self.closed.lock();
        if *closed {
            return Err(Error::closed());
        }
        *closed = true;
        // What is still to be written is waited for.
        self.limiter.lift();
        let outcome = match (&self.writer, self.health.fatal()) {
            (Some(writer), None) => self.flush_and_close(writer),
            // What was not synced before the failure may not be durable: a success would say so.
            (_, Some(reason)) => self.begin_close().and(Err(reason.clone())),
            (None, None) => self.begin_close(),
        };
        self.background.stop();
        for thread in self.threads.lock().drain(..) {
            thread.join();
        }
        self.reclaim();
        if !self.shares_files {
            self.tables.close();
        }
        self.view.change(View::closed);
        self.lock.lock().take();
        drop(closed);
        self.events.hand_over();
        outcome
    }

    /// Lets no call begin any more; `Closed` where another one was first.
    fn begin_close(&self) -> Result<()> {
        let first = self.health.close();
        self.background.wake_all();
        if first { Ok(()) } else { Err(Error::closed()) }
    }

    fn flush_and_close(&self, writer: &Writer) -> Result<()> {
        let flushed = self.flush();
        self.begin_close()?;
        // A write that slipped in between is in the log; `finish` makes the log durable and final.
        let finished = writer.log.finish().map_err(Error::from);
        flushed?;
        finished?;
        self.background.stop();
        let view = self.view.load();
        // Nobody is admitted any more. A write that was, and is not in its memtable yet, is in the
        // log only.
        if view.buffers().all(|buffer| !buffer.has_writers() && buffer.is_empty()) {
            self.retire_logs(writer)?;
        }
        Ok(())
    }

    /// Ends a clean close: the manifest needs no log any more, and so none is kept.
    fn retire_logs(&self, writer: &Writer) -> Result<()> {
        let last = writer.next_file.load(Ordering::Relaxed);
        let edit = VersionEdit {
            last_seq: Some(self.publisher.visible()),
            log_floor: Some(last),
            ..VersionEdit::default()
        };
        self.install(edit, None)?;
        let prepared = writer.next_segment.lock().take().map(|segment| segment.number());
        let current = writer.log.segment_number();
        self.remove_logs(prepared.into_iter());
        self.release_log(current, self.publisher.visible(), self.has_consumers());
        self.fs
            .sync_dir(&self.dir)
            .map_err(|e| Error::io(format!("{}: sync failed", self.dir.display()), e))
    }
}
