//! A table's metadata as bytes: fields as in [`crate::tag`], each once, in any order.

use crate::tag::unknown_field;
use crate::tag::{Refused, Tag, at_end, only_number, put_field, put_number, set_once, take_field};
use crate::{FileMeta, ValueRef};
use bytes::Bytes;
use kv_core::{KeyRange, Malformed, Take, put_varint};

const NUMBER: Tag = Tag::new(1, "number", "varint");
const SIZE: Tag = Tag::new(2, "size", "varint");
const ENTRIES: Tag = Tag::new(3, "entries", "varint");
const TOMBSTONES: Tag = Tag::new(4, "tombstones", "varint");
const RANGE_TOMBSTONES: Tag = Tag::new(5, "range_tombstones", "varint");
const SMALLEST: Tag = Tag::new(6, "smallest", "bytes");
const LARGEST: Tag = Tag::new(7, "largest", "bytes");
const LARGEST_EXCLUSIVE: Tag = Tag::new(8, "largest_exclusive", "bytes");
const MIN_SEQ: Tag = Tag::new(9, "min_seq", "varint");
const MAX_SEQ: Tag = Tag::new(10, "max_seq", "varint");
const MIN_EXPIRY: Tag = Tag::new(11, "min_expiry", "varint");
const MAX_EXPIRY: Tag = Tag::new(12, "max_expiry", "varint");
const EXPIRING: Tag = Tag::new(13, "expiring", "varint");
const RAW_BYTES: Tag = Tag::new(14, "raw_bytes", "varint");
const SHADOW_BYTES: Tag = Tag::new(15, "shadow_bytes", "varint");
const CHECKSUM: Tag = Tag::new(16, "checksum", "varint");
const FOOTER: Tag = Tag::new(17, "footer", "bytes");
const COMPRESSION: Tag = Tag::new(18, "compression", "varint");
const CREATED: Tag = Tag::new(19, "created", "varint");
const ORIGIN: Tag = Tag::new(20, "origin", "varint");
const VISIBLE: Tag = Tag::new(21, "visible", "varint n, n bytes, bytes");

const VALUES: Tag = Tag::new(22, "values", "(varint file, varint bytes)*");

/// The fields of a table's metadata.
pub const TABLE_FIELDS: [Tag; 22] = [
    NUMBER,
    SIZE,
    ENTRIES,
    TOMBSTONES,
    RANGE_TOMBSTONES,
    SMALLEST,
    LARGEST,
    LARGEST_EXCLUSIVE,
    MIN_SEQ,
    MAX_SEQ,
    MIN_EXPIRY,
    MAX_EXPIRY,
    EXPIRING,
    RAW_BYTES,
    SHADOW_BYTES,
    CHECKSUM,
    FOOTER,
    COMPRESSION,
    CREATED,
    ORIGIN,
    VISIBLE,
    VALUES,
];

/// Appends `file`. A number that has its default (0; `u64::MAX` for the earliest expiry) is left
/// out, but for those that every table must have.
pub(crate) fn encode_table(out: &mut Vec<u8>, file: &FileMeta) {
    put_number(out, NUMBER, file.number);
    put_number(out, SIZE, file.size);
    put_field(out, SMALLEST, &file.smallest);
    // The tag says whether the end is inside: an end without a statement cannot be read.
    put_field(out, if file.largest_exclusive { LARGEST_EXCLUSIVE } else { LARGEST }, &file.largest);
    put_number(out, CHECKSUM, file.checksum);
    put_field(out, FOOTER, &file.footer);
    let optional = [
        (ENTRIES, file.entries),
        (TOMBSTONES, file.tombstones),
        (RANGE_TOMBSTONES, file.range_tombstones),
        (MIN_SEQ, file.min_seq),
        (MAX_SEQ, file.max_seq),
        (MAX_EXPIRY, file.max_expiry),
        (EXPIRING, file.expiring),
        (RAW_BYTES, file.raw_bytes),
        (SHADOW_BYTES, file.shadow_bytes),
        (COMPRESSION, u64::from(file.compression)),
        (CREATED, file.created),
        (ORIGIN, file.origin),
    ];
    for (tag, number) in optional {
        if number != 0 {
            put_number(out, tag, number);
        }
    }
    if file.min_expiry != u64::MAX {
        put_number(out, MIN_EXPIRY, file.min_expiry);
    }
    if let Some(range) = &file.visible {
        let mut value = Vec::new();
        put_varint(&mut value, range.start.len() as u64);
        value.extend_from_slice(&range.start);
        value.extend_from_slice(&range.end);
        put_field(out, VISIBLE, &value);
    }
    if !file.values.is_empty() {
        let mut value = Vec::new();
        for reference in &file.values {
            put_varint(&mut value, reference.file);
            put_varint(&mut value, reference.bytes);
        }
        put_field(out, VALUES, &value);
    }
}

