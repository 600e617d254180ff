//! What reads found: every value is touched, checked, and folded into a checksum.

use crate::values::Expected;

/// Takes in what reads show. It is a plain type, so that an engine's loop over entries has it
/// inlined.
///
/// Of each value one word in every cache line is read, and its first word and its length are
/// compared with what belongs to the key.
#[derive(Clone, Debug)]
pub struct Seen {
    expected: Expected,
    entries: u64,
    bytes: u64,
    sum: u64,
    wrong: u64,
}

impl Seen {
    /// Nothing seen yet, of a store whose values are these.
    pub fn new(expected: Expected) -> Seen {
        Seen { expected, entries: 0, bytes: 0, sum: 0, wrong: 0 }
    }

    /// Takes one entry in.
    #[inline]
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        self.entries += 1;
        self.bytes += (key.len() + value.len()) as u64;
        self.wrong += u64::from(!self.expected.fits(key, value));
        let mut sum = self.sum;
        for line in value.chunks(64) {
            sum = sum.wrapping_add(first_word(line));
        }
        self.sum = sum;
    }

    /// Adds what another thread saw.
    pub fn merge(&mut self, other: &Seen) {
        self.entries += other.entries;
        self.bytes += other.bytes;
        self.sum = self.sum.wrapping_add(other.sum);
        self.wrong += other.wrong;
    }

    /// How many entries.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Bytes of their keys and values.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A checksum over the values, the same in whatever order they came.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many values were not those of their keys.
    pub fn wrong(&self) -> u64 {
        self.wrong
    }
}

/// The first eight bytes, or as many as there are.
#[inline]
fn first_word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KeyBuf, Shape};
    use crate::values::Values;

    fn seen_of(pairs: &[(u64, u64)], len: usize) -> Seen {
        let values = Values::new(len);
        let mut seen = Seen::new(values.expected());
        for (key_of, value_of) in pairs {
            let mut key = KeyBuf::new(Shape::Plain, 16);
            let mut other = key.clone();
            seen.add(key.set(*key_of), values.of(other.set(*value_of)));
        }
        seen
    }

    #[test]
    fn the_values_of_their_keys_are_right() {
        for len in [8, 16, 100, 1000, 16 << 10] {
            let seen = seen_of(&[(0, 0), (1, 1), (123_456, 123_456)], len);
            assert_eq!((seen.entries(), seen.wrong()), (3, 0));
            assert_eq!(seen.bytes(), 3 * (16 + len as u64));
        }
    }

    #[test]
    fn a_value_of_another_key_is_wrong() {
        assert_eq!(seen_of(&[(1, 2), (2, 1), (3, 3)], 100).wrong(), 2);
    }

    #[test]
    fn a_value_that_is_cut_short_is_wrong() {
        let mut seen = Seen::new(Values::new(100).expected());
        let mut key = KeyBuf::new(Shape::Plain, 16);
        let key = key.set(5);
        seen.add(key, &Values::new(100).of(key)[..99]);
        seen.add(key, b"");
        assert_eq!(seen.wrong(), 2);
    }

    #[test]
    fn the_sum_does_not_depend_on_the_order() {
        let one = seen_of(&[(1, 1), (2, 2), (3, 3)], 100);
        let mut two = seen_of(&[(3, 3)], 100);
        two.merge(&seen_of(&[(2, 2), (1, 1)], 100));
        assert_eq!((one.sum(), one.entries()), (two.sum(), two.entries()));
        assert_ne!(one.sum(), seen_of(&[(1, 1), (2, 2)], 100).sum());
    }
}
