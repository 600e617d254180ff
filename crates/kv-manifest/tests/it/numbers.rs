//! A file number is never given twice.

use crate::support::{dir, disk, open, shared, step, table};
use kv_manifest::{Manifest, State, VersionEdit};

#[test]
fn the_next_number_is_above_every_number_seen() {
    let fs = disk();
    let mut manifest = open(&shared(&fs)).unwrap();
    let mut highest = manifest.number();
    let edits = [
        VersionEdit { added: vec![(2, table(70))], ..VersionEdit::default() },
        VersionEdit { logs_added: vec![90], ..VersionEdit::default() },
        VersionEdit { deleted: vec![(2, 70)], ..VersionEdit::default() },
        VersionEdit { next_file: Some(500), ..VersionEdit::default() },
        VersionEdit { next_file: Some(3), ..VersionEdit::default() },
    ];
    for edit in edits {
        let named = edit.added.iter().map(|(_, file)| file.number);
        let named = named.chain(edit.logs_added.clone()).chain(edit.next_file.map(|n| n - 1));
        highest = named.fold(highest, u64::max);
        manifest.apply(edit).unwrap();
        let given = manifest.new_file_number();
        assert!(given > highest, "{given} was seen before {highest}");
        highest = given;
        // Also by whoever reads what is on disk now; what was only given, once an edit says so.
        let read = Manifest::read(&fs.crash(), dir()).unwrap().unwrap();
        assert!(read.next_file >= highest);
    }
    manifest.apply(VersionEdit::default()).unwrap();
    let reopened = open(&shared(&fs.crash())).unwrap();
    assert!(reopened.number() > highest && reopened.state().next_file > reopened.number());
}

#[test]
fn counters_never_go_back() {
    let state = State::new(1);
    let state = state.apply(&step(5)).unwrap();
    let back = VersionEdit {
        next_file: Some(1),
        last_seq: Some(1),
        log_floor: Some(1),
        ..VersionEdit::default()
    };
    let after = state.apply(&back).unwrap();
    assert_eq!(
        (after.next_file, after.last_seq, after.log_floor),
        (state.next_file, state.last_seq, state.log_floor)
    );
}

#[test]
fn logs_below_the_floor_are_forgotten() {
    let mut state = State::new(1);
    for log in [3, 5, 9] {
        let edit = VersionEdit { logs_added: vec![log], ..VersionEdit::default() };
        state = state.apply(&edit).unwrap();
    }
    let edit = VersionEdit { log_floor: Some(5), ..VersionEdit::default() };
    state = state.apply(&edit).unwrap();
    assert_eq!(state.logs.into_iter().collect::<Vec<_>>(), [5, 9]);
}

#[test]
fn the_last_number_is_not_passed() {
    let mut state = State::new(1);
    state.saw_number(u64::MAX);
    let edit = VersionEdit { added: vec![(0, table(u64::MAX))], ..VersionEdit::default() };
    assert_eq!(state.apply(&edit).unwrap_err().invariant, "number-below-next");
}
