//! The framing inside a manifest record: `tag u8 | length varint | value`, repeated, so that a
//! field can be added without a new format. `docs/format/manifest.md` lists the fields.

use kv_core::{Malformed, Take, put_varint};

/// A field whose tag has this bit may be skipped by a reader that does not know it; any other
/// unknown field must be refused.
pub(crate) const SKIPPABLE: u8 = 0x80;

/// A kind of field.
///
/// ```
/// use kv_manifest::{RECORD_FIELDS, TABLE_FIELDS, Tag, VALUE_FILE_FIELDS};
///
/// assert_eq!(TABLE_FIELDS[0], Tag { name: "number", tag: 1, value: "varint" });
/// // What a number in a file means depends on what it is a field of.
/// let name = |fields: &[Tag], number: u8| {
///     fields.iter().find(|field| field.tag == number).map(|field| field.name)
/// };
/// assert_eq!(name(&RECORD_FIELDS, 3), Some("epoch"));
/// assert_eq!(name(&TABLE_FIELDS, 3), Some("entries"));
/// assert_eq!(name(&VALUE_FILE_FIELDS, 3), Some("records"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its name in the format's description.
    pub name: &'static str,
    /// Its number in the file.
    pub tag: u8,
    /// How its value is laid out, in the words of the format's description.
    pub value: &'static str,
}

impl Tag {
    pub(crate) const fn new(tag: u8, name: &'static str, value: &'static str) -> Tag {
        Tag { name, tag, value }
    }
}

/// Why a payload is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is not what any release writes.
    Malformed(Malformed),
    /// A newer release wrote a field, a kind of record or a format that must be understood.
    Unknown {
        /// Of what an unknown one was met.
        what: &'static str,
        /// Its number.
        number: u64,
    },
}

impl From<Malformed> for Refused {
    fn from(malformed: Malformed) -> Refused {
        Refused::Malformed(malformed)
    }
}

/// Appends a field.
pub(crate) fn put_field(out: &mut Vec<u8>, tag: Tag, value: &[u8]) {
    out.push(tag.tag);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// Appends a field whose value is one number.
pub(crate) fn put_number(out: &mut Vec<u8>, tag: Tag, number: u64) {
    let mut value = Vec::with_capacity(kv_core::MAX_VARINT_LEN);
    put_varint(&mut value, number);
    put_field(out, tag, &value);
}

/// The next field: its tag's number and a reader over its value.
pub(crate) fn take_field<'a>(take: &mut Take<'a>) -> Result<(u8, Take<'a>), Malformed> {
    Ok((take.u8()?, Take::new(take.length_prefixed()?)))
}

/// The number that is all of a field's value.
pub(crate) fn only_number(mut value: Take<'_>) -> Result<u64, Malformed> {
    let number = value.varint()?;
    at_end(&value)?;
    Ok(number)
}

/// Nothing is left.
pub(crate) fn at_end(take: &Take<'_>) -> Result<(), Malformed> {
    if take.is_empty() { Ok(()) } else { Err(take.malformed("bytes behind the value")) }
}

/// Sets a field that may be there once.
pub(crate) fn set_once<T>(slot: &mut Option<T>, value: T, at: &Take<'_>) -> Result<(), Malformed> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(at.malformed("a field is there twice")),
    }
}

/// What to do with a field of an unknown tag: nothing, or refuse it.
pub(crate) fn unknown_field(what: &'static str, tag: u8) -> Result<(), Refused> {
    if tag & SKIPPABLE != 0 {
        return Ok(());
    }
    Err(Refused::Unknown { what, number: u64::from(tag) })
}
