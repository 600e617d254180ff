//! Every figure as text for machines.

use super::latency::EVERY;
use super::{LevelStats, Stats};
use std::fmt::Write as _;

impl Stats {
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
        self.write_latencies(&mut out);
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
            ("ingests_total", "Ingests committed.", c.ingests),
            ("ingest_pairs_total", "Pairs that ingests have taken.", c.ingest_pairs),
            ("ingest_bytes_total", "Bytes of the files of ingests.", c.ingest_bytes),
            ("stops_memtables_total", "Times that writes waited for memtables.", c.stops_memtables),
            ("stops_level0_total", "Times that writes waited for level 0.", c.stops_level0),
            ("stops_space_total", "Times that writes waited for room on disk.", c.stops_space),
            ("stopped_nanoseconds_total", "Time that writes waited.", c.stopped_ns),
            ("delayed_nanoseconds_total", "Time that writes were slowed down.", c.delayed_ns),
            ("transactions_total", "Transactions that committed something.", c.transactions),
            ("transaction_conflicts_total", "Transactions refused for a conflict.", c.conflicts),
            ("transactions_too_old_total", "Transactions refused for their age.", c.too_old),
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
            ("open_transactions", "Transactions that may commit.", self.open_transactions as u64),
            (
                "window_bytes",
                "Bytes of recent commits kept for transactions.",
                self.window_bytes as u64,
            ),
            ("zombie_tables", "Dead tables that readers still hold.", self.zombie_tables as u64),
            (
                "running_jobs",
                "Flushes and compactions under way or put off.",
                self.running_jobs as u64,
            ),
            ("live_log_bytes", "Bytes of logs not yet in tables.", self.log_bytes),
            ("held_log_bytes", "Bytes of logs kept for consumers.", self.held_log_bytes),
            ("table_bytes", "Bytes of tables.", self.table_bytes()),
            ("level0_runs", "Sorted runs on level 0.", self.level0_runs as u64),
            (
                "read_amplification",
                "Sorted runs that a read may have to ask.",
                self.read_amplification() as u64,
            ),
            ("value_files", "Value files.", self.value_files as u64),
            ("value_bytes", "Bytes of value files.", self.value_bytes),
            ("live_value_bytes", "Bytes that tables refer to.", self.live_value_bytes),
            ("dead_value_bytes", "Bytes that no table refers to.", self.dead_value_bytes),
            ("recovered_cut_bytes", "Log bytes cut when opened.", c.recovered_cut_bytes),
            ("delay_nanoseconds_per_kib", "What a written KiB costs.", c.delay_ns_per_kib),
            ("drain_bytes_per_second", "How fast level 0 drains.", c.drain_rate),
            ("flush_bytes_per_second", "How fast memtables are written out.", c.flush_rate),
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
        let by_level_total: [(&str, &str, Pick); 1] =
            [("level_written_bytes_total", "Bytes written to a level.", |l| l.written)];
        let gauges = by_level.into_iter().map(|of| (of, "gauge"));
        let counters = by_level_total.into_iter().map(|of| (of, "counter"));
        for ((name, help, pick), kind) in gauges.chain(counters) {
            let _ = writeln!(out, "# HELP kv_{name} {help}\n# TYPE kv_{name} {kind}");
            for (i, level) in self.levels.iter().enumerate() {
                let _ = writeln!(out, "kv_{name}{{level=\"{i}\"}} {}", pick(level));
            }
        }
        let _ = writeln!(
            out,
            "# HELP kv_level_score How far a level is on the way to a compaction.\n\
             # TYPE kv_level_score gauge"
        );
        for (i, level) in self.levels.iter().enumerate() {
            let _ = writeln!(out, "kv_level_score{{level=\"{i}\"}} {:.4}", level.score);
        }
    }

    /// One histogram for all operations. Short operations are timed one in 64, which counts for
    /// all of them.
    fn write_latencies(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "# HELP kv_operation_seconds How long operations take; of short ones one in {EVERY} is timed.\n\
             # TYPE kv_operation_seconds histogram"
        );
        for (operation, times) in &self.latencies {
            let name = operation.name();
            for power in SHORTEST..=LONGEST {
                let (seconds, count) = (seconds(1 << power), times.below(1 << power));
                let _ = writeln!(
                    out,
                    "kv_operation_seconds_bucket{{operation=\"{name}\",le=\"{seconds}\"}} {count}"
                );
            }
            let (count, sum) = (times.count(), seconds(times.sum_ns));
            let _ = writeln!(
                out,
                "kv_operation_seconds_bucket{{operation=\"{name}\",le=\"+Inf\"}} {count}\n\
                 kv_operation_seconds_sum{{operation=\"{name}\"}} {sum}\n\
                 kv_operation_seconds_count{{operation=\"{name}\"}} {count}"
            );
        }
    }
}

/// The buckets of the histograms end at powers of two of a nanosecond: from a quarter of a microsecond
/// to 17 seconds.
const SHORTEST: u32 = 8;
const LONGEST: u32 = 34;

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// A name, what it means, and its value.
type Figure = (&'static str, &'static str, u64);

fn metric(out: &mut String, name: &str, help: &str, kind: &str, value: u64) {
    let _ = writeln!(out, "# HELP kv_{name} {help}\n# TYPE kv_{name} {kind}\nkv_{name} {value}");
}
