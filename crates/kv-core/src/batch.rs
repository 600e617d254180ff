//! The bytes of a batch: what a write hands to the log, and what recovery reads back.
//!
//! Layout (`docs/format/batch.md`):
//!
//! ```text
//! batch := count u32 | op*
//! op    := kind u8 | key_len varint | key | [ value_len varint | value ]
//! ```
//!
//! A delete has no value. A range delete keeps its first key as the key and the key behind its
//! last as the value. An expiring put's value begins with 8 bytes: its expiry in milliseconds.

use crate::{Kind, Malformed, Take, ValuePointer, put_varint};

/// The bytes before the first operation.
pub const BATCH_HEADER_LEN: usize = 4;

/// The fewest bytes that an operation takes: kind and an empty key's length.
const MIN_OP_LEN: usize = 2;

/// Builds the payload of one log record. Operation `i` gets the batch's first sequence number
/// plus `i`, so the later operation on a key wins.
/// ```
/// use kv_core::{BATCH_HEADER_LEN, Batch, decode_batch};
/// let mut batch = Batch::with_capacity(64);
/// batch.put(b"apple", b"red");
/// batch.delete(b"plum");
/// // A key that lies in parts need not be joined first.
/// batch.put_parts(&[b"fruit/", b"pear"], b"green");
/// batch.delete_parts(&[b"fruit/", b"plum"]);
/// batch.delete_range(b"a", b"b");
/// // When it expires is known only when the batch commits.
/// let at = batch.put_expiring(&[b"lease"], b"mine", 0);
/// batch.set_expiry(at, 1_700_000_000_000);
/// assert_eq!((batch.len(), batch.is_empty()), (6, false));
///
/// let ops = decode_batch(batch.as_bytes())?.collect::<Result<Vec<_>, _>>()?;
/// let keys: Vec<&[u8]> = ops.iter().map(|op| op.key).collect();
/// assert_eq!(keys, [&b"apple"[..], b"plum", b"fruit/pear", b"fruit/plum", b"a", b"lease"]);
///
/// batch.clear();
/// assert_eq!((batch.len(), batch.as_bytes().len()), (0, BATCH_HEADER_LEN));
/// assert!(batch.is_empty() && Batch::new().is_empty());
/// # Ok::<(), kv_core::Malformed>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    count: u32,
}

impl Default for Batch {
    fn default() -> Self {
        Batch::new()
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::with_capacity(0)
    }

    /// An empty batch with room for `bytes` bytes of operations.
    pub fn with_capacity(bytes: usize) -> Batch {
        let mut buffer = Vec::with_capacity(BATCH_HEADER_LEN.saturating_add(bytes));
        buffer.extend_from_slice(&0u32.to_le_bytes());
        Batch { bytes: buffer, count: 0 }
    }

