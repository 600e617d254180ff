//! A replayed trace leaves what the recorded program left, at every step of it.

use kv_vfs::{Fs, FsFileExt, MemFs, Mode, Note, Replayer, TraceFs, TraceOp};
use std::path::Path;
use std::sync::Arc;

fn path(name: &str) -> &Path {
    Path::new(name)
}

/// Writes to files that were renamed, replaced and removed while they were open.
fn program(fs: &dyn Fs) -> std::io::Result<()> {
    fs.create_dir(path("/d"))?;
    let a = fs.create_new(path("/d/a"))?;
    a.write_all_at(b"first", 0)?;
    a.allocate(100)?;
    if let Some(mut window) = a.window(40..90) {
        assert!(window.copy(b"copied", 50) && !window.copy(b"outside", 90));
    }
    fs.rename(path("/d/a"), path("/d/b"))?;
    let other = fs.create_new(path("/d/a"))?;
    other.write_all_at(b"another file of the old name", 0)?;
    a.write_all_at(b"second", 5)?;
    a.sync_data()?;
    fs.hard_link(path("/d/b"), path("/d/c"))?;
    fs.sync_dir(path("/d"))?;
    fs.remove(path("/d/b"))?;
    a.set_len(8)?;
    let again = fs.open(path("/d/c"), Mode::ReadWrite)?;
    again.write_all_at(b"third", 8)?;
    drop(fs.lock(path("/d/LOCK"))?);
    fs.create_dir(path("/d/e"))?;
    fs.remove_dir(path("/d/e"))?;
    fs.sync_dir(path("/"))
}

/// Names and contents below `/`.
fn contents(fs: &MemFs) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for dir in ["/", "/d"] {
        for entry in fs.list(path(dir)).unwrap_or_default() {
            let name = format!("{dir}/{}", entry.name);
            let mut bytes = Vec::new();
            if let Ok(file) = fs.open(path(&name), Mode::Read) {
                bytes = vec![0; file.len().unwrap() as usize];
                file.read_exact_at(&mut bytes, 0).unwrap();
            }
            found.push((name, bytes));
        }
    }
    found
}

#[test]
fn what_a_failed_sync_lost_is_lost_in_the_replay_too() {
    let traced = TraceFs::new(Arc::new(MemFs::new()));
    let file = traced.create_new(path("/a")).unwrap();
    traced.sync_dir(path("/")).unwrap();
    file.write_all_at(b"gone", 0).unwrap();
    file.lose_unsynced().unwrap();
    file.sync_data().unwrap();
    traced.create_new(path("/b")).unwrap();
    traced.lose_unsynced_names(path("/")).unwrap();
    traced.sync_dir(path("/")).unwrap();
    let mut replayer = Replayer::new(MemFs::new());
    for op in traced.trace() {
        replayer.apply(&op).unwrap();
    }
    assert_eq!(replayer.fs().metadata(path("/a")).unwrap().len, 4);
    assert!(replayer.fs().metadata(path("/b")).is_ok());
    let cut = replayer.fs().crash();
    let kept = contents(&cut);
    assert!(!kept.iter().any(|(name, bytes)| name == "//b" || bytes.as_slice() == b"gone"));
}

#[test]
fn a_replay_does_the_same_again() {
    let fs = MemFs::new();
    let traced = TraceFs::new(Arc::new(fs.clone()));
    program(&traced).unwrap();
    let mut replayer = Replayer::new(MemFs::new());
    for op in traced.trace() {
        replayer.apply(&op).unwrap();
    }
    assert_eq!(contents(replayer.fs()), contents(&fs));
    assert_eq!(contents(&replayer.fs().crash()), contents(&fs.crash()));
    assert_eq!(replayer.fs().pending(), fs.pending());
}

#[test]
fn every_prefix_can_be_cut() {
    let traced = TraceFs::new(Arc::new(MemFs::new()));
    program(&traced).unwrap();
    let trace = traced.trace();
    let mut replayer = Replayer::new(MemFs::new());
    let mut seen = std::collections::BTreeSet::new();
    for op in &trace {
        replayer.apply(op).unwrap();
        seen.insert(contents(&replayer.fs().crash()));
        seen.insert(contents(&replayer.fs().crash_with(&mut |_| true)));
    }
    assert!(seen.len() > 10, "{} states", seen.len());
}

#[test]
fn failed_calls_are_not_recorded_and_notes_keep_their_place() {
    let traced = TraceFs::new(Arc::new(MemFs::new()));
    traced.note(Note::Attempted, 0, 1);
    assert!(traced.open(path("/missing"), Mode::Read).is_err());
    assert!(traced.remove(path("/missing")).is_err());
    traced.create_new(path("/a")).unwrap();
    traced.note(Note::Durable, 0, 1);
    let trace = traced.trace();
    assert_eq!(trace.first(), Some(&TraceOp::Note(Note::Attempted, 0, 1)));
    assert_eq!(trace.get(1), Some(&TraceOp::Create("/a".into(), 1)));
    assert_eq!(trace.last(), Some(&TraceOp::Note(Note::Durable, 0, 1)));
    assert_eq!(trace.iter().filter(|op| op.changes()).count(), 1);
}
