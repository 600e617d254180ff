//! The bytes of the format, as `docs/format/tuples.md` lists them.

/// Ends a nested tuple; begins no item, and is less than whatever does.
pub const END: u8 = 0x00;
/// Null.
pub const NULL: u8 = 0x01;
/// The boolean false.
pub const FALSE: u8 = 0x02;
/// The boolean true.
pub const TRUE: u8 = 0x03;
/// The integer -1. A negative integer of `n` further bytes has this less `n`.
pub const MINUS_ONE: u8 = 0x20;
/// The integer 0. A positive integer of `n` further bytes has this plus `n`.
pub const ZERO: u8 = 0x21;
/// A float: 8 bytes follow.
pub const FLOAT: u8 = 0x40;
/// Text: escaped bytes and their end follow.
pub const TEXT: u8 = 0x50;
/// Bytes: escaped bytes and their end follow.
pub const BYTES: u8 = 0x51;
/// A nested tuple: items follow, then [`END`].
pub const NESTED: u8 = 0x60;

/// What a string's end begins with; [`STRING_END`] or [`ESCAPED`] is behind it.
pub(super) const ESCAPE: u8 = 0x00;
/// Behind a zero byte: the string ends.
pub const STRING_END: u8 = 0x01;
/// Behind a zero byte: the zero belongs to the string.
pub const ESCAPED: u8 = 0xFF;

/// Tags of ascending items are below; descending ones have theirs complemented.
pub(super) const DESCENDING: u8 = 0x80;
/// The most bytes of an integer behind its tag.
pub(super) const MAX_INT_LEN: u8 = 16;

/// How many tuples may be inside each other; one inside a key is depth 1.
pub const MAX_DEPTH: usize = 32;
