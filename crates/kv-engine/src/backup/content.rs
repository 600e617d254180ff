//! What a backup is made of, and its bytes on their way, under the checksums of the manifest.

use super::point::Wanted;
use super::target::{BackupTarget, read_full};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::flush::flush_upto;
use crate::output::TableMaker;
use crate::values::LONG_VALUE;
use bytes::Bytes;
use kv_core::Hasher64;
use kv_manifest::{FileMeta, FileName, Manifest, State, VersionEdit};
use kv_sstable::{Table, ValueFile};
use kv_vfs::{Fs, FsFile, FsFileExt, MemFs, Mode};
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much is read at once.
const PIECE: usize = 1 << 20;
/// Where tables are made that only a backup has.
const SCRATCH: &str = "/scratch";

/// A state of a store and the way to its files. While it lives, no file is removed.
pub(super) struct Content<'a> {
    engine: &'a Engine,
    pub(super) state: State,
    /// Files made for the backup alone, in memory.
    made: BTreeSet<u64>,
    scratch: Arc<dyn Fs>,
}

impl Engine {
    /// All that was written before the call. A store that takes writes puts what is in memory into
    /// tables; beside another writer, the tables for it are made in memory.
    pub(super) fn backup_content(&self) -> Result<Content<'_>> {
        self.health.check_open()?;
        let scratch: Arc<dyn Fs> = Arc::new(MemFs::volatile());
        let made = BTreeSet::new();
        let mut content = match &self.writer {
            Some(writer) => {
                self.flush()?;
                // While the state lives, so do the files of its version.
                let state = writer.manifest.lock().state().clone();
                Content { engine: self, state, made, scratch }
            }
            None => {
                let missing = || Error::corrupt(format!("{}: CURRENT is gone", self.dir.display()));
                let state = Manifest::read(&*self.fs, &self.dir)?.ok_or_else(missing)?;
                let mut content = Content { engine: self, state, made, scratch };
                content.take_reader()?;
                content
            }
        };
        content.state.logs.clear();
        content.state.log_floor = content.state.next_file;
        Ok(content)
    }
}

impl Content<'_> {
    /// What a read-only handle sees: its tables, whose files it holds open, and its memtables.
    fn take_reader(&mut self) -> Result<()> {
        let engine = self.engine;
        let (view, seq) = engine.now();
        self.state.version = Arc::clone(&view.version);
        self.state.last_seq = seq;
        let dir = Path::new(SCRATCH);
        let unusable = |e| Error::io("memory for a backup cannot be had", e);
        self.scratch.create_dir(dir).map_err(unusable)?;
        let numbers = AtomicU64::new(self.state.next_file);
        let maker = TableMaker {
            fs: &self.scratch,
            dir,
            options: &engine.options,
            limiter: &engine.limiter,
            numbers: &numbers,
            long_value: LONG_VALUE,
            warming: None,
        };
        let kept = engine.snapshots.kept(&engine.publisher, || engine.now_ms());
        let buffers: Vec<_> = view.buffers().filter(|buffer| !buffer.is_empty()).collect();
        for buffer in buffers.into_iter().rev() {
            // A follower's memtables go on growing behind the moment.
            let made = flush_upto(&maker, buffer, 0, false, &kept, seq)?;
            self.made.extend(made.tables.iter().map(|table| table.number));
            self.made.extend(made.values.iter().map(|values| values.number));
            let edit = VersionEdit { last_seq: Some(seq), ..made.added(0) };
            self.state = self.state.apply(&edit).map_err(kv_manifest::Error::from)?;
        }
        self.state.next_file = numbers.load(Ordering::Relaxed);
        Ok(())
    }

    /// The bytes of a file, which fail at their end where they are not what the manifest says.
    pub(super) fn read<'b>(
        &self,
        wanted: &'b Wanted,
        progress: &'b mut dyn FnMut(u64),
    ) -> Result<Checked<'b>> {
        self.engine.health.check_open()?;
        let source = self.source(wanted)?;
        let hasher = Hasher64::default();
        Ok(Checked { source, wanted, offset: 0, hasher, progress, failure: None, whole: false })
    }

    fn source(&self, wanted: &Wanted) -> Result<Source> {
        let engine = self.engine;
        let number = wanted.name.number().unwrap_or(0);
        let (fs, dir) = match self.made.contains(&number) {
            true => (&self.scratch, Path::new(SCRATCH)),
            false => (&engine.fs, engine.dir.as_path()),
        };
        if engine.writer.is_none() && !self.made.contains(&number) {
            // The writer beside may have removed the name.
            return match wanted.name {
                FileName::Values(number) => {
                    Ok(Source::Values(engine.tables.values().file(number)?))
                }
                _ => Ok(Source::Table(engine.tables.get(self.table(number)?)?)),
            };
        }
        let path = wanted.name.path(dir);
        let opened = fs.open(&path, Mode::Read);
        opened.map(Source::File).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::corrupt(format!(
                "{}: the manifest names this file, and it is missing; restore it from a backup, or \
                 repair the store",
                path.display()
            )),
            _ => Error::io(format!("{}: open failed", path.display()), e),
        })
    }

    fn table(&self, number: u64) -> Result<&FileMeta> {
        let mut files = self.state.version.files();
        let found = files.find(|(_, file)| file.number == number);
        found.map(|(_, file)| &**file).ok_or_else(|| Error::corrupt("a table is in no version"))
    }
}

