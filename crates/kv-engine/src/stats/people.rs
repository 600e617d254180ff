//! Every figure as a table for people.

use super::{LevelStats, Stats};
use std::fmt;

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_levels(f)?;
        self.fmt_memory(f)?;
        self.fmt_work(f)?;
        self.fmt_latencies(f)?;
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
        writeln!(f, "level   tables       size    entries  tombstones   score    written  w-amp")?;
        for (i, level) in self.levels.iter().enumerate().filter(|(_, l)| l.tables > 0) {
            self.fmt_level(f, &i.to_string(), level, &format!("{:.2}", level.score))?;
        }
        let mut total = LevelStats::default();
        for level in &self.levels {
            total.tables += level.tables;
            total.bytes += level.bytes;
            total.entries += level.entries;
            total.tombstones += level.tombstones;
            total.written += level.written;
        }
        self.fmt_level(f, "total", &total, "")?;
        if self.value_files > 0 {
            let (bytes, dead) = (Bytes(self.value_bytes), Bytes(self.dead_value_bytes));
            writeln!(f, "values      {} files, {bytes}, of which {dead} dead", self.value_files)?;
        }
        Ok(())
    }

    /// One row. What was written to the level stands beside the bytes that callers wrote.
    fn fmt_level(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        level: &LevelStats,
        score: &str,
    ) -> fmt::Result {
        let (size, written) = (Bytes(level.bytes).to_string(), Bytes(level.written).to_string());
        let (tables, entries, dead) = (level.tables, level.entries, level.tombstones);
        let given = self.counted.write_bytes.max(1) as f64;
        let share = level.written as f64 / given;
        writeln!(
            f,
            "{name:>5} {tables:>8} {size:>10} {entries:>10} {dead:>11} {score:>7} {written:>10} {share:>6.2}"
        )
    }

    fn fmt_latencies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.latencies.iter().all(|(_, times)| times.count() == 0) {
            return Ok(());
        }
        writeln!(
            f,
            "latency          count       mean        p50        p99      p99.9    longest"
        )?;
        for (operation, times) in self.latencies.iter().filter(|(_, times)| times.count() > 0) {
            let count = times.count();
            write!(f, "  {:<10} {count:>9}", operation.name())?;
            let mean = times.sum_ns / count;
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| times.quantile(share));
            for ns in [mean, p50, p99, p999, times.longest_ns] {
                write!(f, " {:>10}", Time(ns).to_string())?;
            }
            writeln!(f)?;
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
        )?;
        if self.held_log_bytes > 0 {
            writeln!(f, "held        {} of logs for consumers", Bytes(self.held_log_bytes))?;
        }
        Ok(())
    }

    fn fmt_work(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.counted;
        writeln!(
            f,
            "written     {} operations, {}; write amplification {:.1}, read amplification {}",
            c.writes,
            Bytes(c.write_bytes),
            self.write_amplification(),
            self.read_amplification()
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
            "stalls      {} for memtables, {} for level 0, {} for room on disk, {:.3} s stopped, \
             {:.3} s delayed",
            c.stops_memtables,
            c.stops_level0,
            c.stops_space,
            c.stopped_ns as f64 / 1e9,
            c.delayed_ns as f64 / 1e9
        )?;
        writeln!(
            f,
            "held        {} snapshots, {} dead tables, {} open tables, {} keyspaces",
            self.snapshots, self.zombie_tables, self.open_tables, self.keyspaces
        )?;
        if c.transactions + c.conflicts + c.too_old + self.open_transactions as u64 > 0 {
            writeln!(
                f,
                "transacted  {} committed, {} conflicts, {} too old; {} open, {} of recent commits",
                c.transactions,
                c.conflicts,
                c.too_old,
                self.open_transactions,
                Bytes(self.window_bytes as u64)
            )?;
        }
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

/// A time for people, from nanoseconds.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 as f64 {
            ns if ns < 1e3 => write!(f, "{ns} ns"),
            ns if ns < 1e6 => write!(f, "{:.1} µs", ns / 1e3),
            ns if ns < 1e9 => write!(f, "{:.1} ms", ns / 1e6),
            ns => write!(f, "{:.2} s", ns / 1e9),
        }
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
