//! What the report of a repair says is lost, and what it does not.

use super::{Case, NEW, case, small};
use crate::support::*;
use kv_engine::{Compression, Db};
use kv_vfs::{Fs, FsFileExt};
use std::path::Path;

#[test]
fn the_report_lies_beside_the_new_store_and_shows_no_key() {
    let case = case();
    let table = case.world.names(".sst").into_iter().next().unwrap();
    let (world, report) = case.repaired(|w| w.rewrite(&table, |bytes| bytes[40] ^= 1));
    let report = report.unwrap();
    let beside = &files(&*world.fs, Path::new("/parent"))["new.repair.txt"];
    let beside = String::from_utf8(beside.clone()).unwrap();
    assert_eq!(beside.trim_end(), report.to_string());
    assert!(beside.contains(&format!("{table}: ")), "{beside}");
    assert!(beside.contains("bytes 0 to "), "{beside}");
    assert!(!beside.contains("key0"), "{beside}");
    assert!(report.with_keys().contains("key0"), "{}", report.with_keys());
}

#[test]
fn a_damaged_end_of_the_last_log_may_have_cost_something() {
    let case = case();
    let log = case.world.written_log();
    let written = case.world.files()[&log].iter().rposition(|byte| *byte != 0).unwrap();
    let (world, report) = case.repaired(|w| w.rewrite(&log, |bytes| bytes[written] ^= 1));
    let report = report.unwrap();
    let text = report.to_string();
    assert!(case.differing(&world) > 0, "the last record is damaged: {text}");
    assert!(!report.is_complete() && text.contains("something may be lost"), "{text}");
    assert!(!text.contains("nothing is lost") && !text.contains("something is lost"), "{text}");
}

#[test]
fn a_log_made_ahead_of_need_testifies_for_nothing() {
    let case = case();
    let log = case.world.written_log();
    let written = case.world.files()[&log].iter().rposition(|byte| *byte != 0).unwrap();
    let (_, report) = case.repaired(|w| {
        w.rewrite(&log, |bytes| bytes[written] ^= 1);
        w.fs.create_new(&Path::new(DIR).join("900000.log")).unwrap();
    });
    let text = report.unwrap().to_string();
    assert!(text.contains("something may be lost"), "{text}");
}

#[test]
fn a_truncated_table_that_lost_entries_does_not_say_that_it_lost_none() {
    let case = case();
    for name in case.world.names(".sst") {
        let len = case.world.files()[&name].len();
        for lost_manifest in [false, true] {
            let (_, report) = case.repaired(|w| {
                w.rewrite(&name, |bytes| bytes.truncate(len / 3));
                if lost_manifest {
                    w.files()
                        .into_keys()
                        .filter(|n| n.starts_with("MANIFEST"))
                        .for_each(|n| w.remove(&n));
                }
            });
            let text = report.unwrap().to_string();
            let part = text.split(&format!("\n{name}:")).nth(1).unwrap();
            let part = part.split("\n0").next().unwrap();
            let untrue = part
                .lines()
                .find(|line| line.contains("no entry is lost by it") && line.contains("bytes "));
            assert_eq!(untrue, None, "{name}, a third of {len}: {text}");
        }
    }
}

/// A store with several logs that count.
fn with_logs() -> World {
    let world = World::new(("small logs", || small().write_buffer(1 << 20).wal_limit(1 << 20)));
    let db = world.open();
    let mut model = Model::new();
    for round in 0..3 {
        fill(&db, &mut model, 40, round);
        let held = db.snapshot();
        drop(held);
        db.sync().unwrap();
    }
    let cut = world.after_power_cut();
    drop(db);
    cut
}

#[test]
fn entries_before_the_first_record_of_the_logs_are_counted() {
    let world = with_logs();
    let logs = world.names(".log");
    let log = logs.iter().find(|name| world.files()[*name].len() > 1000).unwrap();
    // The first record behind the beginning: its payload begins 32 bytes behind its header.
    world.rewrite(log, |bytes| bytes[64 + 40] ^= 1);
    let report = kv_engine::repair(DIR, NEW, world.options()).unwrap();
    let text = report.to_string();
    assert!(text.contains(&format!("{log}: 1 entries are lost")), "{text}");
}

#[test]
fn what_lies_behind_the_named_length_of_a_log_is_no_loss() {
    let world = World::new(("small blocks", small));
    let db = world.open();
    let mut model = Model::new();
    fill(&db, &mut model, 10, 0);
    let before = world.after_power_cut();
    let log = before.written_log();
    // A flush begins the next log; the old one comes back, longer than it was.
    fill(&db, &mut model, 10, 1);
    let old = world.files()[&log].clone();
    drop(before);
    db.flush().unwrap();
    fill(&db, &mut model, 10, 2);
    db.sync().unwrap();
    let cut = world.after_power_cut();
    drop(db);
    let written = old.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for manifest in cut.files().into_keys().filter(|name| name.starts_with("MANIFEST")) {
        cut.remove(&manifest);
    }
    cut.files().contains_key(&log).then(|| cut.remove(&log));
    let file = cut.fs.create_new(&Path::new(DIR).join(&log)).unwrap();
    file.write_all_at(&old[..written], 0).unwrap();
    file.write_all_at(&[0xA5; 200], written as u64).unwrap();
    let report = kv_engine::repair(DIR, NEW, cut.options()).unwrap();
    let text = report.to_string();
    assert!(!text.contains(&format!("\n{log}")), "{text}");
    assert_same(&Db::open(NEW, cut.options()).unwrap(), &model);
}

#[test]
fn a_replaced_table_is_not_counted_as_read_and_its_entries_as_lost() {
    let case = case();
    // Sound, of the same number, and of another store.
    let (table, theirs) = loop {
        let other = Case::new(("other", || small().compression(Compression::None)));
        let other = other.world.files().into_iter();
        let mut tables = other.filter(|(name, _)| name.ends_with(".sst"));
        // A table of level 0 may be the same in both.
        let ours = case.world.files();
        let differs = |name: &str, bytes: &[u8]| ours.get(name).is_some_and(|our| our != bytes);
        if let Some(found) = tables.find(|(name, bytes)| differs(name, bytes)) {
            break found;
        }
    };
    let (_, sound) = case.repaired(|_| {});
    let count = |text: &str| {
        let from = text.split("from ").nth(1).unwrap();
        from.split(' ').next().unwrap().parse::<usize>().unwrap()
    };
    let sound = count(&sound.unwrap().to_string());
    let (_, report) = case.repaired(|w| w.rewrite(&table, |bytes| *bytes = theirs));
    let text = report.unwrap().to_string();
    assert!(text.contains("another table lies in the place"), "{text}");
    assert_eq!(count(&text), sound - 1, "{text}");
    assert!(text.contains(&format!("{table}: ")) && text.contains("entries are lost"), "{text}");
}
