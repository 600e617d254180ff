//! The settings of a store: inert values, checked once by `open`.

use crate::error::{Error, Result};
use crate::events::EventListener;
use kv_sstable::Compression;
use kv_vfs::{Fs, StdFs};
use kv_wal::LogOptions;
use std::fmt;
use std::sync::{Arc, OnceLock};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// How far a write has gone when its call returns.
///
/// ```
/// # use kv_engine::{Durability, WriteBatch};
/// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
/// let mut batch = WriteBatch::new();
/// batch.put("key", "value");
/// db.write_with(batch, Durability::Os)?; // whatever `sync_on_write` says
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// It survives power loss.
    Sync,
    /// It is in the kernel's hands: it survives a kill of the process, not a power loss.
    Os,
}

/// Settings of a store. Every one has a default that suits most; sizes are in bytes.
///
/// ```
/// use kv_engine::{Compression, Db, Options};
/// let options = Options::default().sync_on_write(false).memory_budget(512 << 20).compression(Compression::Snappy);
/// let db = Db::in_memory(options)?;
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) create_if_missing: bool,
    pub(crate) read_only: bool,
    pub(crate) sync_on_write: bool,
    pub(crate) memory_budget: u64,
    pub(crate) write_buffer: u64,
    pub(crate) compression: Compression,
    pub(crate) block_size: u64,
    pub(crate) bloom_bits: f64,
    pub(crate) table_size: u64,
    pub(crate) level0_runs: usize,
    pub(crate) space_amplification: f64,
    pub(crate) background_threads: usize,
    pub(crate) wal_limit: u64,
    pub(crate) disk_limit: u64,
    pub(crate) rate_limit: u64,
    pub(crate) max_open_files: usize,
    pub(crate) mmap_reads: bool,
    pub(crate) file_system: Arc<dyn Fs>,
    pub(crate) listener: Option<Arc<dyn EventListener>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            create_if_missing: true,
            read_only: false,
            sync_on_write: true,
            memory_budget: 512 * MIB,
            write_buffer: 64 * MIB,
            compression: Compression::Lz4,
            block_size: 4 * KIB,
            bloom_bits: 10.0,
            table_size: 32 * MIB,
            level0_runs: 4,
            space_amplification: 1.15,
            background_threads: default_threads(),
            wal_limit: 256 * MIB,
            disk_limit: u64::MAX,
            rate_limit: u64::MAX,
            max_open_files: 512,
            mmap_reads: false,
            file_system: Arc::new(StdFs::new()),
            listener: None,
        }
    }
}

/// One thread for each processor, 2 to 8. Asking costs a walk through files of the system, more
/// than opening a small store does, so it is done once.
fn default_threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    let ask = || std::thread::available_parallelism().map_or(2, |n| n.get()).clamp(2, 8);
    *THREADS.get_or_init(ask)
}

macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {
        impl Options {
            $($(#[$doc])*
            pub fn $name(mut self, $name: $type) -> Options {
                self.$name = $name;
                self
            })*
        }
    };
}

