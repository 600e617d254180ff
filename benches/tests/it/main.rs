//! The driver over an engine that is a map in memory, and that can lie: every lie is found.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod map;

use kv_benches::{Bench, Config, Row, Silent, Workload};
use map::{Lie, Map};
use std::path::Path;

fn config(dir: &Path) -> Config {
    Config { dir: dir.to_owned(), keys: 2000, value_len: 40, threads: 2, ..Config::default() }
}

fn run(lie: Option<Lie>, workloads: &[Workload]) -> Result<Vec<Row>, String> {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let engine = Map::new(lie);
    let mut bench = Bench::new(&engine, &config, &Silent).map_err(|e| format!("{e:#}"))?;
    let mut rows = Vec::new();
    for &workload in workloads {
        rows.extend(bench.run(workload).map_err(|e| format!("{e:#}"))?);
    }
    bench.finish().map_err(|e| format!("{e:#}"))?;
    Ok(rows)
}

#[track_caller]
fn is_found(lie: Lie, workloads: &[Workload], what: &str) {
    let error = run(Some(lie), workloads).map(|rows| rows.len()).unwrap_err();
    assert!(error.contains(what), "{error}");
}

#[test]
fn an_honest_engine_passes_every_workload() {
    // There is no process to kill here.
    let all = Workload::ALL.iter().copied().filter(|w| *w != Workload::OpenLog);
    let all: Vec<Workload> = all.collect();
    let rows = run(None, &all).unwrap();
    assert_eq!(rows.len(), all.len());
    assert!(rows.iter().all(|row| row.operations > 0));
}

#[test]
fn a_workload_that_needs_keys_has_them_loaded() {
    let rows = run(None, &[Workload::ReadRandom]).unwrap();
    assert_eq!((rows.len(), rows[0].entries, rows[0].user_written), (1, 2000, 0));
    let rows = run(None, &[Workload::DeleteRandom, Workload::YcsbC]).unwrap();
    assert_eq!(rows[1].entries, 2000);
}

#[test]
fn reads_of_deleted_keys_are_expected_to_find_nothing() {
    let workloads = [Workload::FillSeq, Workload::DeleteRandom, Workload::ReadRandom];
    let rows = run(None, &workloads).unwrap();
    assert!((800..1200).contains(&rows[2].entries), "{}", rows[2].entries);
    let again =
        [Workload::FillSeq, Workload::DeleteRange, Workload::Overwrite, Workload::ReadRandom];
    assert!(run(None, &again).is_ok());
}

#[test]
fn a_lost_put_is_found() {
    let something_else = "found something else than what was written";
    is_found(Lie::LosesPuts, &[Workload::FillSeq, Workload::ReadRandom], something_else);
    is_found(Lie::LosesPuts, &[Workload::FillRandom, Workload::ReadSeq], something_else);
    is_found(Lie::LosesPuts, &[Workload::FillBatch, Workload::ReadReverse], something_else);
}

#[test]
fn a_wrong_value_is_found() {
    is_found(Lie::MixesValues, &[Workload::FillSeq, Workload::ReadRandom], "values are wrong");
    is_found(Lie::MixesValues, &[Workload::FillSeq, Workload::SeekRandom], "values are wrong");
    is_found(Lie::MixesValues, &[Workload::FillSeq, Workload::YcsbE], "values are wrong");
}

#[test]
fn a_lost_delete_is_found() {
    is_found(Lie::ForgetsDeletes, &[Workload::FillSeq, Workload::DeleteRandom], "should be");
    is_found(Lie::ForgetsDeletes, &[Workload::FillSeq, Workload::DeleteRange], "should be");
}

#[test]
fn a_scan_that_ends_early_is_found() {
    let something_else = "found something else than what was written";
    is_found(Lie::CutsScans, &[Workload::FillSeq, Workload::ReadSeq], something_else);
    is_found(Lie::CutsScans, &[Workload::FillSeq, Workload::SeekRandom], something_else);
}

#[test]
fn a_key_from_nowhere_is_found() {
    let workloads = [Workload::FillSeq, Workload::ReadMissing];
    is_found(Lie::FindsAll, &workloads, "found something else than what was written");
}

#[test]
fn an_engine_that_fails_ends_the_run() {
    is_found(Lie::Fails, &[Workload::FillSeq], "the engine fails");
}

#[test]
fn a_log_cannot_be_left_without_a_process_to_kill() {
    let error = run(None, &[Workload::OpenLog]).map(|rows| rows.len()).unwrap_err();
    assert!(error.contains("needs a process"), "{error}");
}
