//! Counters, always on, and their two renderings: a table for people, Prometheus text for
//! machines.

use crate::health::Work;
use crate::write::stall::Cause;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What the store counts while it is open.
        #[derive(Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: AtomicU64,)*
        }

        /// One reading of [`Counters`].
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Counted {
            $(pub(crate) $name: u64,)*
        }

        impl Counters {
            fn read(&self) -> Counted {
                Counted { $($name: self.$name.load(Relaxed),)* }
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
    /// Nanoseconds that writers were slowed down.
    delayed_ns,
    /// Times that writers stopped for memtables, and for level 0, and nanoseconds of either.
    stops_memtables,
    stops_level0,
    stopped_ns,
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
}

impl Counters {
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
        };
        self.stopped_ns.fetch_add(length.as_nanos() as u64, Relaxed);
    }

    /// Notes that `bytes` left level 0 in `took`: a moving average.
    pub(crate) fn drained(&self, bytes: u64, took: Duration) {
        let seconds = took.as_secs_f64();
        if seconds > 0.0 {
            let rate = (bytes as f64 / seconds) as u64;
            let old = self.drain_rate.load(Relaxed);
            let new = if old == 0 { rate } else { old / 4 * 3 + rate / 4 };
            self.drain_rate.store(new, Relaxed);
        }
    }
}

