//! A value file's metadata as bytes: fields as in [`crate::tag`], each once, in any order.

use crate::ValueMeta;
use crate::tag::{Refused, Tag, only_number, put_number, set_once, take_field, unknown_field};
use kv_core::{Malformed, Take};

const NUMBER: Tag = Tag::new(1, "number", "varint");
const SIZE: Tag = Tag::new(2, "size", "varint");
const RECORDS: Tag = Tag::new(3, "records", "varint");
const BYTES: Tag = Tag::new(4, "bytes", "varint");
const CHECKSUM: Tag = Tag::new(5, "checksum", "varint");

/// The fields of a value file's metadata.
pub const VALUE_FILE_FIELDS: [Tag; 5] = [NUMBER, SIZE, RECORDS, BYTES, CHECKSUM];

/// Appends `file`.
pub(crate) fn encode_value_file(out: &mut Vec<u8>, file: &ValueMeta) {
    put_number(out, NUMBER, file.number);
    put_number(out, SIZE, file.size);
    put_number(out, RECORDS, file.records);
    put_number(out, BYTES, file.bytes);
    put_number(out, CHECKSUM, file.checksum);
}

/// Reads the metadata that is all that `take` has left.
pub(crate) fn decode_value_file(mut take: Take<'_>) -> Result<ValueMeta, Refused> {
    let mut numbers = [None; VALUE_FILE_FIELDS.len() + 1];
    while !take.is_empty() {
        let (tag, value) = take_field(&mut take)?;
        match numbers.get_mut(usize::from(tag)).filter(|_| tag > 0) {
            Some(slot) => {
                let at = value.clone();
                set_once(slot, only_number(value)?, &at)?;
            }
            None => unknown_field("field of a value file", tag)?,
        }
    }
    let missing = Malformed { what: "a value file lacks a field", at: take.position() };
    let number = |tag: Tag| numbers.get(usize::from(tag.tag)).copied().flatten().ok_or(missing);
    Ok(ValueMeta {
        number: number(NUMBER)?,
        size: number(SIZE)?,
        records: number(RECORDS)?,
        bytes: number(BYTES)?,
        checksum: number(CHECKSUM)?,
    })
}
