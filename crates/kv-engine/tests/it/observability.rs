//! What the store tells about itself, for people and for machines.

use crate::support::*;
use std::collections::BTreeSet;

#[test]
fn stats_show_a_table_of_levels() {
    every_setting(|w| {
        let db = w.open();
        let empty = db.stats().to_string();
        assert!(!empty.trim().is_empty());
        let mut model = Model::new();
        fill(&db, &mut model, 300, 0);
        db.compact().unwrap();
        let shown = db.stats().to_string();
        assert!(shown.lines().count() > 3, "{shown}");
        assert!(shown.to_lowercase().contains("level"), "{shown}");
        assert_ne!(shown, empty);
    });
}

#[test]
fn prometheus_text_is_well_formed() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 300, 0);
        db.flush().unwrap();
        let text = db.stats().prometheus();
        assert!(text.ends_with('\n'));
        let mut typed = BTreeSet::new();
        let mut samples = BTreeSet::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["#", "HELP", name, help, ..] => {
                    assert!(is_name(name) && !help.is_empty(), "{line}")
                }
                ["#", "TYPE", name, kind] => {
                    assert!(["counter", "gauge", "histogram", "summary"].contains(kind), "{line}");
                    assert!(typed.insert((*name).to_owned()), "typed twice: {line}");
                }
                _ => {
                    let (sample, number) = line.rsplit_once(' ').unwrap();
                    assert!(number.parse::<f64>().is_ok(), "{line}");
                    let name = sample.split('{').next().unwrap();
                    assert!(is_name(name), "{line}");
                    assert!(!sample.contains('{') || sample.ends_with('}'), "{line}");
                    assert!(samples.insert(sample.to_owned()), "given twice: {line}");
                    let base = ["_bucket", "_sum", "_count"]
                        .iter()
                        .find_map(|end| name.strip_suffix(end).filter(|base| typed.contains(*base)))
                        .unwrap_or(name);
                    assert!(typed.contains(base), "no type before: {line}");
                }
            }
        }
        assert!(samples.len() > 10, "{text}");
    });
}

fn is_name(name: &str) -> bool {
    let first = name.chars().next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

#[test]
fn no_key_or_value_shows() {
    every_setting(|w| {
        let db = w.open();
        for i in 0..200 {
            db.put(format!("SECRET key {i}"), "SECRET value").unwrap();
        }
        db.compact().unwrap();
        let report = db.verify().unwrap();
        let stats = db.stats();
        let said = format!("{stats}{}{report}{report:?}", stats.prometheus());
        assert!(!said.contains("SECRET"), "{said}");
    });
}

/// The buckets of an operation's histogram, its count and its sum.
fn histogram(text: &str, operation: &str) -> (Vec<(f64, u64)>, u64, f64) {
    let of = |kind: &str| format!("kv_operation_seconds_{kind}{{operation=\"{operation}\"");
    let number = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    let lines = |kind| text.lines().filter(move |line| line.starts_with(&of(kind)));
    let bucket = |line: &str| {
        let end = line.split("le=\"").nth(1).unwrap().split('"').next().unwrap();
        (end.replace('+', "").parse().unwrap(), number(line) as u64)
    };
    let (count, sum) = (lines("count").next().unwrap(), lines("sum").next().unwrap());
    (lines("bucket").map(bucket).collect(), number(count) as u64, number(sum))
}

#[test]
fn times_of_operations_are_counted() {
    let w = World::tiny();
    let db = w.open();
    let mut model = Model::new();
    let start = std::time::Instant::now();
    fill(&db, &mut model, 1000, 0);
    for i in 0..6400 {
        db.get(key(i % 1000)).unwrap();
    }
    let mut cursor = db.cursor();
    for i in 0..640 {
        cursor.seek(key(i)).unwrap();
    }
    let spent = start.elapsed().as_secs_f64();
    db.compact().unwrap();
    let text = db.stats().prometheus();
    // Synced writes are timed one by one; of gets and seeks one in 64, which counts for 64. Other
    // work of this thread counts there too.
    let (_, writes, _) = histogram(&text, "write");
    assert_eq!(writes, 1000);
    for (operation, done) in [("get", 6400), ("seek", 640)] {
        let (_, count, _) = histogram(&text, operation);
        assert!(count % 64 == 0 && count.abs_diff(done) < 128, "{operation}: {count}");
    }
    let (_, flushes, _) = histogram(&text, "flush");
    assert_eq!(flushes, figure(&db, "kv_flushes_total "));
    let (_, compactions, _) = histogram(&text, "compaction");
    assert_eq!(compactions, figure(&db, "kv_compactions_total "));
    for operation in ["get", "write", "seek", "stall", "flush", "compaction"] {
        let (buckets, count, sum) = histogram(&text, operation);
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{operation}: {buckets:?}");
        assert_eq!(buckets.last().unwrap(), &(f64::INFINITY, count), "{operation}");
        assert_eq!(sum > 0.0, count > 0, "{operation}");
    }
    let (_, _, sum) = histogram(&text, "write");
    assert!(sum <= spent, "writes took {sum} s of {spent} s");
    let shown = db.stats().to_string();
    assert!(shown.contains("latency") && shown.contains("  write "), "{shown}");
}

#[test]
fn what_was_written_to_levels_adds_up() {
    let w = World::tiny();
    let db = w.open();
    let mut model = Model::new();
    for round in 0..3 {
        fill(&db, &mut model, 500, round);
    }
    db.compact().unwrap();
    let levels = figure(&db, "kv_level_written_bytes_total{");
    let jobs =
        figure(&db, "kv_flush_bytes_total ") + figure(&db, "kv_compaction_write_bytes_total ");
    assert_eq!(levels, jobs);
    assert_eq!(figure(&db, "kv_level0_runs "), 0);
    // The memtable and the one level below.
    assert_eq!(figure(&db, "kv_read_amplification "), 2);
}

/// The dashboard asks for nothing that is not told.
#[test]
fn the_dashboard_asks_for_names_that_are_told() {
    let dashboard = include_str!("../../../../docs/grafana.json");
    let w = World::plain();
    let text = w.open().stats().prometheus();
    let told: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split([' ', '{']).next().unwrap())
        .collect();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let expressions: Vec<&str> = dashboard.lines().filter(|l| l.contains("\"expr\":")).collect();
    let mut asked = BTreeSet::new();
    for expression in &expressions {
        let names = expression.split(|c| !is_part(c)).filter(|word| word.starts_with("kv_"));
        for name in names {
            assert!(told.contains(name), "{name} is asked for and not told: {expression}");
            asked.insert(name);
        }
    }
    assert!(expressions.len() >= 15 && asked.len() >= 20, "{expressions:?}");
}
