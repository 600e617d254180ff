//! What an entry does to its key. The numbers are a disk format and never change.

/// The kind of an entry, stored in the low byte of its [`Trailer`](crate::Trailer).
///
/// Zero is no kind, so that zeroed bytes never decode as an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The key has this value.
    Put = 1,
    /// The key has no value (a point tombstone).
    Delete = 2,
    /// All older entries in `[key, value)` are deleted (a range tombstone).
    RangeDelete = 3,
    /// The key has a value until a moment; the value begins with that moment
    /// (milliseconds since the Unix epoch, 8 bytes, little endian).
    PutExpiring = 4,
    /// The key has a value that lies in a value file; what is stored is a
    /// [`ValuePointer`](crate::ValuePointer), behind the expiry where there is one.
    ValuePointer = 5,
    /// Reserved: an operand of a merge operator.
    Merge = 6,
}

impl Kind {
    /// The kind with that number, or `None` where no kind has it.
    ///
    /// ```
    /// assert_eq!(kv_core::Kind::from_u8(2), Some(kv_core::Kind::Delete));
    /// assert_eq!(kv_core::Kind::from_u8(0), None);
    /// ```
    pub const fn from_u8(n: u8) -> Option<Kind> {
        Some(match n {
            1 => Kind::Put,
            2 => Kind::Delete,
            3 => Kind::RangeDelete,
            4 => Kind::PutExpiring,
            5 => Kind::ValuePointer,
            6 => Kind::Merge,
            _ => return None,
        })
    }
}
