//! Records of the manifest as bytes: `kind u8`, then fields as in [`crate::tag`].

use crate::state::WITHOUT_VALUES;
use crate::table_codec::{decode_table, encode_table};
use crate::tag::unknown_field;
use crate::tag::{Refused, Tag, at_end, only_number, put_field, put_number, set_once, take_field};
use crate::value_codec::{decode_value_file, encode_value_file};
use crate::{FORMAT_VERSION, State, VersionEdit};
use bytes::Bytes;
use kv_core::{Take, put_varint};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The formats that are read.
const FORMATS: RangeInclusive<u32> = WITHOUT_VALUES..=FORMAT_VERSION;

const SNAPSHOT: u8 = 1;
const EDIT: u8 = 2;
const MARK: u8 = 3;

const FORMAT: Tag = Tag::new(1, "format", "varint");
const DB_ID: Tag = Tag::new(2, "db_id", "16 bytes");
const EPOCH: Tag = Tag::new(3, "epoch", "varint");
const NEXT_FILE: Tag = Tag::new(16, "next_file", "varint");
const LAST_SEQ: Tag = Tag::new(17, "last_seq", "varint");
const LOG_FLOOR: Tag = Tag::new(18, "log_floor", "varint");
const LOG_ADDED: Tag = Tag::new(19, "log_added", "varint");
const DELETED: Tag = Tag::new(20, "deleted", "varint level, varint number");
const ADDED: Tag = Tag::new(21, "added", "varint level, table fields");
const SETTINGS: Tag = Tag::new(22, "settings", "bytes");
const VALUES_ADDED: Tag = Tag::new(23, "values_added", "value file fields");

/// The fields of a record.
pub const RECORD_FIELDS: [Tag; 11] = [
    FORMAT,
    DB_ID,
    EPOCH,
    NEXT_FILE,
    LAST_SEQ,
    LOG_FLOOR,
    LOG_ADDED,
    DELETED,
    ADDED,
    SETTINGS,
    VALUES_ADDED,
];

/// A record of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// All of a state; the first record, and the only one of its kind.
    Snapshot(Snapshot),
    /// What changes.
    Edit(VersionEdit),
    /// Nothing: it testifies that what lies before it had been made durable.
    Mark,
}

/// An edit that leads from an empty version to the state, and what no edit changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) format_version: u32,
    pub(crate) db_id: u128,
    pub(crate) epoch: u64,
    pub(crate) contents: VersionEdit,
}

impl Snapshot {
    pub(crate) fn of(state: &State) -> Snapshot {
        Snapshot {
            format_version: match state.version.values() {
                [] => WITHOUT_VALUES,
                _ => FORMAT_VERSION,
            },
            db_id: state.db_id,
            epoch: state.epoch,
            contents: VersionEdit {
                added: state.version.files().map(|(l, file)| (l, Arc::clone(file))).collect(),
                values_added: state.version.values().iter().map(|values| values.meta).collect(),
                deleted: Vec::new(),
                next_file: Some(state.next_file),
                last_seq: Some(state.last_seq),
                log_floor: Some(state.log_floor),
                logs_added: state.logs.iter().copied().collect(),
                settings: Some(state.settings.clone()),
            },
        }
    }
}

impl Record {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Record::Snapshot(snapshot) => {
                out.push(SNAPSHOT);
                put_number(&mut out, FORMAT, u64::from(snapshot.format_version));
                put_field(&mut out, DB_ID, &snapshot.db_id.to_le_bytes());
                put_number(&mut out, EPOCH, snapshot.epoch);
                encode_edit(&mut out, &snapshot.contents);
            }
            Record::Edit(edit) => {
                out.push(EDIT);
                encode_edit(&mut out, edit);
            }
            Record::Mark => out.push(MARK),
        }
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Record, Refused> {
        let mut take = Take::new(payload);
        match take.u8()? {
            SNAPSHOT => decode_snapshot(take).map(Record::Snapshot),
            EDIT => {
                let mut edit = VersionEdit::default();
                while !take.is_empty() {
                    let (tag, value) = take_field(&mut take)?;
                    decode_change(&mut edit, tag, value)?;
                }
                Ok(Record::Edit(edit))
            }
            MARK => {
                at_end(&take)?;
                Ok(Record::Mark)
            }
            kind => Err(Refused::Unknown { what: "kind of record", number: u64::from(kind) }),
        }
    }
}

