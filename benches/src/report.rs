//! The result of a workload: a line of a table for people, an object for machines.

use crate::config::Config;
use crate::keys::Shape;
use crate::measure::Usage;
use crate::store::Engine;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What a workload did and took.
#[derive(Clone, Debug)]
pub struct Row {
    /// Name and parameter of the workload, such as `seekrandom/100`.
    pub workload: String,
    /// Threads that worked.
    pub threads: usize,
    /// Operations, and how long all of them took.
    pub operations: u64,
    /// See there.
    pub took: Duration,
    /// Nanoseconds that operations took; absent where single ones are not timed.
    pub times: Times,
    /// Entries that were read, and whose values were checked.
    pub entries: u64,
    /// A checksum over the values read. The same operations give the same one.
    pub checksum: u64,
    /// Bytes of keys and values that were written.
    pub user_written: u64,
    /// Writes by the one more thread of `readwhilewriting`.
    pub beside: Option<Beside>,
    /// What the system counted.
    pub usage: Usage,
    /// Bytes written, as the engine counts them.
    pub engine_written: Option<u64>,
    /// Bytes of the blocks that the store's files occupy at the end.
    pub disk: Option<u64>,
}

/// How long single operations took, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The median.
    pub p50: Option<u64>,
    /// 99 of 100 stayed within this.
    pub p99: Option<u64>,
    /// 999 of 1000 stayed within this.
    pub p999: Option<u64>,
    /// The longest pause.
    pub longest: Option<u64>,
}

/// The writes that were made beside reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beside {
    /// How many.
    pub operations: u64,
    /// And in a second.
    pub per_second: f64,
    /// How long they took.
    pub times: Times,
}

/// The columns of the table.
pub fn head() -> String {
    in_columns([
        "workload",
        "thr",
        "operations",
        "ops/s",
        "p50",
        "p99",
        "p99.9",
        "longest",
        "cpu s",
        "peak MiB",
        "written MiB",
        "amp p/d/e",
        "disk MiB",
    ])
}

fn in_columns<T: AsRef<str>>(cells: [T; 13]) -> String {
    let [name, threads, operations, rate, p50, p99, p999, longest, cpu, peak, written, amp, disk] =
        cells.each_ref().map(AsRef::as_ref);
    format!(
        "{name:<16} {threads:>4} {operations:>11} {rate:>10} {p50:>8} {p99:>8} {p999:>8} \
         {longest:>8} {cpu:>8} {peak:>9} {written:>11} {amp:>14} {disk:>9}"
    )
}

impl Row {
    /// Operations in a second.
    pub fn per_second(&self) -> f64 {
        self.operations as f64 / self.took.as_secs_f64().max(1e-9)
    }

    fn amplification(&self, written: Option<u64>) -> Option<f64> {
        let written = written.filter(|_| self.user_written > 0)?;
        Some(written as f64 / self.user_written as f64)
    }

    /// A line of the table.
    pub fn line(&self) -> String {
        let usage = &self.usage;
        let cpu = usage.cpu.map(|cpu| format!("{:.2}", cpu.user + cpu.system));
        let ratio = |written| {
            self.amplification(written).map_or("-".to_owned(), |ratio| format!("{ratio:.1}"))
        };
        let ratios = [usage.process_written, usage.device_written, self.engine_written].map(ratio);
        let mut line = in_columns([
            self.workload.clone(),
            self.threads.to_string(),
            self.operations.to_string(),
            format!("{:.0}", self.per_second()),
            time(self.times.p50),
            time(self.times.p99),
            time(self.times.p999),
            time(self.times.longest),
            cpu.unwrap_or_else(absent),
            mib(usage.peak_memory),
            mib(usage.process_written),
            ratios.join("/"),
            mib(self.disk),
        ]);
        if let Some(beside) = &self.beside {
            line += &format!(
                "\n  beside it {} writes, {:.0}/s, p99.9 {}, longest {}",
                beside.operations,
                beside.per_second,
                time(beside.times.p999),
                time(beside.times.longest)
            );
        }
        line
    }

    /// Everything, for machines, with what holds for all rows of a run. What was not measured is
    /// `null`.
    pub fn json(&self, about: &Map<String, Value>) -> Map<String, Value> {
        let mut all = about.clone();
        if let Value::Object(own) = self.own_json() {
            all.extend(own);
        }
        all
    }

