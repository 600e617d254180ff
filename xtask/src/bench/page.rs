//! `docs/benchmarks.md`: the tables between its markers are written here, the prose around them is
//! left alone.

use super::plan::{ENGINES, GROUPS, Group};
use super::results::{Results, median};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

const PAGE: &str = "docs/benchmarks.md";
const BEGIN: &str = "<!-- peers: begin -->";
const END: &str = "<!-- peers: end -->";

/// Writes the tables into the page.
pub(crate) fn write(root: &Path, results: &Results) -> Result<()> {
    let path = root.join(PAGE);
    let page = std::fs::read_to_string(&path).context("cannot read docs/benchmarks.md")?;
    let page = insert(&page, &tables(results))
        .with_context(|| format!("{PAGE} lacks the lines `{BEGIN}` and `{END}`"))?;
    std::fs::write(&path, page).context("cannot write docs/benchmarks.md")
}

/// The page with another text between its markers.
fn insert(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", text.trim()))
}

/// A figure of which a row has one for each engine.
struct Figure {
    title: &'static str,
    of: fn(&Value) -> Option<f64>,
    shown: fn(f64) -> String,
    /// Whether more is better.
    more: bool,
    /// The groups in which it is shown; all where there is none.
    only: &'static [&'static str],
}

/// Where a store is left that says something about its size.
const LEFT: &[&str] = &[
    "write",
    "sustained",
    "space",
    "shape-16-8",
    "shape-24-150",
    "shape-23-1000",
    "shape-16-16k",
    "shape-60-100",
];

fn at<'a>(row: &'a Value, path: &str) -> &'a Value {
    path.split('/').fold(row, |value, name| &value[name])
}

const RATE: Figure = Figure {
    title: "operations per second",
    of: |row| row["operations_per_second"].as_f64(),
    shown: count,
    more: true,
    only: &[],
};

/// Of opens and the like, where an operation is the whole.
const SECONDS: Figure = Figure {
    title: "milliseconds",
    of: |row| Some(1000.0 / row["operations_per_second"].as_f64()?),
    shown: |ms| if ms < 10.0 { format!("{ms:.2}") } else { count(ms) },
    more: false,
    only: &[],
};

const DETAILS: [Figure; 6] = [
    Figure {
        title: "p99.9 of an operation, microseconds",
        of: |row| Some(at(row, "nanoseconds/p99.9").as_f64()? / 1e3),
        shown: |us| if us < 10.0 { format!("{us:.1}") } else { count(us) },
        more: false,
        only: &[],
    },
    Figure {
        title: "longest operation, milliseconds",
        of: |row| Some(at(row, "nanoseconds/longest").as_f64()? / 1e6),
        shown: |ms| if ms < 10.0 { format!("{ms:.2}") } else { count(ms) },
        more: false,
        only: &[],
    },
    Figure {
        title: "processor time, microseconds for each operation",
        of: |row| {
            let cpu = &row["cpu_seconds"];
            let seconds = cpu["user"].as_f64()? + cpu["system"].as_f64()?;
            Some(seconds * 1e6 / row["operations"].as_f64()?)
        },
        shown: |us| format!("{us:.2}"),
        more: false,
        only: &[],
    },
    Figure {
        title: "peak of resident memory, MiB",
        of: |row| mib(&row["peak_memory_bytes"]),
        shown: count,
        more: false,
        only: &[],
    },
    Figure {
        title: "bytes written for each byte given (as the kernel counts them)",
        of: |row| at(row, "write_amplification/process").as_f64(),
        shown: |ratio| format!("{ratio:.1}"),
        more: false,
        only: &[],
    },
    Figure {
        title: "MiB on disk afterwards",
        of: |row| mib(&row["disk_bytes"]),
        shown: count,
        more: false,
        only: LEFT,
    },
];

fn mib(bytes: &Value) -> Option<f64> {
    Some(bytes.as_f64()? / (1 << 20) as f64)
}

