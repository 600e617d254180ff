//! The places that a read merges: memtables, single tables, levels.

use super::level::LevelCursor;
use super::merge::{Aim, Skip};
use crate::error::{Error, Result};
use bytes::Bytes;
use kv_core::{Cursor, SeqNo, Trailer};
use kv_memtable::MemCursor;
use kv_sstable::TableCursor;

/// One sorted run of entries; an enum, so that no step goes through a vtable.
pub(crate) enum Source {
    /// A memtable.
    Mem(MemCursor),
    /// A table of level 0, with the largest sequence number in it.
    Table(TableCursor, SeqNo),
    /// A level of disjoint tables.
    Level(LevelCursor),
}

impl Source {
    /// A memtable.
    pub(crate) fn mem(cursor: MemCursor) -> Source {
        Source::Mem(cursor)
    }

    /// A single table; `max_seq` is the largest sequence number in it.
    pub(crate) fn table(cursor: TableCursor, max_seq: SeqNo) -> Source {
        Source::Table(cursor, max_seq)
    }

    /// A level.
    pub(crate) fn level(cursor: LevelCursor) -> Source {
        Source::Level(cursor)
    }
}

macro_rules! each {
    ($source:expr, $cursor:ident => $call:expr) => {
        match $source {
            Source::Mem($cursor) => $call,
            Source::Table($cursor, _) => $call,
            Source::Level($cursor) => $call,
        }
    };
}

impl Cursor for Source {
    type Error = Error;

    fn first(&mut self) -> Result<()> {
        each!(self, cursor => Ok(cursor.first()?))
    }

    fn last(&mut self) -> Result<()> {
        each!(self, cursor => Ok(cursor.last()?))
    }

    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        each!(self, cursor => Ok(cursor.seek(key, trailer)?))
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        each!(self, cursor => Ok(cursor.seek_before(key)?))
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        each!(self, cursor => Ok(cursor.next()?))
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        each!(self, cursor => Ok(cursor.prev()?))
    }

    #[inline]
    fn valid(&self) -> bool {
        each!(self, cursor => cursor.valid())
    }

    #[inline]
    fn key(&self) -> &[u8] {
        each!(self, cursor => cursor.key())
    }

    #[inline]
    fn trailer(&self) -> Trailer {
        each!(self, cursor => cursor.trailer())
    }

    #[inline]
    fn value(&self) -> &[u8] {
        each!(self, cursor => cursor.value())
    }

    #[inline]
    fn value_bytes(&self) -> Bytes {
        each!(self, cursor => cursor.value_bytes())
    }
}

impl Skip for Source {
    fn aim(&mut self, key: &[u8], trailer: Trailer) -> Aim {
        match self {
            Source::Mem(_) => None,
            Source::Table(cursor, _) => cursor.aim(key, trailer),
            Source::Level(cursor) => cursor.aim(key, trailer),
        }
    }

    fn seek_aimed(&mut self, key: &[u8], trailer: Trailer, aim: Aim) -> Result<()> {
        match self {
            Source::Mem(cursor) => Ok(cursor.seek(key, trailer)?),
            Source::Table(cursor, _) => Ok(cursor.seek_aimed(key, trailer, aim)?),
            Source::Level(cursor) => cursor.seek_aimed(key, trailer, aim),
        }
    }

    fn pass(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        match self {
            Source::Mem(cursor) => cursor.pass(key, trailer),
            Source::Table(cursor, _) => cursor.seek(key, trailer)?,
            Source::Level(cursor) => cursor.seek(key, trailer)?,
        }
        Ok(())
    }

    fn skip_forward(&mut self, end: &[u8], seq: SeqNo) -> Result<bool> {
        match self {
            // A memtable mostly holds newer entries too, and its steps are cheap.
            Source::Mem(_) => Ok(false),
            Source::Table(cursor, max_seq) => {
                let hidden = *max_seq < seq && cursor.valid() && cursor.key() < end;
                if hidden {
                    cursor.seek(end, Trailer::MAX)?;
                }
                Ok(hidden)
            }
            Source::Level(cursor) => cursor.skip_forward(end, seq),
        }
    }

    fn skip_backward(&mut self, start: &[u8], seq: SeqNo) -> Result<bool> {
        match self {
            Source::Mem(_) => Ok(false),
            Source::Table(cursor, max_seq) => {
                let hidden = *max_seq < seq && cursor.valid() && cursor.key() >= start;
                if hidden {
                    cursor.seek_before(start)?;
                }
                Ok(hidden)
            }
            Source::Level(cursor) => cursor.skip_backward(start, seq),
        }
    }

    fn plain_ahead(&self, snapshot: SeqNo, end: Option<&[u8]>) -> usize {
        match self {
            Source::Mem(_) => 0,
            Source::Table(cursor, max_seq) if *max_seq <= snapshot => cursor.plain_ahead(end),
            Source::Table(..) => 0,
            Source::Level(cursor) => cursor.plain_ahead(snapshot, end),
        }
    }

    fn plain_behind(&self, snapshot: SeqNo, start: Option<&[u8]>, above: Option<&[u8]>) -> usize {
        match self {
            Source::Mem(_) => 0,
            Source::Table(cursor, max_seq) if *max_seq <= snapshot => {
                cursor.plain_behind(start, above)
            }
            Source::Table(..) => 0,
            Source::Level(cursor) => cursor.plain_behind(snapshot, start, above),
        }
    }

    #[inline]
    fn is_newest(&self) -> bool {
        each!(self, cursor => cursor.is_newest())
    }

    #[inline]
    fn step_ahead(&mut self) {
        match self {
            Source::Mem(_) => {}
            Source::Table(cursor, _) => cursor.step_ahead(),
            Source::Level(cursor) => cursor.step_ahead(),
        }
    }

    #[inline]
    fn step_back(&mut self) {
        match self {
            Source::Mem(_) => {}
            Source::Table(cursor, _) => cursor.step_back(),
            Source::Level(cursor) => cursor.step_back(),
        }
    }
}
