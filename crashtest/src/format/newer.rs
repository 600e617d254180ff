//! Twins of a fixture that a newer release might have written: one thing in one file is unknown
//! to this one, and every checksum over it is right.
//!
//! Offsets are those of the documents below `docs/format`, not those of the code.

use super::fixture::Fixture;
use crate::image::{DIR, Image, Kind};
use anyhow::{Context, Result, ensure};
use kv_engine::ErrorKind;
use kv_manifest::{FileName, Manifest};
use std::ops::Range;
use std::path::Path;

/// A record's header, and the places in it.
const HEADER: usize = 32;
const KIND_AT: usize = 8;
const FLAGS_AT: usize = 9;
/// A table's footer: its length, and the places in it.
const FOOTER: usize = 64;
const FORMAT_AT: usize = 8;
const NUMBER_AT: usize = 12;
/// A value file: the lengths of a record's header and of the footer, and the type's place.
const VALUE_HEADER: usize = 16;
const VALUE_TYPE_AT: usize = 13;
const VALUES_FOOTER: usize = 48;

/// A store with something unknown in it.
#[derive(Debug)]
pub(crate) struct Twin {
    pub(crate) what: &'static str,
    pub(crate) image: Image,
    /// The file that a message must name.
    pub(crate) file: String,
    /// What it must say besides.
    pub(crate) shows: &'static str,
    pub(crate) kind: ErrorKind,
    /// It is met when a table is read, not when the store is opened.
    pub(crate) in_table: bool,
}

/// All twins that the fixture has files for.
pub(crate) fn twins(fixture: &Fixture) -> Result<Vec<Twin>> {
    let state = Manifest::read(&fixture.image.to_memory()?, Path::new(DIR))?;
    let floor = state.context("there is no manifest")?.log_floor;
    let mut twins = Vec::new();
    for (name, bytes) in &fixture.image.files {
        match Kind::of(name) {
            // Nobody reads a log that is in tables.
            Kind::Log if FileName::parse(name).and_then(|name| name.number()) < Some(floor) => {}
            Kind::Manifest => twins.extend(of_manifest(fixture, name, bytes)?),
            Kind::Log => twins.extend(of_log(fixture, name, bytes)?),
            Kind::Table => twins.extend(of_table(fixture, name, bytes)?),
            Kind::Values => twins.extend(of_values(fixture, name, bytes)?),
            Kind::Current | Kind::Beside => {}
        }
    }
    Ok(twins)
}

fn with(image: &Image, changes: &[(&str, Vec<u8>)]) -> Image {
    let mut image = image.clone();
    for (name, bytes) in changes {
        image.files.insert((*name).to_owned(), bytes.as_slice().into());
    }
    image
}

/// Where the records of a file of records are.
pub(crate) fn records(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut records = Vec::new();
    let mut at = 0;
    while let Some(header) = bytes.get(at..at + HEADER) {
        let len = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let end = at + HEADER + len;
        if header[KIND_AT] == 0 || end > bytes.len() {
            break;
        }
        records.push(at..end);
        at = end;
    }
    records
}

/// Gives the record a checksum that is right.
fn seal_record(bytes: &mut [u8], record: &Range<usize>) {
    let crc = crc32fast::hash(&bytes[record.start + 4..record.end]);
    bytes[record.start..record.start + 4].copy_from_slice(&crc.to_le_bytes());
}

/// The file with one byte of its first record set, and sealed.
fn set(bytes: &[u8], record: &Range<usize>, at: usize, to: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[record.start + at] = to;
    seal_record(&mut bytes, record);
    bytes
}

fn of_manifest(fixture: &Fixture, name: &str, bytes: &[u8]) -> Result<Vec<Twin>> {
    let records = records(bytes);
    let first = records.first().context("the manifest has no record")?;
    let payload = &bytes[first.start + HEADER..first.end];
    let begins = payload.starts_with(&[1, 1, 1]) && matches!(payload.get(3), Some(1 | 2));
    ensure!(begins, "{name} does not begin with a snapshot");
    let twin = |what, bytes: Vec<u8>, shows, kind| Twin {
        what,
        image: with(&fixture.image, &[(name, bytes)]),
        file: name.to_owned(),
        shows,
        kind,
        in_table: false,
    };
    let version = set(bytes, first, HEADER + 3, 77);
    let tag = set(bytes, first, HEADER + 4, 99);
    let record = set(bytes, first, HEADER, 9);
    Ok(vec![
        twin("a manifest of version 77", version, "77", ErrorKind::IncompatibleFormat),
        twin("an unknown field in a manifest", tag, "99", ErrorKind::IncompatibleFormat),
        twin("an unknown record in a manifest", record, "9", ErrorKind::IncompatibleFormat),
    ])
}

