//! How the program is used in short: the directory by option, and from the environment.

use std::path::Path;
use std::process::{Command, Output};

/// The program in a directory of its own, without a setting from outside.
fn kv(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kv"));
    command.current_dir(dir).env_remove("KV_DATA_DIR");
    command
}

#[track_caller]
fn said(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn set_get_and_rm_with_data_dir() {
    let temp = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        kv(temp.path()).args(["--data-dir", "./new/store"]).args(args).output().unwrap()
    };
    assert_eq!(said(run(&["set", "apple", "red"])), "");
    assert!(temp.path().join("new/store").is_dir());
    assert_eq!(said(run(&["get", "apple"])), "red\n");
    assert_eq!(said(run(&["rm", "apple"])), "");
    let missing = run(&["get", "apple"]);
    assert_eq!((missing.status.code(), missing.stdout), (Some(1), Vec::new()));
}

#[test]
fn put_get_delete_and_compact_with_the_directory_from_the_environment() {
    let temp = tempfile::tempdir().unwrap();
    let store = temp.path().join("store");
    let run =
        |args: &[&str]| kv(temp.path()).env("KV_DATA_DIR", &store).args(args).output().unwrap();
    said(run(&["put", "apple", "red"]));
    said(run(&["put", "banana", "yellow"]));
    said(run(&["delete", "apple"]));
    said(run(&["compact"]));
    assert_eq!(said(run(&["get", "banana"])), "yellow\n");
    assert_eq!(run(&["get", "apple"]).status.code(), Some(1));
    assert_eq!(said(run(&["count"])), "1\n");
    assert!(!temp.path().join("data").exists(), "the default directory was used");
}
