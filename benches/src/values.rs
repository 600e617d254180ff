//! Values: made before the clock starts, half compressible, and known by their keys.

/// A unit of the pool: half of it is random, and the other half repeats that.
const UNIT: usize = 96;
const WORDS: u64 = UNIT as u64 / 16;
const UNITS: u64 = 10_000;

/// The values of a store. The value of a key is always the same, cut from a pool of about 1 MiB, so
/// that giving it costs nothing and a read can check it.
#[derive(Clone, Debug)]
pub struct Values {
    pool: Vec<u8>,
    expected: Expected,
}

/// Knows the values by computing: it touches no memory.
#[derive(Clone, Debug)]
pub struct Expected {
    len: usize,
}

impl Values {
    /// Values of `len` bytes.
    pub fn new(len: usize) -> Values {
        let units = UNITS + (len / UNIT) as u64 + 1;
        let mut pool = Vec::with_capacity(units as usize * UNIT);
        for unit in 0..units {
            for _ in 0..2 {
                pool.extend_from_slice(&first_word(unit).to_le_bytes());
                for word in 1..WORDS {
                    pool.extend_from_slice(&mix(unit * WORDS + word).to_le_bytes());
                }
            }
        }
        Values { pool, expected: Expected { len } }
    }

    /// The value of a key.
    #[inline]
    pub fn of(&self, key: &[u8]) -> &[u8] {
        let at = unit_of(key) as usize * UNIT;
        self.pool.get(at..at + self.expected.len).unwrap_or_default()
    }

    /// Bytes of a value.
    pub(crate) fn value_len(&self) -> usize {
        self.expected.len
    }

    /// What knows them without holding them.
    pub fn expected(&self) -> Expected {
        self.expected.clone()
    }
}

impl Expected {
    /// Whether this is the value of the key, by its length and its first eight bytes.
    #[inline]
    pub(crate) fn fits(&self, key: &[u8], value: &[u8]) -> bool {
        if value.len() != self.len {
            return false;
        }
        let word = first_word(unit_of(key)).to_le_bytes();
        match value.first_chunk::<8>() {
            Some(start) => *start == word,
            None => word.starts_with(value),
        }
    }
}

/// Which unit of the pool the value of a key begins with: by its last eight bytes.
///
/// This and [`first_word`] are a few instructions, for they are done for every entry that is read: what they
/// take counts as the engine's time.
#[inline]
fn unit_of(key: &[u8]) -> u64 {
    let tail = key.last_chunk::<8>().map_or(0, |tail| u64::from_le_bytes(*tail));
    ((u128::from(tail.wrapping_mul(SPREAD)) * u128::from(UNITS)) >> 64) as u64
}

/// What a unit of the pool begins with.
#[inline]
fn first_word(unit: u64) -> u64 {
    (unit + 1).wrapping_mul(SPREAD)
}

/// An odd number whose bits look random: 2^64 over the golden ratio.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Scatters a number over all of them (the finalizer of splitmix64).
#[inline]
pub(crate) fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ n >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ n >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ n >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_the_same_each_time_and_has_its_length() {
        for len in [0, 1, 8, 100, 150, 1000, 16 << 10] {
            let (one, two) = (Values::new(len), Values::new(len));
            for key in [&b"0000000000000000"[..], b"0000000000000001", b"k"] {
                assert_eq!(one.of(key).len(), len);
                assert_eq!(one.of(key), two.of(key));
                assert!(one.expected().fits(key, one.of(key)));
            }
        }
    }

    #[test]
    fn half_of_a_value_repeats_the_other_half() {
        let values = Values::new(96);
        let value = values.of(b"0000000000000007");
        let (first, second) = value.split_at(48);
        assert_eq!(first, second);
        let mut bytes: Vec<u8> = first.to_vec();
        bytes.sort_unstable();
        bytes.dedup();
        assert!(bytes.len() > 30, "the first half is random");
    }

    #[test]
    fn different_keys_have_different_values() {
        let values = Values::new(100);
        let mut all: Vec<&[u8]> = Vec::new();
        let keys: Vec<String> = (0..1000).map(|n| format!("{n:016}")).collect();
        for key in &keys {
            all.push(values.of(key.as_bytes()));
        }
        all.sort_unstable();
        all.dedup();
        assert!(all.len() > 930, "{}", all.len());
    }
}
