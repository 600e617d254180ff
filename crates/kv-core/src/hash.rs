//! The one hash function: of keys, inside filters, and of whole files, inside the manifest. Its
//! values are on disk, so it never changes.

/// XXH3-64 of the key with seed 0; computed once an operation and passed down.
///
/// ```
/// assert_eq!(kv_core::hash64(b""), 0x2d06_8005_38d3_94c2);
/// ```
#[inline]
pub fn hash64(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

/// XXH3-64 with seed 0 of bytes that come in pieces.
///
/// It goes with the CRC-32 of each block: a file in which sound blocks of another one took the
/// place of its own has the same CRC-32, because both are linear in the same polynomial.
///
/// ```
/// let mut hasher = kv_core::Hasher64::default();
/// hasher.update(b"a");
/// hasher.update(b"b");
/// assert_eq!(hasher.finish(), kv_core::hash64(b"ab"));
/// ```
#[derive(Clone, Default)]
pub struct Hasher64(xxhash_rust::xxh3::Xxh3Default);

impl Hasher64 {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all pieces so far.
    pub fn finish(&self) -> u64 {
        self.0.digest()
    }
}
