//! A damaged store is told by `verify`, and never by a wrong answer.

use crate::Kv;
use std::path::PathBuf;

fn damaged() -> (Kv, PathBuf) {
    let kv = Kv::new();
    let input: String = (0..2000).map(|n| format!("key{n:05}\tvalue {n}\n")).collect();
    kv.run_with_input(&["load"], input.as_bytes()).ok();
    kv.ok(&["compact"]);
    let files = std::fs::read_dir(kv.store()).unwrap().map(|entry| entry.unwrap().path());
    let table = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&table).unwrap();
    bytes[100] ^= 0xFF;
    std::fs::write(&table, bytes).unwrap();
    (kv, table)
}

#[test]
fn verify_lists_the_file_and_exits_with_3() {
    let (kv, table) = damaged();
    let name = table.file_name().unwrap().to_str().unwrap();
    let ran = kv.run(&["verify"]);
    let report = String::from_utf8(ran.out.clone()).unwrap();
    assert!(report.contains(name), "{report}");
    ran.fails(3, "damaged");

    let ran = kv.run(&["verify", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&ran.out).unwrap();
    assert_eq!(report["ok"], false);
    assert!(report["damage"][0].as_str().unwrap().contains(name), "{report}");
    ran.fails(3, "damaged");
}

#[test]
fn reading_damage_is_an_error_and_not_a_missing_key() {
    let (kv, table) = damaged();
    let name = table.file_name().unwrap().to_str().unwrap();
    kv.run(&["get", "key00000"]).fails(3, name);
    kv.run(&["dump"]).fails(3, name);
    kv.run(&["count"]).fails(3, name);
}