    fn own_json(&self) -> Value {
        let usage = &self.usage;
        json!({
            "workload": self.workload,
            "threads": self.threads,
            "operations": self.operations,
            "seconds": self.took.as_secs_f64(),
            "operations_per_second": self.per_second(),
            "nanoseconds": self.times.json(),
            "entries_read": self.entries,
            "checksum": format!("{:016x}", self.checksum),
            "writes_beside": self.beside.map(|beside| json!({
                "operations": beside.operations,
                "operations_per_second": beside.per_second,
                "nanoseconds": beside.times.json(),
            })),
            "cpu_seconds": usage.cpu.map(|cpu| json!({ "user": cpu.user, "system": cpu.system })),
            "peak_memory_bytes": usage.peak_memory,
            "bytes_written": {
                "user": self.user_written,
                "process": usage.process_written,
                "device": usage.device_written,
                "engine": self.engine_written,
            },
            "write_amplification": {
                "process": self.amplification(usage.process_written),
                "device": self.amplification(usage.device_written),
                "engine": self.amplification(self.engine_written),
            },
            "bytes_read": usage.process_read,
            "disk_bytes": self.disk,
            "stolen_seconds": usage.noise.steal,
            "foreign_cpu_seconds": usage.noise.foreign,
            "warning": usage.noise.warning(),
        })
    }
}

/// What holds for all rows of a run.
pub fn about(engine: &dyn Engine, config: &Config) -> Map<String, Value> {
    let all = json!({
        "engine": engine.name(),
        "version": engine.version(),
        "options": engine.options(&config.settings()),
        "keys": config.keys,
        "key_bytes": config.key_len,
        "key_shape": if config.shape == Shape::Prefix { "prefix" } else { "plain" },
        "value_bytes": config.value_len,
        "cache_bytes": config.cache_bytes,
        "write_buffer_bytes": config.write_buffer_bytes,
        "batch": config.batch,
        "sync": config.sync,
        "warm": config.warm,
        "seed": config.seed,
        "write_rate": config.write_rate,
    });
    if let Value::Object(all) = all { all } else { Map::new() }
}

impl Times {
    fn json(&self) -> Value {
        json!({
            "p50": self.p50, "p99": self.p99, "p99.9": self.p999, "longest": self.longest,
        })
    }
}

fn absent() -> String {
    "-".to_owned()
}

fn mib(bytes: Option<u64>) -> String {
    bytes.map_or_else(absent, |bytes| format!("{:.1}", bytes as f64 / (1 << 20) as f64))
}

/// A time with its unit, in at most seven characters.
fn time(nanoseconds: Option<u64>) -> String {
    let Some(n) = nanoseconds else { return absent() };
    let n = n as f64;
    match n {
        ..1e3 => format!("{n:.0} ns"),
        ..1e6 => format!("{:.1} us", n / 1e3),
        ..1e9 => format!("{:.1} ms", n / 1e6),
        _ => format!("{:.1} s", n / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Cpu;

    fn row() -> Row {
        Row {
            workload: "fillrandom".to_owned(),
            threads: 2,
            operations: 1000,
            took: Duration::from_millis(500),
            times: Times {
                p50: Some(900),
                p99: Some(1500),
                p999: Some(2_500_000),
                longest: Some(3_000_000_000),
            },
            entries: 0,
            checksum: 7,
            user_written: 1 << 20,
            beside: None,
            usage: Usage {
                cpu: Some(Cpu { user: 0.5, system: 0.25 }),
                process_written: Some(2 << 20),
                ..Usage::default()
            },
            engine_written: Some(3 << 20),
            disk: Some(1 << 20),
        }
    }

    #[test]
    fn a_line_stands_below_the_head_and_shows_what_is_absent() {
        let line = row().line();
        assert_eq!(line.len(), head().len(), "\n{}\n{line}", head());
        for part in ["2000", "900 ns", "1.5 us", "2.5 ms", "3.0 s", "0.75", "2.0/-/3.0", " - "] {
            assert!(line.contains(part), "{part} in {line}");
        }
    }

    #[test]
    fn an_object_has_null_for_what_was_not_measured() {
        let json = Value::Object(row().json(&Map::new()));
        assert_eq!(json["operations_per_second"], 2000.0);
        assert_eq!(json["bytes_written"]["process"], 2 << 20);
        assert_eq!(json["write_amplification"]["engine"], 3.0);
        assert!(json["bytes_written"]["device"].is_null());
        assert!(json["write_amplification"]["device"].is_null());
        assert!(json["writes_beside"].is_null());
        assert_eq!(json["checksum"], "0000000000000007");
    }
}