/// A number with commas between thousands.
fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn tables(results: &Results) -> String {
    let mut text = conditions(results);
    for group in GROUPS {
        if let Some(table) = speed(results, group) {
            let _ = write!(text, "\n### {}\n\n`{}`\n\n{table}", group.title, command(group));
        }
    }
    text += "\n## Beside the speed\n";
    for figure in &DETAILS {
        if let Some(table) = detail(results, figure) {
            let _ = write!(text, "\n### {}\n\n{table}", capital(figure.title));
        }
    }
    text += "\n## Versions and options\n\n";
    for engine in ENGINES.iter().filter_map(|name| Some((name, results.engines.get(*name)?))) {
        let (name, about) = engine;
        let say = |field: &str| about[field].as_str().unwrap_or_default().to_owned();
        let _ = writeln!(text, "* **{name}** {}: {}", say("version"), say("options"));
    }
    text
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn command(group: &Group) -> String {
    format!("{} {}", group.arguments, group.workloads).trim().to_owned()
}

fn conditions(results: &Results) -> String {
    let say = |name: &str| match results.conditions.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "unknown".to_owned(),
        Some(other) => other.to_string(),
    };
    let wrapped = format!(
        "Measured on {}, state `{}`: {} with {} cores, {} GiB of memory, Linux {}, {}, {}. {} keys \
         unless said. Each figure is the median of the rounds; in the last column, how many rounds.\n",
        say("date"),
        say("commit"),
        say("processor"),
        say("cores"),
        say("memory_gib"),
        say("kernel"),
        say("file_system"),
        say("compiler"),
        results.conditions.get("keys").and_then(Value::as_f64).map_or_else(String::new, count),
    );
    let note = results.conditions.get("note").and_then(Value::as_str);
    let note = note.map(|note| format!(" {note}")).unwrap_or_default();
    format!(
        "{wrapped}A round is called disturbed where, in the run of any engine, other processes used more \
         than a twentieth of the time or the host took more than a hundredth.{note}\n"
    )
}

/// The speed of all engines in a group's workloads.
fn speed(results: &Results, group: &Group) -> Option<String> {
    let workloads = results.workloads(group.name);
    let engines = present(results, |row| row.group == group.name);
    if workloads.is_empty() {
        return None;
    }
    let mut text = head(&["workload"], &engines, &["kv ÷ rocksdb", "kv ÷ best peer", "rounds"]);
    for workload in workloads {
        let whole = ["open", "openlog", "compact"].contains(&workload);
        let figure = if whole { &SECONDS } else { &RATE };
        let values = values(results, group.name, workload, figure, &engines);
        let of = |name: &str| engines.iter().position(|e| *e == name).and_then(|i| values[i]);
        let peers = engines.iter().zip(&values).filter(|(engine, _)| **engine != "kv");
        let best = peers
            .filter_map(|(_, value)| *value)
            .reduce(|one, other| if figure.more { one.max(other) } else { one.min(other) });
        let rounds = rounds(results, group.name, workload, &engines);
        let _ = writeln!(
            text,
            "| {workload}{} |{} {} | {} | {rounds} |",
            if whole { ", milliseconds" } else { "" },
            cells(&values, figure),
            ratio(of("kv"), of("rocksdb"), figure.more),
            ratio(of("kv"), best, figure.more)
        );
    }
    for workload in results.workloads(group.name) {
        if let Some(line) = beside(results, group.name, workload, &engines) {
            text += &line;
        }
    }
    Some(text)
}

/// How many rounds there were, and how many of their runs were disturbed.
fn rounds(results: &Results, group: &str, workload: &str, engines: &[&str]) -> String {
    let count = |engine: &&str, noisy: bool| {
        let counts = |row: &Value| (!noisy || row["warning"].is_string()).then_some(1.0);
        results.values(group, workload, engine, counts).len()
    };
    let rounds = engines.iter().map(|engine| count(engine, false)).max().unwrap_or_default();
    match engines.iter().map(|engine| count(engine, true)).max() {
        Some(noisy) if noisy > 0 => format!("{rounds}, {noisy} disturbed"),
        _ => rounds.to_string(),
    }
}

/// What the one more thread wrote meanwhile.
fn beside(results: &Results, group: &str, workload: &str, engines: &[&str]) -> Option<String> {
    let figure =
        Figure { of: |row| at(row, "writes_beside/operations_per_second").as_f64(), ..RATE };
    let values = values(results, group, workload, &figure, engines);
    let of = |name: &str| engines.iter().position(|e| *e == name).and_then(|i| values[i]);
    values.iter().any(Option::is_some).then(|| {
        format!(
            "| its writes |{} {} | | |\n",
            cells(&values, &figure),
            ratio(of("kv"), of("rocksdb"), true)
        )
    })
}

