//! What a process notes of its commits outside of the store, in a file that outlives it: what each
//! has read and written before it is tried, and how it ended once that is known.

use super::history::{End, Event, Over};
use anyhow::{Context, Result, anyhow};
use kv_engine::Isolation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Serialize, Deserialize)]
enum Line {
    /// The last number that the store had given when it was opened.
    Opened(u64),
    Begins {
        id: u64,
        serializable: bool,
        snapshot: u64,
        acknowledged: u64,
        events: Vec<Event>,
    },
    /// With the number of its commit, if it has written anything; none where it was refused.
    Ends {
        id: u64,
        committed: Option<Option<u64>>,
    },
}

/// The file, while commits are noted.
pub(super) struct Side {
    file: Mutex<File>,
    ids: AtomicU64,
}

impl Side {
    /// Begins the notes of a process that has opened its store, whose last number is this.
    pub(super) fn create(path: &Path, opened: u64) -> Result<Side> {
        let file = Mutex::new(File::create(path)?);
        let side = Side { file, ids: AtomicU64::new(0) };
        side.note(&Line::Opened(opened))?;
        Ok(side)
    }

    fn note(&self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        // At once: a line is there or not, but for the last one.
        Ok(self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text)?)
    }

    /// Notes a transaction that is about to commit; answers its number here.
    pub(super) fn begins(&self, over: &Over) -> Result<u64> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let Over { snapshot, acknowledged, ref events, .. } = *over;
        let serializable = over.isolation == Isolation::Serializable;
        let events = events.clone();
        self.note(&Line::Begins { id, serializable, snapshot, acknowledged, events })?;
        Ok(id)
    }

    /// Notes that a commit was acknowledged, or refused.
    pub(super) fn ends(&self, id: u64, committed: Option<Option<u64>>) -> Result<()> {
        self.note(&Line::Ends { id, committed })
    }
}

/// What a process that is dead has noted.
pub(super) struct Notes {
    pub(super) opened: u64,
    pub(super) over: Vec<Over>,
    /// Those that were under way.
    pub(super) flying: Vec<Over>,
}

impl Notes {
    /// Reads the file; a line that the end cut short does not count.
    pub(super) fn read(path: &Path) -> Result<Notes> {
        let text = std::fs::read(path)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
        let (mut opened, mut begun, mut over) = (None, BTreeMap::new(), Vec::new());
        for line in lines.filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line).context("a note")? {
                Line::Opened(seq) => opened = Some(seq),
                Line::Begins { id, serializable, snapshot, acknowledged, events } => {
                    let isolation =
                        if serializable { Isolation::Serializable } else { Isolation::Snapshot };
                    let end = End::RolledBack;
                    begun.insert(id, Over { isolation, snapshot, acknowledged, events, end });
                }
                Line::Ends { id, committed } => {
                    let begun = begun.remove(&id).ok_or_else(|| anyhow!("an end of nothing"))?;
                    let end = committed.map_or(End::Conflict, End::Committed);
                    over.push(Over { end, ..begun });
                }
            }
        }
        let opened = opened.ok_or_else(|| anyhow!("nothing was noted"))?;
        Ok(Notes { opened, over, flying: begun.into_values().collect() })
    }
}
