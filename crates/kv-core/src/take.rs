//! Reading bytes that nobody vouches for: every step is checked, nothing panics.

use thiserror::Error;

/// The bytes are not what the format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{what} at byte {at}")]
pub struct Malformed {
    /// What was expected and not there.
    pub what: &'static str,
    /// How far into the given bytes.
    pub at: usize,
}

/// A reader over a byte slice. Each call takes from the front or answers [`Malformed`].
///
/// ```
/// use kv_core::Take;
/// let mut take = Take::new(&[1, 0, 0, 0, b'x']);
/// assert_eq!(take.u32(), Ok(1));
/// assert_eq!(take.rest(), b"x");
/// assert!(take.u8().is_err());
/// ```
/// A whole header, and what is behind it:
///
/// ```
/// use kv_core::{Malformed, Take, put_varint};
/// let mut stored = b"MAGI".to_vec();
/// stored.extend_from_slice(&2u16.to_le_bytes());
/// stored.extend_from_slice(&77u64.to_le_bytes());
/// put_varint(&mut stored, 300);
/// put_varint(&mut stored, 5);
/// stored.extend_from_slice(b"applepie");
///
/// let mut take = Take::new(&stored);
/// assert_eq!(&take.array::<4>()?, b"MAGI");
/// assert_eq!((take.u16()?, take.u64()?, take.varint()?), (2, 77, 300));
/// assert_eq!(take.length_prefixed()?, b"apple");
/// assert_eq!((take.position(), take.remaining()), (22, 3));
///
/// // What is not there is an error that says where, and takes nothing.
/// let short = Malformed { what: "fewer bytes than declared", at: 22 };
/// assert_eq!(take.bytes(4), Err(short));
/// assert_eq!(take.bytes(3)?, b"pie");
/// assert!(take.is_empty());
/// assert_eq!(take.malformed("no footer").to_string(), "no footer at byte 25");
/// # Ok::<(), Malformed>(())
/// ```
#[derive(Clone, Debug)]
pub struct Take<'a> {
    bytes: &'a [u8],
    len: usize,
}

impl<'a> Take<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Take<'a> {
        Take { bytes, len: bytes.len() }
    }

    /// How many bytes have been taken.
    pub fn position(&self) -> usize {
        self.len - self.bytes.len()
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// An error that names this place.
    pub fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { what, at: self.position() }
    }

    /// Takes everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// Takes `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) =
            self.bytes.split_at_checked(n).ok_or(self.malformed("fewer bytes than declared"))?;
        self.bytes = tail;
        Ok(head)
    }

    /// Takes an array of `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) =
            self.bytes.split_first_chunk::<N>().ok_or(self.malformed("cut short"))?;
        self.bytes = tail;
        Ok(*head)
    }

    /// Takes one byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[b]| b)
    }

    /// Takes a little-endian `u16`.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    /// Takes a little-endian `u32`.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Takes a little-endian `u64`.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// Takes a LEB128 number in its shortest form.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut n = 0u64;
        for (i, &byte) in self.bytes.iter().enumerate().take(crate::MAX_VARINT_LEN) {
            let low = u64::from(byte & 0x7F);
            if i == 9 && byte > 1 {
                return Err(self.malformed("number over 64 bits"));
            }
            n |= low << (7 * i);
            if byte < 0x80 {
                if byte == 0 && i > 0 {
                    return Err(self.malformed("number not in its shortest form"));
                }
                self.bytes = self.bytes.get(i + 1..).unwrap_or_default();
                return Ok(n);
            }
        }
        Err(self.malformed("number cut short"))
    }

    /// Takes a LEB128 length, then that many bytes.
    #[inline]
    pub fn length_prefixed(&mut self) -> Result<&'a [u8], Malformed> {
        let n = self.varint()?;
        let n = usize::try_from(n).map_err(|_| self.malformed("length over the address space"))?;
        self.bytes(n)
    }
}
