//! Memory for cached blocks, side by side in huge pages.
//!
//! A lookup in a large cache goes to a place of memory that was not used lately: the processor has
//! to find out where its page lies, before it can ask for the first line of the block. In pages of
//! 2 MiB that is known, and it saves the walk. So pieces whose length is just below 4 KiB,
//! which is where full blocks are, come out of *regions* of that size, all pieces of a region as
//! long; every other length is left to the allocator.
//!
//! A piece is taken from the lowest region that has one, so that the higher ones drain; a region
//! that nothing is left in goes back to the system, but for a few. One lock guards it all: it is
//! taken when a block is read from a file or leaves memory.

use kv_vfs::Pages;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::ptr::NonNull;

/// The bytes of a region: one huge page.
const REGION: usize = 2 << 20;

/// Pieces of a class are so much longer than a power of two: a block of such a length has room for
/// its head, and as an odd number of cache lines lets blocks begin in all sets of the processor's
/// caches, not in a few.
const MORE: usize = 64;

/// The powers of two: that of the usual block size alone. Of longer pieces few fit into a region, and where
/// they come and go one by one the system is asked for huge pages again and again, for which it may
/// have to move others first: values of 16 KiB were read at 57 to 65 instead of 100 thousand a second.
const LEAST: usize = 4096;
const CLASSES: usize = 1;

/// A piece may be unused in its last part, one of so many.
const SPARE: usize = 8;

/// The first regions lie in small pages, so that a small store takes no more than it needs.
const SMALL_REGIONS: usize = 4;

/// How many regions of a class that nothing is left in are kept.
const KEPT_REGIONS: usize = 2;

static SLAB: Mutex<Slab> = Mutex::new(Slab::new());

/// A piece of memory that is its owner's alone until it is given back. It holds what it held last.
pub(super) struct Piece {
    pub(super) at: NonNull<u8>,
    /// Never 0.
    pub(super) region: u32,
}

/// A piece of at least `len` bytes, aligned to 64; `None` where no class has about that length, or
/// the system no memory.
pub(super) fn take(len: usize) -> Option<Piece> {
    let class = class_of(len)?;
    SLAB.lock().take(class)
}

/// Takes a piece back.
pub(super) fn give(piece: Piece) {
    let emptied = SLAB.lock().give(piece);
    // To give memory back to the system takes its time.
    drop(emptied);
}

/// The class of pieces that fit a length closely.
fn class_of(len: usize) -> Option<usize> {
    let classes = (0..CLASSES).map(|class| (class, piece_len(class)));
    let (class, piece) = classes.into_iter().find(|(_, piece)| len <= *piece)?;
    (len > piece - piece / SPARE).then_some(class)
}

fn piece_len(class: usize) -> usize {
    (LEAST << class) + MORE
}

struct Region {
    memory: Pages,
    class: usize,
    /// The pieces that nobody has.
    free: Vec<u16>,
}

impl Region {
    fn new(class: usize, huge: bool) -> Option<Region> {
        let memory = Pages::new(REGION, huge).ok()?;
        let count = u16::try_from(REGION / piece_len(class)).ok()?;
        Some(Region { memory, class, free: (0..count).rev().collect() })
    }

    fn is_empty(&self) -> bool {
        self.free.len() == REGION / piece_len(self.class)
    }
}

struct Slab {
    /// By their numbers, which begin with 1.
    regions: Vec<Option<Region>>,
    /// Of each class the regions that have a free piece.
    open: [BTreeSet<u32>; CLASSES],
    /// How many of them nobody has a piece of.
    empty: [usize; CLASSES],
}

impl Slab {
    const fn new() -> Slab {
        Slab {
            regions: Vec::new(),
            open: [const { BTreeSet::new() }; CLASSES],
            empty: [0; CLASSES],
        }
    }

    fn region(&mut self, number: u32) -> Option<&mut Region> {
        self.regions.get_mut((number as usize).checked_sub(1)?)?.as_mut()
    }

    fn take(&mut self, class: usize) -> Option<Piece> {
        let open = self.open.get(class)?.first().copied();
        let number = open.or_else(|| self.add_region(class))?;
        let region = self.region(number)?;
        let was_empty = region.is_empty();
        let index = region.free.pop()?;
        let at = region.memory.base().wrapping_add(usize::from(index) * piece_len(class));
        let is_full = region.free.is_empty();
        *self.empty.get_mut(class)? -= usize::from(was_empty);
        if is_full {
            self.open.get_mut(class)?.remove(&number);
        }
        Some(Piece { at: NonNull::new(at)?, region: number })
    }

