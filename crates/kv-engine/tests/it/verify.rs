//! Verify reads every byte and finds what is wrong with it.

use crate::support::*;
use kv_engine::{Compression, Db};
use kv_vfs::Fs;

#[test]
fn a_sound_store_is_ok() {
    every_setting(|w| {
        let db = w.open();
        assert!(db.verify().unwrap().is_ok());
        let mut model = Model::new();
        for version in 0..3 {
            fill(&db, &mut model, 200, version);
            db.delete_range(key(50)..key(80)).unwrap();
            db.flush().unwrap();
            let report = db.verify().unwrap();
            assert!(report.is_ok(), "{report}");
        }
        db.keyspace("space").unwrap().put("k", "v").unwrap();
        db.compact().unwrap();
        let report = db.verify().unwrap();
        assert!(report.is_ok(), "{report}");
        drop(db);
        let report = w.open().verify().unwrap();
        assert!(report.is_ok(), "{report}");
    });
}

#[test]
fn damage_in_any_part_of_a_table_is_listed_by_file_and_offset() {
    let w = World::new(SETTINGS[2]);
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, 300, 0);
    db.compact().unwrap();
    db.close().unwrap();
    let table = w.names(".sst").into_iter().next_back().unwrap();
    let len = w.files()[&table].len();
    for part in 0..40 {
        let at = len * part / 40;
        let copy = w.after_power_cut();
        copy.rewrite(&table, |bytes| bytes[at] ^= 0x10);
        // Damage in the footer may already stop the open.
        let Ok(db) = copy.try_open() else { continue };
        let report = db.verify().unwrap();
        assert!(!report.is_ok(), "byte {at} of {len} of {table} is damaged");
        let said = report.to_string();
        assert!(said.contains(&table), "names the file: {said}");
        assert!(said.chars().any(|c| c.is_ascii_digit()), "{said}");
    }
}

#[test]
fn every_damaged_file_is_listed() {
    let w = World::new(SETTINGS[10]);
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, 600, 0);
    db.compact().unwrap();
    db.close().unwrap();
    let tables = w.names(".sst");
    assert!(tables.len() > 3, "{tables:?}");
    let damaged = [&tables[0], &tables[2]];
    for table in damaged {
        w.rewrite(table, |bytes| bytes[10] ^= 1);
    }
    let db = w.open();
    let said = db.verify().unwrap().to_string();
    for table in &tables {
        assert_eq!(said.contains(table.as_str()), damaged.contains(&table), "{table}: {said}");
    }
}

#[test]
fn a_table_that_goes_missing_under_a_live_store_is_listed() {
    let w = World::tiny();
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, 100, 0);
    db.compact().unwrap();
    let table = w.names(".sst").into_iter().next().unwrap();
    w.remove(&table);
    if let Ok(report) = db.verify() {
        // An open table goes on working; then the report is about the file that is not there.
        assert!(report.is_ok() || report.to_string().contains(&table), "{report}");
    }
}

#[test]
fn the_whole_file_is_compared_with_the_checksum_in_the_manifest() {
    let w = World::new(SETTINGS[3]);
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, 100, 0);
    db.compact().unwrap();
    db.close().unwrap();
    let table = w.names(".sst").into_iter().next_back().unwrap();
    let len = w.files()[&table].len();
    for at in (0..len).step_by(131) {
        let copy = w.after_power_cut();
        copy.rewrite(&table, |bytes| bytes[at] ^= 1);
        let report = copy.open().verify().unwrap().to_string();
        assert!(report.contains("the whole file"), "byte {at}: {report}");
    }
}

/// What the free function says of a store, and whether it is sound.
fn by_directory(w: &World) -> (String, bool) {
    let report = kv_engine::verify(DIR, w.options()).unwrap();
    (report.to_string(), report.is_ok())
}

fn with_log() -> World {
    let w = World::new(SETTINGS[2]);
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, 100, 0);
    db.compact().unwrap();
    for i in 0..12 {
        db.put(key(i), value(i, 1)).unwrap();
    }
    let cut = w.after_power_cut();
    drop(db);
    cut
}

#[test]
fn a_store_that_does_not_open_is_verified_by_its_directory() {
    let w = with_log();
    assert!(by_directory(&w).1, "{}", by_directory(&w).0);
    let names = w.files();
    let manifest = names.keys().find(|name| name.starts_with("MANIFEST")).unwrap();
    let table = w.names(".sst").into_iter().next_back().unwrap();
    for lost in ["CURRENT", manifest.as_str()] {
        let copy = w.after_power_cut();
        copy.remove(lost);
        copy.rewrite(&table, |bytes| bytes[3] ^= 1);
        let (text, ok) = by_directory(&copy);
        assert!(!ok && text.contains(lost) && text.contains(&table), "{lost}: {text}");
    }
    let copy = w.after_power_cut();
    copy.rewrite(manifest, |bytes| bytes[40] ^= 1);
    let (text, ok) = by_directory(&copy);
    assert!(!ok && text.contains(&format!("{manifest} is damaged at offset 0")), "{text}");
}

#[test]
fn every_damaged_record_of_a_log_is_listed() {
    let w = with_log();
    let log = w.written_log();
    // The start record takes 60 bytes; each put here one record of about 100.
    w.rewrite(&log, |bytes| {
        bytes[100] ^= 1;
        bytes[500] ^= 1;
        bytes[800] ^= 1;
    });
    let (text, ok) = by_directory(&w);
    let places = text.lines().filter(|line| line.contains(&log) && line.contains("offset"));
    assert!(!ok && places.count() >= 3, "{text}");
}

#[test]
fn a_torn_tail_and_unknown_files_are_notes() {
    let w = with_log();
    let log = w.written_log();
    w.rewrite(&log, |bytes| {
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[end] ^= 1;
    });
    w.fs.create_new(&std::path::Path::new(DIR).join("notes.txt")).unwrap();
    let (text, ok) = by_directory(&w);
    assert!(ok, "{text}");
    assert!(text.contains("note: notes.txt") && text.contains("an interrupted write"), "{text}");
}

#[test]
fn the_active_log_of_an_open_store_is_read() {
    let w = World::plain();
    let db = w.open();
    for i in 0..20 {
        db.put(key(i), value(i, 0)).unwrap();
    }
    assert!(db.verify().unwrap().is_ok());
    let log = w.written_log();
    w.rewrite(&log, |bytes| bytes[150] ^= 1);
    let report = db.verify().unwrap();
    assert!(!report.is_ok() && report.to_string().contains(&log), "{report}");
}

#[test]
fn a_sound_table_of_another_store_is_found() {
    let table = |byte: u8| {
        let w = World::plain();
        let db = Db::open(DIR, w.options().compression(Compression::None)).unwrap();
        for i in 0..200 {
            db.put(key(i), [byte; 50]).unwrap();
        }
        db.flush().unwrap();
        db.close().unwrap();
        let name = w.names(".sst").pop().unwrap();
        (w, name)
    };
    let ((w, name), (other, same)) = (table(1), table(2));
    assert_eq!(name, same);
    let foreign = other.files().remove(&name).unwrap();
    w.rewrite(&name, |bytes| {
        assert_eq!(bytes.len(), foreign.len());
        bytes.copy_from_slice(&foreign);
    });
    let (text, ok) = by_directory(&w);
    assert!(!ok && text.contains(&name), "{text}");
}