    /// Appends a put.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.put_parts(&[key], value);
    }

    /// Appends a put whose key is the concatenation of `key`.
    pub fn put_parts(&mut self, key: &[&[u8]], value: &[u8]) {
        self.begin(Kind::Put, key);
        put_varint(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// Appends an expiring put and answers where its 8 bytes of expiry begin, so that the
    /// moment can be set with [`Batch::set_expiry`] when the batch commits.
    pub fn put_expiring(&mut self, key: &[&[u8]], value: &[u8], expiry_ms: u64) -> usize {
        self.begin(Kind::PutExpiring, key);
        put_varint(&mut self.bytes, value.len() as u64 + 8);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&expiry_ms.to_le_bytes());
        self.bytes.extend_from_slice(value);
        at
    }

    /// Sets the expiry of the expiring put that [`Batch::put_expiring`] placed at `at`.
    pub fn set_expiry(&mut self, at: usize, expiry_ms: u64) {
        if let Some(slot) = self.bytes.get_mut(at..at + 8) {
            slot.copy_from_slice(&expiry_ms.to_le_bytes());
        }
    }

    /// Appends a delete.
    pub fn delete(&mut self, key: &[u8]) {
        self.delete_parts(&[key]);
    }

    /// Appends a delete whose key is the concatenation of `key`.
    pub fn delete_parts(&mut self, key: &[&[u8]]) {
        self.begin(Kind::Delete, key);
    }

    /// Appends a range delete of `[start, end)`.
    pub fn delete_range(&mut self, start: &[u8], end: &[u8]) {
        self.begin(Kind::RangeDelete, &[start]);
        put_varint(&mut self.bytes, end.len() as u64);
        self.bytes.extend_from_slice(end);
    }

    fn begin(&mut self, kind: Kind, key: &[&[u8]]) {
        self.count += 1;
        self.bytes.push(kind as u8);
        put_varint(&mut self.bytes, key.iter().map(|part| part.len() as u64).sum());
        for part in key {
            self.bytes.extend_from_slice(part);
        }
        if let Some(slot) = self.bytes.first_chunk_mut() {
            *slot = self.count.to_le_bytes();
        }
    }

    /// How many operations.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no operation.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Forgets every operation and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.truncate(BATCH_HEADER_LEN);
        self.bytes.fill(0);
        self.count = 0;
    }

    /// The encoded batch.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One decoded operation of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op<'a> {
    /// What it does.
    pub kind: Kind,
    /// Its key; of a range delete, the first key.
    pub key: &'a [u8],
    /// Its value as stored; of a range delete, the key behind the last; of a delete, empty.
    pub value: &'a [u8],
}

/// The operations of an encoded batch, in order. After an error it ends.
#[derive(Clone, Debug)]
pub struct Ops<'a> {
    take: Take<'a>,
    left: u32,
}

impl Ops<'_> {
    /// How many operations are left.
    pub fn remaining(&self) -> u32 {
        self.left
    }
}

/// Reads an encoded batch. The count in front is checked against the length of the bytes here;
/// each operation when it is reached.
/// ```
/// use kv_core::{Batch, Kind, Op, Ops, decode_batch};
/// let mut batch = Batch::new();
/// batch.put(b"apple", b"red");
/// batch.delete_range(b"b", b"d");
/// let bytes = batch.as_bytes();
///
/// let mut ops: Ops<'_> = decode_batch(bytes)?;
/// let put = Op { kind: Kind::Put, key: b"apple", value: b"red" };
/// assert_eq!(ops.next(), Some(Ok(put)));
/// assert_eq!(ops.remaining(), 1);
/// // Of a range delete, the value is the key behind the last.
/// let range = Op { kind: Kind::RangeDelete, key: b"b", value: b"d" };
/// assert_eq!(ops.next(), Some(Ok(range)));
/// assert_eq!(ops.next(), None);
///
/// // Of bytes that were cut short, the operation that is not whole is an error, and the last.
/// let mut cut = decode_batch(&bytes[..bytes.len() - 1])?;
/// assert_eq!(cut.next(), Some(Ok(put)));
/// assert!(cut.next().is_some_and(|op| op.is_err()) && cut.next().is_none());
/// # Ok::<(), kv_core::Malformed>(())
/// ```
pub fn decode_batch(bytes: &[u8]) -> Result<Ops<'_>, Malformed> {
    let mut take = Take::new(bytes);
    let left = take.u32()?;
    if left as usize > take.remaining() / MIN_OP_LEN {
        return Err(take.malformed("more operations declared than bytes can hold"));
    }
    Ok(Ops { take, left })
}

impl<'a> Ops<'a> {
    #[inline]
    fn step(&mut self) -> Result<Op<'a>, Malformed> {
        let kind = Kind::from_u8(self.take.u8()?).ok_or(self.take.malformed("unknown kind"))?;
        let key = self.take.length_prefixed()?;
        let value = match kind {
            Kind::Delete => &[],
            Kind::Put | Kind::RangeDelete => self.take.length_prefixed()?,
            Kind::PutExpiring => {
                let value = self.take.length_prefixed()?;
                if value.len() < 8 {
                    return Err(self.take.malformed("expiring value without its expiry"));
                }
                value
            }
            Kind::ValuePointer | Kind::Merge => {
                return Err(self.take.malformed("kind that no batch holds"));
            }
        };
        Ok(Op { kind, key, value })
    }
}

