//! Which keys are popular: the distributions of YCSB.

use crate::Random;
use crate::permute::Permutation;

/// YCSB's constant.
const THETA: f64 = 0.99;

/// Ranks below a limit, 0 the most frequent: rank `r` comes in proportion to `1 / (r + 1)^0.99`
/// (Gray et al., "Quickly generating billion-record synthetic databases", as in YCSB).
#[derive(Clone, Debug)]
pub struct Zipf {
    limit: u64,
    alpha: f64,
    zeta: f64,
    eta: f64,
    second: f64,
}

impl Zipf {
    /// Ranks below `limit`. Takes a time that grows with it.
    pub fn new(limit: u64) -> Zipf {
        let zeta_of = |n: u64| (1..=n).map(|i| (i as f64).powf(-THETA)).sum::<f64>();
        let zeta = zeta_of(limit);
        let second = 0.5f64.powf(THETA);
        let eta = (1.0 - (2.0 / limit as f64).powf(1.0 - THETA)) / (1.0 - zeta_of(2) / zeta);
        Zipf { limit, alpha: 1.0 / (1.0 - THETA), zeta, eta, second }
    }

    /// A rank.
    #[inline]
    pub fn draw(&self, random: &mut Random) -> u64 {
        let u = random.unit();
        let at = u * self.zeta;
        if at < 1.0 {
            return 0;
        }
        if at < 1.0 + self.second {
            return 1.min(self.limit - 1);
        }
        let rank = self.limit as f64 * (self.eta * u - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.limit - 1)
    }
}

/// Popular keys that lie anywhere: a rank, sent through a permutation.
#[derive(Clone, Debug)]
pub struct Scrambled {
    ranks: Zipf,
    places: Permutation,
}

impl Scrambled {
    /// Key numbers below `limit`.
    pub fn new(limit: u64) -> Scrambled {
        Scrambled { ranks: Zipf::new(limit), places: Permutation::new(limit, 99) }
    }

    /// A key number.
    #[inline]
    pub fn draw(&self, random: &mut Random) -> u64 {
        self.places.of(self.ranks.draw(random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 10_000;
    const DRAWS: u64 = 1_000_000;

    fn counts(mut draw: impl FnMut(&mut Random) -> u64) -> Vec<u64> {
        let mut random = Random::new(5);
        let mut counts = vec![0; LIMIT as usize];
        for _ in 0..DRAWS {
            counts[draw(&mut random) as usize] += 1;
        }
        counts
    }

    #[test]
    fn ranks_come_as_often_as_the_law_says() {
        let zipf = Zipf::new(LIMIT);
        let counts = counts(|random| zipf.draw(random));
        let zeta: f64 = (1..=LIMIT).map(|i| (i as f64).powf(-THETA)).sum();
        let share = |ranks: std::ops::Range<usize>| {
            let wanted: f64 = ranks.clone().map(|r| (r as f64 + 1.0).powf(-THETA) / zeta).sum();
            let found = counts[ranks].iter().sum::<u64>() as f64 / DRAWS as f64;
            found / wanted
        };
        // The formula is exact for the first two ranks, and near it elsewhere.
        assert!((0.97..1.03).contains(&share(0..1)), "{}", share(0..1));
        assert!((0.97..1.03).contains(&share(1..2)), "{}", share(1..2));
        for ranks in [2..10, 10..100, 100..1000, 1000..10_000] {
            let share = share(ranks.clone());
            assert!((0.85..1.15).contains(&share), "{ranks:?}: {share}");
        }
    }

    #[test]
    fn scrambling_moves_the_popular_keys_apart_and_keeps_how_popular_they_are() {
        let (zipf, scrambled) = (Zipf::new(LIMIT), Scrambled::new(LIMIT));
        let mut plain = counts(|random| zipf.draw(random));
        let mut moved = counts(|random| scrambled.draw(random));
        let middle = moved[LIMIT as usize / 2..].iter().sum::<u64>() as f64 / DRAWS as f64;
        assert!(middle > 0.1, "a share of {middle} in the upper half of the keys");
        plain.sort_unstable();
        moved.sort_unstable();
        assert_eq!(plain, moved);
    }

    #[test]
    fn one_key_is_enough() {
        let (zipf, mut random) = (Zipf::new(1), Random::new(1));
        assert!((0..1000).all(|_| zipf.draw(&mut random) == 0));
    }
}