/// A figure of all rows that have it.
fn detail(results: &Results, figure: &Figure) -> Option<String> {
    let engines = present(results, |_| true);
    let mut text = head(&["run", "workload"], &engines, &["kv ÷ rocksdb"]);
    let before = text.len();
    let shown = |group: &&Group| figure.only.is_empty() || figure.only.contains(&group.name);
    for group in GROUPS.iter().filter(shown) {
        for workload in results.workloads(group.name) {
            let values = values(results, group.name, workload, figure, &engines);
            if values.iter().all(Option::is_none) {
                continue;
            }
            let of = |name: &str| engines.iter().position(|e| *e == name).and_then(|i| values[i]);
            let quotient = of("kv").zip(of("rocksdb")).filter(|(_, rocks)| *rocks > 0.0);
            let quotient =
                quotient.map_or_else(String::new, |(kv, rocks)| format!("{:.2}", kv / rocks));
            let row = cells(&values, figure);
            let _ = writeln!(text, "| {} | {workload} |{row} {quotient} |", group.name);
        }
    }
    (text.len() > before).then_some(text)
}

fn present(
    results: &Results,
    which: impl Fn(&super::results::Measured) -> bool,
) -> Vec<&'static str> {
    let has = |engine: &&str| results.rows.iter().any(|row| row.engine == *engine && which(row));
    ENGINES.into_iter().filter(has).collect()
}

fn values(
    results: &Results,
    group: &str,
    workload: &str,
    figure: &Figure,
    engines: &[&str],
) -> Vec<Option<f64>> {
    let of = |engine: &&str| median(results.values(group, workload, engine, figure.of));
    engines.iter().map(of).collect()
}

fn head(first: &[&str], engines: &[&str], last: &[&str]) -> String {
    let columns = [first, engines, last].concat();
    let lines: String =
        (0..columns.len()).map(|i| if i < first.len() { "---|" } else { "---:|" }).collect();
    format!("| {} |\n|{lines}\n", columns.join(" | "))
}

/// Figures of a row, the best one bold.
fn cells(values: &[Option<f64>], figure: &Figure) -> String {
    let pick = if figure.more { f64::max } else { f64::min };
    let best = values.iter().flatten().copied().reduce(pick);
    let cell = |value: &Option<f64>| match value {
        Some(number) if Some(*number) == best => format!(" **{}** |", (figure.shown)(*number)),
        Some(number) => format!(" {} |", (figure.shown)(*number)),
        None => " |".to_owned(),
    };
    values.iter().map(cell).collect()
}

/// How many times as good; what is worse is marked.
fn ratio(ours: Option<f64>, theirs: Option<f64>, more: bool) -> String {
    match ours.zip(theirs) {
        Some((ours, theirs)) if ours > 0.0 && theirs > 0.0 => {
            let ratio = if more { ours / theirs } else { theirs / ours };
            let mark = if ratio < 1.0 { " **lost**" } else { "" };
            format!("{ratio:.2}{mark}")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn results() -> Results {
        let mut results = Results::default();
        for (engine, rate, memory) in
            [("kv", 3e6, 10 << 20), ("rocksdb", 1e6, 40 << 20), ("lmdb", 4e6, 1 << 20)]
        {
            let row = json!({
                "engine": engine, "workload": "readseq", "version": "1.2", "options": "fast",
                "operations_per_second": rate, "peak_memory_bytes": memory,
            });
            results.add("read", row.as_object().unwrap().clone()).unwrap();
        }
        results
    }

    #[test]
    fn a_row_shows_every_engine_and_what_is_lost() {
        let text = tables(&results());
        let row = "| readseq | 3,000,000 | 1,000,000 | **4,000,000** | 3.00 | 0.75 **lost** | 1 |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("| read | readseq | 10 | 40 | **1** | 0.25 |"), "{text}");
        assert!(text.contains("* **rocksdb** 1.2: fast"), "{text}");
    }

    #[test]
    fn prose_around_the_tables_stays() {
        let page = format!("# Head\n\n{BEGIN}\nold\n{END}\n\nTail.\n");
        let page = insert(&page, "new\n").unwrap();
        assert_eq!(page, format!("# Head\n\n{BEGIN}\n\nnew\n\n{END}\n\nTail.\n"));
        assert_eq!(insert(&page, "new"), Some(page.clone()));
        assert_eq!(insert("# Head\n", "new"), None);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0.0, 999.4, 1000.0, 1234567.0].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn where_less_is_better_the_quotient_is_turned_round() {
        assert_eq!(ratio(Some(2.0), Some(6.0), false), "3.00");
        assert_eq!(ratio(Some(6.0), Some(2.0), false), "0.33 **lost**");
        assert_eq!(ratio(None, Some(2.0), true), "");
    }
}
