//! Levels in, choice out: the cases are the files in `data`.
//!
//! A case is a command with its lines, `----`, and the answer, up to an empty line. `tables`
//! begins a new tree (a line is `level number first-last [key=value]...`, sizes in MiB, `last)`
//! exclusive), `busy`, `writes` and `policy` change what is around it, the others ask. With
//! `REWRITE=1` the answers are written into the files, to be reviewed.

use super::{MIB, context, policy};
use crate::compaction::busy::Busy;
use crate::compaction::expand::Compaction;
use crate::compaction::pick::pick;
use crate::compaction::policy::{Context, Policy};
use crate::compaction::score::{fills, flush_level, level0_runs, targets, urgent};
use crate::compaction::split::Cutter;
use bytes::Bytes;
use kv_manifest::{FileMeta, KeySpan, Version, VersionEdit};
use std::fmt::Write as _;
use std::sync::Arc;

struct World {
    version: Version,
    policy: Policy,
    busy: Busy,
}

fn span(text: &str) -> KeySpan {
    let (first, last) = text.split_once('-').unwrap();
    let exclusive = last.ends_with(')');
    KeySpan {
        smallest: Bytes::copy_from_slice(first.as_bytes()),
        largest: Bytes::copy_from_slice(last.trim_end_matches(')').as_bytes()),
        largest_exclusive: exclusive,
    }
}

fn settings<'a>(words: impl Iterator<Item = &'a str>) -> impl Iterator<Item = (&'a str, &'a str)> {
    words.map(|word| word.split_once('=').unwrap_or((word, "")))
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

/// A table that is newer than those with smaller numbers.
fn table(line: &str) -> (usize, Arc<FileMeta>) {
    let mut words = line.split_whitespace();
    let level = number(words.next().unwrap()) as usize;
    let id = number(words.next().unwrap());
    let span = span(words.next().unwrap());
    let mut file = FileMeta {
        number: id,
        size: 32 * MIB,
        entries: 1000,
        smallest: span.smallest,
        largest: span.largest,
        largest_exclusive: span.largest_exclusive,
        min_seq: id * 10,
        max_seq: id * 10 + 9,
        ..FileMeta::default()
    };
    for (key, value) in settings(words) {
        match key {
            "size" => file.size = number(value) * MIB,
            "entries" => file.entries = number(value),
            "tombstones" => file.tombstones = number(value),
            "ranges" => file.range_tombstones = number(value),
            "shadow" => file.shadow_bytes = number(value) * MIB,
            "codec" => file.compression = number(value) as u8,
            "seqs" => {
                let (min, max) = value.split_once('-').unwrap();
                (file.min_seq, file.max_seq) = (number(min), number(max));
            }
            "expiring" => file.expiring = number(value),
            "expiry" => {
                let (min, max) = value.split_once('-').unwrap();
                (file.min_expiry, file.max_expiry) = (number(min), number(max));
            }
            _ => panic!("{key}?"),
        }
    }
    (level, Arc::new(file))
}

fn tree(lines: &str) -> Version {
    let added = lines.lines().map(table).collect();
    let edit = VersionEdit { added, ..VersionEdit::default() };
    Version::default().apply(&edit).unwrap()
}

fn moment<'a>(words: impl Iterator<Item = &'a str>) -> Context {
    let mut context = context();
    for (key, value) in settings(words) {
        match key {
            "oldest" => context.oldest_snapshot = number(value),
            "now" => context.now_ms = number(value),
            "pressure" => context.pressure = true,
            "idle" => context.idle = true,
            _ => panic!("{key}?"),
        }
    }
    context
}

fn ids(files: &[Arc<FileMeta>]) -> String {
    files.iter().map(|file| file.number.to_string()).collect::<Vec<_>>().join(" ")
}

fn describe(compaction: Option<&Compaction>) -> String {
    let Some(chosen) = compaction else { return "nothing\n".into() };
    let mut out = format!("{:?} {:?}", chosen.kind, chosen.reason);
    for (level, files) in &chosen.inputs {
        write!(out, ", {level}: {}", ids(files)).unwrap();
    }
    write!(out, " -> {}", chosen.output_level).unwrap();
    if !chosen.grandparents.is_empty() {
        write!(out, ", over {}", ids(&chosen.grandparents)).unwrap();
    }
    if chosen.bottommost() {
        out.push_str(", bottommost");
    }
    out + "\n"
}

