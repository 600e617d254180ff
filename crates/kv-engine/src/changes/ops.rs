//! From the stored operations of a batch to those of the user: keys without the number of their
//! keyspace, names for the numbers.

use super::ChangeOp;
use super::tail::{LogTail, malformed};
use crate::error::{Error, Result};
use crate::limits::end_of;
use crate::space::{CATALOG_ID, DEFAULT_ID};
use bytes::Bytes;
use kv_core::{Kind, Op, SeqNo, Take, decode_batch, put_varint, split_expiry};
use std::collections::HashMap;
use std::ops::Bound;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the stored keys of marks begin with, behind the number of the catalog: no name of a keyspace
/// does, because it is UTF-8.
const MARK: u8 = 0xFF;

/// The batch that says in the log that pairs from `first` to `last` (stored keys) came by an
/// ingest: a range delete in the catalog, where no name can be.
pub(crate) fn ingest_mark(first: &[u8], last: &[u8]) -> kv_core::Batch {
    let mut catalog = Vec::new();
    put_varint(&mut catalog, CATALOG_ID);
    catalog.push(MARK);
    let mut batch = kv_core::Batch::new();
    batch.delete_range(&[&catalog, first].concat(), &[&catalog, last, &[0]].concat());
    batch
}

/// Whether a batch is nothing but such a mark.
pub(crate) fn is_ingest_mark(payload: &[u8]) -> bool {
    let Ok(mut ops) = decode_batch(payload) else { return false };
    let (first, alone) = (ops.next(), ops.next().is_none());
    let mark = |op: &Op<'_>| {
        let found =
            split(op.key).is_ok_and(|(id, key)| id == CATALOG_ID && key.first() == Some(&MARK));
        found && op.kind == Kind::RangeDelete
    };
    alone && matches!(&first, Some(Ok(op)) if mark(op))
}

/// The names of keyspaces by their numbers, which are never given twice.
#[derive(Clone, Default)]
pub(super) struct Names(HashMap<u64, String>);

impl Names {
    pub(super) fn add(&mut self, id: u64, name: &str) {
        self.0.insert(id, name.to_owned());
    }

    fn get(&self, id: u64) -> Option<String> {
        match id {
            DEFAULT_ID => Some(String::new()),
            _ => self.0.get(&id).cloned(),
        }
    }

