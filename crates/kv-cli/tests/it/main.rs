//! The program as its users meet it: arguments in, bytes and an exit code out.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod backups;
mod bench;
mod beside;
mod bytes_and_forms;
mod changes;
mod damage;
mod endings;
mod examples;
mod keys_and_values;
mod keyspaces;
mod load_and_dump;
mod maintenance;
mod pages;
mod places;
mod ranges;
mod repair;
mod shell;
mod terminal;
mod top;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A directory with room for a store, and the program that works on it.
struct Kv {
    dir: TempDir,
}

impl Kv {
    fn new() -> Kv {
        Kv { dir: tempfile::tempdir().unwrap() }
    }

    /// A store with these pairs.
    fn with(pairs: &[(&str, &str)]) -> Kv {
        let kv = Kv::new();
        for (key, value) in pairs {
            kv.ok(&["put", key, value]);
        }
        kv
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kv"));
        command.current_dir(self.dir.path()).env("KV_DATA_DIR", self.store()).args(args);
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::new(self.command(args).output().unwrap())
    }

    fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A program that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input);
        Ran::new(child.wait_with_output().unwrap())
    }

    /// What a call prints that must go well and have nothing to complain about.
    #[track_caller]
    fn ok(&self, args: &[&str]) -> String {
        self.run(args).ok()
    }

    fn file(&self, name: &str, contents: &[u8]) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// How a run ended.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: Vec<u8>,
    err: String,
}

impl Ran {
    fn new(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap(),
            out: output.stdout,
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn ok(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""));
        String::from_utf8(self.out).unwrap()
    }

    /// A run that must fail with this code and one line that says why.
    #[track_caller]
    fn fails(self, code: i32, why: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(why), "{:?} is not in {:?}", why, self.err);
        if code != 2 {
            assert_eq!(self.err.lines().count(), 1, "{}", self.err);
            assert!(self.err.starts_with("kv: "), "{}", self.err);
        }
    }
}
