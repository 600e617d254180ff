//! Counts in sentences.

use std::fmt::Display;

/// So many of something, whose plural ends in an s.
pub(crate) fn counted<N: Display + PartialEq + From<u8>>(n: N, what: &str) -> String {
    format!("{n} {what}{}", if n == N::from(1) { "" } else { "s" })
}
