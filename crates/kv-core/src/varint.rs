//! LEB128 of unsigned numbers: seven bits a byte, low bits first, the high bit says "more".

/// The most bytes that a `u64` takes.
pub const MAX_VARINT_LEN: usize = 10;

/// Appends `n`.
///
/// ```
/// let mut out = Vec::new();
/// kv_core::put_varint(&mut out, 300);
/// assert_eq!(out, [0xAC, 0x02]);
/// ```
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// How many bytes [`put_varint`] appends for `n`: 1 to [`MAX_VARINT_LEN`].
/// ```
/// use kv_core::{MAX_VARINT_LEN, varint_len};
/// assert_eq!((varint_len(0), varint_len(300)), (1, 2));
/// assert_eq!(varint_len(u64::MAX), MAX_VARINT_LEN);
/// ```
pub const fn varint_len(n: u64) -> usize {
    (64 - (n | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Take;

    #[test]
    fn round_trip_at_every_width() {
        for shift in 0..64 {
            for n in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, n);
                assert_eq!(out.len(), varint_len(n), "{n}");
                let mut take = Take::new(&out);
                assert_eq!(take.varint(), Ok(n));
                assert!(take.is_empty());
            }
        }
    }

    #[test]
    fn overlong_and_cut_numbers_are_refused() {
        assert!(Take::new(&[0x80]).varint().is_err(), "cut");
        assert!(Take::new(&[0x80, 0x00]).varint().is_err(), "overlong");
        assert!(Take::new(&[0xFF; 11]).varint().is_err(), "too long");
        assert!(
            Take::new(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02])
                .varint()
                .is_err(),
            "over 64 bits"
        );
    }
}
