//! Which damages are tried: all of a kind, in pieces that threads take one by one.

use super::damage::{Damage, How, SECTOR};
use super::subject::Subject;
use crate::image::Kind;
use crate::rng::mix;
use std::sync::Arc;

/// How many damages a piece holds at most.
const PIECE: usize = 256;

/// Which damages a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Sweep {
    /// One byte, with other bits in each round: all bits, one random bit, then each of the others.
    Flips,
    /// Every length.
    Cuts,
    /// Every sector in every way, and every whole file.
    Sectors,
}

/// Some damages to one file, next to each other.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) subject: usize,
    file: Arc<str>,
    len: usize,
    sweep: Sweep,
    round: usize,
    places: std::ops::Range<usize>,
    /// Every how many places one is tried.
    stride: usize,
}

/// All pieces of a sweep over the subjects; of about `wanted` damages, or of all.
pub(crate) fn pieces(subjects: &[Subject], sweep: Sweep, wanted: Option<usize>) -> Vec<Piece> {
    let per_round: usize = subjects.iter().map(|subject| subject.image.len()).sum();
    let rounds = match (sweep, wanted) {
        (Sweep::Flips, Some(wanted)) => wanted.div_ceil(per_round.max(1)).clamp(1, 255),
        _ => 1,
    };
    let in_all = per_round * rounds;
    // Rounded down: rather more than wanted than fewer.
    let stride = wanted.map_or(1, |wanted| in_all / wanted.max(1)).max(1);
    let mut pieces = Vec::new();
    for round in 0..rounds {
        for (at, subject) in subjects.iter().enumerate() {
            for (name, bytes) in &subject.image.files {
                let (len, file) = (bytes.len(), Arc::from(name.as_str()));
                let step = PIECE * stride;
                pieces.extend((0..len.max(1)).step_by(step).map(|from| Piece {
                    subject: at,
                    file: Arc::clone(&file),
                    len,
                    sweep,
                    round,
                    places: from..(from + step).min(len),
                    stride,
                }));
            }
        }
    }
    pieces
}

impl Piece {
    /// The damages of the piece.
    pub(crate) fn damages(&self, subjects: &[Subject]) -> Vec<Damage> {
        let Some(subject) = subjects.get(self.subject) else { return Vec::new() };
        if self.sweep == Sweep::Sectors {
            return self.sectors(subject);
        }
        let how = |place: usize| match self.sweep {
            Sweep::Cuts => How::Cut(place),
            _ => How::Flip(place, mask(self.round, place)),
        };
        // Other places from file to file where not all are tried.
        let shift = mix(self.len as u64 + self.subject as u64) as usize % self.stride;
        let places = self.places.clone().skip(shift).step_by(self.stride);
        places.map(|place| self.damage(how(place))).collect()
    }

    fn damage(&self, how: How) -> Damage {
        Damage { file: self.file.to_string(), how }
    }

    fn sectors(&self, subject: &Subject) -> Vec<Damage> {
        let mut all = Vec::new();
        let sectors = self.len.div_ceil(SECTOR);
        let own = self.places.start / SECTOR..self.places.end.div_ceil(SECTOR);
        for n in own {
            all.extend([How::SectorZero(n), How::SectorRandom(n)]);
            all.extend((n + 1..sectors).map(|other| How::SectorSwap(n, other)));
            all.extend((0..sectors).filter(|to| *to != n).map(|to| How::SectorCopy(n, to)));
        }
        if self.places.start == 0 {
            for len in [1, 7, 31, 32, 64, SECTOR, 4096, 70_000] {
                all.extend([How::Zeros(len), How::Garbage(len)]);
            }
            all.push(How::Delete);
            let files = &subject.image.files;
            let others = files.keys().filter(|other| {
                other.as_str() > &*self.file && Kind::of(other) == Kind::of(&self.file)
            });
            all.extend(others.map(|other| How::Swap(other.clone())));
            let moments = subject.earlier.iter().enumerate();
            let moments = moments.filter(|(_, then)| then.files.contains_key(&*self.file));
            all.extend(moments.map(|(moment, _)| How::Older(moment)));
        }
        all.into_iter().map(|how| self.damage(how)).collect()
    }
}

/// The bits that are turned at a place in a round: each mask once for each place.
fn mask(round: usize, place: usize) -> u8 {
    match round {
        0 => 0xFF,
        1..=8 => 1 << ((mix(place as u64) as usize + round) % 8),
        // The masks of more than one bit, but not all, in their order.
        _ => (1..0xFF_u8).filter(|mask| mask.count_ones() > 1).nth(round - 9).unwrap_or(0x7E),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_mask_comes_twice_at_a_place() {
        for place in [0, 1, 1000] {
            let masks: BTreeSet<u8> = (0..255).map(|round| mask(round, place)).collect();
            assert_eq!(masks.len(), 255);
            assert!(!masks.contains(&0));
        }
    }
}