    fn add_region(&mut self, class: usize) -> Option<u32> {
        let alive = self.regions.iter().flatten().count();
        let region = Region::new(class, alive >= SMALL_REGIONS)?;
        let place = self.regions.iter().position(Option::is_none).unwrap_or(self.regions.len());
        let number = u32::try_from(place + 1).ok()?;
        match self.regions.get_mut(place) {
            Some(free) => *free = Some(region),
            None => self.regions.push(Some(region)),
        }
        *self.empty.get_mut(class)? += 1;
        self.open.get_mut(class)?.insert(number);
        Some(number)
    }

    /// Answers the region if it is to go.
    fn give(&mut self, piece: Piece) -> Option<Region> {
        let region = self.region(piece.region)?;
        let class = region.class;
        let offset = (piece.at.as_ptr() as usize).wrapping_sub(region.memory.base() as usize);
        region.free.push(u16::try_from(offset / piece_len(class)).ok()?);
        let is_empty = region.is_empty();
        let open = self.open.get_mut(class)?;
        open.insert(piece.region);
        if !is_empty {
            return None;
        }
        let empty = self.empty.get_mut(class)?;
        if *empty < KEPT_REGIONS {
            *empty += 1;
            return None;
        }
        open.remove(&piece.region);
        self.regions.get_mut(piece.region as usize - 1)?.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces' places, which no two share.
    fn places(pieces: &[Piece]) -> BTreeSet<usize> {
        pieces.iter().map(|piece| piece.at.as_ptr() as usize).collect()
    }

    #[test]
    fn only_lengths_just_below_the_usual_block_size_have_a_class() {
        let of = |len| class_of(len).map(piece_len);
        assert_eq!((of(3000), of(3640), of(3641)), (None, None, Some(4160)));
        assert_eq!((of(4096 + 24), of(4160), of(4161)), (Some(4160), Some(4160), None));
        assert_eq!((of(8192), of(16 << 10)), (None, None));
    }

    #[test]
    fn pieces_lie_apart_and_regions_are_filled_before_others_begin() {
        let mut slab = Slab::new();
        let each = REGION / piece_len(0);
        let pieces: Vec<Piece> = (0..each * 3).map(|_| slab.take(0).unwrap()).collect();
        let places = places(&pieces);
        assert_eq!((places.len(), slab.regions.len()), (each * 3, 3));
        let sorted: Vec<usize> = places.into_iter().collect();
        assert!(sorted.windows(2).all(|two| two[1] - two[0] >= piece_len(0)));
        assert!(sorted.iter().all(|place| place % 64 == 0));
        assert!(slab.take(CLASSES).is_none());
    }

    #[test]
    fn what_is_given_back_is_taken_from_the_lowest_region_first() {
        let mut slab = Slab::new();
        let each = REGION / piece_len(0);
        let mut pieces: Vec<Piece> = (0..each * 3).map(|_| slab.take(0).unwrap()).collect();
        let (last, first) = (pieces.pop().unwrap(), pieces.remove(0));
        let (low, high) = (first.at, last.at);
        assert!(slab.give(last).is_none() && slab.give(first).is_none());
        assert_eq!(slab.take(0).unwrap().at, low);
        assert_eq!(slab.take(0).unwrap().at, high);
    }

    #[test]
    fn empty_regions_go_back_to_the_system_but_for_a_few() {
        let mut slab = Slab::new();
        let each = REGION / piece_len(0);
        let pieces: Vec<Piece> = (0..each * 10).map(|_| slab.take(0).unwrap()).collect();
        let gone = pieces.into_iter().filter_map(|piece| slab.give(piece)).count();
        assert_eq!(gone, 10 - KEPT_REGIONS);
        assert_eq!(slab.regions.iter().flatten().count(), KEPT_REGIONS);
        assert_eq!(slab.empty[0], KEPT_REGIONS);
        // Their numbers are used again.
        let again: Vec<Piece> = (0..each * 10).map(|_| slab.take(0).unwrap()).collect();
        assert_eq!((places(&again).len(), slab.regions.len(), slab.empty[0]), (each * 10, 10, 0));
    }
}
