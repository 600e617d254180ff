//! Internal keys: a user key, and a trailer that orders its versions newest first.

use crate::Kind;
use std::cmp::Ordering;

/// The position of an operation in the one order of all writes; the first is 1.
pub type SeqNo = u64;

/// The largest sequence number that a trailer holds (56 bits).
pub const MAX_SEQ: SeqNo = (1 << 56) - 1;

/// Sequence number and kind in one word: `seq << 8 | kind`.
///
/// A trailer is never concatenated to the key, so that a key is compared without being decoded.
/// ```
/// use kv_core::{Kind, MAX_SEQ, SeqNo, Trailer};
/// let seq: SeqNo = 7;
/// let trailer = Trailer::new(seq, Kind::Put);
/// assert_eq!((trailer.seq(), trailer.kind()), (7, Some(Kind::Put)));
///
/// // Where the word comes from a disk, its kind may be none.
/// assert_eq!(Trailer::from_raw(trailer.raw()), trailer);
/// assert_eq!(Trailer::from_raw(seq << 8).kind(), None);
///
/// // A snapshot at 7 sees it, one at 6 does not.
/// assert!(trailer <= Trailer::upper_bound(7) && trailer > Trailer::upper_bound(6));
/// assert_eq!(Trailer::upper_bound(MAX_SEQ), Trailer::MAX);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Trailer(u64);

impl Trailer {
    /// The largest trailer: sorts before every version of its key.
    pub const MAX: Trailer = Trailer(u64::MAX);

    /// Joins a sequence number (at most [`MAX_SEQ`]) and a kind.
    pub const fn new(seq: SeqNo, kind: Kind) -> Trailer {
        Trailer(seq << 8 | kind as u64)
    }

    /// The largest trailer with this sequence number: where a search for the newest version that
    /// a snapshot at `seq` sees begins.
    pub const fn upper_bound(seq: SeqNo) -> Trailer {
        Trailer(seq << 8 | 0xFF)
    }

    /// A trailer as stored; its kind may be none.
    pub const fn from_raw(raw: u64) -> Trailer {
        Trailer(raw)
    }

    /// The word as it is stored.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The sequence number.
    pub const fn seq(self) -> SeqNo {
        self.0 >> 8
    }

    /// The kind, or `None` where the stored byte is no kind.
    pub const fn kind(self) -> Option<Kind> {
        Kind::from_u8(self.0 as u8)
    }
}

/// A user key and its trailer, ordered by key ascending, then newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InternalKey<'a> {
    /// The key as the store keeps it.
    pub key: &'a [u8],
    /// Which version of it.
    pub trailer: Trailer,
}

/// Orders two internal keys: by key ascending, then by trailer descending.
///
/// ```
/// use kv_core::{compare_internal, InternalKey, Kind, Trailer};
/// let old = InternalKey { key: b"k", trailer: Trailer::new(1, Kind::Put) };
/// let new = InternalKey { key: b"k", trailer: Trailer::new(2, Kind::Put) };
/// assert!(compare_internal(new, old).is_lt());
/// ```
pub fn compare_internal(a: InternalKey<'_>, b: InternalKey<'_>) -> Ordering {
    a.key.cmp(b.key).then(b.trailer.cmp(&a.trailer))
}
