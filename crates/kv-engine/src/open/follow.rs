//! Opening beside a live writer again and again, at the price of what is new: the manifest is read
//! as a whole, the log from where the last look ended, and only files that are new are opened.
//!
//! Each look makes a store of its own, which never changes. They share the open files, and the
//! memtables: what is new in those has greater sequence numbers than an older store shows.

use super::{Opening, Parts, READ_ONLY_TRIES, may_have_moved};
use crate::changes::is_ingest_mark;
use crate::changes::tail::LogTail;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::open::MOVED;
use crate::stats::Counters;
use crate::tables::Tables;
use crate::write::buffer::WriteBuffer;
use kv_core::SeqNo;
use kv_manifest::{Manifest, State, Version};
use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// What is kept from one look to the next.
pub(crate) struct Following {
    opening: Opening,
    tables: Arc<Tables>,
    tail: LogTail,
    /// What the log holds that is in no table, oldest first.
    buffers: Vec<Arc<WriteBuffer>>,
    /// The versions of the looks, as long as somebody reads them.
    versions: Vec<Weak<Version>>,
    /// The numbers of the files that are held open.
    held: HashSet<u64>,
    /// The store that is followed; none before the first look.
    db_id: Option<u128>,
    /// The last sequence number that the log was seen to give to anything but an ingest's mark:
    /// that counts when the manifest has it.
    read_to: SeqNo,
    /// What the last look showed.
    shown: SeqNo,
}

impl Following {
    pub(crate) fn new(opening: Opening) -> Following {
        let tables = opening.tables();
        Following {
            tail: LogTail::new(Arc::clone(&opening.fs), &opening.dir, 1),
            opening,
            tables,
            buffers: Vec::new(),
            versions: Vec::new(),
            held: HashSet::new(),
            db_id: None,
            read_to: 0,
            shown: 0,
        }
    }

    /// The sequence number up to which the last look shows everything.
    pub(crate) fn shown(&self) -> SeqNo {
        self.shown
    }

    /// The store as it is now, or `None` where it is as it was at the last look. Looks again where
    /// the writer changes files meanwhile.
    pub(crate) fn look(&mut self) -> Result<Option<Arc<Engine>>> {
        let mut tries = 1;
        loop {
            match self.try_look() {
                Err(error)
                    if tries < READ_ONLY_TRIES
                        && (may_have_moved(&error) || is_gone(&error, &self.versions)) =>
                {
                    tries += 1;
                    self.opening.fs.clock().sleep(Duration::from_millis(2));
                }
                outcome => return outcome,
            }
        }
    }

    fn try_look(&mut self) -> Result<Option<Arc<Engine>>> {
        let fs = Arc::clone(&self.opening.fs);
        let state = Manifest::read(&*fs, &self.opening.dir)?;
        let state = state.ok_or_else(|| self.opening.missing())?;
        if *self.db_id.get_or_insert(state.db_id) != state.db_id {
            return Err(self.other("another store is in its place"));
        }
        let before = self.versions.last().and_then(Weak::upgrade);
        let same = before.as_ref().filter(|before| before.numbers().eq(state.version.numbers()));
        let version = same.cloned().unwrap_or_else(|| Arc::clone(&state.version));
        let held = self.tables.hold_new(&version, &self.held);
        // Where one could not be opened the others are closed when no look has them.
        self.held.extend(version.numbers().filter(|number| self.tables.has(*number)));
        held?;
        if let Err(error) = self.read_log(&state) {
            // A record that could not be taken over is not to be passed by.
            self.begin_behind(&state);
            return Err(error);
        }
        let last_seq = self.read_to.max(state.last_seq);
        if last_seq < self.shown {
            return Err(self.other(&format!(
                "it was at sequence number {}, and is at {last_seq} now",
                self.shown
            )));
        }
        let now = Manifest::read(&*fs, &self.opening.dir)?;
        if now.is_none_or(|now| now.log_floor != state.log_floor) {
            // A log went into tables meanwhile, so its writes may have been missed.
            return Err(Error::new(ErrorKind::Io, MOVED));
        }
        if last_seq == self.shown && before.as_ref().is_some_and(|b| Arc::ptr_eq(b, &version)) {
            return Ok(None);
        }
        // Their writes are in tables.
        self.buffers.retain(|buffer| buffer.log >= state.log_floor);
        let parts = Parts {
            version: Arc::clone(&version),
            buffers: self.buffers.clone(),
            last_seq,
            writer: None,
            lock: None,
            counters: Counters::default(),
        };
        let mut engine = self.opening.assemble(parts, Arc::clone(&self.tables));
        engine.shares_files = true;
        engine.load_catalog()?;
        self.shown = last_seq;
        self.versions.retain(|held| held.strong_count() > 0);
        self.versions.push(Arc::downgrade(&version));
        drop(before);
        self.let_go();
        Ok(Some(Arc::new(engine)))
    }

    fn other(&self, how: &str) -> Error {
        let dir = self.opening.dir.display();
        Error::corrupt(format!(
            "{dir}: the store was replaced, or lost what was not synced: {how}; follow it anew"
        ))
    }

    /// Takes over what the log holds behind the last look.
    fn read_log(&mut self, state: &State) -> Result<()> {
        self.tail.look_again();
        // What is in tables need not be read, however long its logs are kept.
        if self.tail.next_seq() <= state.last_seq {
            self.begin_behind(state);
        }
        loop {
            match self.read_on(state) {
                // The log went, and what it held is in tables: of this state, or of a newer one.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    if self.tail.next_seq() > state.last_seq {
                        return Err(Error::new(ErrorKind::Io, MOVED));
                    }
                    self.begin_behind(state);
                }
                outcome => return outcome,
            }
        }
    }

    /// Begins to read the log anew, behind what is in tables. Nothing else is needed.
    fn begin_behind(&mut self, state: &State) {
        self.buffers.clear();
        self.read_to = state.last_seq;
        let Opening { fs, dir, .. } = &self.opening;
        self.tail = LogTail::new(Arc::clone(fs), dir, state.last_seq + 1);
    }

    fn read_on(&mut self, state: &State) -> Result<()> {
        let Following { opening, tail, buffers, read_to, .. } = self;
        loop {
            let segment = tail.segment();
            let mut batch = None;
            let found = tail.next(state.last_seq, false, |first, payload| {
                batch = Some((first, payload.to_vec()));
                Ok(())
            })?;
            let Some((first, payload)) = batch.filter(|_| found) else { return Ok(()) };
            let log = tail.segment().or(segment).unwrap_or(0);
            if buffers.last().is_none_or(|active| active.log != log) {
                buffers.push(opening.buffer(log));
            }
            let Some(active) = buffers.last_mut() else { return Ok(()) };
            if let Some(next) = opening.insert(active, first, &payload)? {
                buffers.push(next);
            }
            if !is_ingest_mark(&payload) {
                *read_to = tail.next_seq().saturating_sub(1);
            }
        }
    }

    /// Closes the files that no store reads any more.
    fn let_go(&mut self) {
        let live: Vec<Arc<Version>> = self.versions.iter().filter_map(Weak::upgrade).collect();
        let live: HashSet<u64> = live.iter().flat_map(|version| version.numbers()).collect();
        for dead in self.held.extract_if(|number| !live.contains(number)) {
            self.tables.forget(dead);
            self.tables.values().forget(dead);
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // The stores that were made close theirs with the last of them.
        self.buffers.clear();
    }
}

/// Whether the first look found the store in the middle of being made.
fn is_gone(error: &Error, looks: &[Weak<Version>]) -> bool {
    error.kind() == ErrorKind::NotFound && !looks.is_empty()
}
