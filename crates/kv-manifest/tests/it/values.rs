//! A value file is there as long as a table refers to it, and what is alive in it is what the
//! tables say.

use crate::support::{dir, disk, shared};
use bytes::Bytes;
use kv_manifest::{FileMeta, Manifest, State, ValueMeta, ValueRef, VersionEdit};
use std::sync::Arc;

fn table(number: u64, key: &'static str, values: &[(u64, u64)]) -> (usize, Arc<FileMeta>) {
    let values = values.iter().map(|&(file, bytes)| ValueRef { file, bytes }).collect();
    let (smallest, largest) = (Bytes::from_static(key.as_bytes()), Bytes::from(key));
    let meta = FileMeta {
        number,
        size: 100,
        entries: 1,
        smallest,
        largest,
        min_seq: number,
        max_seq: number,
        values,
        ..FileMeta::default()
    };
    (6, Arc::new(meta))
}

fn values(number: u64, bytes: u64) -> ValueMeta {
    ValueMeta { number, size: bytes + 48, records: 1, bytes, checksum: 1 }
}

fn add(
    tables: Vec<(usize, Arc<FileMeta>)>,
    values_added: Vec<ValueMeta>,
    deleted: Vec<(usize, u64)>,
) -> VersionEdit {
    VersionEdit { added: tables, values_added, deleted, ..VersionEdit::default() }
}

fn live(state: &State) -> Vec<(u64, u64, u64)> {
    let files = state.version.values().iter();
    files.map(|file| (file.meta.number, file.live, file.dead())).collect()
}

#[test]
fn a_value_file_lives_as_long_as_a_table_refers_to_it() {
    let first = add(
        vec![table(1, "a", &[(2, 60)]), table(3, "b", &[(2, 40), (4, 10)])],
        vec![values(2, 100), values(4, 10)],
        Vec::new(),
    );
    let state = State::new(1).apply(&first).unwrap();
    assert_eq!(live(&state), [(2, 100, 0), (4, 10, 0)]);
    let state = state.apply(&add(Vec::new(), Vec::new(), vec![(6, 3)])).unwrap();
    assert_eq!(live(&state), [(2, 60, 40)]);
    let moved = add(vec![table(5, "a", &[(6, 60)])], vec![values(6, 60)], vec![(6, 1)]);
    let state = state.apply(&moved).unwrap();
    assert_eq!(live(&state), [(6, 60, 0)]);
    assert_eq!((state.version.value_size(), state.next_file), (108, 7));
    assert_eq!(state.version.numbers().collect::<Vec<_>>(), [5, 6]);
}

#[test]
fn references_that_cannot_be_true_are_refused() {
    let broken = |tables, files| {
        let edit = add(tables, files, Vec::new());
        State::new(1).apply(&edit).unwrap_err().invariant
    };
    let nowhere = broken(vec![table(1, "a", &[(2, 60)])], Vec::new());
    assert_eq!(nowhere, "value-file-known");
    let more = broken(vec![table(1, "a", &[(2, 101)])], vec![values(2, 100)]);
    assert_eq!(more, "value-bytes-agree");
    let both = vec![table(1, "a", &[(2, 60)]), table(3, "b", &[(2, 60)])];
    assert_eq!(broken(both, vec![values(2, 100)]), "value-bytes-agree");
    let unordered =
        broken(vec![table(1, "a", &[(4, 1), (2, 1)])], vec![values(2, 9), values(4, 9)]);
    assert_eq!(unordered, "value-refs-ordered");
    let empty = broken(vec![table(1, "a", &[(2, 0)])], vec![values(2, 9)]);
    assert_eq!(empty, "value-refs-ordered");
    let twice = broken(vec![table(1, "a", &[(2, 1)])], vec![values(2, 9), values(2, 9)]);
    assert_eq!(twice, "number-unique");
    let shared = broken(vec![table(2, "a", &[(2, 1)])], vec![values(2, 9)]);
    assert_eq!(shared, "number-unique");
}

#[test]
fn they_survive_a_replay_and_a_new_manifest() {
    let fs = shared(&disk());
    let mut manifest = Manifest::create(Arc::clone(&fs), dir(), State::new(1), 1).unwrap();
    let first = add(vec![table(2, "a", &[(3, 60)])], vec![values(3, 100)], Vec::new());
    manifest.apply(first).unwrap();
    manifest.apply(add(vec![table(4, "b", &[(3, 40)])], Vec::new(), Vec::new())).unwrap();
    manifest.apply(add(Vec::new(), Vec::new(), vec![(6, 2)])).unwrap();
    let read = Manifest::read(&*fs, dir()).unwrap().unwrap();
    assert_eq!(live(&read), [(3, 40, 60)]);
    assert_eq!(read.format_version, 1, "the snapshot held no value file");
    drop(manifest);
    Manifest::create(Arc::clone(&fs), dir(), read, 9).unwrap();
    let read = Manifest::read(&*fs, dir()).unwrap().unwrap();
    assert_eq!((live(&read), read.format_version), (vec![(3, 40, 60)], 2));
}
