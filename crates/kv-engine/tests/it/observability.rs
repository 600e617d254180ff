//! What the store tells about itself, for people and for machines.

use crate::support::*;
use std::collections::BTreeSet;

#[test]
fn stats_show_a_table_of_levels() {
    every_setting(|w| {
        let db = w.open();
        let empty = db.stats().to_string();
        assert!(!empty.trim().is_empty());
        let mut model = Model::new();
        fill(&db, &mut model, 300, 0);
        db.compact().unwrap();
        let shown = db.stats().to_string();
        assert!(shown.lines().count() > 3, "{shown}");
        assert!(shown.to_lowercase().contains("level"), "{shown}");
        assert_ne!(shown, empty);
    });
}

#[test]
fn prometheus_text_is_well_formed() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 300, 0);
        db.flush().unwrap();
        let text = db.stats().prometheus();
        assert!(text.ends_with('\n'));
        let mut typed = BTreeSet::new();
        let mut samples = BTreeSet::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["#", "HELP", name, help, ..] => {
                    assert!(is_name(name) && !help.is_empty(), "{line}")
                }
                ["#", "TYPE", name, kind] => {
                    assert!(["counter", "gauge", "histogram", "summary"].contains(kind), "{line}");
                    assert!(typed.insert((*name).to_owned()), "typed twice: {line}");
                }
                _ => {
                    let (sample, number) = line.rsplit_once(' ').unwrap();
                    assert!(number.parse::<f64>().is_ok(), "{line}");
                    let name = sample.split('{').next().unwrap();
                    assert!(is_name(name), "{line}");
                    assert!(!sample.contains('{') || sample.ends_with('}'), "{line}");
                    assert!(samples.insert(sample.to_owned()), "given twice: {line}");
                    let base = ["_bucket", "_sum", "_count"]
                        .iter()
                        .find_map(|end| name.strip_suffix(end).filter(|base| typed.contains(*base)))
                        .unwrap_or(name);
                    assert!(typed.contains(base), "no type before: {line}");
                }
            }
        }
        assert!(samples.len() > 10, "{text}");
    });
}

fn is_name(name: &str) -> bool {
    let first = name.chars().next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

#[test]
fn no_key_or_value_shows() {
    every_setting(|w| {
        let db = w.open();
        for i in 0..200 {
            db.put(format!("SECRET key {i}"), "SECRET value").unwrap();
        }
        db.compact().unwrap();
        let report = db.verify().unwrap();
        let stats = db.stats();
        let said = format!("{stats}{}{report}{report:?}", stats.prometheus());
        assert!(!said.contains("SECRET"), "{said}");
    });
}
