//! The commit of a write: log, memtable, publication. Numbered invariants: docs/design/write-path.md.

use crate::engine::{Engine, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::options::Durability;
use crate::read::with_stored_key;
use crate::space::Space;
use crate::stats::latency::Operation;
use crate::transaction::{Check, Claim};
use crate::write::buffer::WriteBuffer;
use crate::{WriteBatch, limits};
use kv_core::{Kind, MAX_VARINT_LEN, Op, SeqNo, decode_batch, hash64};
use kv_vfs::sync::step;
use kv_vfs::testing::{Mark, mark};
use std::sync::Arc;
use std::time::Duration;

/// One write on its way: its bytes for the log, and what admits it.
struct Write<'a> {
    count: u64,
    /// The payload of the log record, in parts.
    payload: &'a [&'a [u8]],
    /// The most memtable bytes that it takes.
    bound: usize,
    /// The hash of its key, where it has only one.
    hash: Option<u64>,
    /// Keyspaces that must exist.
    spaces: &'a [Arc<Space>],
    /// A keyspace that ends with this write.
    drops: Option<&'a Space>,
    /// It only deletes, so that it may use the room that a limit on the disk keeps for that.
    deletes: bool,
    /// What open transactions hear of it, and what it must find unchanged.
    claim: Claim<'a>,
}

/// Why the log did not take a write.
enum Refused {
    /// The memtable must be changed first.
    Full(Arc<WriteBuffer>),
    Log(kv_wal::Error),
    Other(Error),
}

impl From<kv_wal::Error> for Refused {
    fn from(error: kv_wal::Error) -> Refused {
        Refused::Log(error)
    }
}

impl Engine {
    /// The durability of a write that does not name one.
    pub(crate) fn default_durability(&self) -> Durability {
        if self.options.sync_on_write { Durability::Sync } else { Durability::Os }
    }

    /// Writes one put, without building a batch.
    pub(crate) fn put(&self, space: &Arc<Space>, key: &[u8], value: &[u8]) -> Result<()> {
        if let Some(reason) = limits::refuse(key.len(), value.len()) {
            return Err(Error::invalid(reason));
        }
        self.write_one(space, Kind::Put, key, &[], value)
    }

    /// Writes one put that expires.
    pub(crate) fn put_with_ttl(
        &self,
        space: &Arc<Space>,
        key: &[u8],
        value: &[u8],
        ttl: Duration,
    ) -> Result<()> {
        if let Some(reason) = limits::refuse(key.len(), value.len()) {
            return Err(Error::invalid(reason));
        }
        match expiry(self.now_ms(), ttl) {
            Some(at) => self.write_one(space, Kind::PutExpiring, key, &at.to_le_bytes(), value),
            None => self.write_one(space, Kind::Put, key, &[], value),
        }
    }

    /// Writes one delete.
    pub(crate) fn delete(&self, space: &Arc<Space>, key: &[u8]) -> Result<()> {
        if let Some(reason) = limits::refuse(key.len(), 0) {
            return Err(Error::invalid(reason));
        }
        self.write_one(space, Kind::Delete, key, &[], &[])
    }

    /// Encodes one operation in place and commits it.
    fn write_one(
        &self,
        space: &Arc<Space>,
        kind: Kind,
        key: &[u8],
        expiry: &[u8],
        value: &[u8],
    ) -> Result<()> {
        with_stored_key(&space.prefix, key, |stored| {
            let head = Small::new(&[1, 0, 0, 0, kind as u8], stored.len() as u64);
            let value_len = (expiry.len() + value.len()) as u64;
            let middle = match kind {
                Kind::Delete => Small::default(),
                _ => Small::new(&[], value_len),
            };
            let spaces = std::slice::from_ref(space);
            let hash = hash64(stored);
            let write = Write {
                count: 1,
                payload: &[head.bytes(), stored, middle.bytes(), expiry, value],
                bound: WriteBuffer::bound(stored.len(), expiry.len() + value.len()),
                hash: Some(hash),
                spaces: if space.is_default() { &[] } else { spaces },
                drops: None,
                deletes: kind == Kind::Delete,
                claim: Claim::of_one(hash, stored),
            };
            self.commit(&write, self.default_durability(), |buffer, seq| {
                if expiry.is_empty() {
                    buffer.apply(seq, hash, Op { kind, key: stored, value });
                } else {
                    let value = [expiry, value].concat();
                    buffer.apply(seq, hash, Op { kind, key: stored, value: &value });
                }
            })
        })
    }

