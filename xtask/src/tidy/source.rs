//! Just enough of Rust's lexical grammar to look at code without its comments and strings.

/// The text with every comment, string and character literal replaced by spaces, line for line
/// and column for column (in characters).
pub(crate) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` where none begins there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied();
    match chars[at] {
        '/' if next(1) == Some('/') => find(chars, at, |c| c == '\n'),
        '/' if next(1) == Some('*') => block_comment_end(chars, at),
        '"' => string_end(chars, at + 1),
        '\'' => char_end(chars, at),
        // A raw string is told from an identifier that ends in r by what stands before it.
        'r' if !continues_word(chars, at, 'b') => raw_string_end(chars, at),
        _ => at,
    }
}

fn find(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    chars[from..].iter().position(|c| wanted(*c)).map_or(chars.len(), |n| from + n)
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// Behind the closing quote of a string whose first character is at `at`.
fn string_end(chars: &[char], mut at: usize) -> usize {
    while let Some(c) = chars.get(at) {
        match c {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// Behind a character literal at `at`; `at` itself for a lifetime.
fn char_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), Some(_)) => (find(chars, at + 3, |c| c == '\'') + 1).min(chars.len()),
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// Behind a raw string whose `r` is at `at`; `at` itself where it is a plain word.
fn raw_string_end(chars: &[char], at: usize) -> usize {
    let open = find(chars, at + 1, |c| c != '#');
    if chars.get(open) != Some(&'"') {
        return at;
    }
    let hashes = open - at - 1;
    let mut quote = open + 1;
    loop {
        quote = find(chars, quote, |c| c == '"') + 1;
        let closing = chars.get(quote..quote + hashes);
        if quote >= chars.len() || closing.is_some_and(|c| c.iter().all(|c| *c == '#')) {
            return (quote + hashes).min(chars.len());
        }
    }
}

/// Whether the character at `at` goes on with a word, `prefix` alone not counting as one.
fn continues_word(chars: &[char], at: usize, prefix: char) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let before = |n: usize| at.checked_sub(n).and_then(|i| chars.get(i)).copied();
    match before(1) {
        Some(c) if c == prefix => before(2).is_some_and(is_word),
        Some(c) => is_word(c),
        None => false,
    }
}

/// Whether `line` holds `word` as a word of its own; answers the text behind it.
pub(crate) fn behind_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).find_map(|(at, _)| {
        let (before, behind) = (&line[..at], &line[at + word.len()..]);
        let apart = !before.ends_with(is_word) && !behind.starts_with(is_word);
        apart.then_some(behind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_lines_stay() {
        let text = "a // todo!()\nb /* x /* y */ \n z */ c\n\"s\\\"t\n\" d";
        let code = code_only(text);
        assert_eq!(code.chars().count(), text.chars().count());
        assert_eq!(code.lines().count(), text.lines().count());
        assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn characters_are_blanked_and_lifetimes_are_not() {
        let code = code_only("f::<'a>('{', '\\'', '\\u{7b}') }");
        assert_eq!(code.replace(' ', ""), "f::<'a>(,,)}");
    }

    #[test]
    fn raw_strings_end_at_their_own_hashes() {
        let code = code_only("let r = r#\"quote \" { \"# ; for b in br\"\\\" {}");
        assert_eq!(
            code.split_whitespace().collect::<Vec<_>>(),
            ["let", "r", "=", ";", "for", "b", "in", "b", "{}"]
        );
    }

    #[test]
    fn a_word_is_not_part_of_another() {
        assert_eq!(behind_word("unsafe_code unsafe {", "unsafe"), Some(" {"));
        assert_eq!(behind_word("not_unsafe unsafely", "unsafe"), None);
    }
}
