//! Whether a store that a crash left is what it may be.
//!
//! It must open, hold the state of one index of the history, whole, by every way of reading it,
//! verify clean, name exactly the files that are there, and go on working; and a second power cut
//! right after the open must not take anything of what the open has shown.

use crate::history::{ALIVE, Key, SPACES, Stamp, key_bytes, key_number, read_value, value_bytes};
use crate::settings::Settings;
use crate::timeline::{Seen, Timeline};
use kv_engine::{Bytes, Cursor, Db, Iter};
use kv_manifest::{FileName, Manifest};
use kv_vfs::{Fs, MemFs};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Where the stores are.
pub(crate) const DIR: &str = "/parent/db";

/// What was wrong, in one line.
pub(crate) type Violation = String;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The state, by a scan forward.
    State,
    /// Everything.
    Whole,
}

/// Opens what a crash left, checks it, and answers the indexes whose state it has. The file
/// system is changed by it.
pub(crate) fn check(
    fs: &MemFs,
    timeline: &Timeline,
    epoch: u64,
    settings: &Settings,
    depth: Depth,
) -> Result<Vec<u64>, Violation> {
    if depth == Depth::State {
        let seen = scan(&open(fs, settings)?)?;
        return place(timeline, &seen, epoch);
    }
    examine(fs, &timeline.keys, settings, |seen| place(timeline, seen, epoch))
}

/// Opens what a crash left and checks all but whether it is the state that it should be, of which
/// `judge` decides. The file system is changed by it.
pub(crate) fn examine<T>(
    fs: &MemFs,
    keys: &[Key],
    settings: &Settings,
    judge: impl FnOnce(&Seen) -> Result<T, Violation>,
) -> Result<T, Violation> {
    let before = names(fs);
    let db = open(fs, settings)?;
    let cut = fs.crash();
    let seen = read_every_way(&db, keys)?;
    let judged = judge(&seen)?;
    let report = db.verify().map_err(|e| format!("verify failed: {e}"))?;
    if !report.is_ok() {
        return Err(format!("verify: {report}"));
    }
    goes_on(fs, db, settings, &seen, &before)?;
    let again = scan(&open(&cut, settings).map_err(|e| format!("after a second cut: {e}"))?)?;
    if again != seen {
        return Err("what the open has shown rolled back in a second cut".to_owned());
    }
    Ok(judged)
}

fn place(timeline: &Timeline, seen: &Seen, epoch: u64) -> Result<Vec<u64>, Violation> {
    let places = timeline.find(seen, epoch);
    if places.is_empty() {
        return Err(timeline.explain(seen, epoch, timeline.first(), timeline.last()));
    }
    Ok(places.to_vec())
}

pub(crate) fn open(fs: &MemFs, settings: &Settings) -> Result<Db, Violation> {
    let options = settings.options(Arc::new(fs.clone()));
    Db::open(DIR, options).map_err(|e| format!("it does not open: {e}"))
}

/// Writes, reads, closes and opens again; then only the files are there that should be.
fn goes_on(
    fs: &MemFs,
    db: Db,
    settings: &Settings,
    seen: &Seen,
    before: &BTreeSet<FileName>,
) -> Result<(), Violation> {
    let stamp = Stamp { step: u64::MAX, len: 40 };
    let (key, value) = (key_bytes(ALIVE), value_bytes(ALIVE, stamp));
    db.put(&key, &value).map_err(|e| format!("a write after the open failed: {e}"))?;
    let read = db.get(&key).map_err(|e| format!("a read after the open failed: {e}"))?;
    if read.as_deref() != Some(&value[..]) {
        return Err("a write after the open is not read back".to_owned());
    }
    let mut expected = seen.clone();
    let pairs = expected.entry(0).or_default();
    pairs.insert(ALIVE, stamp);
    change_old(&db, pairs, stamp)?;
    if scan(&db)? != expected {
        return Err("an overwrite or a delete after the open is not seen".to_owned());
    }
    db.close().map_err(|e| format!("the close after it failed: {e}"))?;
    let cut = fs.crash();
    directory_is_manifest(fs)?;
    let greatest = before.iter().filter_map(|name| name.number()).max().unwrap_or(0);
    let again = |name: &&FileName| name.number().is_some_and(|number| number <= greatest);
    if let Some(reused) = names(fs).difference(before).find(again) {
        return Err(format!("the number of {reused:?} was given again; {greatest} was on disk"));
    }
    let db = open(fs, settings).map_err(|e| format!("after a clean close: {e}"))?;
    if scan(&db)? != expected {
        return Err("a clean close and an open changed what is there".to_owned());
    }
    drop(db);
    let db = open(&cut, settings).map_err(|e| format!("a cut after a clean close: {e}"))?;
    if scan(&db)? != expected {
        return Err("a power cut after a clean close took something".to_owned());
    }
    Ok(())
}