    /// Learns what a batch says of names.
    fn learn(&mut self, payload: &[u8]) -> Result<()> {
        // A keyspace ends in a batch of two: its name, then its keys.
        let mut ended: Option<String> = None;
        for op in decode_batch(payload).map_err(malformed)? {
            let op = op.map_err(malformed)?;
            let (id, key) = split(op.key)?;
            match op.kind {
                Kind::Put if id == CATALOG_ID && !key.is_empty() => {
                    let number = op.value.try_into().map(u64::from_le_bytes);
                    let number = number.map_err(|_| Error::corrupt(BAD_NAME))?;
                    self.0.insert(number, name(key)?);
                }
                Kind::Delete if id == CATALOG_ID => ended = Some(name(key)?),
                Kind::RangeDelete if id != CATALOG_ID => {
                    if let Some(ended) = ended.take() {
                        self.0.insert(id, ended);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Learns the names of keyspaces that are gone by now, from the batches in which they end.
    fn look_ahead(&mut self, mut ahead: LogTail, known: SeqNo, bounded: bool) -> Result<()> {
        while ahead.next(known, bounded, |_, payload| self.learn(payload))? {}
        Ok(())
    }
}

const BAD_NAME: &str = "the catalog of keyspaces holds a malformed entry";

fn name(key: &[u8]) -> Result<String> {
    String::from_utf8(key.to_vec()).map_err(|_| Error::corrupt(BAD_NAME))
}

/// The number of the keyspace and the user's key.
fn split(stored: &[u8]) -> Result<(u64, &[u8])> {
    let mut take = Take::new(stored);
    let id = take.varint().map_err(malformed)?;
    Ok((id, take.rest()))
}

/// What a batch did, in the terms of its writer.
pub(super) struct Reader<'a> {
    pub(super) names: &'a mut Names,
    /// Makes another reader of the log, from the batch on that is read, and says how far it is to go.
    pub(super) ahead: &'a dyn Fn() -> (LogTail, SeqNo, bool),
}

impl Reader<'_> {
    /// The operations of a batch; none where it only makes a keyspace.
    pub(super) fn read(&mut self, payload: &[u8]) -> Result<Vec<ChangeOp>> {
        self.names.learn(payload)?;
        let mut ops = Vec::new();
        for op in decode_batch(payload).map_err(malformed)? {
            let op = op.map_err(malformed)?;
            let (id, key) = split(op.key)?;
            if id == CATALOG_ID {
                ops.extend(self.mark(&op, key)?);
            } else {
                let keyspace = self.name(id)?;
                ops.push(change(&op, keyspace, id, key)?);
            }
        }
        Ok(ops)
    }

    /// What an entry of the catalog means to users: nothing, unless it is a mark.
    fn mark(&mut self, op: &Op<'_>, key: &[u8]) -> Result<Option<ChangeOp>> {
        let (Kind::RangeDelete, Some((&MARK, first))) = (op.kind, key.split_first()) else {
            return Ok(None);
        };
        let (_, last) = split(op.value)?;
        let last = last.split_first().and_then(|(_, last)| last.split_last());
        let (_, last) = last.ok_or_else(|| Error::corrupt("a mark of an ingest is malformed"))?;
        let ((id, first), (_, last)) = (split(first)?, split(last)?);
        let (first, last) = (Bytes::copy_from_slice(first), Bytes::copy_from_slice(last));
        Ok(Some(ChangeOp::Ingest { keyspace: self.name(id)?, first, last }))
    }

    fn name(&mut self, id: u64) -> Result<String> {
        if self.names.get(id).is_none() {
            let (ahead, known, bounded) = (self.ahead)();
            self.names.look_ahead(ahead, known, bounded)?;
        }
        self.names.get(id).ok_or_else(|| {
            Error::corrupt(format!(
                "the log holds a write to keyspace number {id}, which the catalog does not know"
            ))
        })
    }
}

fn change(op: &Op<'_>, keyspace: String, id: u64, key: &[u8]) -> Result<ChangeOp> {
    let copy = Bytes::copy_from_slice;
    let key = copy(key);
    Ok(match op.kind {
        Kind::Put => ChangeOp::Put { keyspace, key, value: copy(op.value), expires: None },
        Kind::PutExpiring => {
            let (at, value) = split_expiry(op.value)
                .ok_or_else(|| Error::corrupt("an expiring value in the log has no expiry"))?;
            ChangeOp::Put { keyspace, key, value: copy(value), expires: moment(at) }
        }
        Kind::Delete => ChangeOp::Delete { keyspace, key },
        Kind::RangeDelete => {
            let start = if key.is_empty() { Bound::Unbounded } else { Bound::Included(key) };
            let mut prefix = Vec::new();
            put_varint(&mut prefix, id);
            let end =
                match op.value {
                    end if end == end_of(&prefix) => Bound::Unbounded,
                    end => Bound::Excluded(copy(end.strip_prefix(prefix.as_slice()).ok_or_else(
                        || Error::corrupt("a range delete in the log ends in another keyspace"),
                    )?)),
                };
            ChangeOp::DeleteRange { keyspace, start, end }
        }
        Kind::ValuePointer | Kind::Merge => {
            return Err(Error::corrupt("the log holds a kind of operation that no batch has"));
        }
    })
}

/// The moment of an expiry; none where the clock never comes there.
fn moment(ms: u64) -> Option<SystemTime> {
    if ms == u64::MAX { None } else { UNIX_EPOCH.checked_add(Duration::from_millis(ms)) }
}