/// The fields met so far.
#[derive(Default)]
struct Fields {
    numbers: [Option<u64>; TABLE_FIELDS.len() + 1],
    smallest: Option<Bytes>,
    largest: Option<(Bytes, bool)>,
    footer: Option<Bytes>,
    visible: Option<KeyRange>,
    values: Option<Vec<ValueRef>>,
}

impl Fields {
    fn take(&mut self, tag: u8, mut value: Take<'_>) -> Result<(), Refused> {
        let is = |t: Tag| t.tag == tag;
        if is(SMALLEST) {
            let key = Bytes::copy_from_slice(value.rest());
            set_once(&mut self.smallest, key, &value)?;
        } else if is(LARGEST) || is(LARGEST_EXCLUSIVE) {
            let key = Bytes::copy_from_slice(value.rest());
            set_once(&mut self.largest, (key, is(LARGEST_EXCLUSIVE)), &value)?;
        } else if is(FOOTER) {
            let footer = Bytes::copy_from_slice(value.rest());
            set_once(&mut self.footer, footer, &value)?;
        } else if is(VISIBLE) {
            let start = Bytes::copy_from_slice(value.length_prefixed()?);
            let range = KeyRange { start, end: Bytes::copy_from_slice(value.rest()) };
            set_once(&mut self.visible, range, &value)?;
        } else if is(VALUES) {
            let mut values = Vec::new();
            while !value.is_empty() {
                values.push(ValueRef { file: value.varint()?, bytes: value.varint()? });
            }
            if values.is_empty() {
                return Err(value.malformed("no value file is named").into());
            }
            set_once(&mut self.values, values, &value)?;
        } else if TABLE_FIELDS.iter().any(|known| known.tag == tag) {
            let at = value.clone();
            let number = only_number(value)?;
            if let Some(slot) = self.numbers.get_mut(usize::from(tag)) {
                set_once(slot, number, &at)?;
            }
        } else {
            unknown_field("field of a table", tag)?;
        }
        Ok(())
    }

    fn number(&self, tag: Tag) -> Option<u64> {
        self.numbers.get(usize::from(tag.tag)).copied().flatten()
    }

    fn or_zero(&self, tag: Tag) -> u64 {
        self.number(tag).unwrap_or(0)
    }
}

/// Reads the metadata that is all that `take` has left.
pub(crate) fn decode_table(mut take: Take<'_>) -> Result<FileMeta, Refused> {
    let mut fields = Fields::default();
    while !take.is_empty() {
        let (tag, value) = take_field(&mut take)?;
        fields.take(tag, value)?;
    }
    at_end(&take)?;
    let missing = || Malformed { what: "a table lacks a field that all have", at: take.position() };
    let too_big = |_| Malformed { what: "a number of a table is too big", at: take.position() };
    let (largest, largest_exclusive) = fields.largest.take().ok_or_else(missing)?;
    Ok(FileMeta {
        number: fields.number(NUMBER).ok_or_else(missing)?,
        size: fields.number(SIZE).ok_or_else(missing)?,
        entries: fields.or_zero(ENTRIES),
        tombstones: fields.or_zero(TOMBSTONES),
        range_tombstones: fields.or_zero(RANGE_TOMBSTONES),
        smallest: fields.smallest.take().ok_or_else(missing)?,
        largest,
        largest_exclusive,
        min_seq: fields.or_zero(MIN_SEQ),
        max_seq: fields.or_zero(MAX_SEQ),
        min_expiry: fields.number(MIN_EXPIRY).unwrap_or(u64::MAX),
        max_expiry: fields.or_zero(MAX_EXPIRY),
        expiring: fields.or_zero(EXPIRING),
        raw_bytes: fields.or_zero(RAW_BYTES),
        shadow_bytes: fields.or_zero(SHADOW_BYTES),
        checksum: fields.number(CHECKSUM).ok_or_else(missing)?,
        footer: fields.footer.take().ok_or_else(missing)?,
        compression: u8::try_from(fields.or_zero(COMPRESSION)).map_err(too_big)?,
        created: fields.or_zero(CREATED),
        origin: fields.or_zero(ORIGIN),
        visible: fields.visible.take(),
        values: fields.values.take().unwrap_or_default(),
    })
}
