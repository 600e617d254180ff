//! Values that say themselves where they come from, so that a foreign or damaged one is
//! recognised at once.

use std::rc::Rc;

/// Writer, number, hash of the key, length, checksum.
const HEAD: usize = 28;

/// The value that `writer` writes at `key` as its write `number`, of `len` bytes; shorter than
/// its head only where `len` is 0.
pub(super) fn make(writer: u32, number: u32, key: &[u8], len: u32) -> Rc<[u8]> {
    if len == 0 {
        return Rc::new([]);
    }
    let len = (len as usize).max(HEAD);
    let mut value = Vec::with_capacity(len);
    value.extend_from_slice(&writer.to_le_bytes());
    value.extend_from_slice(&number.to_le_bytes());
    value.extend_from_slice(&hash(key).to_le_bytes());
    value.extend_from_slice(&(len as u64).to_le_bytes());
    value.extend_from_slice(&[0; 4]);
    // Half of the bytes repeat, so that compression finds something and not everything.
    let mut state = u64::from(number) | 1;
    while value.len() < len {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        value.extend_from_slice(&state.to_le_bytes()[4..]);
        value.extend_from_slice(b"....");
    }
    value.truncate(len);
    let sum = checksum(&value);
    value[24..HEAD].copy_from_slice(&sum.to_le_bytes());
    value.into()
}

fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, step)
}

/// Of everything but the four bytes that hold it.
fn checksum(value: &[u8]) -> u32 {
    let (head, rest) = value.split_at(24);
    (hash(head) ^ hash(&rest[4..]).rotate_left(17)) as u32
}

fn field<const N: usize>(value: &[u8], at: usize) -> Option<[u8; N]> {
    value.get(at..at + N)?.try_into().ok()
}

/// The writer and the number in a whole value.
pub(super) fn parse(value: &[u8]) -> Option<(u32, u32)> {
    let writer = u32::from_le_bytes(field(value, 0)?);
    let number = u32::from_le_bytes(field(value, 4)?);
    let len = u64::from_le_bytes(field(value, 16)?);
    let sum = u32::from_le_bytes(field(value, 24)?);
    (len == value.len() as u64 && sum == checksum(value)).then_some((writer, number))
}

/// A value in words.
pub(super) fn describe(value: &[u8]) -> String {
    match parse(value) {
        Some((writer, number)) => {
            format!("value {number} of writer {writer}, {} bytes", value.len())
        }
        None if value.is_empty() => "an empty value".to_owned(),
        None => format!("{} bytes that nobody wrote", value.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_who_wrote_it_and_a_damaged_one_does_not() {
        let value = make(3, 77, b"key", 100);
        assert_eq!(parse(&value), Some((3, 77)));
        for at in 0..value.len() {
            let mut damaged = value.to_vec();
            damaged[at] ^= 4;
            assert_eq!(parse(&damaged), None, "byte {at}");
        }
        assert!(make(0, 0, b"", 0).is_empty());
    }
}
