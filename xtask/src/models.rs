//! `cargo xtask models`: the locks, hand-offs and publications under checkers that choose which
//! thread goes on. Each set of models must pass, and must fail with a known race put back.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// One set of models.
struct Models {
    name: &'static str,
    checker: &'static str,
    tests: &'static [&'static str],
    /// Numbers of `kv_vfs::testing::bug`, each of which makes a model of the set fail, and which.
    races: &'static [(u8, &'static str)],
}

const ALL: [Models; 4] = [
    Models {
        name: "the skiplist",
        checker: "loom",
        tests: &["-p", "kv-memtable", "--test", "loom"],
        races: &[],
    },
    Models {
        name: "the log",
        checker: "loom",
        tests: &["-p", "kv-wal", "--test", "loom"],
        races: &[(7, "a_failed_sync_is_heard")],
    },
    Models {
        name: "publication",
        checker: "loom",
        tests: &["-p", "kv-engine", "--lib"],
        races: &[(101, "publish::model"), (102, "publish::model")],
    },
    Models {
        name: "the engine",
        checker: "shuttle",
        tests: &["-p", "kv-engine", "--test", "shuttle"],
        races: &[
            (29, "no_table_goes_under_a_reader"),
            (102, "nothing_is_seen_before_an_older_write"),
            (103, "a_put_on_its_way_when_a_transaction_begins_is_not_missed"),
        ],
    },
];

/// Schedules of each scenario of the engine, in the short form.
const SCHEDULES: &str = "20";

/// `--schedules N`: how many each scenario of the engine runs.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<bool> {
    let schedules = match arguments {
        [_] => SCHEDULES,
        [_, option, schedules] if option == "--schedules" => schedules,
        _ => bail!("usage: cargo xtask models [--schedules N]"),
    };
    let mut passed = true;
    for models in &ALL {
        let begun = Instant::now();
        // Where the build breaks, a race would seem to be found.
        let filter = if models.name == "publication" { "publish::model" } else { "" };
        let sound = models.test(root, 0, filter, schedules)?;
        passed &= sound;
        tell(models.name, "", sound, begun);
        for (race, test) in models.races.iter().filter(|_| sound) {
            let begun = Instant::now();
            let found = !models.test(root, *race, test, schedules)?;
            passed &= found;
            tell(models.name, &format!(" finds race {race}"), found, begun);
        }
    }
    Ok(passed)
}

fn tell(name: &str, what: &str, good: bool, begun: Instant) {
    let verdict = if good { "passed" } else { "FAILED" };
    println!("models: {name}{what}: {verdict}, {:.0} s", begun.elapsed().as_secs_f64());
}

impl Models {
    /// Runs those tests whose names contain `filter`; answers whether they passed.
    fn test(&self, root: &Path, race: u8, filter: &str, schedules: &str) -> Result<bool> {
        let flags = format!(r#"build.rustflags=["--cfg","{}","--cfg","kv_harness"]"#, self.checker);
        let mut command = Command::new("cargo");
        command
            .args(["test", "--quiet", "--profile", "crashtest", "--config", &flags, "--target-dir"])
            .arg(root.join("target").join(self.checker))
            .args(self.tests)
            .args(["--", filter])
            .env("KV_PLANTED", race.to_string())
            .env("KV_SCHEDULES", schedules)
            // Flags in the environment would hide the checker's.
            .env_remove("RUSTFLAGS")
            .current_dir(root);
        if race > 0 {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        Ok(command.status().context("cannot start cargo")?.success())
    }
}
