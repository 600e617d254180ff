//! Programs beside each other: a writer, and those who follow it; each may be killed, and harms nobody.

use crate::Kv;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// A program that answers lines.
struct Talk {
    child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
}

impl Talk {
    fn with(kv: &Kv, args: &[&str]) -> Talk {
        let mut command = kv.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap()).lines();
        Talk { to: child.stdin.take().unwrap(), from, child }
    }

    fn says(&mut self, line: &str) {
        writeln!(self.to, "{line}").unwrap();
    }

    fn hears(&mut self) -> String {
        self.from.next().unwrap().unwrap()
    }

    /// Kills it, and takes what it said before and nobody heard.
    fn killed(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.from.map(|line| line.unwrap()).collect()
    }

    fn ends(mut self) -> Option<i32> {
        drop(self.to);
        self.child.wait().unwrap().code()
    }
}

/// The writer goes on, and what is taken up again has no hole.
#[test]
fn a_follower_that_is_killed_harms_nobody() {
    let kv = Kv::with(&[("first", "0")]);
    assert_eq!(kv.ok(&["changes", "--consumer", "copy"]), "");
    let mut writer = Talk::with(&kv, &["shell"]);
    let done = AtomicBool::new(false);
    let mut seen = BTreeSet::new();
    let written = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut written = 0;
            while !done.load(Ordering::Relaxed) {
                writer.says(&format!("put key{written:06} x"));
                writer.says(&format!("get key{written:06}"));
                assert_eq!(writer.hears(), "x");
                written += 1;
            }
            written
        });
        for round in 0..6 {
            let args = ["changes", "--follow", "--consumer", "copy"];
            let mut follower = Talk::with(&kv, &args);
            let mut reader = Talk::with(&kv, &["shell", "--read-only"]);
            let mut last = None;
            for _ in 0..20 + 10 * round {
                let line = follower.hears();
                let key = line.split('\t').nth(3).unwrap().to_owned();
                assert!(last.as_ref().is_none_or(|last| *last < key), "{line}");
                reader.says(&format!("get {key}"));
                assert_eq!(reader.hears(), "x");
                seen.insert(key.clone());
                last = Some(key);
            }
            // The last line may be cut; then it was not said.
            let rest = follower.killed().into_iter().filter(|line| line.ends_with("\tx"));
            seen.extend(rest.map(|line| line.split('\t').nth(3).unwrap().to_owned()));
            reader.killed();
        }
        done.store(true, Ordering::Relaxed);
        writing.join().unwrap()
    });
    assert_eq!(writer.ends(), Some(0));
    let rest = kv.ok(&["changes", "--consumer", "copy"]);
    seen.extend(rest.lines().map(|line| line.split('\t').nth(3).unwrap().to_owned()));
    let all = (0..written).map(|n| format!("key{n:06}"));
    assert!(seen.into_iter().eq(all), "something was passed over");
    assert_eq!(kv.ok(&["count"]), format!("{}\n", written + 1));
    assert!(kv.ok(&["verify"]).contains("no damage"));
}

/// A follower goes on, and never sees a half of what was written at once, or less than before.
#[test]
fn a_writer_that_is_killed_leaves_its_followers_whole() {
    let kv = Kv::with(&[("first", "0")]);
    let mut reader = Talk::with(&kv, &["shell", "--read-only"]);
    let args = ["changes", "--follow", "--consumer", "copy"];
    let mut changes = Talk::with(&kv, &args);
    while !kv.store().join("consumers/copy").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut next = 1;
    let mut told = 0;
    for round in 0..6 {
        let mut writer = Talk::with(&kv, &["shell"]);
        let acknowledged = next + 10 * round;
        for n in next..acknowledged {
            writer.says(&format!("begin\nput a {n}\nput b {n}\ncommit\nget b"));
            assert_eq!(writer.hears(), n.to_string());
        }
        // Killed in the middle of what nobody waits for.
        for n in acknowledged..acknowledged + 5 {
            writer.says(&format!("begin\nput a {n}\nput b {n}\ncommit"));
        }
        writer.killed();
        reader.says("scan --to c\nget first");
        let lines: Vec<String> =
            std::iter::from_fn(|| Some(reader.hears()).filter(|line| line != "0")).collect();
        let found = match lines.as_slice() {
            [] => 0,
            [a, b] => {
                let n = a.strip_prefix("a\t").unwrap();
                assert_eq!(b.strip_prefix("b\t"), Some(n));
                n.parse().unwrap()
            }
            other => panic!("{other:?}"),
        };
        assert!((acknowledged - 1..acknowledged + 5).contains(&found), "{found}");
        // Each change once, in order, whole.
        while told < found {
            told += 1;
            for key in ["a", "b"] {
                let line = changes.hears();
                assert!(line.ends_with(&format!("\tput\t\t{key}\t{told}")), "{told}: {line}");
            }
        }
        next = found + 1;
    }
    changes.killed();
    assert_eq!(reader.ends(), Some(0));
    assert_eq!(kv.ok(&["get", "b"]), format!("{}\n", next - 1));
    assert!(kv.ok(&["verify"]).contains("no damage"));
}

/// Every piece of a load is told once its records are there.
#[test]
fn changes_are_followed_beside_a_load() {
    let kv = Kv::with(&[("first", "0")]);
    let mut changes = Talk::with(&kv, &["changes", "--follow", "--consumer", "copy"]);
    while !kv.store().join("consumers/copy").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let line = |n: u64| format!("key{:06}\t{}\n", n * 7919 % 130_000, "y".repeat(1000));
    let file = kv.file("in.tsv", (0..130_000).map(line).collect::<String>().as_bytes());
    let load = kv.command(&["load", &file]).stdout(Stdio::piped()).spawn().unwrap();
    let mut ranges = Vec::new();
    while ranges.len() < 2 {
        let line = changes.hears();
        let parts: Vec<&str> = line.split('\t').collect();
        let [_, "ingest", "", first, last] = parts.as_slice() else { panic!("{line}") };
        for key in [first, last] {
            assert_eq!(kv.ok(&["get", key]).len(), 1001);
        }
        ranges.push((first.to_string(), last.to_string()));
    }
    let said = load.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "130000 records loaded\n");
    changes.killed();
    let rest = kv.ok(&["changes", "--consumer", "copy"]);
    for line in rest.lines() {
        let mut keys = line.split('\t').skip(3).map(str::to_owned);
        ranges.push((keys.next().unwrap(), keys.next().unwrap()));
    }
    let pick = |side: fn(&(String, String)) -> &String| ranges.iter().map(side).cloned();
    assert_eq!(pick(|range| &range.0).min().as_deref(), Some("key000000"));
    assert_eq!(pick(|range| &range.1).max().as_deref(), Some("key129999"));
}
