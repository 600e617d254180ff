//! What was committed, batch by batch, read back from the log.
//!
//! `tail` reads the log from a sequence number on, `ops` turns stored operations into those of the
//! user, `consumers` remembers how far somebody has come, and `retain` keeps the logs that they need.
//! Numbered invariants: docs/design/changes.md.

mod consumers;
mod ops;
mod retain;
pub(crate) mod tail;

pub(crate) use consumers::DIR as CONSUMERS;
pub(crate) use ops::{ingest_mark, is_ingest_mark};
pub(crate) use retain::{Held, HeldLog, has_consumers};
pub(crate) use tail::log_beginnings;

use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::space::Space;
use bytes::Bytes;
use kv_core::SeqNo;
use kv_manifest::Manifest;
use kv_vfs::Fs;
use ops::{Names, Reader};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use tail::LogTail;

/// What one batch changed.
///
/// ```
/// # use kv_engine::{ChangeOp, Db, Options};
/// # let db = Db::in_memory(Options::default())?;
/// db.put("key", "value")?;
/// for change in db.changes_since(0)? {
///     let change = change?;
///     println!("{}: {} operations", change.seq, change.ops.len());
/// }
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The last sequence number of the batch: [`Db::changes_since`](crate::Db::changes_since) with
    /// it goes on behind the batch.
    pub seq: u64,
    /// The operations, in the order in which they took effect: of two on one key the later one holds.
    pub ops: Vec<ChangeOp>,
}

/// One operation of a committed batch. The default keyspace is `""`; a keyspace that was dropped
/// since has the name that it had.
///
/// ```
/// # use kv_engine::{ChangeOp, Db, Options};
/// # let db = Db::in_memory(Options::default())?;
/// db.delete("key")?;
/// let change = db.changes_since(0)?.next().unwrap()?;
/// assert_eq!(change.ops, [ChangeOp::Delete { keyspace: "".into(), key: "key".into() }]);
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeOp {
    /// A key got a value.
    Put {
        /// Where.
        keyspace: String,
        /// The key.
        key: Bytes,
        /// Its value.
        value: Bytes,
        /// When it expires, if it does.
        expires: Option<SystemTime>,
    },
    /// A key was deleted, whether it was there or not.
    Delete {
        /// Where.
        keyspace: String,
        /// The key.
        key: Bytes,
    },
    /// All keys of a range were deleted. Dropping a keyspace is a range without bounds.
    DeleteRange {
        /// Where.
        keyspace: String,
        /// The first key.
        start: Bound<Bytes>,
        /// The end.
        end: Bound<Bytes>,
    },
    /// Pairs came past the log, by [`Db::ingest`](crate::Db::ingest): the keys from `first` to `last`,
    /// both among them, may have new values, which a read of this range shows. No key was deleted.
    /// An ingest that failed at its very end may leave this too.
    Ingest {
        /// Where.
        keyspace: String,
        /// The first key that was ingested.
        first: Bytes,
        /// The last one.
        last: Bytes,
    },
}

/// The batches that were committed since a sequence number, in commit order, each once and whole:
/// see [`Db::changes_since`](crate::Db::changes_since).
///
/// It ends behind what was committed when it was first asked. Asked again after its end it goes on
/// with what came since, at the price of what came since; so a loop that sleeps follows the store. An error
/// is its last answer.
///
/// Logs go when what they hold is in tables, unless a *consumer* was registered that still needs
/// them: [`Changes::acknowledge`].
///
/// ```
/// # use kv_engine::{Db, Options};
/// # let db = Db::in_memory(Options::default())?;
/// let mut changes = db.changes_since(0)?;
/// assert!(changes.next().is_none());
/// db.put("key", "value")?;
/// assert_eq!(changes.next().unwrap()?.ops.len(), 1);
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub struct Changes {
    source: Source,
    tail: LogTail,
    names: Names,
    /// Everything up to here was committed when last looked.
    known: SeqNo,
    /// The sequence number of the last change given, or where this began.
    position: SeqNo,
    /// A reader's mark of an ingest that was not committed when last looked.
    pending: Option<Change>,
    /// It looks what is committed when it is asked next: it was not asked yet, or it came to its end.
    ended: bool,
    failed: bool,
}

/// Whose changes.
enum Source {
    /// This process writes: only what is visible is read.
    Writer(Arc<Engine>),
    /// Another process may write: what is in the log is read.
    Reader { fs: Arc<dyn Fs>, dir: PathBuf },
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("position", &self.position).finish_non_exhaustive()
    }
}

impl Engine {
    /// The changes since `seq`; see [`Db::changes_since`](crate::Db::changes_since).
    pub(crate) fn changes_since(self: &Arc<Engine>, seq: SeqNo) -> Result<Changes> {
        self.health.check_open()?;
        let mut names = Names::default();
        self.each_space(|space: &Space| names.add(space.id(), &space.name));
        let known = self.check_not_ahead(seq)?;
        let fs = Arc::clone(&self.fs);
        let source = match &self.writer {
            Some(_) => Source::Writer(Arc::clone(self)),
            None => Source::Reader { fs: Arc::clone(&fs), dir: self.dir.clone() },
        };
        let next = if seq == 0 { 0 } else { seq + 1 };
        let mut tail = LogTail::new(fs, &self.dir, next);
        // What is not held is told now.
        tail.find(known, self.writer.is_some())?;
        let position = tail.next_seq().saturating_sub(1);
        Ok(Changes {
            source,
            tail,
            names,
            known,
            position,
            pending: None,
            ended: true,
            failed: false,
        })
    }

