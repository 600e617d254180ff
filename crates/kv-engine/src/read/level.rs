//! The tables of one level, which are sorted and disjoint, as one cursor.

use super::merge::{Aim, Skip};
use crate::error::{Error, Result};
use bytes::Bytes;
use kv_core::{Cursor, SeqNo, Trailer};
use kv_manifest::{FileMeta, Version};
use kv_sstable::{Access, Table, TableCursor};
use std::sync::Arc;

/// Gives the open table that a file's metadata names.
pub(crate) trait OpenTable: Send + Sync {
    /// Opens it, or answers the handle that is open already.
    fn open(&self, meta: &FileMeta) -> Result<Arc<Table>>;
}

/// Sorted, disjoint files.
pub(crate) struct Files {
    run: Run,
    from: usize,
    to: usize,
}

enum Run {
    Level(Arc<Version>, usize),
    Some(Vec<Arc<FileMeta>>),
}

impl Files {
    /// The files of level `level` (1 or deeper) that can hold a key in `[start, end)`. Copies
    /// nothing: however many files a level has, a read begins at the same cost.
    pub(crate) fn within(version: Arc<Version>, level: usize, start: &[u8], end: &[u8]) -> Files {
        let files = version.level(level);
        let from = files.partition_point(|file| file.ends_before(start));
        let to = files.partition_point(|file| file.smallest < end).max(from);
        Files { run: Run::Level(version, level), from, to }
    }

    /// Whether there is no file.
    pub(crate) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// The first file that does not end before `key`.
    fn lower_bound(&self, key: &[u8]) -> usize {
        match &self.run {
            Run::Level(version, level) => {
                version.lower_bound(*level, key).clamp(self.from, self.to) - self.from
            }
            Run::Some(_) => self.all().partition_point(|file| file.ends_before(key)),
        }
    }

    fn all(&self) -> &[Arc<FileMeta>] {
        let files = match &self.run {
            Run::Level(version, level) => version.level(*level),
            Run::Some(files) => files,
        };
        files.get(self.from..self.to).unwrap_or_default()
    }
}

impl From<Vec<Arc<FileMeta>>> for Files {
    fn from(files: Vec<Arc<FileMeta>>) -> Files {
        Files { from: 0, to: files.len(), run: Run::Some(files) }
    }
}

/// Walks over the files one behind the other. A table is opened when the cursor enters it, and
/// let go when it leaves.
pub(crate) struct LevelCursor {
    files: Files,
    tables: Arc<dyn OpenTable>,
    access: Access,
    /// The file that `table` walks over.
    at: usize,
    /// INVARIANT: valid wherever it is there between two calls, but for [`Skip::aim`] and the seek
    /// behind it.
    table: Option<TableCursor>,
    error: Option<Error>,
}

impl LevelCursor {
    /// A cursor over `files`, which are opened through `tables` and read with `access`.
    pub(crate) fn new(
        files: impl Into<Files>,
        tables: Arc<dyn OpenTable>,
        access: Access,
    ) -> LevelCursor {
        LevelCursor { files: files.into(), tables, access, at: 0, table: None, error: None }
    }

    /// Enters file `at`; `None` where there is no such file.
    fn enter(&mut self, at: Option<usize>) -> Result<Option<&mut TableCursor>> {
        let Some((at, meta)) = at.and_then(|at| Some((at, self.files.all().get(at)?))) else {
            self.table = None;
            return Ok(None);
        };
        match &mut self.table {
            Some(_) if self.at == at => {}
            Some(table) => table.turn_to(self.tables.open(meta)?),
            None => self.table = Some(self.tables.open(meta)?.cursor(self.access)),
        }
        self.at = at;
        Ok(self.table.as_mut())
    }

    /// Goes on to the next file that has an entry, where the present one has no more.
    fn settle_forward(&mut self) -> Result<()> {
        while self.table.as_ref().is_some_and(|table| !table.valid()) {
            if let Some(table) = self.enter(self.at.checked_add(1))? {
                table.first()?;
            }
        }
        Ok(())
    }

    /// Goes back to the next file that has an entry, where the present one has no more.
    fn settle_backward(&mut self) -> Result<()> {
        while self.table.as_ref().is_some_and(|table| !table.valid()) {
            if let Some(table) = self.enter(self.at.checked_sub(1))? {
                table.last()?;
            }
        }
        Ok(())
    }

    fn go_first(&mut self, at: Option<usize>) -> Result<()> {
        if let Some(table) = self.enter(at)? {
            table.first()?;
        }
        self.settle_forward()
    }

    fn go_last(&mut self, at: Option<usize>) -> Result<()> {
        if let Some(table) = self.enter(at)? {
            table.last()?;
        }
        self.settle_backward()
    }

    fn go_to(&mut self, at: usize, key: &[u8], trailer: Trailer, aim: Aim) -> Result<()> {
        if let Some(table) = self.enter(Some(at))? {
            table.seek_aimed(key, trailer, aim)?;
        }
        self.settle_forward()
    }

    fn go_before(&mut self, at: Option<usize>, key: &[u8]) -> Result<()> {
        if let Some(table) = self.enter(at)? {
            table.seek_before(key)?;
        }
        self.settle_backward()
    }

    fn over_forward(&mut self, end: &[u8], seq: SeqNo) -> Result<bool> {
        if self.table.as_ref().is_none_or(|table| table.key() >= end) {
            return Ok(false);
        }
        let from = self.at;
        let hidden = |file: &&Arc<FileMeta>| file.max_seq < seq && file.smallest < end;
        let whole = |file: &&Arc<FileMeta>| hidden(file) && file.ends_before(end);
        let files = self.files.all().get(from..).unwrap_or_default();
        let passed = files.iter().take_while(whole).count();
        let at = from + passed;
        if files.get(passed).is_some_and(|file| hidden(&file)) {
            self.go_to(at, end, Trailer::MAX, None)?;
            return Ok(true);
        }
        if passed > 0 {
            self.go_first(Some(at))?;
        }
        Ok(passed > 0)
    }

