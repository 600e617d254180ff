//! `verify`, `repair` and `inspect` on a damaged store, through the program.

use crate::{Kv, Ran};
use std::path::{Path, PathBuf};

/// A store with tables and, because the program was not asked to flush, a closed log.
fn store() -> Kv {
    let kv = Kv::new();
    let input: String = (0..2000).map(|n| format!("key{n:05}\tvalue {n}\n")).collect();
    kv.run_with_input(&["load"], input.as_bytes()).ok();
    kv.ok(&["put", "--keyspace", "people", "ada", "1815"]);
    kv.ok(&["compact"]);
    kv
}

fn files(kv: &Kv, suffix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(kv.store()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.to_str().unwrap().ends_with(suffix)).collect();
    files.sort();
    files
}

fn manifest(kv: &Kv) -> PathBuf {
    let entries = std::fs::read_dir(kv.store()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_str().unwrap().contains("MANIFEST-")).max().unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0xFF;
    std::fs::write(path, bytes).unwrap();
}

fn largest_table(kv: &Kv) -> PathBuf {
    files(kv, ".sst").into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn repair(kv: &Kv, more: &[&str]) -> Ran {
    let old = kv.store().to_str().unwrap().to_owned();
    kv.run(&[&["repair", old.as_str(), "--into", "new"], more].concat())
}

#[test]
fn one_of_anything_is_one() {
    let kv = Kv::with(&[("a", "1")]);
    assert!(kv.ok(&["verify"]).starts_with("1 table and 0 logs, "));
    let told = repair(&kv, &[]).ok();
    assert!(told.starts_with("1 key kept, from 1 table and 0 logs, "), "{told}");
}

#[test]
fn a_file_of_another_kind_is_told_by_its_name() {
    let kv = store();
    let table = largest_table(&kv);
    let path = table.to_str().unwrap();
    for kind in ["wal", "manifest", "values"] {
        kv.run(&["inspect", kind, path]).fails(3, "by its name `kv inspect table` reads it");
    }
    let path = manifest(&kv);
    let path = path.to_str().unwrap();
    kv.run(&["inspect", "table", path]).fails(3, "by its name `kv inspect manifest` reads it");
    // Damage is damage.
    flip(&table, 100);
    kv.run(&["inspect", "table", table.to_str().unwrap(), "--entries"]).fails(3, "damaged");
}

#[test]
fn verify_speaks_of_a_store_that_does_not_open() {
    let kv = store();
    flip(&manifest(&kv), 45);
    kv.run(&["get", "key00000"]).fails(3, "MANIFEST");
    let ran = kv.run(&["verify"]);
    let text = String::from_utf8(ran.out.clone()).unwrap();
    assert!(text.contains(name(&manifest(&kv))) && text.contains("offset 0"), "{text}");
    assert!(text.contains("note: "), "{text}");
    ran.fails(3, "damaged");
    let json = kv.run(&["verify", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&json.out).unwrap();
    assert_eq!(report["ok"], false);
    assert!(report["notes"].is_array(), "{report}");
}

#[test]
fn verify_notes_a_file_that_is_none_of_the_stores() {
    let kv = store();
    std::fs::write(kv.store().join("notes.txt"), "mine").unwrap();
    assert!(kv.ok(&["verify"]).contains("note: notes.txt"));
    kv.run(&["--data-dir", "nowhere", "verify"]).fails(1, "no store");
}

#[test]
fn a_sound_store_is_copied_and_nothing_is_lost() {
    let kv = store();
    let ran = repair(&kv, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = String::from_utf8(ran.out).unwrap();
    assert!(text.contains("nothing is lost") && text.contains("2001 keys kept"), "{text}");
    assert_eq!(kv.ok(&["--data-dir", "new", "dump"]), kv.ok(&["dump"]));
    let ada = ["--data-dir", "new", "get", "--keyspace", "people", "ada"];
    assert_eq!(kv.ok(&ada), "1815\n");
}

#[test]
fn a_lost_manifest_costs_no_key() {
    let kv = store();
    std::fs::remove_file(manifest(&kv)).unwrap();
    std::fs::remove_file(kv.store().join("CURRENT")).unwrap();
    let ran = repair(&kv, &[]);
    assert_eq!(ran.code, 3, "it cannot know: {ran:?}");
    let text = String::from_utf8(ran.out).unwrap();
    assert!(text.contains("deleted keys may have returned"), "{text}");
    assert_eq!(kv.ok(&["--data-dir", "new", "count"]), "2000\n");
    assert!(kv.ok(&["--data-dir", "new", "verify"]).contains("no damage"));
}

#[test]
fn a_damaged_block_costs_its_keys_and_the_report_says_so() {
    let kv = store();
    let table = largest_table(&kv);
    flip(&table, 100);
    let before = std::fs::read(&table).unwrap();
    let ran = repair(&kv, &["--keys"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let text = String::from_utf8(ran.out).unwrap();
    assert!(text.contains(&format!("{}:", name(&table))), "{text}");
    assert!(text.contains("entries are lost") && text.contains("key0"), "{text}");
    let beside = std::fs::read_to_string(kv.dir.path().join("new.repair.txt")).unwrap();
    assert!(beside.contains("bytes 0 to ") && !beside.contains("key0"), "{beside}");
    let kept: usize = kv.ok(&["--data-dir", "new", "count"]).trim().parse().unwrap();
    assert!((1000..2000).contains(&kept), "{kept}");
    assert!(std::fs::read(&table).unwrap() == before, "the old store is as it was");
}

#[test]
fn repair_refuses_a_target_that_holds_anything() {
    let kv = store();
    std::fs::create_dir(kv.dir.path().join("new")).unwrap();
    std::fs::write(kv.dir.path().join("new/file"), "mine").unwrap();
    repair(&kv, &[]).fails(2, "not empty");
    let missing = kv.run(&["repair", "nowhere", "--into", "other"]);
    missing.fails(1, "no store");
}

#[test]
fn inspect_shows_each_kind_of_file() {
    let kv = store();
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let table = path(largest_table(&kv));
    let short = kv.ok(&["inspect", "table", &table]);
    assert!(short.contains("footer") && short.contains("entries 2000"), "{short}");
    assert!(!short.contains("data block,"), "{short}");
    let blocks = kv.ok(&["inspect", "table", &table, "--blocks"]);
    assert!(blocks.contains("0: data block") && !blocks.contains("seq 0 Put"), "{blocks}");
    let entries = kv.ok(&["inspect", "table", &table, "--entries"]);
    assert!(entries.contains("key00017") && !entries.contains("value 17"), "{entries}");
    assert!(kv.ok(&["inspect", "table", &table, "--values"]).contains("value 17"));

    let manifest = kv.ok(&["inspect", "manifest", &path(manifest(&kv))]);
    assert!(manifest.contains("snapshot") && manifest.contains("next_file"), "{manifest}");

    // The program leaves no log behind; one that is open has one.
    let db = kv_engine::Db::open(kv.store(), kv_engine::Options::default()).unwrap();
    db.put("late", "a value").unwrap();
    let log = path(files(&kv, ".log").pop().unwrap());
    let text = kv.ok(&["inspect", "wal", &log, "--blocks", "--entries"]);
    assert!(text.contains("start record") && text.contains("late\" 7 bytes"), "{text}");
    assert!(!text.contains("a value") && text.contains("synced "), "{text}");
    let lines = kv.ok(&["inspect", "wal", &log, "--json"]);
    assert!(lines.lines().all(|line| line.starts_with("{\"line\":")), "{lines}");
}

#[test]
fn inspect_goes_on_behind_damage() {
    let kv = store();
    let table = largest_table(&kv);
    flip(&table, 100);
    let end = std::fs::metadata(&table).unwrap().len() as usize;
    let ran = kv.run(&["inspect", "table", table.to_str().unwrap(), "--blocks"]);
    assert!(String::from_utf8(ran.out.clone()).unwrap().contains("damaged at offset 0"));
    ran.fails(3, "a part is damaged");
    flip(&table, end - 64);
    let ran = kv.run(&["inspect", "table", table.to_str().unwrap(), "--entries"]);
    let text = String::from_utf8(ran.out.clone()).unwrap();
    assert!(text.contains("found by their checksums") && text.contains("key01999"), "{text}");
    ran.fails(3, "parts are damaged");
    let manifest = manifest(&kv);
    flip(&manifest, 40);
    let ran = kv.run(&["inspect", "manifest", manifest.to_str().unwrap()]);
    assert!(String::from_utf8(ran.out.clone()).unwrap().contains("0: DAMAGED up to"));
    ran.fails(3, "damaged");
    kv.run(&["inspect", "wal", "nowhere.log"]).fails(1, "no such file");
}

/// The names and lengths of all that lies in the store.
fn listing(kv: &Kv) -> Vec<(PathBuf, u64)> {
    let entries = std::fs::read_dir(kv.store()).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<(PathBuf, u64)> =
        entries.map(|entry| (entry.path(), entry.metadata().unwrap().len())).collect();
    all.sort();
    all
}

#[test]
fn repair_finds_the_old_store_behind_links_and_dots() {
    let kv = store();
    let here = kv.dir.path();
    let old = kv.store().to_str().unwrap().to_owned();
    let name = kv.store().file_name().unwrap().to_str().unwrap().to_owned();
    std::fs::create_dir(here.join("other")).unwrap();
    std::os::unix::fs::symlink(kv.store(), here.join("link")).unwrap();
    std::os::unix::fs::symlink(here.join("other"), kv.store().join("out")).unwrap();
    let before = listing(&kv);
    for into in [format!("other/../{name}/new"), "link/new".to_owned(), "link".to_owned()] {
        kv.run(&["repair", &old, "--into", &into]).fails(2, "cannot lie in the old one");
    }
    kv.run(&["repair", &old, "--into", "none/../new"]).fails(2, "without `..`");
    // The new store lies elsewhere, and so does the report.
    let through = format!("{name}/out");
    assert_eq!(kv.run(&["repair", &old, "--into", &through]).code, 0);
    assert!(here.join("other.repair.txt").exists());
    assert!(listing(&kv) == before, "nothing in the old store has changed");
}

#[test]
fn a_report_overwrites_nothing() {
    let kv = store();
    std::fs::write(kv.dir.path().join("new.repair.txt"), "mine").unwrap();
    let text = String::from_utf8(repair(&kv, &[]).out).unwrap();
    assert!(text.contains("new.repair-2.txt"), "{text}");
    let read = |name: &str| std::fs::read_to_string(kv.dir.path().join(name)).unwrap();
    assert_eq!(read("new.repair.txt"), "mine");
    assert!(read("new.repair-2.txt").contains("nothing is lost"));
}
