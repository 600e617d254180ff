//! Opening: reading what is there changes nothing; then, for a writer, one switch of the manifest
//! makes the recovered state durable; only then is anything removed.
//!
//! Numbered invariants: docs/design/recovery.md.

mod files;
mod follow;
mod held;
#[cfg(kv_harness)]
mod keep_logs;
mod recover;
pub(crate) mod replay;

pub(crate) use follow::Following;
pub(crate) use recover::new_db_id;

use crate::background::{Background, worker};
use crate::changes::{Held, HeldLog};
use crate::engine::{Engine, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::events::{Event, Events};
use crate::health::Health;
use crate::options::Options;
use crate::read::view::{CurrentView, Opened, View};
use crate::space::DEFAULT_PREFIX;
use crate::stats::Counters;
use crate::stats::latency::Latencies;
use crate::tables::Tables;
use crate::transaction::Window;
use crate::write::buffer::WriteBuffer;
use crate::write::publish::Publisher;
use crate::write::share::WHOLE;
use kv_core::SeqNo;
use kv_manifest::{FileName, Manifest, Version};
use kv_memtable::Pool;
use kv_vfs::sync::Mutex;
use kv_vfs::testing::{bug, planted};
use kv_vfs::{Fs, FsLock, LatchedFs};
use kv_wal::{Log, Segment};
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
    let opening = Opening::new(path, options);
    let engine = Arc::new(if opening.options.read_only {
        opening.read_only()?
    } else {
        opening.read_write()?
    });
    if let Err(error) = worker::start(&engine) {
        // Threads that did start end, and the lock is free.
        let _ = engine.close();
        return Err(error);
    }
    let bytes = engine.counters.recovered_cut_bytes.load(Ordering::Relaxed);
    if bytes > 0 {
        engine.events.note(|| Event::LogCut { bytes });
    }
    engine.events.hand_over();
    Ok(engine)
}

/// Opens the store in `path` to be followed, and looks for the first time.
pub(crate) fn follow(path: &Path, options: Options) -> Result<(Following, Arc<Engine>)> {
    options.check()?;
    if path.as_os_str().is_empty() {
        return Err(Error::invalid("the path of the store is empty"));
    }
    let mut following = Following::new(Opening::new(path, options));
    match following.look()? {
        Some(engine) => Ok((following, engine)),
        None => Err(Error::new(ErrorKind::Io, MOVED)),
    }
}

