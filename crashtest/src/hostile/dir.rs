//! A whole store of any bytes, and operations on it.
//!
//! Input: `flags u8 | script (behind its length) | files (each: its name and its bytes, behind their
//! lengths)`. Checksums are forged file by file; then tables' footers and checksums are written into
//! the manifest, and CURRENT is made to name it.

use super::bytes::{first, part, put_at, put_part, u64_at};
use super::log::{CHAIN, CHECKSUMS, PLACES};
use super::table::{self, FOOTER_LEN};
use super::{Outcome, manifest, records, values};
use kv_engine::{Db, Options, WriteBatch};
use kv_vfs::{FileKind, Fs, FsFileExt, ManualClock, MemFs, Mode};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Write footers and checksums of tables into the manifest.
pub(super) const METADATA: u8 = 8;
/// Write CURRENT anew.
pub(super) const CURRENT: u8 = 16;
/// Everything that can be forged.
pub(super) const ALL: u8 = CHECKSUMS | PLACES | CHAIN | METADATA | CURRENT;

const DIR: &str = "/db";
const MOST_FILES: usize = 24;
const MOST_STEPS: usize = 32;
const STEPS: u64 = 12;
const KEYS: u8 = 24;

pub(super) type Files = BTreeMap<String, Vec<u8>>;

pub(super) fn run(mut input: &[u8]) -> Outcome {
    let flags = first(&mut input);
    let script = part(&mut input).to_vec();
    let mut files = Files::new();
    while !input.is_empty() && files.len() < MOST_FILES {
        let name = String::from_utf8_lossy(part(&mut input)).into_owned();
        let bytes = part(&mut input).to_vec();
        let plain = !name.is_empty() && !name.contains(['/', '\0']) && !name.starts_with('.');
        if plain && name.len() < 64 {
            files.insert(name, bytes);
        }
    }
    forge(&mut files, flags);
    exercise(&files, &script)
}

/// The input that stands for these files and this script.
pub(super) fn input(flags: u8, script: &[u8], files: &Files) -> Vec<u8> {
    let mut input = vec![flags];
    put_part(&mut input, script);
    for (name, bytes) in files {
        put_part(&mut input, name.as_bytes());
        put_part(&mut input, bytes);
    }
    input
}

/// The number in the name of a file with this ending.
fn number(name: &str, ending: &str) -> Option<u64> {
    name.strip_suffix(ending)?.parse().ok()
}

fn forge(files: &mut Files, flags: u8) {
    if flags & CHECKSUMS == 0 {
        return;
    }
    let place = flags & PLACES != 0;
    let mut segments = Vec::new();
    for (name, bytes) in files.iter_mut() {
        if let Some(number) = number(name, ".sst") {
            table::forge(bytes, number);
        } else if let Some(number) = number(name, ".val") {
            values::forge(bytes, number);
        } else if let Some(number) = number(name, ".log") {
            records::forge(bytes, number, place);
            segments.push((number, std::mem::take(bytes)));
        }
    }
    if flags & CHAIN != 0 {
        records::forge_chain(&mut segments);
    }
    for (number, bytes) in segments {
        files.insert(format!("{number:06}.log"), bytes);
    }
    let manifest = files.keys().rfind(|name| name.starts_with("MANIFEST-")).cloned();
    let Some(name) = manifest else { return };
    let tables = if flags & METADATA != 0 { ends_of_tables(files) } else { BTreeMap::new() };
    if let Some(bytes) = files.get_mut(&name) {
        put_metadata(bytes, &tables);
        let number = name.strip_prefix("MANIFEST-").and_then(|n| n.parse().ok()).unwrap_or(0);
        records::forge(bytes, number, place);
    }
    if flags & CURRENT != 0 {
        files.insert("CURRENT".to_owned(), manifest::current(&name).into_bytes());
    }
}

/// Number, footer and checksum of each table.
fn ends_of_tables(files: &Files) -> BTreeMap<u64, (Vec<u8>, u64)> {
    let tables = files.iter().filter_map(|(name, bytes)| {
        let number = number(name, ".sst")?;
        let footer = bytes.get(bytes.len().checked_sub(FOOTER_LEN)?..)?.to_vec();
        Some((number, (footer, kv_core::hash64(bytes))))
    });
    tables.collect()
}

/// Puts each table's footer, as it is now, where the manifest has a copy. A footer is found by its
/// magic; it names its file.
fn put_metadata(manifest: &mut [u8], tables: &BTreeMap<u64, (Vec<u8>, u64)>) {
    let mut at = 0;
    while let Some(found) = manifest.get(at..).and_then(|rest| find(rest, b"kv-table")) {
        let start = at + found;
        let number = u64_at(manifest, start + 12);
        if let Some((footer, sum)) = number.and_then(|number| tables.get(&number)) {
            put_at(manifest, start, footer);
            put_checksum(manifest, start, *sum);
        }
        at = start + 1;
    }
}