fn of_log(fixture: &Fixture, name: &str, bytes: &[u8]) -> Result<Vec<Twin>> {
    let records = records(bytes);
    let Some(last) = records.last() else { return Ok(Vec::new()) };
    let successor = fixture.image.files.range(name.to_owned()..).nth(1);
    if successor.is_some_and(|(next, bytes)| Kind::of(next) == Kind::Log && bytes[0] != 0) {
        // Its successor vouches for its checksum, so it would be found damaged as well.
        return Ok(Vec::new());
    }
    let twin = |what, bytes: Vec<u8>, shows| Twin {
        what,
        image: with(&fixture.image, &[(name, bytes)]),
        file: name.to_owned(),
        shows,
        kind: ErrorKind::IncompatibleFormat,
        in_table: false,
    };
    let kind = set(bytes, last, KIND_AT, 9);
    let flags = set(bytes, last, FLAGS_AT, bytes[last.start + FLAGS_AT] | 0x40);
    Ok(vec![
        twin("an unknown kind of record in a log", kind, "kind of record (9)"),
        twin("an unknown flag in a log", flags, "flag of a record"),
    ])
}

/// All records of a value file of type 9.
fn of_values(fixture: &Fixture, name: &str, bytes: &[u8]) -> Result<Option<Twin>> {
    let number = FileName::parse(name).and_then(FileName::number).context("a numbered file")?;
    let end = bytes.len().checked_sub(VALUES_FOOTER).context("a value file without a footer")?;
    let mut newer = bytes.to_vec();
    let mut at = 0;
    while at < end {
        let stored = u32::from_le_bytes(newer[at + 4..at + 8].try_into()?) as usize;
        let next = at + VALUE_HEADER + stored;
        newer[at + VALUE_TYPE_AT] = 9;
        let mut sum = crc32fast::Hasher::new();
        sum.update(&number.to_le_bytes());
        sum.update(&(at as u64).to_le_bytes());
        sum.update(&newer[at + 4..next]);
        newer[at..at + 4].copy_from_slice(&sum.finalize().to_le_bytes());
        at = next;
    }
    let manifest = Manifest::read(&fixture.image.to_memory()?, Path::new(DIR))?;
    let state = manifest.context("there is no manifest")?;
    Ok(state.version.value_file(number).is_some().then(|| Twin {
        what: "a value file with records of type 9",
        image: with(&fixture.image, &[(name, newer)]),
        file: name.to_owned(),
        shows: "(9)",
        kind: ErrorKind::IncompatibleFormat,
        in_table: true,
    }))
}

/// The table's footer, and the manifest's copy of it, of format 77.
fn of_table(fixture: &Fixture, name: &str, bytes: &[u8]) -> Result<Option<Twin>> {
    let at = bytes.len().checked_sub(FOOTER).context("a table without a footer")?;
    let old = &bytes[at..];
    let mut footer = old.to_vec();
    footer[FORMAT_AT] = 77;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&footer[NUMBER_AT..NUMBER_AT + 8]);
    sum.update(&(at as u64).to_le_bytes());
    sum.update(&footer[..FOOTER - 4]);
    let sum = sum.finalize().to_le_bytes();
    footer[FOOTER - 4..].copy_from_slice(&sum);

    let manifest = fixture.image.files.iter().find(|(name, _)| Kind::of(name) == Kind::Manifest);
    let (manifest, state) = manifest.context("there is no manifest")?;
    let mut state = state.to_vec();
    let places: Vec<usize> =
        state.windows(FOOTER).enumerate().filter(|(_, w)| *w == old).map(|(i, _)| i).collect();
    for place in &places {
        state[*place..place + FOOTER].copy_from_slice(&footer);
    }
    for record in records(&state) {
        if places.iter().any(|place| record.contains(place)) {
            seal_record(&mut state, &record);
        }
    }
    let mut table = bytes.to_vec();
    table[at..].copy_from_slice(&footer);
    Ok((!places.is_empty()).then(|| Twin {
        what: "a table of format 77",
        image: with(&fixture.image, &[(name, table), (manifest, state)]),
        file: name.to_owned(),
        shows: "77",
        kind: ErrorKind::IncompatibleFormat,
        in_table: true,
    }))
}