    fn over_backward(&mut self, start: &[u8], seq: SeqNo) -> Result<bool> {
        if self.table.as_ref().is_none_or(|table| table.key() < start) {
            return Ok(false);
        }
        let files = self.files.all().get(..=self.at).unwrap_or_default();
        let hidden = |file: &&Arc<FileMeta>| file.max_seq < seq && !file.ends_before(start);
        let whole = |file: &&Arc<FileMeta>| hidden(file) && file.smallest >= start;
        let passed = files.iter().rev().take_while(whole).count();
        let at = self.at.checked_sub(passed);
        if at.and_then(|at| files.get(at)).is_some_and(|file| hidden(&file)) {
            self.go_before(at, start)?;
            return Ok(true);
        }
        if passed > 0 {
            self.go_last(at)?;
        }
        Ok(passed > 0)
    }

    /// The table that the cursor stands in, where `snapshot` sees all of its entries.
    fn seen_whole(&self, snapshot: SeqNo) -> Option<&TableCursor> {
        let table = self.table.as_ref()?;
        self.files.all().get(self.at).filter(|file| file.max_seq <= snapshot).map(|_| table)
    }

    fn latch<T>(&mut self, done: Result<T>) -> Result<T> {
        if let Err(error) = &done {
            self.table = None;
            self.error = Some(error.clone());
        }
        done
    }

    #[cold]
    fn nowhere(&self) -> Result<()> {
        self.error.clone().map_or(Ok(()), Err)
    }
}

/// The table that the cursor stands in. Panics where it stands in none, as the trait says.
macro_rules! table {
    ($level:expr) => {
        match &$level.table {
            Some(table) => table,
            None => panic!("the cursor stands on no entry"),
        }
    };
}

impl Cursor for LevelCursor {
    type Error = Error;

    fn first(&mut self) -> Result<()> {
        self.error = None;
        let done = self.go_first(Some(0));
        self.latch(done)
    }

    fn last(&mut self) -> Result<()> {
        self.error = None;
        let done = self.go_last(self.files.all().len().checked_sub(1));
        self.latch(done)
    }

    fn seek(&mut self, key: &[u8], trailer: Trailer) -> Result<()> {
        self.seek_aimed(key, trailer, None)
    }

    fn seek_before(&mut self, key: &[u8]) -> Result<()> {
        self.error = None;
        let behind = self.files.all().partition_point(|file| file.smallest < key);
        let done = self.go_before(behind.checked_sub(1), key);
        self.latch(done)
    }

    #[inline]
    fn next(&mut self) -> Result<()> {
        let Some(table) = &mut self.table else { return self.nowhere() };
        let stepped = table.next();
        if stepped.is_ok() && table.valid() {
            return Ok(());
        }
        let done = stepped.map_err(Error::from).and_then(|()| self.settle_forward());
        self.latch(done)
    }

    #[inline]
    fn prev(&mut self) -> Result<()> {
        let Some(table) = &mut self.table else { return self.nowhere() };
        let stepped = table.prev();
        if stepped.is_ok() && table.valid() {
            return Ok(());
        }
        let done = stepped.map_err(Error::from).and_then(|()| self.settle_backward());
        self.latch(done)
    }

    #[inline]
    fn valid(&self) -> bool {
        self.table.is_some()
    }

    #[inline]
    fn key(&self) -> &[u8] {
        table!(self).key()
    }

    #[inline]
    fn trailer(&self) -> Trailer {
        table!(self).trailer()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        table!(self).value()
    }

    #[inline]
    fn value_bytes(&self) -> Bytes {
        table!(self).value_bytes()
    }
}

/// Files that are hidden as a whole are passed without being opened.
impl Skip for LevelCursor {
    fn aim(&mut self, key: &[u8], trailer: Trailer) -> Aim {
        let at = self.files.lower_bound(key);
        match self.enter(Some(at)) {
            Ok(Some(table)) => table.aim(key, trailer),
            Ok(None) => None,
            // The seek meets it again.
            Err(_) => {
                self.table = None;
                None
            }
        }
    }

    fn seek_aimed(&mut self, key: &[u8], trailer: Trailer, aim: Aim) -> Result<()> {
        self.error = None;
        let at = self.files.lower_bound(key);
        let done = self.go_to(at, key, trailer, aim);
        self.latch(done)
    }

    fn skip_forward(&mut self, end: &[u8], seq: SeqNo) -> Result<bool> {
        let done = self.over_forward(end, seq);
        self.latch(done)
    }

    fn skip_backward(&mut self, start: &[u8], seq: SeqNo) -> Result<bool> {
        let done = self.over_backward(start, seq);
        self.latch(done)
    }

    fn plain_ahead(&self, snapshot: SeqNo, end: Option<&[u8]>) -> usize {
        self.seen_whole(snapshot).map_or(0, |table| table.plain_ahead(end))
    }

    fn plain_behind(&self, snapshot: SeqNo, start: Option<&[u8]>, above: Option<&[u8]>) -> usize {
        self.seen_whole(snapshot).map_or(0, |table| table.plain_behind(start, above))
    }

    #[inline]
    fn is_newest(&self) -> bool {
        self.table.as_ref().is_some_and(TableCursor::is_newest)
    }

    #[inline]
    fn step_ahead(&mut self) {
        if let Some(table) = &mut self.table {
            table.step_ahead();
        }
    }

    #[inline]
    fn step_back(&mut self) {
        if let Some(table) = &mut self.table {
            table.step_back();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