/// Overwrites the first of the old keys and deletes the last: both must win over what is there.
fn change_old(db: &Db, pairs: &mut BTreeMap<Key, Stamp>, stamp: Stamp) -> Result<(), Violation> {
    let mut old: Vec<Key> = pairs.keys().copied().filter(|key| *key != ALIVE).collect();
    if let Some(key) = old.pop() {
        db.delete(key_bytes(key)).map_err(|e| format!("a delete after the open failed: {e}"))?;
        pairs.remove(&key);
    }
    if let Some(key) = old.first() {
        let put = db.put(key_bytes(*key), value_bytes(*key, stamp));
        put.map_err(|e| format!("an overwrite after the open failed: {e}"))?;
        pairs.insert(*key, stamp);
    }
    Ok(())
}

/// The names of the files that the engine knows.
fn names(fs: &MemFs) -> BTreeSet<FileName> {
    let entries = fs.list(Path::new(DIR)).unwrap_or_default();
    entries.iter().filter_map(|entry| FileName::parse(&entry.name)).collect()
}

/// After a clean close: every file that the manifest names is there, and no other.
fn directory_is_manifest(fs: &MemFs) -> Result<(), Violation> {
    let dir = Path::new(DIR);
    let state = Manifest::read(fs, dir).map_err(|e| format!("the manifest is not read: {e}"))?;
    let state = state.ok_or("there is no manifest after a close")?;
    let tables = state.version.files().map(|(_, meta)| (meta.number, meta.size));
    let values = state.version.values().iter().map(|held| (held.meta.number, held.meta.size));
    let live: BTreeMap<u64, u64> = tables.chain(values).collect();
    let mut tables = BTreeSet::new();
    let mut manifests = 0;
    for entry in fs.list(dir).map_err(|e| e.to_string())? {
        match FileName::parse(&entry.name) {
            Some(FileName::Table(number) | FileName::Values(number)) => {
                let len = fs.metadata(&dir.join(&entry.name)).map_err(|e| e.to_string())?.len;
                if live.get(&number) != Some(&len) {
                    return Err(format!("{} is not what the manifest says", entry.name));
                }
                tables.insert(number);
            }
            Some(FileName::Manifest(_)) => manifests += 1,
            Some(FileName::Current | FileName::Lock) => {}
            Some(FileName::Log(_) | FileName::Temp) => {
                return Err(format!("{} was left after a clean close", entry.name));
            }
            None if entry.name.ends_with(".log.cut") => {}
            None => return Err(format!("a strange file {}", entry.name)),
        }
        if entry.name.parse::<FileNumber>().is_ok_and(|n| n.0 >= state.next_file) {
            return Err(format!("{} is beyond the next file number", entry.name));
        }
    }
    if let Some(missing) = live.keys().find(|number| !tables.contains(number)) {
        return Err(format!("file {missing} is missing"));
    }
    if manifests != 1 {
        return Err(format!("{manifests} manifests are there"));
    }
    Ok(())
}

/// The number in a file's name.
struct FileNumber(u64);

