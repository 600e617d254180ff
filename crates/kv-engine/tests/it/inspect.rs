//! Every file of a store can be read by people, whole or damaged.

use crate::support::*;
use kv_engine::{Inspect, inspect_manifest, inspect_table, inspect_wal};
use std::path::Path;

const DEEP: Inspect = Inspect { blocks: true, entries: true, values: true };

fn store() -> World {
    let w = World::new(SETTINGS[2]);
    let db = w.open();
    for i in 0..60 {
        db.put(key(i), value(i, 0)).unwrap();
    }
    db.compact().unwrap();
    db.put("in the log", "a value").unwrap();
    db.delete_range("x".."y").unwrap();
    db.sync().unwrap();
    w.after_power_cut()
}

/// A file as text, and how many damaged parts it has.
fn text_of(w: &World, name: &str, detail: Inspect) -> (String, u64) {
    let (path, options) = (Path::new(DIR).join(name), w.options());
    let mut text = String::new();
    let damaged = match name.rsplit('.').next() {
        Some("log") => inspect_wal(path, &options, detail, &mut text),
        Some("sst") => inspect_table(path, &options, detail, &mut text),
        _ => inspect_manifest(path, &options, &mut text),
    };
    (text, damaged.unwrap())
}

fn inspectable(w: &World) -> Vec<String> {
    let names = w.files().into_keys();
    names.filter(|name| name.contains('.') || name.starts_with("MANIFEST")).collect()
}

#[test]
fn sound_files_are_shown_without_damage() {
    let w = store();
    for name in inspectable(&w) {
        for detail in [Inspect::default(), DEEP] {
            let (text, damaged) = text_of(&w, &name, detail);
            assert_eq!(damaged, 0, "{name}: {text}");
            assert!(!text.contains("DAMAGED"), "{name}: {text}");
        }
    }
}

#[test]
fn values_are_shown_on_demand_only() {
    let w = store();
    let all = |detail: Inspect| -> String {
        inspectable(&w).iter().map(|name| text_of(&w, name, detail).0).collect()
    };
    assert!(all(DEEP).contains("in the log\" 7 bytes \"a value\""), "{}", all(DEEP));
    assert!(all(DEEP).contains("value 7 version 0"));
    let keys = all(Inspect { values: false, ..DEEP });
    assert!(keys.contains("in the log") && keys.contains("key000007"));
    assert!(!keys.contains("a value") && !keys.contains("version 0"));
}

#[test]
fn damage_is_shown_and_what_follows_too() {
    let w = store();
    for (name, bytes) in w.files() {
        if !inspectable(&w).contains(&name) {
            continue;
        }
        let written = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        for at in (0..written).step_by((written / 60).max(1)) {
            let copy = w.after_power_cut();
            copy.rewrite(&name, |bytes| bytes[at] ^= 0x21);
            let (text, damaged) = text_of(&copy, &name, DEEP);
            assert!(damaged > 0, "byte {at} of {name}: {text}");
            assert!(text.lines().count() > 3, "byte {at} of {name}: {text}");
        }
        for part in 0..8 {
            let copy = w.after_power_cut();
            copy.rewrite(&name, |bytes| bytes.truncate(written * part / 8));
            text_of(&copy, &name, DEEP);
        }
    }
}
