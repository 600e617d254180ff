//! A line taken apart into words, and bytes made a word again.
//!
//! Blanks separate words. Between '…' everything stands for itself. Elsewhere a backslash introduces
//! `\\`, `\t`, `\n`, `\r`, `\xNN`, as in what `--format utf8` shows, or a blank or quote that stands
//! for itself; between "…" blanks do so too.

use crate::form::{escape, unhex};

/// A word, and the offset in the line at which it begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) start: usize,
    pub(super) bytes: Vec<u8>,
}

/// The words of a line.
pub(super) fn split(line: &[u8]) -> Result<Vec<Word>, &'static str> {
    match take_apart(line) {
        (words, None) => Ok(words),
        (_, Some(wrong)) => Err(wrong),
    }
}

/// The words of a line that is being typed; the last one is what is to be completed, and may be empty.
pub(super) fn typed(line: &[u8]) -> Vec<Word> {
    let (mut words, wrong) = take_apart(line);
    let behind = line.last().is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    if behind && wrong.is_none() && !take_apart(&[line, b"x"].concat()).0.len().eq(&words.len()) {
        words.push(Word { start: line.len(), bytes: Vec::new() });
    }
    words
}

/// The word that stands for these bytes.
pub(super) fn quote(bytes: &[u8]) -> String {
    let escaped = escape(bytes);
    if escaped.is_empty() {
        return "''".to_owned();
    }
    let mut word = String::with_capacity(escaped.len());
    for c in escaped.chars() {
        if matches!(c, ' ' | '\'' | '"') || (c == '#' && word.is_empty()) {
            word.push('\\');
        }
        word.push(c);
    }
    word
}

/// As many words as there are, and what is wrong with the last one.
fn take_apart(line: &[u8]) -> (Vec<Word>, Option<&'static str>) {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quoted = None;
    let mut rest = line.iter().copied().enumerate();
    while let Some((at, byte)) = rest.next() {
        let blank = matches!(byte, b' ' | b'\t');
        if blank && quoted.is_none() {
            words.extend(word.take());
            continue;
        }
        let bytes = &mut word.get_or_insert_with(|| Word { start: at, bytes: Vec::new() }).bytes;
        match (quoted, byte) {
            (Some(quote), byte) if byte == quote => quoted = None,
            (Some(b'\''), byte) => bytes.push(byte),
            (None, b'\'' | b'"') => quoted = Some(byte),
            (_, b'\\') => match escaped(&mut rest.by_ref().map(|(_, byte)| byte)) {
                Some(byte) => bytes.push(byte),
                None => {
                    words.extend(word);
                    return (words, Some("an unknown escape; \\\\ stands for a backslash"));
                }
            },
            (_, byte) => bytes.push(byte),
        }
    }
    words.extend(word);
    (words, quoted.map(|_| "a quote that is not closed"))
}

/// The byte that stands behind a backslash.
fn escaped(rest: &mut impl Iterator<Item = u8>) -> Option<u8> {
    Some(match rest.next()? {
        b't' => b'\t',
        b'n' => b'\n',
        b'r' => b'\r',
        b'x' => *unhex(&[rest.next()?, rest.next()?])?.first()?,
        byte @ (b'\\' | b' ' | b'\'' | b'"' | b'#') => byte,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Result<Vec<Vec<u8>>, &'static str> {
        Ok(split(line.as_bytes())?.into_iter().map(|word| word.bytes).collect())
    }

    #[test]
    fn blanks_quotes_and_escapes() {
        let wanted =
            |texts: &[&str]| Ok(texts.iter().map(|text| text.as_bytes().to_vec()).collect());
        assert_eq!(words("  put a\t b "), wanted(&["put", "a", "b"]));
        assert_eq!(words(r#"put 'a \x' "b c\n" ''"#), wanted(&["put", "a \\x", "b c\n", ""]));
        assert_eq!(words(r#"a' 'b" "c\ d"#), wanted(&["a b c d"]));
        assert_eq!(words(r#"'"' "'" \"\'"#), wanted(&["\"", "'", "\"'"]));
        assert_eq!(words(r"\xff\x00"), Ok(vec![vec![255, 0]]));
        assert_eq!(words(""), Ok(vec![]));
    }

    #[test]
    fn what_is_not_closed_or_not_known_is_refused() {
        for wrong in ["'a", "\"a", "a\\", "\\q", "\\x1", "\"\\"] {
            assert!(words(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_being_typed_has_a_last_word() {
        let last = |line: &str| {
            let words = typed(line.as_bytes());
            let count = words.len();
            words.into_iter().next_back().map(|word| (count, word.start, word.bytes))
        };
        assert_eq!(last(""), Some((1, 0, vec![])));
        assert_eq!(last("ge"), Some((1, 0, b"ge".to_vec())));
        assert_eq!(last("get "), Some((2, 4, vec![])));
        assert_eq!(last("get 'a b"), Some((2, 4, b"a b".to_vec())));
        assert_eq!(last("get 'a "), Some((2, 4, b"a ".to_vec())));
        assert_eq!(last(r"get a\ "), Some((2, 4, b"a ".to_vec())));
    }

    proptest! {
        #[test]
        fn a_quoted_word_is_one_word(bytes: Vec<u8>) {
            let line = format!(" {} ", quote(&bytes));
            let words = split(line.as_bytes()).unwrap();
            prop_assert_eq!(words, vec![Word { start: 1, bytes }]);
        }
    }
}
