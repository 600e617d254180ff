//! Verify reads every byte and finds what is wrong with it.

use crate::support::*;

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