/// Puts the checksum of a whole table, which stands before the footer: tag 16, its length, a
/// varint; then tag 17 and 64. Only where it takes as many bytes as before.
fn put_checksum(manifest: &mut [u8], footer: usize, sum: u64) {
    let mut value = Vec::new();
    kv_core::put_varint(&mut value, sum);
    let Some(at) = footer.checked_sub(value.len() + 4) else { return };
    if manifest.get(at..at + 2) == Some(&[16, value.len() as u8]) {
        put_at(manifest, at + 2, &value);
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn exercise(files: &Files, script: &[u8]) -> Outcome {
    let clock = Arc::new(ManualClock::new());
    let fs = Arc::new(MemFs::with_clock(clock));
    let dir = Path::new(DIR);
    fs.create_dir(dir).map_err(|e| e.to_string())?;
    for (name, bytes) in files {
        super::log::write(&fs, &dir.join(name), bytes)?;
    }
    let before = contents(&fs)?;
    let read_only = Db::open(DIR, options(&fs).read_only(true));
    if let Ok(db) = &read_only {
        let _ = (db.iter().count(), db.iter().rev().count());
        let _ = db.verify();
    }
    drop(read_only);
    if contents(&fs)? != before {
        return Err("an open for reading changed the files".to_owned());
    }
    let whole = play(&fs, script);
    if let Err(why) = &whole {
        let after = contents(&fs)?;
        let changed = before
            .iter()
            .find(|(name, bytes)| *name != "CURRENT.tmp" && after.get(*name) != Some(bytes));
        if let Some((name, _)) = changed {
            return Err(format!("an open that failed changed {name}: {why}"));
        }
    }
    Ok(whole == Ok(true))
}

fn options(fs: &Arc<MemFs>) -> Options {
    Options::default()
        .file_system(Arc::clone(fs) as Arc<dyn Fs>)
        .write_buffer(4 << 10)
        .memory_budget(256 << 10)
        .table_size(4 << 10)
        .block_size(512)
        .wal_limit(64 << 10)
        .background_threads(1)
}

/// The files of the store, but for the lock.
pub(super) fn contents(fs: &MemFs) -> Result<Files, String> {
    let dir = Path::new(DIR);
    let mut files = Files::new();
    for entry in fs.list(dir).map_err(|e| e.to_string())? {
        if entry.kind == FileKind::File && entry.name != "LOCK" {
            let file = fs.open(&dir.join(&entry.name), Mode::Read).map_err(|e| e.to_string())?;
            let len = file.len().map_err(|e| e.to_string())?;
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            file.read_exact_at(&mut bytes, 0).map_err(|e| e.to_string())?;
            files.insert(entry.name, bytes);
        }
    }
    Ok(files)
}

/// Opens the store and plays the script; the error where it does not open at all, else whether
/// nothing failed.
fn play(fs: &Arc<MemFs>, script: &[u8]) -> Outcome {
    let mut db = Db::open(DIR, options(fs)).map_err(|e| e.to_string())?;
    let mut whole = true;
    for pair in script.chunks(2).take(MOST_STEPS) {
        let (op, key) = (pair[0], pair.get(1).copied().unwrap_or(0));
        if op % 12 == 11 {
            whole &= db.close().is_ok();
            match Db::open(DIR, options(fs)) {
                Ok(again) => db = again,
                Err(_) => return Ok(false),
            }
            continue;
        }
        whole &= step(&db, op, key).is_ok();
    }
    let report = db.verify();
    whole &= report.is_ok_and(|report| report.is_ok());
    Ok(db.close().is_ok() && whole)
}

fn step(db: &Db, op: u8, key: u8) -> kv_engine::Result<()> {
    let name = key_name(key);
    match u64::from(op) % STEPS {
        0 | 1 => db.get(&name).map(|_| ()),
        2 => db.put(&name, vec![key; usize::from(key) * 3]),
        3 => db.delete(&name),
        4 => db.iter().try_for_each(|entry| entry.map(|_| ())),
        5 => db.iter().rev().try_for_each(|entry| entry.map(|_| ())),
        6 => db.flush(),
        7 => db.compact(),
        8 => db.delete_range(name.clone()..format!("{name}~")),
        9 => walk(db, &name),
        _ => {
            let mut batch = WriteBatch::new();
            batch.put(&name, [op; 40]);
            batch.delete(key_name(key.wrapping_add(1)));
            db.write(batch)
        }
    }
}

/// A cursor to and fro.
fn walk(db: &Db, key: &str) -> kv_engine::Result<()> {
    let mut cursor = db.cursor();
    cursor.seek(key)?;
    for _ in 0..4 {
        cursor.next()?;
    }
    for _ in 0..6 {
        cursor.prev()?;
    }
    cursor.seek_for_prev(key)?;
    cursor.next()
}

pub(super) fn key_name(key: u8) -> String {
    format!("key/{:04}", key % KEYS)
}