/// One level of the tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct LevelStats {
    pub(crate) tables: usize,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
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
    pub(crate) keyspaces: usize,
    pub(crate) zombie_tables: usize,
    pub(crate) running_jobs: usize,
    pub(crate) value_files: usize,
    pub(crate) value_bytes: u64,
    pub(crate) live_value_bytes: u64,
    pub(crate) dead_value_bytes: u64,
    pub(crate) log: kv_wal::LogStats,
    pub(crate) log_bytes: u64,
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

    /// Bytes that the store wrote for each byte it was given.
    fn write_amplification(&self) -> f64 {
        let c = &self.counted;
        let written = self.log.bytes + c.flush_bytes + c.compaction_write_bytes;
        if c.write_bytes == 0 { 0.0 } else { written as f64 / c.write_bytes as f64 }
    }

    /// Every figure as Prometheus text exposition (version 0.0.4).
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// # let db = Db::in_memory(Options::default())?;
    /// let text = db.stats().prometheus();
    /// assert!(text.contains("# TYPE kv_level_bytes gauge"));
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn prometheus(&self) -> String {
        let mut out = String::new();
        for (name, help, value) in self.totals() {
            metric(&mut out, name, help, "counter", value);
        }
        for (name, help, value) in self.gauges() {
            metric(&mut out, name, help, "gauge", value);
        }
        self.write_levels(&mut out);
        out
    }

    /// What only grows.
    fn totals(&self) -> Vec<Figure> {
        let c = &self.counted;
        vec![
            ("writes_total", "Operations written.", c.writes),
            ("write_bytes_total", "Bytes of batches written.", c.write_bytes),
            ("log_bytes_total", "Bytes written to the log.", self.log.bytes),
            ("log_writes_total", "Writes to the log's file.", self.log.writes),
            ("log_syncs_total", "Syncs of the log's file.", self.log.syncs),
            ("flushes_total", "Memtables written out.", c.flushes),
            ("flush_bytes_total", "Bytes that flushes wrote.", c.flush_bytes),
            ("flush_nanoseconds_total", "Time that flushes took.", c.flush_ns),
            ("compactions_total", "Compactions.", c.compactions),
            ("compaction_nanoseconds_total", "Time that compactions took.", c.compaction_ns),
            (
                "compaction_read_bytes_total",
                "Bytes that compactions read.",
                c.compaction_read_bytes,
            ),
            (
                "compaction_write_bytes_total",
                "Bytes that compactions wrote.",
                c.compaction_write_bytes,
            ),
            ("value_flush_bytes_total", "Bytes of flushes in value files.", c.value_flush_bytes),
            ("value_move_bytes_total", "Bytes moved between value files.", c.value_move_bytes),
            ("table_moves_total", "Tables moved down without a rewrite.", c.moves),
            ("table_drops_total", "Tables deleted whole.", c.drops),
            ("stops_memtables_total", "Times that writes waited for memtables.", c.stops_memtables),
            ("stops_level0_total", "Times that writes waited for level 0.", c.stops_level0),
            ("stopped_nanoseconds_total", "Time that writes waited.", c.stopped_ns),
            ("delayed_nanoseconds_total", "Time that writes were slowed down.", c.delayed_ns),
            ("background_errors_total", "Background work that failed.", c.background_errors),
            ("cache_hits_total", "Blocks found in the cache.", self.cache_hits),
            ("cache_misses_total", "Blocks not found in the cache.", self.cache_misses),
        ]
    }

    /// What goes up and down.
    fn gauges(&self) -> Vec<Figure> {
        let c = &self.counted;
        vec![
            ("memtables", "Memtables in memory.", self.memtables as u64),
            ("memtable_bytes", "Bytes of memtables.", self.memtable_bytes),
            ("cache_capacity_bytes", "Bytes that the cache may hold.", self.cache_capacity),
            ("cache_bytes", "Bytes that the cache holds.", self.cache_bytes),
            ("pinned_bytes", "Bytes of filters and indexes held.", self.pinned_bytes),
            ("open_tables", "Tables open.", self.open_tables as u64),
            ("snapshots", "Moments that snapshots hold.", self.snapshots as u64),
            ("zombie_tables", "Dead tables that readers still hold.", self.zombie_tables as u64),
            (
                "running_jobs",
                "Flushes and compactions under way or put off.",
                self.running_jobs as u64,
            ),
            ("live_log_bytes", "Bytes of logs not yet in tables.", self.log_bytes),
            ("table_bytes", "Bytes of tables.", self.table_bytes()),
            ("value_files", "Value files.", self.value_files as u64),
            ("value_bytes", "Bytes of value files.", self.value_bytes),
            ("live_value_bytes", "Bytes that tables refer to.", self.live_value_bytes),
            ("dead_value_bytes", "Bytes that no table refers to.", self.dead_value_bytes),
            ("recovered_cut_bytes", "Log bytes cut when opened.", c.recovered_cut_bytes),
            ("delay_nanoseconds_per_kib", "What a written KiB costs.", c.delay_ns_per_kib),
            ("drain_bytes_per_second", "How fast level 0 drains.", c.drain_rate),
            ("refuses_writes", "1 where writes are refused.", u64::from(!self.trouble.is_empty())),
        ]
    }

    fn write_levels(&self, out: &mut String) {
        type Pick = fn(&LevelStats) -> u64;
        let by_level: [(&str, &str, Pick); 4] = [
            ("level_tables", "Tables on a level.", |l| l.tables as u64),
            ("level_bytes", "Bytes on a level.", |l| l.bytes),
            ("level_entries", "Entries on a level.", |l| l.entries),
            ("level_tombstones", "Tombstones on a level.", |l| l.tombstones),
        ];
        for (name, help, pick) in by_level {
            let _ = writeln!(out, "# HELP kv_{name} {help}\n# TYPE kv_{name} gauge");
            for (i, level) in self.levels.iter().enumerate() {
                let _ = writeln!(out, "kv_{name}{{level=\"{i}\"}} {}", pick(level));
            }
        }
    }
}

/// A name, what it means, and its value.
type Figure = (&'static str, &'static str, u64);

fn metric(out: &mut String, name: &str, help: &str, kind: &str, value: u64) {
    let _ = writeln!(out, "# HELP kv_{name} {help}\n# TYPE kv_{name} {kind}\nkv_{name} {value}");
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_levels(f)?;
        self.fmt_memory(f)?;
        self.fmt_work(f)?;
        writeln!(f, "settings    {}", self.settings)?;
        match (self.trouble.as_str(), self.read_only) {
            ("", false) => write!(f, "state       open"),
            ("", true) => write!(f, "state       open, read-only"),
            (trouble, _) => write!(f, "state       {trouble}"),
        }
    }
}