    /// Refuses a sequence number that the store has not come to; answers how far it is.
    fn check_not_ahead(&self, seq: SeqNo) -> Result<SeqNo> {
        let known = self.publisher.visible();
        if seq <= known { Ok(known) } else { Err(ahead(seq, known)) }
    }
}

/// The answer to a sequence number that lies behind `last`, the store's last one.
fn ahead(seq: SeqNo, last: SeqNo) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!(
            "sequence number {seq} lies ahead of the store, whose last one is {last}: it \
             is another store's, or of writes that were not synced and were lost; read the \
             store as a whole, then the changes since {last}"
        ),
    )
}

impl Changes {
    /// The sequence number of the last change that was given; before the first one, that behind
    /// which it begins.
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// # let db = Db::in_memory(Options::default())?;
    /// db.put("key", "value")?;
    /// let mut changes = db.changes_since(0)?;
    /// let seq = changes.next().unwrap()?.seq;
    /// assert_eq!(changes.position(), seq);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn position(&self) -> u64 {
        self.position
    }

    /// A reader of what comes behind `seq`, if that is held.
    fn since(&self, seq: SeqNo) -> Result<LogTail> {
        let (fs, dir) = self.source.place();
        let mut tail = LogTail::new(Arc::clone(fs), dir, seq.saturating_add(1));
        let known = self.source.visible();
        tail.find(known.unwrap_or(self.known), known.is_some())?;
        Ok(tail)
    }

    /// Refuses a sequence number that the store has not come to.
    fn check_not_ahead(&self, seq: SeqNo) -> Result<()> {
        let (fs, dir) = match &self.source {
            Source::Writer(engine) => return engine.check_not_ahead(seq).map(drop),
            Source::Reader { fs, dir } => (fs, dir),
        };
        if seq <= self.known || LogTail::new(Arc::clone(fs), dir, seq).holds_next()? {
            return Ok(());
        }
        // Behind the log, which goes when the manifest has its numbers.
        let in_tables = Manifest::read(&**fs, dir)?.map_or(0, |state| state.last_seq);
        if seq <= in_tables {
            return Ok(());
        }
        let mut log = LogTail::new(Arc::clone(fs), dir, 0);
        while log.next(0, false, |_, _| Ok(()))? {}
        Err(ahead(seq, self.known.max(in_tables).max(log.next_seq().saturating_sub(1))))
    }

    fn advance(&mut self) -> Result<Option<Change>> {
        let next = match self.pending.take() {
            Some(change) => Some(change),
            None => self.read_on()?,
        };
        match next {
            Some(change) if !self.source.has_committed(&change) => self.pending = Some(change),
            Some(change) => {
                self.position = change.seq;
                return Ok(Some(change));
            }
            None => {}
        }
        Ok(None)
    }

    fn read_on(&mut self) -> Result<Option<Change>> {
        let bounded = match &self.source {
            Source::Writer(engine) => {
                engine.health.check_open()?;
                if self.ended {
                    self.known = engine.publisher.visible();
                }
                true
            }
            Source::Reader { .. } => false,
        };
        if self.ended {
            self.ended = false;
            self.tail.look_again();
        }
        let Changes { source, tail, names, known, .. } = self;
        let (fs, dir) = source.place();
        loop {
            let mut change = None;
            let found = tail.next(*known, bounded, |first, payload| {
                let ahead = || {
                    let seen = source.visible().unwrap_or(*known);
                    (LogTail::new(Arc::clone(fs), dir, first), seen, bounded)
                };
                let ops = Reader { names, ahead: &ahead }.read(payload)?;
                let count = kv_core::decode_batch(payload).map_err(tail::malformed)?.remaining();
                change = Some(Change { seq: first + u64::from(count) - 1, ops });
                Ok(())
            })?;
            match change {
                // Making a keyspace is no change of any key.
                Some(change) if change.ops.is_empty() => self.position = change.seq,
                Some(change) => return Ok(Some(change)),
                None if found => {}
                None => return Ok(None),
            }
        }
    }
}

impl Source {
    fn place(&self) -> (&Arc<dyn Fs>, &std::path::Path) {
        match self {
            Source::Writer(engine) => (&engine.fs, &engine.dir),
            Source::Reader { fs, dir } => (fs, dir),
        }
    }

    /// Whether a change counts that was found in the log. The mark of an ingest is there before its
    /// pairs are: they come with the manifest. Writers wait meanwhile, so where the log goes on
    /// behind the mark the ingest is over, and where it failed there was none.
    fn has_committed(&self, change: &Change) -> bool {
        let mark = matches!(change.ops.as_slice(), [ChangeOp::Ingest { .. }]);
        match self {
            Source::Reader { fs, dir } if mark => match Manifest::read(&**fs, dir) {
                Ok(Some(state)) if state.last_seq >= change.seq => true,
                // What cannot be read now, because the writer replaces it, the next look tells.
                _ => matches!(
                    LogTail::new(Arc::clone(fs), dir, change.seq + 1).holds_next(),
                    Ok(true)
                ),
            },
            _ => true,
        }
    }

    fn visible(&self) -> Option<SeqNo> {
        match self {
            Source::Writer(engine) => Some(engine.publisher.visible()),
            Source::Reader { .. } => None,
        }
    }
}

impl Iterator for Changes {
    type Item = Result<Change>;

    fn next(&mut self) -> Option<Result<Change>> {
        if self.failed {
            return None;
        }
        match self.advance() {
            Ok(Some(change)) => Some(Ok(change)),
            Ok(None) => {
                self.ended = true;
                None
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}