    /// Writes a batch to the keyspace `home`.
    pub(crate) fn write_batch(
        &self,
        home: &Arc<Space>,
        batch: WriteBatch,
        durability: Durability,
    ) -> Result<()> {
        self.writer()?;
        self.health.check_write()?;
        let batch = batch.bound_for(home)?;
        self.write_bound(batch, durability, None, None)
    }

    /// Commits a checked batch; with `drops`, that keyspace ends with it; with `check`, only where
    /// nothing has changed that a transaction needs.
    pub(crate) fn write_bound(
        &self,
        mut batch: WriteBatch,
        durability: Durability,
        drops: Option<&Space>,
        check: Option<&mut Check>,
    ) -> Result<()> {
        if batch.encoded.is_empty() {
            return batch.spaces.iter().try_for_each(|space| space.check());
        }
        let now_ms = if batch.expiries.is_empty() { 0 } else { self.now_ms() };
        for (at, ttl) in &batch.expiries {
            // A moment too far for the clock is never reached.
            batch.encoded.set_expiry(*at, expiry(now_ms, *ttl).unwrap_or(u64::MAX));
        }
        let payload = batch.encoded.as_bytes();
        let unreadable =
            |e: kv_core::Malformed| Error::invalid(format!("a batch is malformed: {e}"));
        let ops = decode_batch(payload).map_err(unreadable)?;
        let mut bound = 0usize;
        let mut deletes = true;
        for op in ops.clone() {
            let op = op.map_err(unreadable)?;
            deletes &= matches!(op.kind, Kind::Delete | Kind::RangeDelete);
            bound = bound.saturating_add(WriteBuffer::bound(op.key.len(), op.value.len()));
        }
        if bound > limits::MAX_BATCH_MEMORY {
            return Err(Error::invalid(format!(
                "a batch of {} operations needs {bound} bytes of memory; the limit is {}",
                batch.encoded.len(),
                limits::MAX_BATCH_MEMORY
            )));
        }
        let write = Write {
            count: batch.encoded.len() as u64,
            payload: &[payload],
            bound,
            hash: None,
            spaces: &batch.spaces,
            drops,
            deletes,
            claim: Claim::of_batch(payload, check),
        };
        self.commit(&write, durability, |buffer, first| {
            // Every one was readable above.
            buffer.apply_all(first, ops.map_while(std::result::Result::ok));
        })
    }

    /// Takes a write through the log and the memtable and makes it visible.
    fn commit(
        &self,
        write: &Write<'_>,
        durability: Durability,
        apply: impl FnOnce(&WriteBuffer, SeqNo),
    ) -> Result<()> {
        let begun = match durability {
            Durability::Sync => self.latencies.begin_long(),
            Durability::Os => self.latencies.begin(),
        };
        let writer = self.writer()?;
        self.health.check_write()?;
        let coming = match self.is_limited() {
            true => Some(self.admit_bytes(write.payload, write.deletes)?),
            false => None,
        };
        let (appended, buffer) = self.append(writer, write, durability)?;
        drop(coming);
        let first = appended.first_seq;
        let last = first + (write.count - 1);

        let position = appended.position;
        // The memtable's own steps are none for a checker of the engine.
        step();
        apply(&buffer, first);
        let ticket = self.publisher.announce(first, last, position, durability);
        let reached = match durability {
            Durability::Sync => writer.log.sync_to(position),
            Durability::Os if appended.written => Ok(()),
            Durability::Os => writer.log.write_to(position),
        };
        let outcome = match reached {
            Ok(()) if self.publisher.publish(ticket) => Ok(()),
            Ok(()) => Err(self.broken_off()),
            Err(cause) => Err(self.writes_failed(&Error::from(cause))),
        };
        if buffer.leave() {
            self.background.wake_all();
        }
        outcome?;
        self.counters.wrote(write.count, write.payload);
        self.pay_delay(write.payload, &buffer);
        self.latencies.end(Operation::Write, begun);
        Ok(())
    }

