//! What is left of a damaged manifest is told, and nothing that it does not say.

use crate::support::*;
use kv_manifest::{FileName, Manifest, State, dump, examine};
use kv_vfs::{Fs, FsFileExt, MemFs, Mode};
use std::sync::Arc;

/// A manifest with ten edits; every file that it names is there.
fn database() -> (MemFs, FileName) {
    let fs = disk();
    let mut manifest = Manifest::create(shared(&fs), dir(), State::new(DB_ID), 1).unwrap();
    for n in 1..=10 {
        manifest.apply(step(n)).unwrap();
        fs.create_new(&FileName::Table(100 + n).path(dir())).unwrap();
    }
    for log in &manifest.state().logs {
        fs.create_new(&FileName::Log(*log).path(dir())).unwrap();
    }
    (fs, FileName::Manifest(1))
}

#[test]
fn a_sound_manifest_is_known_whole() {
    let (fs, _) = database();
    let found = examine(&fs, dir()).unwrap();
    assert!(found.damage.is_empty() && found.gone.is_empty());
    assert_eq!(found.tables.len(), 10);
    assert_eq!(found.state.unwrap().last_seq, 10);
}

#[test]
fn without_current_the_newest_whole_manifest_counts() {
    let (fs, _) = database();
    fs.remove(&FileName::Current.path(dir())).unwrap();
    let found = examine(&fs, dir()).unwrap();
    assert_eq!(found.damage.len(), 1);
    assert_eq!((found.manifest, found.state.unwrap().last_seq), (Some(1), 10));
}

#[test]
fn a_damaged_byte_costs_one_record() {
    let (fs, name) = database();
    let bytes = bytes_of(&fs, name);
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    // The last record is a mark that nothing needs, and the edit before it could be torn.
    for at in (0..written - 200).step_by(7) {
        let mut bent = bytes.clone();
        bent[at] ^= 0x10;
        replace(&fs, name, &bent);
        let found = examine(&fs, dir()).unwrap();
        assert!(found.state.is_none() && !found.damage.is_empty(), "byte {at}");
        assert!(found.tables.len() >= 9, "byte {at}: {} tables", found.tables.len());
        let mut text = String::new();
        let file = fs.open(&name.path(dir()), Mode::Read).unwrap();
        assert_eq!(dump(file, &name.path(dir()), 1, &mut text).unwrap(), Ok(1), "{text}");
    }
}

#[test]
fn a_missing_table_and_an_old_one_cast_no_doubt_on_a_sound_manifest() {
    let fs = disk();
    let mut manifest = Manifest::create(shared(&fs), dir(), State::new(DB_ID), 50).unwrap();
    manifest.apply(step(1)).unwrap();
    for log in &manifest.state().logs {
        fs.create_new(&FileName::Log(*log).path(dir())).unwrap();
    }
    // Its only table is not there; this one was dead before the manifest was begun.
    fs.create_new(&FileName::Table(49).path(dir())).unwrap();
    let found = examine(&fs, dir()).unwrap();
    assert!(found.state.is_some() && found.damage.is_empty() && found.unknown.is_empty());
}

#[test]
fn a_manifest_that_lost_its_last_edits_is_doubted() {
    let (fs, name) = database();
    let bytes = bytes_of(&fs, name);
    let half = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 2;
    replace(&fs, name, &bytes[..half]);
    let found = examine(&fs, dir()).unwrap();
    assert!(found.state.is_some() && !found.unknown.is_empty(), "{:?}", found.damage);
    assert_eq!(found.damage.len(), 1);
    assert_eq!(found.tables.len() + found.unknown.len(), 10);
    let fs: Arc<dyn Fs> = shared(&fs);
    let mut first = [0; 1];
    fs.open(&name.path(dir()), Mode::Read).unwrap().read_exact_at(&mut first, 0).unwrap();
    assert_eq!(first[0], bytes[0], "nothing was changed");
}
