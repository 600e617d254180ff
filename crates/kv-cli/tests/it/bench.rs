//! `bench`: every workload, small.

use crate::Kv;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

/// Runs a benchmark that must go well. It may warn of a machine that is not idle.
#[track_caller]
fn bench(kv: &Kv, args: &str) -> String {
    let ran = kv.run(&words(args));
    assert_eq!(ran.code, 0, "{args}: {}", ran.err);
    assert!(ran.err.lines().all(|line| line.starts_with("kv: warning: ")), "{}", ran.err);
    String::from_utf8(ran.out).unwrap()
}

/// Runs one that must fail with this code.
#[track_caller]
fn fails(kv: &Kv, args: &str, code: i32, why: &str) {
    let ran = kv.run(&words(args));
    assert_eq!(ran.code, code, "{args}: {}", ran.err);
    assert!(ran.err.contains(why), "{why:?} is not in {:?}", ran.err);
}

fn words(args: &str) -> Vec<&str> {
    ["bench"].into_iter().chain(args.split_whitespace()).collect()
}

#[test]
fn a_run_that_is_interrupted_leaves_nothing_behind() {
    use rustix::process::{Pid, Signal, kill_process};
    let kv = Kv::new();
    let temp = kv.dir.path().join("temp");
    std::fs::create_dir(&temp).unwrap();
    let entries = || std::fs::read_dir(&temp).unwrap().map(|entry| entry.unwrap().path());
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = kv.command(&words("fillrandom --keys 20m"));
        command.env("TMPDIR", &temp).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // The store is there, and is written.
        let log = |dir: &Path| dir.join("kv-bench-store").join("CURRENT").exists();
        while !entries().any(|dir| log(&dir)) {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(5));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(entries().count(), 0);
    }
}

#[track_caller]
fn rows(kv: &Kv, args: &str) -> Vec<Value> {
    let out = bench(kv, &format!("{args} --json"));
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["workload"].as_str().unwrap()).collect()
}

#[track_caller]
fn row<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    rows.iter().find(|row| row["workload"] == name).unwrap_or_else(|| panic!("{name}: {rows:?}"))
}

const SMALL: &str = "--keys 3000 --value-size 64 --cache 8m --log-size 200k";

#[test]
fn every_workload_runs_and_counts() {
    let kv = Kv::new();
    let all = "fillseq readseq readreverse readrandom readmissing seekrandom overwrite overwritewait \
               flush settle compact deleterandom readrandom readseq deleterange readreverse \
               fillbatch readseq fillsync fillrandom readwhilewriting ycsba ycsbb ycsbc ycsbd ycsbe \
               ycsbf transact0 transact10 transact90 open openlog";
    let rows = rows(&kv, &format!("{all} {SMALL} --seek-steps 10,100 --write-rate 1000"));
    let wanted = all.replace("seekrandom", "seekrandom/10 seekrandom/100");
    assert_eq!(names(&rows), wanted.split_whitespace().collect::<Vec<_>>());
    let operations = |name| row(&rows, name)["operations"].as_u64().unwrap();
    let entries = |name| row(&rows, name)["entries_read"].as_u64().unwrap();
    for name in [
        "fillseq",
        "fillrandom",
        "fillbatch",
        "overwrite",
        "readrandom",
        "ycsba",
        "ycsbf",
        "transact0",
        "transact90",
    ] {
        assert_eq!(operations(name), 3000, "{name}");
    }
    assert_eq!((operations("fillsync"), operations("overwritewait")), (3, 12_000));
    assert_eq!(
        (entries("readrandom"), entries("readmissing"), entries("readseq")),
        (3000, 0, 3000)
    );
    assert_eq!((operations("deleterandom"), operations("deleterange")), (1500, 3));
    assert_eq!((operations("seekrandom/100"), operations("open")), (30, 9));
    assert!(entries("seekrandom/10") > 2900 && entries("seekrandom/10") <= 3000);
    assert!(row(&rows, "readwhilewriting")["writes_beside"]["operations"].as_u64().unwrap() > 0);
    // After half of the keys were deleted, and after ranges of the rest.
    let scans: Vec<u64> = rows
        .iter()
        .filter(|row| row["workload"] == "readseq")
        .map(|row| row["entries_read"].as_u64().unwrap())
        .collect();
    assert_eq!(scans, [3000, 1500, 3000]);
    let log = row(&rows, "openlog")["entries_read"].as_u64().unwrap();
    assert_eq!(log, 3 * (200 * 1024 / 80 + 1));
}