    /// Gets sequence numbers, a place in the log and a memtable for a write.
    fn append(
        &self,
        writer: &Writer,
        write: &Write<'_>,
        durability: Durability,
    ) -> Result<(kv_wal::Appended, Arc<WriteBuffer>)> {
        loop {
            self.prepare_claim(&write.claim)?;
            let admit = |first| self.admit(write, first);
            let appended = match durability {
                Durability::Sync => writer.log.append(write.count, write.payload, admit),
                Durability::Os => writer.log.append_and_copy(write.count, write.payload, admit),
            };
            match appended {
                Ok(admitted) => return Ok(admitted),
                Err(Refused::Full(full)) => self.make_room(writer, &full, write.bound)?,
                Err(Refused::Other(error)) => return Err(error),
                Err(Refused::Log(kv_wal::Error::TooLarge { .. })) if self.has_logged() => {
                    // The next segment has room for it.
                    let full = Arc::clone(&self.view.load().active);
                    self.make_room(writer, &full, write.bound)?;
                }
                Err(Refused::Log(error)) => return Err(self.log_refused(error)),
            }
        }
    }

    /// Decides under the log's lock whether a write may go into the active memtable. What is
    /// admitted gets the sequence numbers from `first` on.
    fn admit(&self, write: &Write<'_>, first: SeqNo) -> Result<Arc<WriteBuffer>, Refused> {
        self.health.check_open().map_err(Refused::Other)?;
        for space in write.spaces {
            space.check().map_err(Refused::Other)?;
        }
        let mut recent = self.judge_claim(&write.claim).map_err(Refused::Other)?;
        let view = self.view.load();
        let log_bytes = write.payload.iter().map(|part| part.len()).sum();
        if !view.active.admit(write.bound, log_bytes) {
            return Err(Refused::Full(Arc::clone(&view.active)));
        }
        if let Some(hash) = write.hash {
            view.active.prefetch(hash);
        }
        if let Some(space) = write.drops {
            space.mark_dropped();
        }
        if let Some(recent) = &mut recent {
            self.note_claim(recent, first, &write.claim);
        }
        Ok(Arc::clone(&view.active))
    }

    /// Whether the current log segment holds any write.
    fn has_logged(&self) -> bool {
        self.view.load().active.logged() > 0
    }

    /// What a caller hears of a log that took nothing. Only a failed write or sync is final.
    pub(crate) fn log_refused(&self, error: kv_wal::Error) -> Error {
        let fatal = matches!(error, kv_wal::Error::Poisoned { .. });
        let error = Error::from(error);
        if error.kind() == ErrorKind::NoSpace {
            mark(Mark::NoSpaceInLog);
        }
        if fatal { self.writes_failed(&error) } else { error }
    }

    /// Why writes end, for a write whose predecessor failed.
    pub(crate) fn broken_off(&self) -> Error {
        self.health.fatal().cloned().unwrap_or_else(Error::closed)
    }
}

/// The moment at which something with this time to live expires, in milliseconds since the Unix
/// epoch; `None` where that is too far for the clock.
fn expiry(now_ms: u64, ttl: Duration) -> Option<u64> {
    // The largest number is kept for "never" in a batch.
    u64::try_from(ttl.as_millis())
        .ok()
        .and_then(|ms| now_ms.checked_add(ms))
        .filter(|at| *at < u64::MAX)
}

/// A few bytes and a LEB128 number on the stack.
#[derive(Default)]
struct Small {
    bytes: [u8; 5 + MAX_VARINT_LEN],
    len: usize,
}

impl Small {
    fn new(front: &[u8], mut number: u64) -> Small {
        let mut small = Small::default();
        front.iter().for_each(|byte| small.push(*byte));
        while number >= 0x80 {
            small.push(number as u8 | 0x80);
            number >>= 7;
        }
        small.push(number as u8);
        small
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
