//! Power cuts: what a crash leaves of the pending operations.

use crate::rng::{Rng, mix};
use kv_vfs::{CutOrder, CutPolicy, MemFs};
use std::fmt;

/// A way in which power is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cut {
    /// As one of the policies, its place in [`CutPolicy::ALL`], with all choices drawn from a seed.
    Policy(usize, u64),
    /// Each pending operation survives by the toss of a coin, drawn from a seed.
    Coin(u64),
    /// The first so many pending operations survive, and no other.
    First(usize),
    /// All pending operations survive but this one.
    Without(usize),
    /// This pending operation survives alone.
    Only(usize),
    /// Those survive whose bit is set.
    Mask(u64),
}

/// Up to how many pending operations every subset is tried.
const ALL_SUBSETS: usize = 10;

/// Random subsets where there are more.
const RANDOM_SUBSETS: u64 = 64;

impl Cut {
    /// Every policy, each with its choices drawn from `seed`.
    pub(crate) fn policies(seed: u64) -> impl Iterator<Item = Cut> {
        (0..CutPolicy::ALL.len()).map(move |place| Cut::Policy(place, mix(seed ^ place as u64)))
    }

    /// Any policy.
    pub(crate) fn drawn(rng: &mut Rng) -> Cut {
        let place = rng.below(CutPolicy::ALL.len() as u64) as usize;
        Cut::Policy(place, rng.next())
    }

    /// The subsets of `pending` operations: all, where they are few.
    pub(crate) fn subsets(pending: usize, seed: u64) -> Vec<Cut> {
        if pending <= ALL_SUBSETS {
            return (0..1u64 << pending).map(Cut::Mask).collect();
        }
        let mut rng = Rng::new(seed);
        let prefixes = (0..=pending).map(Cut::First);
        let missing = (0..pending).map(Cut::Without);
        let single = (0..pending).map(Cut::Only);
        let random = (0..RANDOM_SUBSETS).map(|_| Cut::Coin(rng.next()));
        prefixes.chain(missing).chain(single).chain(random).collect()
    }

    /// Whether all that is pending survives, as it does where only the process ends.
    pub(crate) fn loses_nothing(&self, fs: &MemFs) -> bool {
        let all = |count: usize| count >= fs.pending().len();
        match self {
            Cut::Policy(place, _) => {
                CutPolicy::ALL.get(*place).is_some_and(|p| p.order == CutOrder::Everything)
            }
            Cut::First(count) => all(*count),
            Cut::Mask(mask) => all(mask.trailing_ones() as usize),
            Cut::Coin(_) | Cut::Without(_) | Cut::Only(_) => false,
        }
    }

    /// What is found after it.
    pub(crate) fn apply(&self, fs: &MemFs) -> MemFs {
        let (mut place, mut rng) = (0, Rng::new(0));
        match self {
            Cut::Policy(place, seed) => {
                if let Some(policy) = CutPolicy::ALL.get(*place) {
                    return fs.power_cut(*policy, *seed);
                }
            }
            Cut::Mask(mask) => return fs.power_cut_subset(*mask),
            Cut::Coin(seed) => rng = Rng::new(*seed),
            Cut::First(_) | Cut::Without(_) | Cut::Only(_) => {}
        }
        fs.crash_with(&mut |_| {
            let at = place;
            place += 1;
            match self {
                Cut::First(count) => at < *count,
                Cut::Without(missing) => at != *missing,
                Cut::Only(only) => at == *only,
                Cut::Coin(_) => rng.chance(50),
                Cut::Policy(..) | Cut::Mask(_) => false,
            }
        })
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cut::Policy(place, seed) => match CutPolicy::ALL.get(*place) {
                Some(policy) => write!(f, "{policy} {seed}"),
                None => write!(f, "policy-{place} {seed}"),
            },
            Cut::Coin(seed) => write!(f, "coin {seed}"),
            Cut::First(count) => write!(f, "first {count}"),
            Cut::Without(missing) => write!(f, "without {missing}"),
            Cut::Only(only) => write!(f, "only {only}"),
            Cut::Mask(mask) => write!(f, "mask {mask}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subset_of_a_few_and_a_choice_of_many() {
        assert_eq!(Cut::subsets(10, 1).len(), 1024);
        assert_eq!(Cut::subsets(11, 1).len(), 12 + 11 + 11 + 64);
    }
}