settings! {
    /// Creates the store, and missing parents of its directory, where there is none. Default: true.
    ///
    /// ```
    /// # use kv_engine::{Db, ErrorKind, Options};
    /// let missing = Db::open("/nowhere/at/all", Options::default().create_if_missing(false));
    /// assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    /// ```
    create_if_missing: bool;
    /// Opens for reading, also beside a live writer; nothing in the directory is changed or
    /// locked. Default: false.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.read_only(true);
    /// ```
    read_only: bool;
    /// Whether a write that does not say otherwise survives power loss when it returns. Default:
    /// true.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.sync_on_write(false); // then call `Db::sync` where it matters
    /// ```
    sync_on_write: bool;
    /// Memory for memtables, cached blocks, filters and indexes together. Default: 512 MiB; at
    /// least 64 KiB.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.memory_budget(64 << 20);
    /// ```
    memory_budget: u64;
    /// The most that a memtable takes before it is written out as a table. Over 32 MiB the memtables in use
    /// and under way share it: where writes come fast, each is written out at half of it or more, and
    /// writes are slowed down where both together pass it. Of smaller ones the store keeps up to
    /// three. It takes less than this where three would exceed half of the memory budget. Default:
    /// 64 MiB; 4 KiB to 4 GiB.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.write_buffer(16 << 20);
    /// ```
    write_buffer: u64;
    /// How the blocks of the last level are compressed; the levels above, which are rewritten
    /// soon, are not. Default: LZ4.
    ///
    /// ```
    /// # use kv_engine::{Compression, Options};
    /// let options = Options::default().compression(Compression::None);
    /// ```
    compression: Compression;
    /// The size of a table's blocks before compression, the unit of reading and caching. Default:
    /// 4 KiB; 64 bytes to 16 MiB.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.block_size(16 << 10); // fewer, larger reads: better compression
    /// ```
    block_size: u64;
    /// Bits of Bloom filter for each key; 10 let about one miss in a hundred through, 0 turns
    /// filters off. Default: 10; 0 to 32.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.bloom_bits(14.0);
    /// ```
    bloom_bits: f64;
    /// The size of the tables that compaction writes. Default: 32 MiB; 1 KiB to 4 GiB.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.table_size(8 << 20);
    /// ```
    table_size: u64;
    /// How many tables level 0 holds before they are merged down. Writes slow down at two and a half
    /// times as many; while they come without pause and memtables are small beside the store, at up
    /// to eight times. Default: 4; 1 to 64.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.level0_runs(2); // faster reads, more bytes written
    /// ```
    level0_runs: usize;
    /// How many bytes on disk a live byte may cost before compaction works to free some. Default:
    /// 1.15; 1.01 to 10.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.space_amplification(1.3);
    /// ```
    space_amplification: f64;
    /// Threads that flush and compact. Default: one for each core, 2 to 8; 1 to 64.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.background_threads(2);
    /// ```
    background_threads: usize;
    /// The size of the logs that makes the store write its memtable out, which bounds the time of
    /// an open after a crash. Default: 256 MiB; at least 16 KiB.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.wal_limit(64 << 20);
    /// ```
    wal_limit: u64;
    /// The bytes on disk that the store stays within, also while it merges. Part of them is kept for
    /// the log, for flushes and for merges: a store of up to a third of the limit needs its own size again,
    /// a larger one about a quarter of the limit. A put that would use that waits, up to ten seconds, while
    /// merges are under way that may make room, and is else refused with `NoSpace`. Deletes have a
    /// sixteenth of the limit more, and then what is kept for merges; what they free is used again by
    /// itself, and `compact` works.
    ///
    /// Memtables, tables and steps of the log are smaller under a limit, so that little is kept. These pass
    /// it: under 1 MiB the logs and small files, by up to 128 KiB; and where a store is opened over
    /// its limit, or deletes have used what was kept, deletes by an eighth of the limit and one merge
    /// at a time by what it writes, because nothing else would make room. Files that
    /// iterators and snapshots hold count until they end. Checkpoints and backups are not counted.
    /// Default: none; at least 64 KiB.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.disk_limit(10 << 30);
    /// ```
    disk_limit: u64;
    /// Bytes per second that flushes, merges and ingests may write together, tables and value files.
    /// Flushes go first, and merges wait for them. The log is not held to it, nor what an open and a
    /// close write: a close ends the limit. A limit under what writers bring, times what merges write of
    /// it again, slows writers down to it in the end. Default: no limit; at least 64 KiB.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.rate_limit(50 << 20);
    /// ```
    rate_limit: u64;
    /// How many tables, and how many value files, are kept open. Default: 512 of each; at least 4.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.max_open_files(100);
    /// ```
    max_open_files: usize;
    /// Reads tables through a memory map instead of `pread`. Faster where the store fits into
    /// memory; the mapped pages are outside the budget, and a table that is cut short by someone
    /// else kills the process with SIGBUS instead of answering an error. Default: false.
    ///
    /// ```
    /// # let options = kv_engine::Options::default();
    /// let options = options.mmap_reads(true);
    /// ```
    mmap_reads: bool;
    /// The file system, clock and threads below the store; for tests. Default: the real ones.
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// use std::sync::Arc;
    /// let fs = kv_vfs::MemFs::new();
    /// let db = Db::open("/db", Options::default().file_system(Arc::new(fs)))?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    file_system: Arc<dyn Fs>;
}

