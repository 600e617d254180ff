//! Draws that a seed decides.

/// A generator of 64-bit numbers (SplitMix64): small, fast, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    /// A generator that starts at what all of `parts` say together.
    pub fn new(parts: &[u64]) -> Draw {
        let mut draw = Draw(0x6b76_6372_6173_6821);
        for part in parts {
            draw.0 = draw.number() ^ part.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        draw
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 where that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.number().checked_rem(limit).unwrap_or(0)
    }

    /// `true` in so many of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A number from 1 to `limit`, small ones as likely as large ones.
    pub fn skewed(&mut self, limit: u64) -> u64 {
        let bits = 64 - u64::from(limit.max(1).leading_zeros());
        let bound = 1_u64 << (1 + self.below(bits)).min(63);
        1 + self.below(bound.min(limit.max(1)))
    }
}