impl std::str::FromStr for FileNumber {
    type Err = ();
    fn from_str(name: &str) -> Result<FileNumber, ()> {
        FileName::parse(name).and_then(FileName::number).map(FileNumber).ok_or(())
    }
}

/// One keyspace, by whichever handle reads it.
enum Reader<'a> {
    Default(&'a Db),
    Named(kv_engine::Keyspace),
}

impl Reader<'_> {
    fn iter(&self) -> Iter {
        match self {
            Reader::Default(db) => db.iter(),
            Reader::Named(space) => space.iter(),
        }
    }

    fn get(&self, key: &[u8]) -> kv_engine::Result<Option<Bytes>> {
        match self {
            Reader::Default(db) => db.get(key),
            Reader::Named(space) => space.get(key),
        }
    }

    fn cursor(&self) -> Cursor {
        match self {
            Reader::Default(db) => db.cursor(),
            Reader::Named(space) => space.cursor(),
        }
    }
}

/// The keyspaces that exist, by their place in [`SPACES`].
fn readers(db: &Db) -> Result<Vec<(u8, Reader<'_>)>, Violation> {
    let mut readers = vec![(0, Reader::Default(db))];
    for name in db.keyspaces().map_err(|e| format!("keyspaces cannot be listed: {e}"))? {
        let place = SPACES.iter().position(|known| *known == name);
        let place = place.ok_or_else(|| format!("a strange keyspace {name:?}"))?;
        let space = db.keyspace(&name).map_err(|e| format!("keyspace {name:?}: {e}"))?;
        readers.push((place as u8, Reader::Named(space)));
    }
    Ok(readers)
}

/// Everything that a store holds, by a scan forward.
pub(crate) fn scan(db: &Db) -> Result<Seen, Violation> {
    let mut seen = Seen::new();
    for (place, reader) in readers(db)? {
        let pairs = seen.entry(place).or_default();
        for (key, value) in pairs_of(reader.iter())? {
            let number = key_number(&key).ok_or("a key that nobody wrote")?;
            pairs.insert(number, read_value(number, &value)?);
        }
    }
    Ok(seen)
}

fn pairs_of(
    iter: impl Iterator<Item = kv_engine::Result<(Bytes, Bytes)>>,
) -> Result<Vec<(Bytes, Bytes)>, Violation> {
    iter.collect::<kv_engine::Result<_>>().map_err(|e| format!("a scan failed: {e}"))
}

/// The same, compared with a scan backward, reads of every key and seeks to every key.
fn read_every_way(db: &Db, keys: &[Key]) -> Result<Seen, Violation> {
    for (place, reader) in readers(db)? {
        let space = SPACES.get(usize::from(place)).copied().unwrap_or_default();
        let forward = pairs_of(reader.iter())?;
        if !forward.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(format!("{space:?}: a scan is not in order"));
        }
        let mut backward = pairs_of(reader.iter().rev())?;
        backward.reverse();
        if backward != forward {
            return Err(format!("{space:?}: a scan backward shows something else"));
        }
        let mut cursor = reader.cursor();
        for key in keys {
            let bytes = key_bytes(*key);
            let at = forward.partition_point(|(other, _)| other.as_ref() < &bytes[..]);
            let expected = forward.get(at);
            let here = expected.filter(|(other, _)| other.as_ref() == &bytes[..]);
            let got = reader.get(&bytes).map_err(|e| format!("a get failed: {e}"))?;
            if got.as_deref() != here.map(|(_, value)| value.as_ref()) {
                return Err(format!("{space:?}: a get of key {key} shows not what a scan does"));
            }
            cursor.seek(&bytes).map_err(|e| format!("a seek failed: {e}"))?;
            let found = cursor.valid().then(|| (cursor.key(), cursor.value()));
            if found != expected.map(|(key, value)| (key.as_ref(), value.as_ref())) {
                return Err(format!("{space:?}: a seek to key {key} shows not what a scan does"));
            }
        }
    }
    scan(db)
}
