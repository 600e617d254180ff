//! What a table holds in place of a long value: where that lies.

use crate::{Malformed, Take, split_expiry};

/// Where a value lies in a value file. `docs/format/value-file.md` lists the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ValuePointer {
    /// The number of the value file.
    pub file: u64,
    /// Where its record begins there.
    pub offset: u64,
    /// Bytes of the record, its header included.
    pub stored: u32,
    /// Bytes of the value.
    pub len: u32,
}

/// The bytes of an expiry in front of a pointer.
const EXPIRY_LEN: usize = 8;

impl ValuePointer {
    /// Bytes of an encoded pointer.
    pub const LEN: usize = 24;
    /// Bytes of an encoded pointer with an expiry in front.
    pub const LEN_EXPIRING: usize = Self::LEN + EXPIRY_LEN;

    /// Appends the pointer, with the expiry of its entry in front where it has one.
    pub fn encode(&self, expiry: Option<u64>, out: &mut Vec<u8>) {
        if let Some(expiry) = expiry {
            out.extend_from_slice(&expiry.to_le_bytes());
        }
        out.extend_from_slice(&self.file.to_le_bytes());
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.stored.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
    }

    /// The pointer, and the expiry in front of it, of an entry of kind
    /// [`Kind::ValuePointer`](crate::Kind::ValuePointer).
    ///
    /// ```
    /// use kv_core::ValuePointer;
    /// let pointer = ValuePointer { file: 7, offset: 4096, stored: 1040, len: 1024 };
    /// let mut stored = Vec::new();
    /// pointer.encode(Some(99), &mut stored);
    /// assert_eq!(stored.len(), ValuePointer::LEN_EXPIRING);
    /// assert_eq!(ValuePointer::decode(&stored), Ok((Some(99), pointer)));
    /// assert!(ValuePointer::decode(&stored[1..]).is_err());
    /// // Without the expiry it is the same pointer, shorter.
    /// let bare = &stored[stored.len() - ValuePointer::LEN..];
    /// assert_eq!(ValuePointer::decode(bare), Ok((None, pointer)));
    /// ```
    pub fn decode(stored: &[u8]) -> Result<(Option<u64>, ValuePointer), Malformed> {
        let malformed = Malformed { what: "a value pointer of a wrong length", at: 0 };
        let (expiry, rest) = match stored.len() {
            Self::LEN => (None, stored),
            Self::LEN_EXPIRING => {
                let (expiry, rest) = split_expiry(stored).ok_or(malformed)?;
                (Some(expiry), rest)
            }
            _ => return Err(malformed),
        };
        let mut take = Take::new(rest);
        let pointer = ValuePointer {
            file: take.u64()?,
            offset: take.u64()?,
            stored: take.u32()?,
            len: take.u32()?,
        };
        Ok((expiry, pointer))
    }
}
