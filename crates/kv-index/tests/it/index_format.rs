//! `docs/format/indexes.md` says what is stored.

use crate::support::memory;
use kv_index::{Ordered, Row, Table, Tuple};

const DOC: &str = include_str!("../../../../docs/format/indexes.md");

/// The bytes of the worked example's blocks; each line is hex, two blanks, and its meaning.
fn examples() -> Vec<Vec<u8>> {
    let (_, example) = DOC.split_once("## Worked example").unwrap();
    let blocks = example.split("```").skip(1).step_by(2);
    let bytes = |block: &str| {
        let lines = block.lines().map(|line| line.split("  ").next().unwrap());
        let hex = lines.flat_map(str::split_whitespace);
        hex.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    };
    blocks.map(bytes).collect()
}

#[test]
fn the_worked_example_is_what_is_stored() {
    let db = memory();
    let by_email = Ordered::new("by_email", |row: Row<'_>, columns| {
        columns.push(std::str::from_utf8(row.value).ok()?);
        Some(())
    });
    let table = Table::builder("users").index(by_email.unique()).open(&db).unwrap();
    table.insert("7", "ada@x").unwrap();
    let [schema, key, value] = examples().try_into().unwrap();

    let catalog = db.keyspace("users#").unwrap();
    assert_eq!(catalog.get(Tuple::of("schema").as_bytes()).unwrap().unwrap(), schema);
    let hex: Vec<String> =
        Tuple::of("schema").as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(DOC.contains(&hex.join(" ")));
    let state = catalog.get(Tuple::of(("index", "by_email", 1)).as_bytes()).unwrap();
    assert_eq!(state.unwrap(), Tuple::of(1).into_bytes());
    let entries = db.keyspace("users#by_email#1").unwrap().iter();
    let entries: Vec<_> = entries.map(|pair| pair.unwrap()).collect();
    assert_eq!(entries, [(key.into(), value.into())]);
    assert_eq!(db.keyspaces().unwrap(), ["users", "users#", "users#by_email#1"]);
}
