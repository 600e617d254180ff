//! Which call of the engine met which fault: the table, and what is missing in it.

use crate::fault::plan::{Case, Pair, manners};
use kv_vfs::{CallSite, Covered, OpKind};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How many ways to come to a call are kept.
const WAYS: usize = 16;

/// A call site, and what is called there.
pub(crate) type Place = (CallSite, OpKind);

#[derive(Debug, Default)]
pub(crate) struct Table {
    calls: BTreeMap<(CallSite, OpKind), u64>,
    met: BTreeMap<Pair, u64>,
    /// A few cases in which a call was made.
    ways: BTreeMap<(CallSite, OpKind), Vec<Case>>,
}

impl Table {
    pub(crate) fn add(&mut self, case: &Case, coverage: &[Covered], struck: bool) {
        for covered in coverage {
            let place = (covered.site, covered.op);
            *self.calls.entry(place).or_insert(0) += covered.calls;
            let ways = self.ways.entry(place).or_default();
            if struck && ways.len() < WAYS {
                ways.push(case.clone());
            }
        }
        if struck {
            *self.met.entry(case.pair()).or_insert(0) += 1;
        }
    }

    /// The calls that are not among `usual`, and met no fault yet, and the ways to come there.
    pub(crate) fn untried(&self, usual: &[(CallSite, OpKind)]) -> Vec<(CallSite, OpKind, &[Case])> {
        let met = self.met.keys().map(|(site, op, ..)| (*site, *op));
        let met: BTreeSet<_> = met.chain(usual.iter().copied()).collect();
        let untried = self.ways.iter().filter(|(place, _)| !met.contains(place));
        untried.map(|((site, op), ways)| (*site, *op, ways.as_slice())).collect()
    }

    /// The calls that were made.
    pub(crate) fn reached(&self) -> Vec<Place> {
        self.calls.keys().copied().collect()
    }

    pub(crate) fn has_met(&self, pair: &Pair) -> bool {
        self.met.contains_key(pair)
    }

    /// How many pairs of a call that was made and a manner were met, and the others.
    pub(crate) fn check(&self) -> (usize, Vec<(Place, String)>) {
        let mut missed = Vec::new();
        for (site, op) in self.calls.keys() {
            for manner in manners(*op) {
                for for_ever in [false, true] {
                    if !self.met.contains_key(&(*site, *op, manner.name, for_ever)) {
                        let times = if for_ever { "for ever" } else { "once" };
                        let line = format!("{op:?} at {site} never met {} {times}", manner.name);
                        missed.push(((*site, *op), line));
                    }
                }
            }
        }
        (self.met.len(), missed)
    }
}

impl fmt::Display for Table {
    /// A line for each call site: the calls of it, and how many runs each fault had there, once
    /// and for ever.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((site, op), calls) in &self.calls {
            write!(f, "{:<58} {:<9} {calls:>8}", site.to_string(), format!("{op:?}"))?;
            let here = self.met.iter().filter(|((at, kind, ..), _)| (at, kind) == (site, op));
            let mut manners: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
            for ((.., manner, for_ever), count) in here {
                let counts = manners.entry(manner).or_default();
                counts[usize::from(*for_ever)] += count;
            }
            for (manner, [once, for_ever]) in manners {
                write!(f, "  {manner} {once}+{for_ever}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
