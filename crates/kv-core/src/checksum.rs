//! CRC-32 with a context, so that a block that lies in the wrong place does not pass.

/// CRC-32 of `bytes`, begun with the context words `file` and `offset`.
///
/// The same bytes at another offset or in another file have another checksum: a misplaced block
/// is found. It detects accidents, not an attacker.
/// ```
/// use kv_core::{checksum, checksum_with};
/// let (file, offset) = (7, 4096);
/// let sum = checksum(file, offset, b"a block");
/// assert_eq!(sum, checksum_with(file, offset, &[b"a ", b"block"]));
/// // The same bytes in another place or file are not what was written there.
/// assert_ne!(sum, checksum(file, 8192, b"a block"));
/// assert_ne!(sum, checksum(8, offset, b"a block"));
/// ```
#[inline]
pub fn checksum(file: u64, offset: u64, bytes: &[u8]) -> u32 {
    checksum_with(file, offset, &[bytes])
}

/// [`checksum`] of the concatenation of `parts`.
pub fn checksum_with(file: u64, offset: u64, parts: &[&[u8]]) -> u32 {
    let mut context = [0u8; 16];
    let (a, b) = context.split_at_mut(8);
    a.copy_from_slice(&file.to_le_bytes());
    b.copy_from_slice(&offset.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&context);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_and_bytes_both_count() {
        let base = checksum(1, 2, b"abc");
        assert_ne!(base, checksum(1, 3, b"abc"));
        assert_ne!(base, checksum(2, 2, b"abc"));
        assert_ne!(base, checksum(1, 2, b"abd"));
        assert_eq!(base, checksum_with(1, 2, &[b"a", b"bc"]));
    }

    #[test]
    fn zeros_do_not_checksum_to_zero() {
        assert_ne!(checksum(0, 0, &[0; 64]), 0);
    }
}