impl Options {
    /// Is told what the store does: flushes, compactions, stalls, failures. Default: nobody.
    ///
    /// ```
    /// use kv_engine::{Db, Event, Options};
    /// use std::sync::Arc;
    /// let listener = |event: &Event| eprintln!("store: {event}");
    /// let db = Db::in_memory(Options::default().listener(Arc::new(listener)))?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn listener(mut self, listener: Arc<dyn EventListener>) -> Options {
        self.listener = Some(listener);
        self
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("create_if_missing", &self.create_if_missing)
            .field("read_only", &self.read_only)
            .field("sync_on_write", &self.sync_on_write)
            .field("memory_budget", &self.memory_budget)
            .field("write_buffer", &self.write_buffer)
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Refuses a setting outside its range, naming it, its value and its range.
    pub(crate) fn check(&self) -> Result<()> {
        within("memory_budget", self.memory_budget, 64 * KIB, u64::MAX)?;
        within("write_buffer", self.write_buffer, 4 * KIB, 4 * GIB)?;
        within("block_size", self.block_size, 64, 16 * MIB)?;
        within("bloom_bits", self.bloom_bits, 0.0, 32.0)?;
        within("table_size", self.table_size, KIB, 4 * GIB)?;
        within("level0_runs", self.level0_runs, 1, 64)?;
        within("space_amplification", self.space_amplification, 1.01, 10.0)?;
        within("background_threads", self.background_threads, 1, 64)?;
        within("wal_limit", self.wal_limit, 16 * KIB, u64::MAX)?;
        within("disk_limit", self.disk_limit, 64 * KIB, u64::MAX)?;
        within("rate_limit", self.rate_limit, 64 * KIB, u64::MAX)?;
        within("max_open_files", self.max_open_files, 4, usize::MAX)?;
        #[cfg(feature = "zstd")]
        if let Compression::Zstd(level) = self.compression {
            within("compression: the level of zstd", level, 1, 22)?;
        }
        Ok(())
    }

    /// The settings that `stats` shows.
    pub(crate) fn summary(&self) -> String {
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / MIB as f64);
        format!(
            "sync_on_write {}, memory_budget {}, write_buffer {}, compression {:?}, block_size {}, \
             bloom_bits {}, table_size {}, level0_runs {}, background_threads {}",
            self.sync_on_write,
            mib(self.memory_budget),
            mib(self.memtable_limit()),
            self.compression,
            self.block_size,
            self.bloom_bits,
            mib(self.table_limit()),
            self.level0_runs,
            self.background_threads
        )
    }

    /// Memtable bytes at which it is written out: three of them take at most half the budget, and
    /// their logs and flushes little of the limit on the disk.
    pub(crate) fn memtable_limit(&self) -> u64 {
        self.write_buffer.min(self.memory_budget / 6).min(self.disk_limit / 64).max(4 * KIB)
    }

    /// The size of tables: little of the limit on the disk, for which a merge needs room.
    pub(crate) fn table_limit(&self) -> u64 {
        self.table_size.min((self.disk_limit / 128).max(16 * KIB))
    }

    /// How far the manifest grows beyond twice what it begins with: little of the limit on the disk.
    /// `None` is the usual bound.
    pub(crate) fn manifest_slack(&self) -> Option<u64> {
        Some((self.disk_limit / 64).max(8 * KIB)).filter(|slack| *slack < MIB)
    }

    /// What the memtables leave of the budget.
    pub(crate) fn cache_bytes(&self) -> u64 {
        self.memory_budget.saturating_sub(3 * self.memtable_limit()).max(16 * KIB)
    }

    /// What the keys of recent commits may take, while a transaction is open.
    pub(crate) fn window_bytes(&self) -> usize {
        (self.memory_budget / 16).clamp(16 * KIB, 32 * MIB) as usize
    }

    /// How space for the log is reserved: in steps that are small beside every limit.
    pub(crate) fn log_options(&self) -> LogOptions {
        let step = (4 * MIB).min(self.memtable_limit() / 4).min(self.disk_limit / 16);
        LogOptions { allocation_chunk: step.max(16 * KIB) }
    }

    /// Log bytes at which the memtable is written out: with two memtables waiting and one in use
    /// the logs together stay under the limit.
    pub(crate) fn segment_limit(&self) -> u64 {
        (self.wal_limit / 4).min(GIB)
    }
}

fn within<T: PartialOrd + fmt::Display>(name: &str, value: T, low: T, high: T) -> Result<()> {
    // Written so that NaN, which compares with nothing, is refused.
    if value >= low && value <= high {
        return Ok(());
    }
    Err(Error::invalid(format!("{name} is {value}; it must be from {low} to {high}")))
}
