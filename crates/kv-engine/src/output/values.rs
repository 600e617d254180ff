//! Value files in the making: long values in, pointers out.

use super::TableMaker;
use crate::error::Result;
use crate::values::ValueFiles;
use kv_core::ValuePointer;
use kv_manifest::{FileName, ValueMeta, ValueRef};
use kv_sstable::{ValueSummary, ValueWriter};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A value file takes values up to so many times the size of a table: what it holds is collected
/// as one.
const FILE_TABLES: u64 = 2;

/// Value files that a merge empties.
pub(crate) struct Moving {
    pub(crate) from: BTreeSet<u64>,
    pub(crate) files: Arc<ValueFiles>,
}

/// The value files of one flush, or of one slice of a compaction.
pub(super) struct ValueOutput<'a> {
    maker: &'a TableMaker<'a>,
    pub(super) moving: Option<&'a Moving>,
    /// The file that values go to, with its number.
    current: Option<(ValueWriter, u64)>,
    /// Bytes that the current table refers to, by value file.
    refs: BTreeMap<u64, u64>,
    /// The last pointer, as a table stores it.
    pointer: Vec<u8>,
    done: Vec<ValueMeta>,
    /// Files made so far, to be removed where the work fails.
    paths: Vec<PathBuf>,
}

impl<'a> ValueOutput<'a> {
    pub(super) fn new(maker: &'a TableMaker<'a>) -> ValueOutput<'a> {
        ValueOutput {
            maker,
            moving: None,
            current: None,
            refs: BTreeMap::new(),
            pointer: Vec::new(),
            done: Vec::new(),
            paths: Vec::new(),
        }
    }

    /// Puts a value into the current file; answers what the table stores in its place.
    pub(super) fn put(&mut self, expiry: Option<u64>, value: &[u8]) -> Result<&[u8]> {
        let pointer = self.writer()?.add(value)?;
        self.added(expiry, &pointer)?;
        Ok(&self.pointer)
    }

    /// Counts what an entry points to. Where its value lies in a file that is to be emptied it is
    /// moved, and what the table stores instead is the answer.
    pub(super) fn refer(&mut self, stored: &[u8]) -> Result<Option<&[u8]>> {
        let Ok((expiry, pointer)) = ValuePointer::decode(stored) else {
            // The table's builder refuses it.
            return Ok(None);
        };
        let moving = self.moving.filter(|moving| moving.from.contains(&pointer.file));
        let value = match moving {
            Some(moving) => moving.files.take(&pointer)?,
            None => None,
        };
        let Some(value) = value else {
            self.count(&pointer);
            return Ok(None);
        };
        let pointer = self.writer()?.add_stored(&value)?;
        self.added(expiry, &pointer)?;
        Ok(Some(&self.pointer))
    }

    /// What the table refers to that ends here.
    pub(super) fn take_refs(&mut self) -> Vec<ValueRef> {
        let refs = std::mem::take(&mut self.refs).into_iter();
        refs.map(|(file, bytes)| ValueRef { file, bytes }).collect()
    }

    /// Ends the last file. The files are synced, their names are not yet.
    pub(super) fn finish(&mut self) -> Result<Vec<ValueMeta>> {
        self.end_file()?;
        self.paths.clear();
        Ok(std::mem::take(&mut self.done))
    }

    /// Bytes of all files so far.
    pub(super) fn bytes(&self) -> u64 {
        let done: u64 = self.done.iter().map(|values| values.size).sum();
        done + self.current.as_ref().map_or(0, |(writer, _)| writer.position())
    }

    fn count(&mut self, pointer: &ValuePointer) {
        *self.refs.entry(pointer.file).or_default() += u64::from(pointer.stored);
    }

    /// Notes a pointer to the current file, and ends that where it is long enough.
    fn added(&mut self, expiry: Option<u64>, pointer: &ValuePointer) -> Result<()> {
        self.count(pointer);
        self.pointer.clear();
        pointer.encode(expiry, &mut self.pointer);
        let full = self.maker.options.table_limit().saturating_mul(FILE_TABLES);
        if self.current.as_ref().is_some_and(|(writer, _)| writer.position() >= full) {
            self.end_file()?;
        }
        Ok(())
    }

    fn writer(&mut self) -> Result<&mut ValueWriter> {
        let current = match self.current.take() {
            Some(current) => current,
            None => self.begin()?,
        };
        Ok(&mut self.current.insert(current).0)
    }

    fn begin(&mut self) -> Result<(ValueWriter, u64)> {
        let number = self.maker.numbers.fetch_add(1, Ordering::Relaxed);
        let path = FileName::Values(number).path(self.maker.dir);
        let file = self.maker.create(&path)?;
        self.paths.push(path.clone());
        Ok((ValueWriter::new(file, path, number, self.maker.options.compression), number))
    }

    fn end_file(&mut self) -> Result<()> {
        let Some((writer, number)) = self.current.take() else { return Ok(()) };
        let ValueSummary { size, records, bytes, checksum } = writer.finish()?;
        self.done.push(ValueMeta { number, size, records, bytes, checksum });
        Ok(())
    }
}

impl Drop for ValueOutput<'_> {
    /// Removes what was not finished.
    fn drop(&mut self) {
        self.current = None;
        for path in self.paths.drain(..) {
            let _ = self.maker.fs.remove(&path);
        }
    }
}
