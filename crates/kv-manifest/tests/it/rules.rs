//! Versions, edits and the rules that they keep, as text: `data/rules.txt`.
//!
//! A case is an edit (lines `add level number first-last [key=value]...` and
//! `delete level number`), `----`, and the tree behind it, or the rule that it breaks, in which
//! case the tree stays. `new` begins an empty tree. With `REWRITE=1` the answers are written into
//! the file, to be reviewed.

use bytes::Bytes;
use kv_core::KeyRange;
use kv_manifest::{FileMeta, LEVELS, State, VersionEdit};
use std::fmt::Write as _;
use std::sync::Arc;

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn table(mut words: std::str::SplitWhitespace<'_>) -> Arc<FileMeta> {
    let id = number(words.next().unwrap());
    let (first, last) = words.next().unwrap().split_once('-').unwrap();
    let mut file = FileMeta {
        number: id,
        size: 100,
        entries: 10,
        smallest: bytes(first),
        largest: bytes(last.trim_end_matches(')')),
        largest_exclusive: last.ends_with(')'),
        min_seq: id * 10,
        max_seq: id * 10 + 9,
        ..FileMeta::default()
    };
    for word in words {
        let (key, value) = word.split_once('=').unwrap();
        match key {
            "entries" => file.entries = number(value),
            "tombstones" => file.tombstones = number(value),
            "ranges" => file.range_tombstones = number(value),
            "expiring" => file.expiring = number(value),
            "seq" => {
                let (min, max) = value.split_once('-').unwrap();
                (file.min_seq, file.max_seq) = (number(min), number(max));
            }
            "visible" => {
                let (start, end) = value.split_once('-').unwrap();
                file.visible = Some(KeyRange { start: bytes(start), end: bytes(end) });
            }
            _ => panic!("{key}?"),
        }
    }
    Arc::new(file)
}

fn edit(lines: &str) -> VersionEdit {
    let mut edit = VersionEdit::default();
    for line in lines.lines() {
        let mut words = line.split_whitespace();
        let command = words.next().unwrap();
        let level = number(words.next().unwrap()) as usize;
        match command {
            "add" => edit.added.push((level, table(words))),
            "delete" => edit.deleted.push((level, number(words.next().unwrap()))),
            _ => panic!("{command}?"),
        }
    }
    edit
}

fn show(state: &State) -> String {
    let mut out = String::new();
    for level in 0..LEVELS {
        let files = state.version.level(level);
        if files.is_empty() {
            continue;
        }
        write!(out, "{level}:").unwrap();
        for file in files {
            let text = |key: &Bytes| String::from_utf8_lossy(key).into_owned();
            let end = if file.largest_exclusive { ")" } else { "" };
            write!(out, " {}[{}-{}{end}]", file.number, text(&file.smallest), text(&file.largest))
                .unwrap();
        }
        out.push('\n');
    }
    if out.is_empty() { "empty\n".into() } else { out }
}

#[test]
fn edits_keep_the_rules() {
    let text = include_str!("data/rules.txt");
    let mut state = State::new(0);
    let mut seen = String::new();
    for case in text.trim_end().split("\n\n") {
        let comments = case.lines().take_while(|line| line.starts_with('#')).count();
        let head: Vec<_> = case.lines().take(comments).collect();
        let body: Vec<_> = case.lines().skip(comments).collect();
        let lines: Vec<_> = body.iter().take_while(|line| **line != "----").copied().collect();
        let question = lines.join("\n");
        let answer = if question == "new" {
            state = State::new(0);
            show(&state)
        } else {
            match state.apply(&edit(&question)) {
                Ok(next) => {
                    next.check().unwrap();
                    state = next;
                    show(&state)
                }
                Err(broken) => format!("{broken}\n"),
            }
        };
        for line in head {
            writeln!(seen, "{line}").unwrap();
        }
        write!(seen, "{question}\n----\n{answer}\n").unwrap();
    }
    let seen = format!("{}\n", seen.trim_end());
    if std::env::var_os("REWRITE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/data/rules.txt");
        #[expect(clippy::disallowed_methods, reason = "rewrites the expectations on demand")]
        std::fs::write(path, seen).unwrap();
    } else {
        assert_eq!(seen, text);
    }
}

/// A tree under many edits, which replay in any grouping gives again.
#[test]
fn levels_that_an_edit_does_not_name_are_shared() {
    let state = State::new(0).apply(&edit("add 5 1 a-c\nadd 6 2 a-z")).unwrap();
    let next = state.apply(&edit("delete 5 1\nadd 4 3 a-b")).unwrap();
    assert!(Arc::ptr_eq(&state.version.level(6)[0], &next.version.level(6)[0]));
    assert_eq!(state.version.level(5).len(), 1, "the old version is as it was");
    assert!(next.version.level(5).is_empty());
}

#[test]
fn a_version_knows_its_sizes_and_tombstones() {
    let state = State::new(0).apply(&edit("add 5 1 a-c ranges=1\nadd 6 2 a-b\nadd 6 3 x-z"));
    let version = state.unwrap().version;
    assert_eq!((version.size(5), version.size(6), version.total_size()), (100, 200, 300));
    assert!(version.has_range_tombstones());
    assert_eq!(version.find(6, b"y").map(|file| file.number), Some(3));
    assert!(version.find(6, b"c").is_none() && version.find(99, b"c").is_none());
    assert!(version.level(LEVELS).is_empty());
}
