//! Keys: a number as text, so that the order of the keys is that of the numbers.

/// What a key looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Decimal digits with zeros in front.
    Plain,
    /// A long text that thousands of keys share, the number of the group in it, and digits.
    Prefix,
}

/// How many keys share their prefix.
const GROUP: u64 = 10_000;
const TEXT: &[u8] = b"tenant/0000000000/collection/profile-settings/";
/// Where the group's number ends in the text.
const GROUP_END: usize = 17;

/// A key that is made in place again and again.
///
/// Key number `n` of a store is made from `2 * n`: the odd numbers are missing keys, of the same
/// length, everywhere between those that are there.
#[derive(Clone, Debug)]
pub struct KeyBuf {
    bytes: Vec<u8>,
    shape: Shape,
}

impl KeyBuf {
    /// The fewest bytes of a key of that shape.
    pub fn shortest(shape: Shape) -> usize {
        match shape {
            Shape::Plain => 8,
            Shape::Prefix => TEXT.len() + 8,
        }
    }

    /// Keys of that shape, with `len` bytes, or as many as the shape needs at least.
    pub fn new(shape: Shape, len: usize) -> KeyBuf {
        let mut bytes = vec![b'0'; len.max(KeyBuf::shortest(shape))];
        if shape == Shape::Prefix {
            bytes[..TEXT.len()].copy_from_slice(TEXT);
        }
        KeyBuf { bytes, shape }
    }

    /// The key number `n`, one that is there.
    #[inline]
    pub fn set(&mut self, n: u64) -> &[u8] {
        self.make(2 * n)
    }

    /// A key behind key number `n` and before the next: one that is missing.
    #[inline]
    pub fn set_missing(&mut self, n: u64) -> &[u8] {
        self.make(2 * n + 1)
    }

    #[inline]
    fn make(&mut self, number: u64) -> &[u8] {
        if self.shape == Shape::Prefix {
            digits(&mut self.bytes[..GROUP_END], GROUP_END - 7, number / GROUP);
            digits(&mut self.bytes, TEXT.len(), number);
        } else {
            digits(&mut self.bytes, 0, number);
        }
        &self.bytes
    }
}

/// Writes a number into `slot[from..]`, to the right, with zeros in front.
#[inline]
fn digits(slot: &mut [u8], from: usize, mut number: u64) {
    for pair in slot[from..].rchunks_mut(2) {
        let two = number % 100;
        number /= 100;
        let (tens, ones) = (b'0' + (two / 10) as u8, b'0' + (two % 10) as u8);
        match pair {
            [a, b] => (*a, *b) = (tens, ones),
            [b] => *b = ones,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_length_and_are_in_the_order_of_the_numbers() {
        for (shape, len) in [(Shape::Plain, 16), (Shape::Plain, 23), (Shape::Prefix, 60)] {
            let mut key = KeyBuf::new(shape, len);
            let mut last = Vec::new();
            for n in (0..20_000).chain(999_990..1_000_010).chain([1 << 30]) {
                for missing in [false, true] {
                    let key = if missing { key.set_missing(n) } else { key.set(n) };
                    assert_eq!(key.len(), len);
                    assert!(key > &last[..], "{n} {missing} {}", String::from_utf8_lossy(key));
                    last = key.to_vec();
                }
            }
        }
    }

    #[test]
    fn a_key_is_its_number_as_text() {
        assert_eq!(KeyBuf::new(Shape::Plain, 16).set(21), b"0000000000000042");
        assert_eq!(KeyBuf::new(Shape::Plain, 16).set_missing(21), b"0000000000000043");
        assert_eq!(
            KeyBuf::new(Shape::Prefix, 60).set(617_283),
            b"tenant/0000000123/collection/profile-settings/00000001234566"
        );
    }

    #[test]
    fn a_key_is_never_too_short_for_its_shape() {
        assert_eq!(KeyBuf::new(Shape::Plain, 1).set(3).len(), 8);
        assert_eq!(KeyBuf::new(Shape::Prefix, 1).set(3).len(), 54);
    }
}