#[test]
fn a_row_has_every_reading_that_the_system_offers() {
    let kv = Kv::new();
    let rows = rows(&kv, &format!("fillrandom readrandom {SMALL}"));
    let (fill, read) = (row(&rows, "fillrandom"), row(&rows, "readrandom"));
    assert_eq!((&fill["engine"], &fill["keys"]), (&Value::from("kv"), &Value::from(3000)));
    assert_eq!(fill["bytes_written"]["user"], 3000 * 80);
    assert!(fill["bytes_written"]["engine"].as_u64().unwrap() >= 3000 * 80);
    assert!(fill["write_amplification"]["engine"].as_f64().unwrap() >= 1.0);
    assert!(read["write_amplification"]["engine"].is_null());
    for row in [fill, read] {
        assert!(row["operations_per_second"].as_f64().unwrap() > 0.0);
        let times = &row["nanoseconds"];
        let time = |name: &str| times[name].as_u64().unwrap();
        assert!(time("p50") <= time("p99") && time("p99") <= time("p99.9"), "{times}");
        assert!(time("p99.9") <= time("longest"), "{times}");
        assert!(row["disk_bytes"].as_u64().unwrap() > 0);
        if cfg!(target_os = "linux") {
            assert!(row["cpu_seconds"]["user"].is_f64(), "{row}");
            assert!(row["bytes_written"]["process"].is_u64(), "{row}");
        }
    }
}

#[test]
fn two_runs_do_the_same_work() {
    let kv = Kv::new();
    let checksums = |args: &str| -> Vec<String> {
        let args =
            format!("fillrandom readrandom seekrandom readseq ycsbc --threads 2 {args} {SMALL}");
        rows(&kv, &args).iter().map(|row| row["checksum"].to_string()).collect()
    };
    let once = checksums("");
    assert_eq!(once, checksums(""));
    assert_eq!(once, checksums("--warm"));
    let other = checksums("--seed 2");
    assert_ne!(once[1], other[1]);
    assert_eq!(once[3], other[3]);
}

#[test]
fn people_get_a_table() {
    let kv = Kv::new();
    let table = bench(&kv, &format!("fillrandom readrandom {SMALL}"));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[0].starts_with("3000 keys of 16 bytes, values of 64 bytes, in "), "{table}");
    assert!(lines[1].starts_with("workload ") && lines[1].contains(" p99.9 "), "{table}");
    assert!(lines[2].starts_with("fillrandom ") && lines[3].starts_with("readrandom "), "{table}");
}

#[test]
fn a_store_is_used_again() {
    let kv = Kv::new();
    bench(&kv, &format!("fillrandom --dir b {SMALL}"));
    let rows = rows(&kv, &format!("readrandom --dir b --existing {SMALL} --out result.json"));
    assert_eq!(rows[0]["entries_read"], 3000);
    let file = std::fs::read_to_string(kv.dir.path().join("result.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&file).unwrap(), rows[0]);
    let more = "readrandom --dir b --existing --keys 4000 --value-size 64 --cache 8m";
    fails(&kv, more, 3, "found something else than what was written");
    fails(&kv, "readseq --dir none --existing", 3, "no store of an earlier run");
}

#[test]
fn a_temporary_store_leaves_nothing_behind() {
    let kv = Kv::new();
    let temp = kv.dir.path().join("temp");
    std::fs::create_dir(&temp).unwrap();
    let args = ["bench", "fillseq", "open", "--keys", "100"];
    let output = kv.command(&args).env("TMPDIR", &temp).output().unwrap();
    assert!(output.status.success());
    assert_eq!(std::fs::read_dir(&temp).unwrap().count(), 0);
}

#[test]
fn keys_with_long_prefixes_and_several_threads() {
    let kv = Kv::new();
    let args = "fillseq fillbatch readrandom readmissing seekrandom readseq ycsbd ycsbe deleterandom \
                readwhilewriting transact10 transact90 --threads 3 --key-shape prefix";
    let rows = rows(&kv, &format!("{args} {SMALL}"));
    assert_eq!(row(&rows, "readrandom")["key_bytes"], 60);
    assert_eq!(row(&rows, "readseq")["entries_read"], 3 * 3000);
}

#[test]
fn time_ends_a_workload() {
    let kv = Kv::new();
    let args = "fillrandom readrandom --keys 1m --cache 64m --seconds 0.2 --ops 1g";
    let rows = rows(&kv, args);
    let read = row(&rows, "readrandom");
    let operations = read["operations"].as_u64().unwrap();
    assert!(operations > 0 && operations < 1_000_000_000, "{operations}");
    assert!(read["seconds"].as_f64().unwrap() >= 0.2);
}

#[test]
fn what_cannot_be_run_is_wrong_usage() {
    let kv = Kv::new();
    fails(&kv, "fillslowly", 2, "fillslowly");
    fails(&kv, "--keys 0", 2, "there must be a key");
    fails(&kv, "--key-size 7", 2, "a key has 7 bytes");
    fails(&kv, "--existing", 2, "--dir");
    fails(&kv, "--cache much", 2, "--cache");
}
