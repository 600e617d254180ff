//! Which pending operations a power cut spares: decided by a policy and a seed, and by nothing
//! else.

use super::policy::{CutGrain, CutOrder, CutPolicy};
use std::collections::HashMap;

/// A pending operation, as far as its fate depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Atom {
    /// Its place in the order of all operations.
    pub(super) order: u64,
    /// The file or directory.
    pub(super) owner: u64,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Write { offset: u64, len: u64 },
    Size,
    Name,
}

/// What becomes of a pending operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) data: Keep,
    pub(super) size: Size,
    /// Whether it may still surface at the next cut. Nothing of it is there then.
    pub(super) late: bool,
}

/// How much of its bytes survives; of an operation on a name, all or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Nothing,
    All,
    /// From one offset in the file up to another.
    Run(u64, u64),
}

/// What becomes of the length that it gives the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// Nothing: what of the bytes lies behind the length is not there either.
    Same,
    /// It covers the bytes that survive.
    Data,
    /// It is as the operation left it.
    Whole,
}

impl Fate {
    pub(super) const LOST: Fate = Fate { data: Keep::Nothing, size: Size::Same, late: false };
    pub(super) const KEPT: Fate = Fate { data: Keep::All, size: Size::Whole, late: false };
    const LATE: Fate = Fate { late: true, ..Fate::LOST };
}

/// The fates of all pending operations; one that is not named is lost.
#[derive(Debug, Default)]
pub(super) struct Fates(HashMap<u64, Fate>);

impl Fates {
    pub(super) fn of(&self, order: u64) -> Fate {
        self.0.get(&order).copied().unwrap_or(Fate::LOST)
    }

    /// All of them late.
    pub(super) fn late(orders: impl Iterator<Item = u64>) -> Fates {
        Fates(orders.map(|order| (order, Fate::LATE)).collect())
    }

    pub(super) fn kept(orders: impl Iterator<Item = u64>) -> Fates {
        Fates(orders.map(|order| (order, Fate::KEPT)).collect())
    }
}

/// Dice (SplitMix64).
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.roll() % end }
    }

    /// Whether something happens that does so in `sixteenths` of all cases.
    fn chance(&mut self, sixteenths: u64) -> bool {
        self.roll() % 16 < sixteenths
    }

    /// A chance for one whole cut, so that some lose nearly all and some nearly nothing.
    fn weight(&mut self) -> u64 {
        [2, 6, 8, 10, 14, 15][self.below(6) as usize]
    }
}

/// Decides on all operations; `atoms` are in their order.
pub(super) fn decide(policy: CutPolicy, atoms: &[Atom], dice: &mut Dice) -> Fates {
    let fates: HashMap<u64, Fate> = match policy.order {
        CutOrder::Nothing => HashMap::new(),
        CutOrder::Everything => atoms.iter().map(|atom| (atom.order, Fate::KEPT)).collect(),
        CutOrder::Strict => strict(atoms, policy.grain, dice),
        CutOrder::Delayed => delayed(atoms, policy.grain, dice),
        CutOrder::GlobalPrefix => global_prefix(atoms, policy.grain, dice),
        CutOrder::Ext4Ordered | CutOrder::Writeback => journal(atoms, policy, dice),
    };
    Fates(fates)
}

fn strict(atoms: &[Atom], grain: CutGrain, dice: &mut Dice) -> HashMap<u64, Fate> {
    let (data, names) = (dice.weight(), dice.weight());
    let mut any = |atom: &Atom| match atom.what {
        What::Name if dice.chance(names) => Fate::KEPT,
        What::Size if dice.chance(data) => Fate::KEPT,
        What::Write { offset, len } if dice.chance(data) => {
            Fate { data: maybe_torn(offset, len, grain, dice), size: Size::Data, late: false }
        }
        What::Name | What::Size | What::Write { .. } => Fate::LOST,
    };
    atoms.iter().map(|atom| (atom.order, any(atom))).collect()
}

/// What is late is newer than all that survived of its file or directory: otherwise it would
/// later undo what was seen after the cut.
fn delayed(atoms: &[Atom], grain: CutGrain, dice: &mut Dice) -> HashMap<u64, Fate> {
    let mut fates = strict(atoms, grain, dice);
    let cuts = cut_each(atoms, |_| true, dice);
    for atom in atoms.iter().filter(|atom| cuts.get(&atom.owner).is_some_and(|c| atom.order >= *c))
    {
        let fate = if dice.chance(12) { Fate::LATE } else { Fate::LOST };
        fates.insert(atom.order, fate);
    }
    fates
}

