//! Damage is found or harmless, and torn is not corrupt.

use crate::support::{
    DB_ID, bytes_of, describe, dir, disk, names, open, replace, shared, step, table,
};
use kv_manifest::{Error, FileName, Manifest, VersionEdit};
use kv_vfs::{Fs, MemFs};

/// A database with some edits, and what it holds.
fn database(edits: u64) -> (MemFs, FileName, String) {
    let fs = disk();
    let mut manifest = open(&shared(&fs)).unwrap();
    for n in 1..=edits {
        manifest.apply(step(n)).unwrap();
    }
    let name = FileName::Manifest(manifest.number());
    (fs, name, describe(manifest.state()))
}

/// Bytes of the records in front of the reserved zeros.
fn records(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
}

fn read(fs: &dyn Fs) -> Result<Option<String>, Error> {
    Manifest::read(fs, dir()).map(|state| state.as_ref().map(describe))
}

#[test]
fn every_flip_of_the_manifest_is_found_or_harmless() {
    for edits in [0, 2] {
        let (fs, name, whole) = database(edits);
        let bytes = bytes_of(&fs, name);
        let mut found = 0;
        for i in 0..records(&bytes) + 40 {
            for flip in [0xFF, 1 << (i % 8)] {
                let mut bent = bytes.clone();
                bent[i] ^= flip;
                replace(&fs, name, &bent);
                match read(&fs) {
                    Ok(state) => assert_eq!(state.as_ref(), Some(&whole), "byte {i}"),
                    Err(Error::Corrupt { path, .. }) => {
                        assert_eq!(path, name.path(dir()));
                        found += 1;
                    }
                    Err(other) => panic!("byte {i}: {other}"),
                }
            }
        }
        // All but the mark behind the last edit, which nothing vouches for.
        assert!(found >= 2 * (records(&bytes) - 33), "{found}");
    }
}

#[test]
fn every_flip_and_cut_of_current_is_found() {
    let (fs, _, whole) = database(1);
    let bytes = bytes_of(&fs, FileName::Current);
    assert_eq!(read(&fs).unwrap(), Some(whole));
    let bent = |i: usize, bit: usize| {
        let mut bent = bytes.clone();
        bent[i] ^= 1 << bit;
        bent
    };
    let flips = (0..bytes.len()).flat_map(|i| (0..8).map(move |bit| (i, bit)));
    let cuts = (0..bytes.len()).map(|n| bytes[..n].to_vec());
    let longer = [[&bytes[..], b"\n"].concat(), vec![0; 16], vec![b'x'; 100_000]];
    for bent in flips.map(|(i, bit)| bent(i, bit)).chain(cuts).chain(longer) {
        replace(&fs, FileName::Current, &bent);
        assert!(matches!(read(&fs), Err(Error::Corrupt { .. })), "{bent:?}");
    }
}

#[test]
fn a_torn_tail_is_an_edit_that_never_counted() {
    let (fs, name, _) = database(2);
    let bytes = bytes_of(&fs, name);
    let (one, _, two) = (database(1).2, (), database(2).2);
    let empty = database(0).2;
    let mut seen = Vec::new();
    for cut in 0..bytes.len() {
        replace(&fs, name, &bytes[..cut]);
        match read(&fs) {
            Ok(state) => {
                let state = state.unwrap();
                if seen.last() != Some(&state) {
                    seen.push(state);
                }
            }
            // Without its snapshot CURRENT would not name it.
            Err(Error::Corrupt { .. }) => assert!(seen.is_empty(), "cut at {cut}"),
            Err(other) => panic!("cut at {cut}: {other}"),
        }
    }
    assert_eq!(seen, [empty, one, two]);
}

#[test]
fn damage_before_a_later_record_is_corruption() {
    let (fs, name, _) = database(3);
    let mut bytes = bytes_of(&fs, name);
    // A page of zeros, as a lost write leaves it.
    let half = records(&bytes) / 2;
    bytes[half..half + 60].fill(0);
    replace(&fs, name, &bytes);
    let error = read(&fs).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { offset, .. } if *offset > 0), "{error}");
    assert!(error.to_string().contains("MANIFEST-"), "{error}");
    assert!(!error.to_string().contains("000101"), "a key in an error: {error}");
}

#[test]
fn a_missing_manifest_is_corruption() {
    let (fs, name, _) = database(1);
    fs.remove(&name.path(dir())).unwrap();
    assert!(matches!(read(&fs), Err(Error::Corrupt { .. })));
}

#[test]
fn an_older_manifest_in_its_place_is_corruption() {
    let (fs, name, _) = database(1);
    let old = bytes_of(&fs, name);
    let manifest = open(&shared(&fs)).unwrap();
    replace(&fs, FileName::Manifest(manifest.number()), &old);
    assert!(matches!(read(&fs), Err(Error::Corrupt { .. })));
}

#[test]
fn a_lost_current_is_not_an_empty_directory() {
    // An edit, or a table, shows that the creation had ended.
    let (fs, _, _) = database(1);
    fs.remove(&FileName::Current.path(dir())).unwrap();
    assert!(matches!(read(&fs), Err(Error::Corrupt { .. })));
    let (fs, name, _) = database(0);
    fs.remove(&FileName::Current.path(dir())).unwrap();
    assert_eq!(read(&fs).unwrap(), None, "a creation that was cut");
    replace(&fs, FileName::Table(9), b"a table");
    assert!(matches!(read(&fs), Err(Error::Corrupt { .. })));
    fs.remove(&name.path(dir())).unwrap();
    assert!(matches!(read(&fs), Err(Error::Corrupt { .. })));
}

#[test]
fn a_cut_creation_is_completed() {
    let (fs, name, whole) = database(0);
    fs.remove(&FileName::Current.path(dir())).unwrap();
    replace(&fs, FileName::Temp, b"MANIFEST-0000");
    let manifest = open(&shared(&fs)).unwrap();
    assert_eq!(describe(manifest.state()), whole);
    assert!(manifest.number() > name.number().unwrap());
    assert_eq!(names(&fs), ["CURRENT", &FileName::Manifest(manifest.number()).to_string()]);
    assert_eq!(manifest.state().db_id, DB_ID);
}

/// A state that breaks a rule was not written by us, whatever its checksums say.
#[test]
fn a_forged_manifest_is_checked() {
    let fs = disk();
    drop(open(&shared(&fs)).unwrap());
    let mut bent = (*table(5)).clone();
    bent.min_seq = 9;
    let mut manifest = open(&shared(&fs)).unwrap();
    let edit = VersionEdit { added: vec![(3, bent.into())], ..VersionEdit::default() };
    let refused = manifest.apply(edit).unwrap_err();
    assert!(matches!(&refused, Error::Broken(broken) if broken.invariant == "seqs-ordered"));
    assert!(!refused.is_retryable());
    manifest.apply(step(1)).unwrap();
}
