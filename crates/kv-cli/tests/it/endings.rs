//! Exit codes, help, and readers that go away.

use crate::Kv;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

#[test]
fn wrong_usage_is_2() {
    let kv = Kv::new();
    let calls: [&[&str]; 9] = [
        &[],
        &["nonsense"],
        &["get"],
        &["get", "a", "b"],
        &["delete"],
        &["scan", "--limit", "many"],
        &["scan", "--prefix", "a", "--from", "b"],
        &["get", "k", "--raw", "--format", "hex"],
        &["dump", "--bogus"],
    ];
    for args in calls {
        let ran = kv.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{args:?}: {ran:?}");
    }
}

#[test]
fn help_and_version_are_answers() {
    let kv = Kv::new();
    assert!(kv.ok(&["--help"]).contains("Exit codes"));
    assert!(kv.ok(&["load", "--help"]).contains("kv load"));
    assert!(kv.ok(&["help", "set"]).contains("kv put"));
    assert!(kv.ok(&["--version"]).starts_with("kv "));
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let kv = Kv::new();
    let input: String = (0..50_000).map(|n| format!("key{n:05}\tvalue {n}\n")).collect();
    kv.run_with_input(&["load"], input.as_bytes()).ok();
    for command in ["scan", "dump"] {
        let mut child =
            kv.command(&[command]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert_eq!(first, "key00000\tvalue 0\n");
        // The pipe is closed here, with most of the output unwritten.
        let mut complaints = String::new();
        child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
        assert_eq!(complaints, "");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let kv = Kv::with(&[("k", "v")]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = kv.command(&["get", "k"]).stdout(full).output().unwrap();
    crate::Ran::new(output).fails(3, "cannot write the output");
}

#[test]
fn messages_hold_no_keys_and_no_values() {
    let kv = Kv::with(&[("secret-key", "secret-value")]);
    let missing = kv.run(&["get", "secret-other"]);
    assert!(!missing.err.contains("secret"), "{}", missing.err);
    let bad = kv.run_with_input(&["load"], b"secret line\n");
    assert!(!bad.err.contains("secret"), "{}", bad.err);
}