fn global_prefix(atoms: &[Atom], grain: CutGrain, dice: &mut Dice) -> HashMap<u64, Fate> {
    let (whole, rest) = atoms.split_at(dice.below(atoms.len() as u64 + 1) as usize);
    let mut fates: HashMap<u64, Fate> = whole.iter().map(|atom| (atom.order, Fate::KEPT)).collect();
    if let Some(Atom { order, what: What::Write { offset, len }, .. }) = rest.first()
        && grain != CutGrain::Whole
    {
        let data = torn(*offset, *len, grain, dice);
        fates.insert(*order, Fate { data, size: Size::Data, late: false });
    }
    fates
}

/// Names survive as a prefix of all, lengths as one for each file.
fn journal(atoms: &[Atom], policy: CutPolicy, dice: &mut Dice) -> HashMap<u64, Fate> {
    let names: Vec<u64> =
        atoms.iter().filter(|atom| matches!(atom.what, What::Name)).map(|a| a.order).collect();
    let last = dice.below(names.len() as u64 + 1) as usize;
    let names = names.get(last).copied().unwrap_or(u64::MAX);
    let sizes = cut_each(atoms, |atom| !matches!(atom.what, What::Name), dice);
    let (ordered, weight) = (policy.order == CutOrder::Ext4Ordered, dice.weight());
    let mut fate = |atom: &Atom| {
        let cut = sizes.get(&atom.owner).copied().unwrap_or(u64::MAX);
        match atom.what {
            What::Name if atom.order < names => Fate::KEPT,
            What::Size if atom.order < cut => Fate::KEPT,
            What::Name | What::Size => Fate::LOST,
            What::Write { .. } if ordered && atom.order < cut => Fate::KEPT,
            // The write at which the length stopped: as much as was on its way came with it.
            What::Write { offset, len } if ordered && atom.order == cut => {
                let data = match torn(offset, len, policy.grain, dice) {
                    Keep::Run(_, end) => Keep::Run(offset, end),
                    whole => whole,
                };
                if policy.grain == CutGrain::Whole { Fate::LOST } else { size_of_data(data) }
            }
            What::Write { offset, len } => {
                let kept = dice.chance(weight);
                let data =
                    if kept { maybe_torn(offset, len, policy.grain, dice) } else { Keep::Nothing };
                let size = if atom.order < cut { Size::Whole } else { Size::Same };
                Fate { data, size, late: false }
            }
        }
    };
    atoms.iter().map(|atom| (atom.order, fate(atom))).collect()
}

fn size_of_data(data: Keep) -> Fate {
    Fate { data, size: Size::Data, late: false }
}

/// For each file or directory, the operation at which it was cut; `MAX` where none was lost.
fn cut_each(atoms: &[Atom], counts: impl Fn(&Atom) -> bool, dice: &mut Dice) -> HashMap<u64, u64> {
    let mut orders: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut owners = Vec::new();
    for atom in atoms.iter().filter(|atom| counts(atom)) {
        let all = orders.entry(atom.owner).or_default();
        if all.is_empty() {
            owners.push(atom.owner);
        }
        all.push(atom.order);
    }
    let mut cut = |owner: u64| {
        let all = orders.get(&owner).map_or(&[][..], Vec::as_slice);
        let place = dice.below(all.len() as u64 + 1) as usize;
        (owner, all.get(place).copied().unwrap_or(u64::MAX))
    };
    owners.into_iter().map(&mut cut).collect()
}

fn maybe_torn(offset: u64, len: u64, grain: CutGrain, dice: &mut Dice) -> Keep {
    if dice.chance(6) { torn(offset, len, grain, dice) } else { Keep::All }
}

/// A run of the units of a write, from anywhere in it.
fn torn(offset: u64, len: u64, grain: CutGrain, dice: &mut Dice) -> Keep {
    let Some(unit) = grain.bytes() else { return Keep::All };
    let end = offset + len;
    let (first, units) = (offset / unit, end.div_ceil(unit) - offset / unit);
    let start = dice.below(units);
    let stop = start + 1 + dice.below(units - start);
    let from = ((first + start) * unit).max(offset);
    let to = ((first + stop) * unit).min(end);
    if (from, to) == (offset, end) { Keep::All } else { Keep::Run(from, to) }
}