impl World {
    fn answer(&mut self, command: &str, lines: &str) -> String {
        let mut words = command.split_whitespace();
        match words.next().unwrap() {
            "tables" => {
                *self = World { version: tree(lines), policy: policy(), busy: Busy::default() };
                String::new()
            }
            "policy" => {
                for (key, value) in settings(words) {
                    match key {
                        "base" => self.policy.base_target = number(value) * MIB,
                        "codec" => self.policy.bottom_codec = number(value) as u8,
                        _ => panic!("{key}?"),
                    }
                }
                String::new()
            }
            "busy" => {
                self.busy.set_aside(words.map(number));
                String::new()
            }
            "writes" => {
                let level = number(words.next().unwrap()) as usize;
                self.busy.reserve_range(level, span(words.next().unwrap()));
                String::new()
            }
            "targets" => self.targets(),
            "runs" => {
                level0_runs(&self.version).iter().map(|run| format!("{}\n", ids(run))).collect()
            }
            "fills" => self.fills(words),
            "flush" => words
                .map(|word| {
                    let level = flush_level(&self.version, &span(word), &self.busy);
                    format!("{word} -> {level}\n")
                })
                .collect(),
            "pick" => {
                let chosen = pick(&self.version, &self.policy, &self.busy, &moment(words));
                describe(chosen.as_ref())
            }
            "below" => {
                let chosen = pick(&self.version, &self.policy, &self.busy, &context());
                let chosen = chosen.unwrap();
                let mut below = chosen.below();
                let held: Vec<_> = words.filter(|key| below.may_hold(key.as_bytes())).collect();
                format!("{}\n", held.join(" "))
            }
            "cut" => self.cut(number(words.next().unwrap()) as usize, lines),
            other => panic!("{other}?"),
        }
    }

    fn targets(&self) -> String {
        let targets = targets(&self.version, &self.policy);
        let sizes = targets.bytes.iter().enumerate().filter(|(_, bytes)| **bytes > 0);
        let sizes: Vec<_> =
            sizes.map(|(level, b)| format!("level {level} {} MiB", b / MIB)).collect();
        format!("base {}: {}\n", targets.base, sizes.join(", ")).replace(": \n", "\n")
    }

    fn fills<'a>(&self, words: impl Iterator<Item = &'a str>) -> String {
        let targets = targets(&self.version, &self.policy);
        let pressure = moment(words).pressure;
        let fills = fills(&self.version, &self.policy, &self.busy, &targets, pressure);
        let shown: Vec<_> = fills.iter().map(|fill| format!("{fill:.2}")).collect();
        format!("{}; urgent {:?}\n", shown.join(" "), urgent(&fills, &targets))
    }

    /// Lines of `key bytes`: what is added to the current table before each key.
    fn cut(&self, level: usize, lines: &str) -> String {
        let mut cutter = Cutter::new(self.version.level(level), self.policy.table_size);
        let (mut size, mut out) = (0, String::new());
        for line in lines.lines() {
            let (key, more) = line.split_once(' ').unwrap();
            if cutter.cut_before(key.as_bytes(), size) {
                writeln!(out, "before {key} at {} MiB", size / MIB).unwrap();
                size = 0;
            }
            size += number(more) * MIB;
        }
        out
    }
}

#[expect(clippy::disallowed_methods, reason = "rewrites the expectations on demand")]
fn check(path: &str, text: &str) {
    let mut world = World { version: Version::default(), policy: policy(), busy: Busy::default() };
    let mut seen = String::new();
    for case in text.split("\n\n") {
        let comments = case.lines().take_while(|line| line.starts_with('#')).count();
        let (head, body) = {
            let mut lines = case.lines();
            let head: Vec<_> = lines.by_ref().take(comments).collect();
            (head, lines.collect::<Vec<_>>().join("\n"))
        };
        let question = body.split("\n----").next().unwrap();
        let (command, lines) = question.split_once('\n').unwrap_or((question, ""));
        for line in head {
            writeln!(seen, "{line}").unwrap();
        }
        if command.is_empty() {
            seen.push('\n');
            continue;
        }
        let answer = world.answer(command, lines);
        writeln!(seen, "{}", question.trim_end()).unwrap();
        if !answer.is_empty() {
            write!(seen, "----\n{answer}").unwrap();
        }
        seen.push('\n');
    }
    let seen = format!("{}\n", seen.trim_end());
    if std::env::var_os("REWRITE").is_some() {
        let file = format!("{}/src/compaction/tests/data/{path}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(file, &seen).unwrap();
    } else {
        assert_eq!(seen, text, "{path}");
    }
}

#[test]
fn targets_and_fills() {
    check("targets.txt", include_str!("data/targets.txt"));
}

#[test]
fn a_flush_goes_as_deep_as_it_can() {
    check("flush.txt", include_str!("data/flush.txt"));
}

#[test]
fn level_0() {
    check("level0.txt", include_str!("data/level0.txt"));
}

#[test]
fn levels() {
    check("levels.txt", include_str!("data/levels.txt"));
}

#[test]
fn garbage() {
    check("garbage.txt", include_str!("data/garbage.txt"));
}

#[test]
fn cuts() {
    check("cuts.txt", include_str!("data/cuts.txt"));
}
