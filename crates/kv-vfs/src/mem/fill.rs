//! What lies where a length survived a power cut and the data below it did not.

use super::fate::Dice;
use super::image::Image;
use super::policy::CutFill;

pub(super) const SECTOR: u64 = 512;

/// Fills the holes of all files of one cut.
#[derive(Debug)]
pub(super) struct Filler {
    pub(super) kind: CutFill,
    pub(super) dice: Dice,
    /// Files removed earlier.
    pub(super) stale: Vec<Image>,
}

/// The places of one file whose data was lost, gathered while its operations are done again.
#[derive(Debug)]
pub(super) struct Holes {
    /// Up to where the file holds what was durable in it.
    old: u64,
    lost: Vec<(u64, u64)>,
    /// In sectors, both ends within.
    kept: Vec<(u64, u64)>,
}

impl Holes {
    pub(super) fn new(durable: u64) -> Holes {
        Holes { old: durable, lost: Vec::new(), kept: Vec::new() }
    }

    /// A write of which the bytes from `from` up to `to` survived.
    pub(super) fn written(&mut self, whole: (u64, u64), from: u64, to: u64) {
        if from < to {
            self.kept.push((from / SECTOR, (to - 1) / SECTOR));
        }
        let parts = [(whole.0, from.min(whole.1)), (to.max(whole.0), whole.1)];
        self.lost.extend(parts.into_iter().filter(|(start, end)| start < end));
    }

    /// The length was cut, and what lay behind it with it.
    pub(super) fn cut(&mut self, len: u64) {
        self.old = self.old.min(len);
        for (_, end) in &mut self.lost {
            *end = len.min(*end);
        }
    }

    /// Fills them. `durable` is what the file held before all of it.
    pub(super) fn fill(mut self, image: &mut Image, durable: &Image, filler: &mut Filler) {
        if filler.kind == CutFill::Zero {
            return;
        }
        let kept = merged(&mut self.kept);
        let source = filler.source();
        for (start, end) in self.lost {
            let first = (start / SECTOR).max(self.old.div_ceil(SECTOR));
            for sector in first..end.min(image.len()).div_ceil(SECTOR) {
                let before = kept.partition_point(|(first, _)| *first <= sector);
                if before > 0 && kept[before - 1].1 >= sector {
                    continue;
                }
                let left = image.len().saturating_sub(sector * SECTOR).min(SECTOR);
                let mut bytes = [0; SECTOR as usize];
                filler.sector(&mut bytes, sector * SECTOR, source.as_ref(), durable);
                image.write(&bytes[..left as usize], sector * SECTOR);
            }
        }
    }
}

impl Filler {
    fn source(&mut self) -> Option<Image> {
        let place = self.dice.below(self.stale.len() as u64) as usize;
        self.stale.get(place).cloned()
    }

    fn sector(&mut self, bytes: &mut [u8], offset: u64, stale: Option<&Image>, durable: &Image) {
        match (self.kind, stale) {
            (CutFill::Random, _) => {
                for word in bytes.chunks_mut(8) {
                    word.copy_from_slice(&self.dice.roll().to_le_bytes()[..word.len()]);
                }
            }
            (CutFill::Stale, Some(stale)) => {
                // Where the removed file was shorter, it is repeated, sector below sector.
                let span = stale.len().div_ceil(SECTOR).max(1) * SECTOR;
                stale.read(bytes, offset % span);
            }
            (CutFill::Old, _) => {
                durable.read(bytes, offset);
            }
            (CutFill::Zero, _) | (CutFill::Stale, None) => {}
        }
    }
}

/// The same ranges, in order and apart.
fn merged(ranges: &mut [(u64, u64)]) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut apart: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges.iter().copied() {
        match apart.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => apart.push((start, end)),
        }
    }
    apart
}
