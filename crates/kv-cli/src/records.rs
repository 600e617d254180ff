//! A key and its value in a line of a file.
//!
//! Promises: what [`to_line`] writes, [`from_line`] reads back exactly, whatever the bytes; and a
//! record of printable text stands in its line as it is, backslashes and all. That is possible
//! because a line which is not plain begins with a control character, which no plain line does.

use crate::form::{escape, is_text, unescape, unhex};
use serde_json::Value;

/// The longest key that a store takes.
pub(crate) const MAX_KEY_LEN: usize = 65_535;
/// The longest value that a store takes.
pub(crate) const MAX_VALUE_LEN: usize = 1 << 30;

/// Data link escape: what follows it in the line is escaped.
const ESCAPED: u8 = 0x10;

pub(crate) type Record = (Vec<u8>, Vec<u8>);

/// Refuses what no store takes.
pub(crate) fn check(key: &[u8], value: &[u8]) -> Result<(), String> {
    for (what, len, limit) in
        [("key", key.len(), MAX_KEY_LEN), ("value", value.len(), MAX_VALUE_LEN)]
    {
        if len > limit {
            return Err(format!("the {what} has over {limit} bytes"));
        }
    }
    Ok(())
}

/// The line for a record, without its end.
pub(crate) fn to_line(key: &[u8], value: &[u8]) -> Vec<u8> {
    // A tab would end the key; in the value it is one byte like any other.
    if is_text(key) && !key.contains(&b'\t') && is_text(value) {
        return [key, b"\t", value].concat();
    }
    let (key, value) = (escape(key), escape(value));
    [&[ESCAPED], key.as_bytes(), b"\t", value.as_bytes()].concat()
}

/// The record in a line, given without its end.
pub(crate) fn from_line(line: &[u8]) -> Result<Record, &'static str> {
    let (escaped, line) = match line.split_first() {
        Some((&ESCAPED, rest)) => (true, rest),
        _ => (false, line),
    };
    let tab = line.iter().position(|&byte| byte == b'\t');
    let (key, value) = tab
        .and_then(|tab| Some((line.get(..tab)?, line.get(tab + 1..)?)))
        .ok_or("no tab between a key and a value")?;
    if !escaped {
        return Ok((key.to_vec(), value.to_vec()));
    }
    unescape(key).zip(unescape(value)).ok_or("an unknown escape")
}

/// The record in a line of JSON.
pub(crate) fn from_json(line: &[u8]) -> Result<Record, &'static str> {
    let Ok(Value::Object(object)) = serde_json::from_slice(line) else {
        return Err("no JSON object");
    };
    let (mut key, mut value) = (None, None);
    for (name, member) in object {
        let (place, hex) = match name.as_str() {
            "key" => (&mut key, false),
            "key_hex" => (&mut key, true),
            "value" => (&mut value, false),
            "value_hex" => (&mut value, true),
            _ => return Err("an object with members besides a key and a value"),
        };
        let Value::String(text) = member else {
            return Err("a member that is no string");
        };
        let bytes = if hex { unhex(text.as_bytes()) } else { Some(text.into_bytes()) };
        if place.replace(bytes.ok_or("a member that is not hexadecimal")?).is_some() {
            return Err("an object with two keys or two values");
        }
    }
    key.zip(value).ok_or("an object without a key or a value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_text_stays_plain() {
        let line = "C:\\new/größe\tx\ty \\t";
        assert_eq!(from_line(line.as_bytes()), Ok(("C:\\new/größe".into(), "x\ty \\t".into())));
        assert_eq!(to_line("C:\\new/größe".as_bytes(), b"x\ty \\t"), line.as_bytes());
        assert_eq!(from_line(b"\t"), Ok((vec![], vec![])));
    }

    #[test]
    fn anything_else_is_escaped_in_its_own_line() {
        assert_eq!(to_line(b"a\tb", b"1\n2\\"), b"\x10a\\tb\t1\\n2\\\\");
        assert_eq!(to_line(b"\x10a", b""), b"\x10\\x10a\t");
    }

    #[test]
    fn bad_lines_are_told() {
        assert!(from_line(b"no tab").is_err());
        assert!(from_line(b"").is_err());
        assert!(from_line(b"\x10a\\q\tb").is_err());
    }

    #[test]
    fn json_is_read_strictly() {
        let read = |text: &str| from_json(text.as_bytes());
        assert_eq!(read(r#"{"key":"a","value":"\u0000"}"#), Ok((b"a".to_vec(), vec![0])));
        assert_eq!(read(r#"{"key_hex":"ff","value_hex":""}"#), Ok((vec![255], vec![])));
        for wrong in [
            "",
            "[]",
            r#"{"key":"a"}"#,
            r#"{"key":"a","value":1}"#,
            r#"{"key":"a","key_hex":"61","value":""}"#,
            r#"{"key":"a","value":"b","ttl":1}"#,
            r#"{"key":"a","value_hex":"f"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_line_gives_its_record_back(key: Vec<u8>, value: Vec<u8>) {
            let line = to_line(&key, &value);
            prop_assert!(!line.contains(&b'\n'));
            prop_assert_eq!(from_line(&line), Ok((key, value)));
        }

        #[test]
        fn records_of_control_characters_too(key in "[\t\n\r\\\\\u{10}ax]{0,6}", value in "[\t\n\r\\\\\u{10}nx]{0,6}") {
            let line = to_line(key.as_bytes(), value.as_bytes());
            prop_assert_eq!(from_line(&line), Ok((key.into_bytes(), value.into_bytes())));
        }
    }
}