/// An open file of a store.
enum Source {
    File(Arc<dyn FsFile>),
    Table(Arc<Table>),
    Values(Arc<ValueFile>),
}

impl Source {
    fn read(&self, offset: u64, len: usize) -> Result<Bytes> {
        match self {
            Source::File(file) => {
                let mut bytes = vec![0; len];
                let read = file.read_exact_at(&mut bytes, offset);
                read.map_err(|e| Error::io("read failed", e))?;
                Ok(bytes.into())
            }
            Source::Table(table) => Ok(table.bytes_of_file(offset, len)?),
            Source::Values(values) => Ok(values.bytes_of_file(offset, len)?),
        }
    }
}

/// A file that is read once, from its beginning to its end.
pub(super) struct Checked<'a> {
    source: Source,
    wanted: &'a Wanted,
    offset: u64,
    hasher: Hasher64,
    progress: &'a mut dyn FnMut(u64),
    failure: Option<Error>,
    whole: bool,
}

impl Checked<'_> {
    /// Stores the file in the backup.
    pub(super) fn put(mut self, target: &dyn BackupTarget) -> Result<()> {
        let put = target.put(&self.wanted.path(), &mut self);
        if let Some(error) = self.failure {
            return Err(error);
        }
        put.map_err(|e| Error::io("the backup cannot be written", e))?;
        match self.whole {
            true => Ok(()),
            false => Err(Error::corrupt("the place for backups took only a part of a file")),
        }
    }

    fn next(&mut self, len: usize) -> Result<Bytes> {
        let left = self.wanted.size.saturating_sub(self.offset);
        let len = usize::try_from(left).map_or(len, |left| left.min(len)).min(PIECE);
        if len > 0 {
            let bytes = self.source.read(self.offset, len)?;
            self.hasher.update(&bytes);
            self.offset += bytes.len() as u64;
            (self.progress)(bytes.len() as u64);
            return Ok(bytes);
        }
        self.whole = self.hasher.finish() == self.wanted.checksum;
        match self.whole {
            true => Ok(Bytes::new()),
            false => Err(Error::corrupt(format!(
                "{} of the store does not match its checksum; nothing damaged is backed up: run \
                 verify, and restore or repair the store",
                self.wanted.name
            ))),
        }
    }
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.next(buffer.len()) {
            Ok(bytes) => {
                if let Some(place) = buffer.get_mut(..bytes.len()) {
                    place.copy_from_slice(&bytes);
                }
                Ok(bytes.len())
            }
            Err(error) => {
                self.failure = Some(error.clone());
                Err(io::Error::other(error))
            }
        }
    }
}

/// Reads a file out of a backup, and hands its bytes to `sink` with their place. What was handed
/// over counts only where the answer is no error.
pub(super) fn fetch(
    target: &dyn BackupTarget,
    wanted: &Wanted,
    sink: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    let path = wanted.path();
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => Error::corrupt(format!("{path} is missing in the backup")),
        _ => Error::io(format!("{path} of the backup cannot be read"), e),
    };
    let mut content = target.get(&path).map_err(failed)?;
    let mut hasher = Hasher64::default();
    // Most files are shorter; one that is longer than it should be is met by the next read.
    let piece = usize::try_from(wanted.size).map_or(PIECE, |size| size.clamp(1, PIECE));
    let mut buffer = vec![0; piece];
    let mut offset = 0;
    loop {
        let len = read_full(&mut content, &mut buffer).map_err(failed)?;
        let Some(part) = buffer.get(..len).filter(|part| !part.is_empty()) else { break };
        if offset + len as u64 > wanted.size {
            return Err(Error::corrupt(format!("{path} of the backup is too long")));
        }
        hasher.update(part);
        sink(part, offset)?;
        offset += len as u64;
    }
    if offset != wanted.size || hasher.finish() != wanted.checksum {
        return Err(Error::corrupt(format!("{path} of the backup does not match its checksum")));
    }
    Ok(())
}