/// What every step of an open needs.
pub(crate) struct Opening {
    fs: Arc<dyn Fs>,
    /// The same file system.
    latch: LatchedFs,
    dir: PathBuf,
    options: Options,
    pool: Arc<Pool>,
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
    /// Of the store in `dir`; does nothing yet.
    pub(crate) fn new(dir: &Path, options: Options) -> Opening {
        let latch = LatchedFs::new(Arc::clone(&options.file_system));
        // What a memtable that was written out leaves to the next one.
        let pool = Pool::new(options.memtable_limit() as usize);
        Opening { fs: Arc::new(latch.clone()), latch, dir: dir.to_owned(), options, pool }
    }

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
    fn read_only(&self) -> Result<Engine> {
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

    fn try_read_only(&self) -> Result<Engine> {
        let state = Manifest::read(&*self.fs, &self.dir)?.ok_or_else(|| self.missing())?;
        let counters = Counters::default();
        let replayed = self.replay_to_memory(&state, &counters)?;
        let tables = self.tables();
        // A file that is open stays readable when the writer removes it.
        tables.hold_all(&state.version)?;
        let now = Manifest::read(&*self.fs, &self.dir)?;
        let moved = now.is_none_or(|now| now.log_floor != state.log_floor);
        if moved && !planted(bug::READER_DOES_NOT_LOOK_AGAIN) {
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
        let engine = self.assemble(parts, tables);
        engine.load_catalog()?;
        Ok(engine)
    }

    /// Opens for reading and writing, after creating or recovering the store.
    fn read_write(&self) -> Result<Engine> {
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
            #[cfg(kv_harness)]
            Some(state) if planted(bug::LOGS_KEPT_BY_RECOVERY) => {
                return self.keep_logs(state, &files, lock);
            }
            Some(state) => {
                let first = state.next_file.max(files.max_number.saturating_add(1));
                let recovered = self.recover(state, &files, &counters, first);
                recovered.inspect_err(|_| self.take_back(first))?
            }
            None => {
                self.sync_found(&self.dir)?;
                self.create(&files)?
            }
        };
        let restored = !planted(bug::SEQUENCE_NOT_RESTORED);
        let last_seq = recovered.state.last_seq;
        let parts = Parts {
            version: Arc::clone(&recovered.state.version),
            buffers: vec![self.buffer(recovered.log_number)],
            last_seq: if restored { last_seq } else { last_seq / 2 },
            writer: None,
            lock: Some(lock),
            counters,
        };
        let mut engine = self.assemble(parts, tables);
        if let Err(error) = engine.load_catalog() {
            // Nothing was switched: what was there is as it was.
            engine.discard(&recovered.made);
            return Err(error);
        }
        if let Some(cut) = &recovered.cut {
            self.keep_cut(cut)?;
        }
        let held = self.held_logs(&files, &recovered)?;
        engine.writer = Some(self.switch(recovered, &files, engine.publisher.visible(), &held)?);
        engine.hold_found(held, last_seq);
        Ok(engine)
    }

    /// Makes the recovered state the state of the store: the moment is the switch to a new
    /// manifest. What the store does not need any more goes behind it.
    fn switch(
        &self,
        recovered: recover::Recovered,
        files: &files::Files,
        last_seq: SeqNo,
        held: &[HeldLog],
    ) -> Result<Writer> {
        let recover::Recovered { mut state, log_number, next_file, .. } = recovered;
        let numbers = AtomicU64::new(next_file);
        let path = FileName::Log(log_number).path(&self.dir);
        let segment = Segment::create(&*self.fs, &path, log_number)?;
        state.log_floor = log_number;
        state.logs = [log_number].into();
        let manifest_number = numbers.fetch_add(1, Ordering::Relaxed);
        state.next_file = numbers.load(Ordering::Relaxed);
        let version = Arc::clone(&state.version);
        let manifest = Manifest::create(Arc::clone(&self.fs), &self.dir, state, manifest_number)?;
        let manifest = manifest.growing(self.options.manifest_slack());
        self.clean_up(files, &version, held)?;
        let log = Log::start(segment, None, last_seq + 1, self.options.log_options())?;
        Ok(Writer {
            log,
            manifest: Mutex::new(manifest),
            next_segment: Mutex::new(None),
            next_file: numbers,
        })
    }

    /// An empty memtable for the writes of log segment `log`.
    fn buffer(&self, log: u64) -> Arc<WriteBuffer> {
        let limit = self.options.memtable_limit() as usize;
        WriteBuffer::new(log, limit, 0, self.options.segment_limit(), DEFAULT_PREFIX, &self.pool)
    }

    fn assemble(&self, parts: Parts, tables: Arc<Tables>) -> Engine {
        let mut buffers = parts.buffers.into_iter().rev();
        let active = buffers.next().unwrap_or_else(|| self.buffer(0));
        let background = Arc::new(Background::default());
        let version = Arc::clone(&parts.version);
        let opened = Opened::new(&version, self.options.max_open_files / 2);
        let view = View::new(active, buffers.collect(), version, opened, Arc::clone(&background));
        background.register(&parts.version);
        let manifest = parts.writer.as_ref().map_or(0, |held| held.manifest.lock().file_size());
        let engine = Engine {
            fs: Arc::clone(&self.fs),
            latch: self.latch.clone(),
            dir: self.dir.clone(),
            clock: self.fs.clock(),
            options: self.options.clone(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            health: Health::default(),
            view: CurrentView::new(view),
            publisher: Publisher::new(parts.last_seq),
            snapshots: Default::default(),
            window: Window::new(self.options.window_bytes(), Arc::clone(tables.cache())),
            tables,
            catalog: Default::default(),
            writer: parts.writer,
            background,
            counters: parts.counters,
            latencies: Arc::new(Latencies::new(self.fs.clock())),
            events: Events::new(&self.options),
            disk_bytes: AtomicU64::new(0),
            overlap: AtomicU64::new(WHOLE),
            space: Default::default(),
            limiter: crate::limiter::Limiter::new(self.options.rate_limit),
            held: Held::new(parts.last_seq),
            closed: Mutex::new(false),
            threads: Mutex::default(),
            lock: Mutex::new(parts.lock),
            shares_files: false,
        };
        engine.space.manifest.store(manifest, Ordering::Relaxed);
        engine.measure();
        engine.note_space_at_open();
        engine
    }
}

/// Whether a live writer that replaces files can be the reason of this error.
fn may_have_moved(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corruption | ErrorKind::Io)
}