fn encode_edit(out: &mut Vec<u8>, edit: &VersionEdit) {
    let numbers =
        [(NEXT_FILE, edit.next_file), (LAST_SEQ, edit.last_seq), (LOG_FLOOR, edit.log_floor)];
    for (tag, number) in numbers {
        if let Some(number) = number {
            put_number(out, tag, number);
        }
    }
    for log in &edit.logs_added {
        put_number(out, LOG_ADDED, *log);
    }
    for (level, number) in &edit.deleted {
        let mut value = Vec::new();
        put_varint(&mut value, *level as u64);
        put_varint(&mut value, *number);
        put_field(out, DELETED, &value);
    }
    for (level, file) in &edit.added {
        let mut value = Vec::new();
        put_varint(&mut value, *level as u64);
        encode_table(&mut value, file);
        put_field(out, ADDED, &value);
    }
    if let Some(settings) = &edit.settings {
        put_field(out, SETTINGS, settings);
    }
    for file in &edit.values_added {
        let mut value = Vec::new();
        encode_value_file(&mut value, file);
        put_field(out, VALUES_ADDED, &value);
    }
}

fn decode_snapshot(mut take: Take<'_>) -> Result<Snapshot, Refused> {
    // The format comes first: whatever follows may be read only by who knows it.
    let (tag, value) = take_field(&mut take)?;
    if tag != FORMAT.tag {
        return Err(take.malformed("a snapshot does not begin with its format").into());
    }
    let format = only_number(value)?;
    let known = u32::try_from(format).ok().filter(|format| FORMATS.contains(format));
    let Some(format_version) = known else {
        return Err(Refused::Unknown { what: "format version", number: format });
    };
    let (mut db_id, mut epoch, mut contents) = (None, None, VersionEdit::default());
    while !take.is_empty() {
        let (tag, mut value) = take_field(&mut take)?;
        if tag == DB_ID.tag {
            let id = u128::from_le_bytes(value.array()?);
            at_end(&value)?;
            set_once(&mut db_id, id, &take)?;
        } else if tag == EPOCH.tag {
            set_once(&mut epoch, only_number(value)?, &take)?;
        } else {
            decode_change(&mut contents, tag, value)?;
        }
    }
    match (db_id, epoch) {
        (Some(db_id), Some(epoch)) => Ok(Snapshot { format_version, db_id, epoch, contents }),
        _ => Err(take.malformed("a snapshot lacks the database's id or epoch").into()),
    }
}

fn decode_change(edit: &mut VersionEdit, tag: u8, mut value: Take<'_>) -> Result<(), Refused> {
    let at = value.clone();
    let is = |t: Tag| t.tag == tag;
    if is(NEXT_FILE) {
        set_once(&mut edit.next_file, only_number(value)?, &at)?;
    } else if is(LAST_SEQ) {
        set_once(&mut edit.last_seq, only_number(value)?, &at)?;
    } else if is(LOG_FLOOR) {
        set_once(&mut edit.log_floor, only_number(value)?, &at)?;
    } else if is(LOG_ADDED) {
        edit.logs_added.push(only_number(value)?);
    } else if is(DELETED) {
        let level = level(&mut value)?;
        edit.deleted.push((level, only_number(value)?));
    } else if is(ADDED) {
        let level = level(&mut value)?;
        edit.added.push((level, Arc::new(decode_table(value)?)));
    } else if is(VALUES_ADDED) {
        edit.values_added.push(decode_value_file(value)?);
    } else if is(SETTINGS) {
        set_once(&mut edit.settings, Bytes::copy_from_slice(value.rest()), &at)?;
    } else {
        unknown_field("field of a record", tag)?;
    }
    Ok(())
}

fn level(value: &mut Take<'_>) -> Result<usize, Refused> {
    let level = value.varint()?;
    usize::try_from(level).map_err(|_| value.malformed("a level beyond all levels").into())
}
