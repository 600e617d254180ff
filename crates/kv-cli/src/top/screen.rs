//! Figures as a screen of text: a pure function of two readings.

use super::figures::Between;
use indicatif::{BinaryBytes, HumanCount};
use std::fmt::Write as _;

/// What the figures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The process that has the store open.
    Process,
    /// The files: nothing of what the process does.
    Files,
}

pub(super) fn screen(head: &str, kind: Kind, figures: &Between<'_>) -> String {
    let mut text = format!("{head}\n\n");
    match kind {
        Kind::Process => operations(&mut text, figures),
        Kind::Files => {
            text += "What operations do is known to the process that has the store open: let it serve\n\
                     its figures, and give --url.\n";
        }
    }
    levels(&mut text, figures, kind);
    sums(&mut text, figures, kind);
    text
}

fn operations(text: &mut String, figures: &Between<'_>) {
    let _ = writeln!(
        text,
        "{:<12} {:>14} {:>12} {:>10} {:>10} {:>10}",
        "operation", "count", "per second", "p50", "p99", "p99.9"
    );
    let name = "kv_operation_seconds_count";
    for (operation, count) in figures.now.by_label(name, "operation") {
        let rate = figures.rate_of(name, "operation", operation).map(whole);
        let times = figures.quantiles(operation, [0.5, 0.99, 0.999]);
        let [p50, p99, p999] = times.map_or([const { String::new() }; 3], |times| times.map(time));
        let _ = writeln!(
            text,
            "{operation:<12} {:>14} {:>12} {:>10} {:>10} {:>10}",
            whole(count),
            or_dash(rate),
            dash(p50),
            dash(p99),
            dash(p999)
        );
    }
}

fn levels(text: &mut String, figures: &Between<'_>, kind: Kind) {
    let _ = write!(text, "\n{:<6} {:>7} {:>12} {:>7}", "level", "tables", "size", "score");
    let _ = match kind {
        Kind::Process => writeln!(text, " {:>12} {:>14}", "written", "per second"),
        Kind::Files => writeln!(text),
    };
    let mut names: Vec<&str> =
        figures.now.by_label("kv_level_tables", "level").map(|(level, _)| level).collect();
    names.sort_by_key(|name| name.parse::<u32>().unwrap_or(u32::MAX));
    for level in names {
        let of = |name| figures.now.of(name, "level", level);
        let written = of("kv_level_written_bytes_total");
        if of("kv_level_tables") + written == 0.0 {
            continue;
        }
        let _ = write!(
            text,
            "{level:<6} {:>7} {:>12} {:>7.2}",
            whole(of("kv_level_tables")),
            bytes(of("kv_level_bytes")),
            of("kv_level_score")
        );
        let rate = figures.rate_of("kv_level_written_bytes_total", "level", level);
        let _ = match kind {
            Kind::Process => {
                writeln!(text, " {:>12} {:>14}", bytes(written), or_dash(rate.map(bytes)))
            }
            Kind::Files => writeln!(text),
        };
    }
}

fn sums(text: &mut String, figures: &Between<'_>, kind: Kind) {
    let now = |name: &str| figures.now.get(name);
    let size = |name: &str| bytes(now(name));
    let _ = writeln!(
        text,
        "\ntables     {}, {} runs for a read; values {} in {} files, {} dead",
        size("kv_table_bytes"),
        whole(now("kv_read_amplification")),
        size("kv_value_bytes"),
        whole(now("kv_value_files")),
        size("kv_dead_value_bytes")
    );
    let _ = writeln!(
        text,
        "log        {} not yet in tables, {} memtables of {}",
        size("kv_live_log_bytes"),
        whole(now("kv_memtables")),
        size("kv_memtable_bytes")
    );
    if kind == Kind::Files {
        return;
    }
    let (hits, misses) =
        (figures.grown("kv_cache_hits_total"), figures.grown("kv_cache_misses_total"));
    let share = match hits + misses {
        0.0 => "-".to_owned(),
        asked => format!("{:.1} %", 100.0 * hits / asked),
    };
    let _ = writeln!(
        text,
        "memory     {} memtables, cache {} of {}, {} pinned; {share} of blocks found in the cache",
        size("kv_memtable_bytes"),
        size("kv_cache_bytes"),
        size("kv_cache_capacity_bytes"),
        size("kv_pinned_bytes")
    );
    work(text, figures);
}

/// What happens behind the operations.
fn work(text: &mut String, figures: &Between<'_>) {
    let now = |name: &str| figures.now.get(name);
    let speed = |name: &str| or_dash(figures.rate(name).map(bytes));
    let stops =
        ["memtables", "level0", "space"].map(|cause| now(&format!("kv_stops_{cause}_total")));
    let part = |name| figures.rate(name).map(|ns| format!("{:.1} % of a thread", ns / 1e7));
    let _ = writeln!(
        text,
        "stalls     {} stops so far; now {} stopped, {} slowed down",
        whole(stops.iter().sum()),
        or_dash(part("kv_stopped_nanoseconds_total")),
        or_dash(part("kv_delayed_nanoseconds_total"))
    );
    let _ = writeln!(
        text,
        "jobs       {} running; {} flushes, {} compactions so far; {} read, {} written per second",
        whole(now("kv_running_jobs")),
        whole(now("kv_flushes_total")),
        whole(now("kv_compactions_total")),
        speed("kv_compaction_read_bytes_total"),
        speed("kv_compaction_write_bytes_total")
    );
    let _ = writeln!(
        text,
        "writing    {} given, {} to the log per second, {} syncs",
        speed("kv_write_bytes_total"),
        speed("kv_log_bytes_total"),
        or_dash(figures.rate("kv_log_syncs_total").map(whole))
    );
    let failing = figures.rate("kv_background_errors_total").is_some_and(|rate| rate > 0.0);
    let trouble = match (now("kv_refuses_writes") > 0.0, failing) {
        (true, _) => {
            "REFUSES WRITES, or background work fails: the last line of its stats has the reason"
        }
        (_, true) => "background work fails and is tried again: is the disk full, or failing?",
        _ => "open",
    };
    let _ = writeln!(text, "state      {trouble}");
}

fn whole(number: f64) -> String {
    HumanCount(number.round() as u64).to_string()
}

fn bytes(number: f64) -> String {
    BinaryBytes(number.round() as u64).to_string()
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn or_dash(text: Option<String>) -> String {
    dash(text.unwrap_or_default())
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-6 => format!("{:.0} ns", s * 1e9),
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}
