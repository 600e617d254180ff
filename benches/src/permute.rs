//! A random order that visits every number once and needs no memory.

use crate::values::mix;

/// A permutation of the numbers below a limit: a Feistel network over the next power of two, gone
/// through again and again until the number is below the limit.
#[derive(Clone, Debug)]
pub(crate) struct Permutation {
    limit: u64,
    low_bits: u32,
    low_mask: u64,
    high_mask: u64,
    rounds: [u64; 4],
}

impl Permutation {
    /// One of the permutations of `0..limit`, the same for the same seed.
    pub(crate) fn new(limit: u64, seed: u64) -> Permutation {
        let bits = (64 - limit.saturating_sub(1).leading_zeros()).max(2);
        let low_bits = bits / 2;
        Permutation {
            limit,
            low_bits,
            low_mask: (1 << low_bits) - 1,
            high_mask: (1 << (bits - low_bits)) - 1,
            rounds: [1, 2, 3, 4].map(|round| mix(seed ^ mix(round))),
        }
    }

    /// Where `n`, which is below the limit, goes.
    #[inline]
    pub(crate) fn of(&self, n: u64) -> u64 {
        debug_assert!(n < self.limit, "{n} is not below {}", self.limit);
        let mut n = n;
        loop {
            n = self.shuffle(n);
            if n < self.limit {
                return n;
            }
        }
    }

    #[inline]
    fn shuffle(&self, n: u64) -> u64 {
        let (mut low, mut high) = (n & self.low_mask, n >> self.low_bits);
        for pair in self.rounds.chunks_exact(2) {
            if let [a, b] = pair {
                high ^= scatter(low ^ a) & self.high_mask;
                low ^= scatter(high ^ b) & self.low_mask;
            }
        }
        high << self.low_bits | low
    }
}

#[inline]
fn scatter(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (n ^ n >> 32).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 24
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once() {
        for limit in [1, 2, 3, 5, 64, 100, 1000, 4097] {
            let order = Permutation::new(limit, 7);
            let mut all: Vec<u64> = (0..limit).map(|n| order.of(n)).collect();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..limit), "{limit}");
        }
    }

    #[test]
    fn the_order_is_far_from_sorted_and_depends_on_the_seed_alone() {
        let limit = 100_000;
        let (one, two) = (Permutation::new(limit, 1), Permutation::new(limit, 2));
        let again = Permutation::new(limit, 1);
        let (mut rising, mut same, mut near) = (0, 0, 0);
        for n in 0..limit - 1 {
            assert_eq!(one.of(n), again.of(n));
            rising += u64::from(one.of(n) < one.of(n + 1));
            near += u64::from(one.of(n).abs_diff(one.of(n + 1)) < 100);
            same += u64::from(one.of(n) == two.of(n));
        }
        assert!((49_000..51_000).contains(&rising), "{rising}");
        assert!(near < 400, "{near}");
        assert!(same < 20, "{same}");
    }
}
