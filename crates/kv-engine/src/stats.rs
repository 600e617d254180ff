//! Counters, always on, and their two renderings: a table for people, Prometheus text for
//! machines.

pub(crate) mod latency;
mod people;
mod prometheus;

use crate::compaction::{level0_runs, targets};
use crate::health::Work;
use crate::transaction::Clash;
use crate::write::stall::Cause;
use kv_manifest::LEVELS;
use kv_manifest::Version;
use latency::{Operation, Times};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the store counts while it is open.
        #[derive(Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: AtomicU64,)*
            /// Bytes of tables that flushes, compactions and ingests wrote to each level.
            pub(crate) level_written: [AtomicU64; LEVELS],
        }

        /// One reading of [`Counters`].
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Counted {
            $(pub(crate) $name: u64,)*
        }

        impl Counters {
            fn read(&self) -> Counted {
                Counted {
                    $($name: self.$name.load(Relaxed),)*
                }
            }
        }
    };
}

counters! {
    /// Operations written.
    writes,
    /// Bytes of batches written.
    write_bytes,
    /// Flushes, the bytes and the nanoseconds that they took.
    flushes,
    flush_bytes,
    flush_ns,
    /// Compactions, what they read and wrote, and how long they took.
    compactions,
    compaction_read_bytes,
    compaction_write_bytes,
    compaction_ns,
    /// Of what flushes wrote, the bytes of value files; and what compactions moved of them.
    value_flush_bytes,
    value_move_bytes,
    /// Tables moved down a level without being rewritten.
    moves,
    /// Tables deleted whole because nothing in them was alive.
    drops,
    /// Ingests that were committed, pairs that ingests have taken so far, and bytes of their files.
    ingests,
    ingest_pairs,
    ingest_bytes,
    /// Nanoseconds that writers were slowed down.
    delayed_ns,
    /// Times that writers stopped for memtables, for level 0 and for room under a limit on the disk,
    /// and nanoseconds of all.
    stops_memtables,
    stops_level0,
    stops_space,
    stopped_ns,
    /// Transactions that committed something, and those refused: for a commit that came between,
    /// and for being older than what is remembered.
    transactions,
    conflicts,
    too_old,
    /// Background work that failed and was tried again.
    background_errors,
    /// Bytes cut from the end of logs when the store was opened.
    recovered_cut_bytes,
    /// Batches replayed from logs when the store was opened.
    recovered_batches,
    /// What a written KiB costs at present, in nanoseconds.
    delay_ns_per_kib,
    /// User bytes per second that left level 0 lately.
    drain_rate,
    /// Bytes of log per second whose memtables were written out lately.
    flush_rate,
}

impl Counters {
    fn written_to(&self, level: usize) -> u64 {
        self.level_written.get(level).map_or(0, |bytes| bytes.load(Relaxed))
    }

    /// Notes that tables of so many bytes were written to a level.
    pub(crate) fn wrote_to(&self, level: usize, bytes: u64) {
        if let Some(written) = self.level_written.get(level) {
            written.fetch_add(bytes, Relaxed);
        }
    }

    #[inline]
    pub(crate) fn wrote(&self, operations: u64, payload: &[&[u8]]) {
        let bytes: u64 = payload.iter().map(|part| part.len() as u64).sum();
        self.writes.fetch_add(operations, Relaxed);
        self.write_bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn stopped(&self, cause: Cause, length: Duration) {
        match cause {
            Cause::Memtables => self.stops_memtables.fetch_add(1, Relaxed),
            Cause::Level0 => self.stops_level0.fetch_add(1, Relaxed),
            Cause::Space => self.stops_space.fetch_add(1, Relaxed),
        };
        self.stopped_ns.fetch_add(length.as_nanos() as u64, Relaxed);
    }

    pub(crate) fn clashed(&self, clash: Clash) {
        match clash {
            Clash::Changed => self.conflicts.fetch_add(1, Relaxed),
            Clash::TooOld => self.too_old.fetch_add(1, Relaxed),
        };
    }

    /// Notes that `bytes` left level 0 in `took`: a moving average.
    pub(crate) fn drained(&self, bytes: u64, took: Duration) {
        average(&self.drain_rate, bytes, took);
    }

    /// Notes that a memtable whose writes took `bytes` in the log was written out in `took`.
    pub(crate) fn flushed(&self, bytes: u64, took: Duration) {
        self.flush_ns.fetch_add(took.as_nanos() as u64, Relaxed);
        average(&self.flush_rate, bytes, took);
    }
}

/// Moves an average rate by a quarter of what was measured.
fn average(rate: &AtomicU64, bytes: u64, took: Duration) {
    let seconds = took.as_secs_f64();
    if seconds > 0.0 {
        let measured = (bytes as f64 / seconds) as u64;
        let old = rate.load(Relaxed);
        rate.store(if old == 0 { measured } else { old / 4 * 3 + measured / 4 }, Relaxed);
    }
}

/// One level of the tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct LevelStats {
    pub(crate) tables: usize,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    /// Bytes written to it while the store is open, by flushes, compactions and ingests.
    pub(crate) written: u64,
    /// How far it is on the way to a compaction, which comes at 1.
    pub(crate) score: f64,
}

