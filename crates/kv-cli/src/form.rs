//! How bytes are given on the command line and shown on the screen.

use crate::failure::Failure;
use clap::ValueEnum;
use std::borrow::Cow;
use std::ffi::OsString;

/// How keys and values are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Printable UTF-8 as it is, anything else as 0x and hexadecimal digits; `get` gives the bytes
    /// as they are when its output is no terminal
    Auto,
    /// UTF-8, with \\, \t, \n, \r and \xNN for a backslash and what cannot be printed
    Utf8,
    /// Hexadecimal digits
    Hex,
    /// The bytes as they are; `get` adds no newline
    Raw,
}

impl Format {
    /// The bytes in this form.
    pub(crate) fn show(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Format::Raw => bytes.into(),
            Format::Auto if is_text(bytes) => bytes.into(),
            Format::Auto => format!("0x{}", hex(bytes)).into_bytes().into(),
            Format::Hex => hex(bytes).into_bytes().into(),
            Format::Utf8 => escape(bytes).into_bytes().into(),
        }
    }
}

/// The bytes of an argument.
pub(crate) fn argument(name: &str, given: OsString, is_hex: bool) -> Result<Vec<u8>, Failure> {
    let bytes = given.into_encoded_bytes();
    if !is_hex {
        return Ok(bytes);
    }
    unhex(&bytes).ok_or_else(|| {
        Failure::usage(format!("{name} is not hexadecimal: expected an even number of digits"))
    })
}

/// Whether this is UTF-8 without control characters but tabs.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(|c| c.is_control() && c != '\t'))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// What [`hex`] made, with or without `0x` before it and in either case.
pub(crate) fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(b"0x").unwrap_or(text);
    let (pairs, odd) = digits.as_chunks::<2>();
    let half = |digit: u8| char::from(digit).to_digit(16);
    let bytes = pairs.iter().map(|&[high, low]| Some((half(high)? << 4 | half(low)?) as u8));
    bytes.collect::<Option<Vec<u8>>>().filter(|_| odd.is_empty())
}

/// Printable UTF-8, with escapes for all else, so that [`unescape`] gives the bytes back.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '\t' => text.push_str("\\t"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                c if c.is_control() => {
                    escape_bytes(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes())
                }
                c => text.push(c),
            }
        }
        escape_bytes(&mut text, chunk.invalid());
    }
    text
}

fn escape_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str("\\x");
        text.push_str(&hex(&[*byte]));
    }
}

/// What [`escape`] was given; `None` where a backslash introduces nothing known.
pub(crate) fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'\\' => b'\\',
                b't' => b'\t',
                b'n' => b'\n',
                b'r' => b'\r',
                b'x' => *unhex(&[rest.next()?, rest.next()?])?.first()?,
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_format_shows_bytes_its_own_way() {
        let shown =
            |format: Format, bytes| String::from_utf8(format.show(bytes).into_owned()).unwrap();
        assert_eq!(shown(Format::Auto, "grün\\".as_bytes()), "grün\\");
        assert_eq!(shown(Format::Auto, b"a\nb"), "0x610a62");
        assert_eq!(shown(Format::Auto, b"\xFF"), "0xff");
        assert_eq!(shown(Format::Hex, b"a\n"), "610a");
        assert_eq!(shown(Format::Utf8, b"a\n\xFF\\\x00\xC2\x85"), "a\\n\\xff\\\\\\x00\\xc2\\x85");
        assert_eq!(shown(Format::Raw, b"a\nb"), "a\nb");
    }

    #[test]
    fn hexadecimal_is_read_strictly() {
        assert_eq!(unhex(b"0x00fF"), Some(vec![0, 255]));
        assert_eq!(unhex(b""), Some(vec![]));
        for wrong in ["0", "0x0", "zz", "0 1 ", "+1"] {
            assert_eq!(unhex(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn unknown_escapes_are_refused() {
        for wrong in ["\\", "\\q", "\\x", "\\x1", "\\xzz", "a\\"] {
            assert_eq!(unescape(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn both_forms_give_the_bytes_back(bytes: Vec<u8>) {
            prop_assert_eq!(unhex(hex(&bytes).as_bytes()), Some(bytes.clone()));
            let escaped = escape(&bytes);
            prop_assert!(!escaped.chars().any(char::is_control));
            prop_assert_eq!(unescape(escaped.as_bytes()), Some(bytes));
        }
    }
}
