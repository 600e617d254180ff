//! The logs that a store had kept for consumers of changes, and those that were just replayed.

use super::Opening;
use super::files::Files;
use super::recover::Recovered;
use crate::changes::{Held, HeldLog, has_consumers, log_beginnings};
use crate::engine::Engine;
use crate::error::Result;
use kv_core::SeqNo;
use kv_manifest::FileName;
use kv_vfs::Mode;

impl Opening {
    /// The logs that consumers may need; none where there is no consumer, which costs a look.
    /// What was left out of the logs counts for nobody.
    pub(super) fn held_logs(&self, files: &Files, recovered: &Recovered) -> Result<Vec<HeldLog>> {
        if !has_consumers(&*self.fs, &self.dir) {
            return Ok(Vec::new());
        }
        let dropped = |number: &u64| match &recovered.cut {
            Some(cut) => cut.segments_dropped.contains(number),
            None => false,
        };
        let mut held: Vec<HeldLog> = Vec::new();
        let numbers: Vec<u64> = files.logs().into_iter().filter(|n| !dropped(n)).collect();
        for (number, first) in log_beginnings(&self.fs, &self.dir, &numbers) {
            if let Some(before) = held.last_mut() {
                before.last_seq = first.saturating_sub(1);
            }
            let path = FileName::Log(number).path(&self.dir);
            let bytes = self.fs.metadata(&path).map_or(0, |found| found.len);
            // What was replayed may not be durable. Where it cannot be made so, a power cut leaves
            // a hole, which whoever reads the changes is told of.
            if number >= recovered.state.log_floor
                && let Ok(file) = self.fs.open(&path, Mode::ReadWrite)
            {
                let _ = file.sync_data();
            }
            held.push(HeldLog { number, last_seq: recovered.state.last_seq, bytes });
        }
        Ok(held)
    }
}

impl Engine {
    /// Holds what was found, as far as a consumer needs it.
    pub(super) fn hold_found(&mut self, logs: Vec<HeldLog>, last_seq: SeqNo) {
        let Some(oldest) = logs.first() else { return };
        let numbers = [oldest.number];
        let first = log_beginnings(&self.fs, &self.dir, &numbers).first().map(|(_, first)| *first);
        let gone = first.map_or(last_seq, |first| first.saturating_sub(1));
        self.held = Held::with(logs, gone);
        self.release_held();
        self.measure();
    }
}