impl Stats {
    fn fmt_levels(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "level   tables       size    entries  tombstones")?;
        for (i, level) in self.levels.iter().enumerate().filter(|(_, l)| l.tables > 0) {
            let size = Bytes(level.bytes).to_string();
            let (tables, entries, dead) = (level.tables, level.entries, level.tombstones);
            writeln!(f, "{i:>5} {tables:>8} {size:>10} {entries:>10} {dead:>11}")?;
        }
        let tables: usize = self.levels.iter().map(|level| level.tables).sum();
        let entries: u64 = self.levels.iter().map(|level| level.entries).sum();
        let dead: u64 = self.levels.iter().map(|level| level.tombstones).sum();
        let size = Bytes(self.table_bytes()).to_string();
        writeln!(f, "total {tables:>8} {size:>10} {entries:>10} {dead:>11}")?;
        if self.value_files > 0 {
            let (bytes, dead) = (Bytes(self.value_bytes), Bytes(self.dead_value_bytes));
            writeln!(f, "values      {} files, {bytes}, of which {dead} dead", self.value_files)?;
        }
        Ok(())
    }

    fn fmt_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = Bytes(self.memtable_bytes);
        writeln!(
            f,
            "memtables   {} with {} entries, {memory}",
            self.memtables, self.memtable_entries
        )?;
        let asked = (self.cache_hits + self.cache_misses).max(1);
        writeln!(
            f,
            "cache       {} of {}, {} pinned, {:.1} % hits",
            Bytes(self.cache_bytes),
            Bytes(self.cache_capacity),
            Bytes(self.pinned_bytes),
            100.0 * self.cache_hits as f64 / asked as f64
        )?;
        writeln!(
            f,
            "log         {} live; {} in {} writes, {} syncs",
            Bytes(self.log_bytes),
            Bytes(self.log.bytes),
            self.log.writes,
            self.log.syncs
        )
    }

    fn fmt_work(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.counted;
        writeln!(
            f,
            "written     {} operations, {}; write amplification {:.1}",
            c.writes,
            Bytes(c.write_bytes),
            self.write_amplification()
        )?;
        writeln!(
            f,
            "background  {} flushes ({}), {} compactions ({} read, {} written), {} moves, {} drops, {} errors",
            c.flushes,
            Bytes(c.flush_bytes),
            c.compactions,
            Bytes(c.compaction_read_bytes),
            Bytes(c.compaction_write_bytes),
            c.moves,
            c.drops,
            c.background_errors
        )?;
        writeln!(
            f,
            "stalls      {} for memtables, {} for level 0, {:.3} s stopped, {:.3} s delayed",
            c.stops_memtables,
            c.stops_level0,
            c.stopped_ns as f64 / 1e9,
            c.delayed_ns as f64 / 1e9
        )?;
        writeln!(
            f,
            "held        {} snapshots, {} dead tables, {} open tables, {} keyspaces",
            self.snapshots, self.zombie_tables, self.open_tables, self.keyspaces
        )?;
        if c.recovered_batches + c.recovered_cut_bytes > 0 {
            let cut = Bytes(c.recovered_cut_bytes);
            writeln!(
                f,
                "recovered   {} batches from logs; {cut} cut from their end",
                c.recovered_batches
            )?;
        }
        Ok(())
    }
}

/// A size for people.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut size = self.0 as f64 / 1024.0;
        let mut unit = "KiB";
        for next in units.iter().skip(1) {
            if size < 1024.0 {
                break;
            }
            size /= 1024.0;
            unit = next;
        }
        write!(f, "{size:.1} {unit}")
    }
}

impl crate::engine::Engine {
    /// Gathers every figure. Takes no lock that a writer holds for long.
    pub(crate) fn stats(&self) -> Stats {
        let view = self.view.load_full();
        let cache = self.tables.cache();
        let values = view.version.values();
        let mut stats = Stats {
            levels: (0..kv_manifest::LEVELS).map(|n| level_stats(view.version.level(n))).collect(),
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
            keyspaces: self.catalog.lock().len(),
            zombie_tables: self.background.dead_tables(),
            running_jobs: self.background.state.lock().unfinished(),
            value_files: values.len(),
            value_bytes: view.version.value_size(),
            live_value_bytes: values.iter().map(|file| file.live).sum(),
            dead_value_bytes: values.iter().map(|file| file.dead()).sum(),
            log: self.writer.as_ref().map(|w| w.log.stats()).unwrap_or_default(),
            log_bytes: view.buffers().map(|buffer| buffer.logged()).sum(),
            settings: self.options.summary(),
            trouble: self.trouble(),
            read_only: self.writer.is_none(),
            ..Stats::default()
        };
        stats.counted(&self.counters);
        stats
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
