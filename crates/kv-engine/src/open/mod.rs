//! Opening: reading what is there changes nothing; then, for a writer, one switch of the manifest
//! makes the recovered state durable; only then is anything removed.
//!
//! Numbered invariants: docs/design/recovery.md.

mod files;
mod recover;
mod replay;

use crate::background::{Background, worker};
use crate::engine::{Engine, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::health::Health;
use crate::options::Options;
use crate::read::view::View;
use crate::space::DEFAULT_PREFIX;
use crate::stats::Counters;
use crate::tables::Tables;
use crate::write::buffer::WriteBuffer;
use crate::write::publish::Publisher;
use arc_swap::ArcSwap;
use kv_core::SeqNo;
use kv_manifest::{FileName, Manifest, Version};
use kv_vfs::{Fs, FsLock};
use kv_wal::{Log, Segment};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Tells the open stores of this process apart.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Why a read-only open that never found a still moment failed.
const MOVED: &str = "a writer changed the store during every try to open it read-only; try again";

/// How often a read-only open looks again where a live writer changed the files under it.
const READ_ONLY_TRIES: u32 = 50;

/// Opens the store in `path`.
pub(crate) fn open(path: &Path, options: Options) -> Result<Arc<Engine>> {
    options.check()?;
    if path.as_os_str().is_empty() {
        return Err(Error::invalid("the path of the store is empty"));
    }
    let opening = Opening { fs: Arc::clone(&options.file_system), dir: path.to_owned(), options };
    let engine =
        if opening.options.read_only { opening.read_only()? } else { opening.read_write()? };
    let started = engine.load_catalog().and_then(|()| worker::start(&engine));
    if let Err(error) = started {
        // Threads that did start end, and the lock is free.
        let _ = engine.close();
        return Err(error);
    }
    Ok(engine)
}

/// What every step of an open needs.
struct Opening {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    options: Options,
}

/// The parts of a store that were found or made, ready to be put together.
struct Parts {
    version: Arc<Version>,
    buffers: Vec<Arc<WriteBuffer>>,
    last_seq: SeqNo,
    writer: Option<Writer>,
    lock: Option<Box<dyn FsLock>>,
    counters: Counters,
}

impl Opening {
    fn missing(&self) -> Error {
        let dir = self.dir.display();
        Error::new(
            ErrorKind::NotFound,
            format!(
                "{dir}: there is no store here; check the path, or open with create_if_missing"
            ),
        )
    }

    fn tables(&self) -> Arc<Tables> {
        Arc::new(Tables::new(
            Arc::clone(&self.fs),
            self.dir.clone(),
            self.options.cache_bytes() as usize,
            self.options.max_open_files,
            self.options.mmap_reads,
        ))
    }

    /// Opens beside a possible live writer: reads everything, holds it, changes nothing. Where
    /// the writer changes files meanwhile, looks again.
    fn read_only(&self) -> Result<Arc<Engine>> {
        let mut tries = 1;
        loop {
            match self.try_read_only() {
                Err(error) if tries < READ_ONLY_TRIES && may_have_moved(&error) => {
                    tries += 1;
                    self.fs.clock().sleep(std::time::Duration::from_millis(5));
                }
                outcome => return outcome,
            }
        }
    }

    fn try_read_only(&self) -> Result<Arc<Engine>> {
        let state = Manifest::read(&*self.fs, &self.dir)?.ok_or_else(|| self.missing())?;
        let counters = Counters::default();
        let replayed = self.replay_to_memory(&state, &counters)?;
        let tables = self.tables();
        // A file that is open stays readable when the writer removes it.
        tables.hold_all(&state.version)?;
        let now = Manifest::read(&*self.fs, &self.dir)?;
        if now.is_none_or(|now| now.log_floor != state.log_floor) {
            // A log went into tables meanwhile, so what was replayed may lack its writes.
            return Err(Error::new(ErrorKind::Io, MOVED));
        }
        let parts = Parts {
            version: Arc::clone(&state.version),
            last_seq: replayed.last_seq.max(state.last_seq),
            buffers: replayed.buffers,
            writer: None,
            lock: None,
            counters,
        };
        Ok(self.assemble(parts, tables))
    }

    /// Opens for reading and writing, after creating or recovering the store.
    fn read_write(&self) -> Result<Arc<Engine>> {
        if !self.options.create_if_missing && Manifest::read(&*self.fs, &self.dir)?.is_none() {
            return Err(self.missing());
        }
        self.create_dirs()?;
        let lock = self.lock()?;
        let found = Manifest::read(&*self.fs, &self.dir)?;
        let files = self.list()?;
        let tables = self.tables();
        let counters = Counters::default();
        let recovered = match found {
            Some(state) => self.recover(state, &files, &counters)?,
            None => self.create(&files)?,
        };
        let recover::Recovered { mut state, log_number, next_file } = recovered;

        // From here on files are made. The switch to the new manifest is the moment at which the
        // recovered state becomes the state of the store.
        let numbers = AtomicU64::new(next_file);
        let path = FileName::Log(log_number).path(&self.dir);
        let segment = Segment::create(&*self.fs, &path, log_number)?;
        state.log_floor = log_number;
        state.logs = [log_number].into();
        let manifest_number = numbers.fetch_add(1, Ordering::Relaxed);
        state.next_file = numbers.load(Ordering::Relaxed);
        let last_seq = state.last_seq;
        let version = Arc::clone(&state.version);
        let manifest = Manifest::create(Arc::clone(&self.fs), &self.dir, state, manifest_number)?;
        self.clean_up(&files, &version)?;
        let log = Log::start(segment, None, last_seq + 1, self.options.log_options())?;
        let buffer = self.buffer(log_number);
        let writer = Writer {
            log,
            manifest: Mutex::new(manifest),
            next_segment: Mutex::new(None),
            next_file: numbers,
        };
        let parts = Parts {
            version,
            buffers: vec![buffer],
            last_seq,
            writer: Some(writer),
            lock: Some(lock),
            counters,
        };
        Ok(self.assemble(parts, tables))
    }

    /// An empty memtable for the writes of log segment `log`.
    fn buffer(&self, log: u64) -> Arc<WriteBuffer> {
        let limit = self.options.memtable_limit() as usize;
        WriteBuffer::new(log, limit, 0, self.options.segment_limit(), DEFAULT_PREFIX)
    }

    fn assemble(&self, parts: Parts, tables: Arc<Tables>) -> Arc<Engine> {
        let mut buffers = parts.buffers.into_iter().rev();
        let active = buffers.next().unwrap_or_else(|| self.buffer(0));
        let background = Arc::new(Background::default());
        let version = Arc::clone(&parts.version);
        let view = View::new(active, buffers.collect(), version, Arc::clone(&background));
        background.register(&parts.version);
        let engine = Arc::new(Engine {
            fs: Arc::clone(&self.fs),
            dir: self.dir.clone(),
            clock: self.fs.clock(),
            options: self.options.clone(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            health: Health::default(),
            view: ArcSwap::from_pointee(view),
            publisher: Publisher::new(parts.last_seq),
            snapshots: Default::default(),
            tables,
            catalog: Default::default(),
            writer: parts.writer,
            background,
            counters: parts.counters,
            disk_bytes: AtomicU64::new(0),
            limiter: crate::limiter::Limiter::new(self.options.rate_limit),
            closed: Mutex::new(false),
            threads: Mutex::default(),
            lock: Mutex::new(parts.lock),
        });
        engine.measure();
        engine
    }
}

/// Whether a live writer that replaces files can be the reason of this error.
fn may_have_moved(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Io)
}