impl<'a> Iterator for Ops<'a> {
    type Item = Result<Op<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            if self.take.is_empty() {
                return None;
            }
            let error = self.take.malformed("bytes behind the last operation");
            self.take.rest();
            return Some(Err(error));
        }
        self.left -= 1;
        let op = self.step();
        if op.is_err() {
            self.left = 0;
            self.take.rest();
        }
        Some(op)
    }
}

/// Splits the stored value of an expiring put into its expiry (milliseconds since the Unix
/// epoch) and the user's value; `None` where it is too short to hold one.
pub fn split_expiry(stored: &[u8]) -> Option<(u64, &[u8])> {
    let (expiry, value) = stored.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*expiry), value))
}

/// The expiry of an entry: `None` unless its kind is [`Kind::PutExpiring`], or it is a
/// [`Kind::ValuePointer`] with one.
/// ```
/// use kv_core::{Batch, Kind, decode_batch, expiry_of, split_expiry};
/// let mut batch = Batch::new();
/// batch.put_expiring(&[b"lease"], b"mine", 1_000);
/// for op in decode_batch(batch.as_bytes())? {
///     let op = op?;
///     assert_eq!(split_expiry(op.value), Some((1_000, &b"mine"[..])));
///     assert_eq!(expiry_of(op.kind, op.value), Some(1_000));
/// }
/// // The value of another kind does not begin with an expiry, whatever its bytes.
/// assert_eq!(expiry_of(Kind::Put, b"a long value"), None);
/// # Ok::<(), kv_core::Malformed>(())
/// ```
pub fn expiry_of(kind: Kind, stored: &[u8]) -> Option<u64> {
    match kind {
        Kind::PutExpiring => split_expiry(stored).map(|(at, _)| at),
        Kind::ValuePointer => ValuePointer::decode(stored).ok().and_then(|(at, _)| at),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_round_trips() {
        let mut batch = Batch::new();
        batch.put(b"", b"");
        batch.delete(b"k");
        batch.delete_range(b"a", b"b");
        let at = batch.put_expiring(&[b"x", b"y"], b"v", 0);
        batch.set_expiry(at, 77);
        let ops: Vec<_> = decode_batch(batch.as_bytes()).unwrap().map(Result::unwrap).collect();
        assert_eq!(ops[0], Op { kind: Kind::Put, key: b"", value: b"" });
        assert_eq!(ops[1], Op { kind: Kind::Delete, key: b"k", value: b"" });
        assert_eq!(ops[2], Op { kind: Kind::RangeDelete, key: b"a", value: b"b" });
        assert_eq!(ops[3].key, b"xy");
        assert_eq!(split_expiry(ops[3].value), Some((77, &b"v"[..])));
        batch.clear();
        assert!(batch.is_empty());
        assert_eq!(decode_batch(batch.as_bytes()).unwrap().count(), 0);
    }

    #[test]
    fn every_cut_and_every_flip_ends_without_a_panic() {
        let mut batch = Batch::new();
        batch.put(b"key", b"value");
        batch.put_expiring(&[b"key"], b"value", 9);
        batch.delete_range(b"a", b"b");
        let bytes = batch.as_bytes().to_vec();
        for cut in 0..bytes.len() {
            let whole =
                decode_batch(&bytes[..cut]).and_then(|ops| ops.collect::<Result<Vec<_>, _>>());
            assert!(whole.is_err(), "cut at {cut}");
        }
        for i in 0..bytes.len() {
            for bit in 0..8 {
                let mut bent = bytes.clone();
                bent[i] ^= 1 << bit;
                if let Ok(ops) = decode_batch(&bent) {
                    assert!(ops.count() <= bytes.len());
                }
            }
        }
    }
}