/// What the store has done and holds. `Display` is a table for people,
/// [`Stats::prometheus`] text for machines.
///
/// ```
/// use kv_engine::{Db, Options};
/// let db = Db::in_memory(Options::default())?;
/// db.put("key", "value")?;
/// println!("{}", db.stats());
/// assert!(db.stats().prometheus().contains("kv_writes_total 1"));
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stats {
    pub(crate) levels: Vec<LevelStats>,
    pub(crate) counted: Counted,
    pub(crate) latencies: Vec<(Operation, Times)>,
    pub(crate) level0_runs: usize,
    pub(crate) memtables: usize,
    pub(crate) memtable_bytes: u64,
    pub(crate) memtable_entries: u64,
    pub(crate) cache_capacity: u64,
    pub(crate) cache_bytes: u64,
    pub(crate) pinned_bytes: u64,
    pub(crate) cache_hits: u64,
    pub(crate) cache_misses: u64,
    pub(crate) open_tables: usize,
    pub(crate) snapshots: usize,
    pub(crate) open_transactions: usize,
    pub(crate) window_bytes: usize,
    pub(crate) keyspaces: usize,
    pub(crate) zombie_tables: usize,
    pub(crate) running_jobs: usize,
    pub(crate) value_files: usize,
    pub(crate) value_bytes: u64,
    pub(crate) live_value_bytes: u64,
    pub(crate) dead_value_bytes: u64,
    pub(crate) log: kv_wal::LogStats,
    pub(crate) log_bytes: u64,
    pub(crate) held_log_bytes: u64,
    pub(crate) settings: String,
    /// Why writes are refused or background work fails, empty where neither.
    pub(crate) trouble: String,
    pub(crate) read_only: bool,
}

impl Stats {
    pub(crate) fn counted(&mut self, counters: &Counters) {
        self.counted = counters.read();
    }

    fn table_bytes(&self) -> u64 {
        self.levels.iter().map(|level| level.bytes).sum()
    }

    /// How many sorted runs a read of a key that is nowhere may have to ask, memtables included.
    fn read_amplification(&self) -> usize {
        let below = self.levels.iter().skip(1).filter(|level| level.tables > 0).count();
        self.memtables + self.level0_runs + below
    }

    /// Bytes that the store wrote for each byte it was given.
    fn write_amplification(&self) -> f64 {
        let c = &self.counted;
        let written = self.log.bytes + c.flush_bytes + c.compaction_write_bytes;
        if c.write_bytes == 0 { 0.0 } else { written as f64 / c.write_bytes as f64 }
    }
}

impl crate::engine::Engine {
    /// Gathers every figure. Takes no lock that a writer holds for long.
    pub(crate) fn stats(&self) -> Stats {
        let view = self.view.load_full();
        let cache = self.tables.cache();
        let values = view.version.values();
        let (open_transactions, window_bytes) = self.window.held();
        let mut stats = Stats {
            levels: self.level_stats(&view.version),
            level0_runs: level0_runs(&view.version).len(),
            latencies: self.latencies.read(),
            memtables: view.buffers().count(),
            memtable_bytes: view.buffers().map(|b| b.table.memory() as u64).sum(),
            memtable_entries: view.buffers().map(|b| b.table.len() as u64).sum(),
            cache_capacity: cache.capacity() as u64,
            cache_bytes: cache.used() as u64,
            pinned_bytes: cache.pinned() as u64,
            cache_hits: cache.hits(),
            cache_misses: cache.misses(),
            open_tables: self.tables.open_count(),
            snapshots: self.snapshots.len(),
            open_transactions,
            window_bytes,
            keyspaces: self.catalog.lock().len(),
            zombie_tables: self.background.dead_tables(),
            running_jobs: self.background.state.lock().unfinished(),
            value_files: values.len(),
            value_bytes: view.version.value_size(),
            live_value_bytes: values.iter().map(|file| file.live).sum(),
            dead_value_bytes: values.iter().map(|file| file.dead()).sum(),
            log: self.writer.as_ref().map(|w| w.log.stats()).unwrap_or_default(),
            log_bytes: view.buffers().map(|buffer| buffer.logged()).sum(),
            held_log_bytes: self.held.bytes(),
            settings: self.options.summary(),
            trouble: self.trouble(),
            read_only: self.writer.is_none(),
            ..Stats::default()
        };
        stats.counted(&self.counters);
        stats
    }

    fn level_stats(&self, version: &Version) -> Vec<LevelStats> {
        let policy = self.policy();
        let targets = targets(version, &policy).bytes;
        let of = |n: usize| {
            let mut level = level_stats(version.level(n));
            level.written = self.counters.written_to(n);
            level.score = match (n, targets.get(n)) {
                (0, _) => level0_runs(version).len() as f64 / policy.level0_runs as f64,
                // The last level has no level to be merged into.
                (n, Some(&target)) if n + 1 < LEVELS && target > 0 => {
                    level.bytes as f64 / target as f64
                }
                _ => 0.0,
            };
            level
        };
        (0..LEVELS).map(of).collect()
    }

    fn trouble(&self) -> String {
        if self.health.check_open().is_err() {
            return "closed".to_owned();
        }
        let reason = self.health.fatal().cloned();
        let failing =
            || self.health.failing(Work::Flush).or_else(|| self.health.failing(Work::Compaction));
        let reason = reason.or_else(failing);
        reason.map_or_else(String::new, |reason| reason.to_string())
    }
}

fn level_stats(files: &[std::sync::Arc<kv_manifest::FileMeta>]) -> LevelStats {
    let mut level = LevelStats { tables: files.len(), ..LevelStats::default() };
    for file in files {
        level.bytes += file.size;
        level.entries += file.entries;
        level.tombstones += file.tombstones + file.range_tombstones;
    }
    level
}
