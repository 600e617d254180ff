//! Which faults each call of a scenario meets.

use crate::fault::scenario::Scenario;
use crate::rng::Rng;
use kv_vfs::{CallSite, Fault, FaultError, FaultKind, OpKind};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How a call fails, with a name for tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Manner {
    pub(crate) name: &'static str,
    pub(crate) kind: FaultKind,
    pub(crate) error: FaultError,
}

const fn manner(name: &'static str, kind: FaultKind, error: FaultError) -> Manner {
    Manner { name, kind, error }
}

const EIO: Manner = manner("eio", FaultKind::Fail, FaultError::EIO);
const FULL: Manner = manner("enospc", FaultKind::Fail, FaultError::ENOSPC);
const FILES: Manner = manner("emfile", FaultKind::Fail, FaultError::EMFILE);
const DONE: Manner = manner("eio-done", FaultKind::FailButDone, FaultError::EIO);
const LOST: Manner = manner("eio-lost", FaultKind::LostReadable, FaultError::EIO);
/// How much of a call is done where all are short, in most cases.
const LONGER: usize = 509;
const SHORT: Manner = manner("short", FaultKind::Short(9), FaultError::EIO);
const NOTHING: Manner = manner("zero-byte", FaultKind::Short(0), FaultError::EIO);
const FLIP: Manner = manner("bit-flip", FaultKind::FlipBit(0), FaultError::EIO);

/// What a call of this kind is known to do on bad days.
pub(crate) fn manners(op: OpKind) -> &'static [Manner] {
    match op {
        OpKind::Write => &[EIO, FULL, SHORT, NOTHING, DONE],
        OpKind::Sync | OpKind::SyncDir => &[EIO, DONE, LOST, FULL],
        OpKind::Read => &[EIO, SHORT, FLIP],
        OpKind::SetLen | OpKind::Allocate | OpKind::HardLink | OpKind::CreateDir => &[EIO, FULL],
        OpKind::Create => &[EIO, FULL, FILES],
        OpKind::Open | OpKind::Lock => &[EIO, FILES],
        OpKind::Rename => &[EIO, DONE, FULL],
        OpKind::Remove | OpKind::RemoveDir => &[EIO, DONE],
        OpKind::Len | OpKind::List | OpKind::Metadata | OpKind::FreeSpace => &[EIO],
    }
}

/// The calls that fail as well, once a disk is full.
const TAKE_SPACE: [OpKind; 7] = [
    OpKind::Write,
    OpKind::Create,
    OpKind::SetLen,
    OpKind::Allocate,
    OpKind::CreateDir,
    OpKind::HardLink,
    OpKind::Sync,
];

/// A call that is only made where an earlier one failed, and what happens to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Then {
    pub(crate) site: CallSite,
    pub(crate) op: OpKind,
    pub(crate) manner: Manner,
    pub(crate) for_ever: bool,
}

/// One call of a scenario and what happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) scenario: usize,
    pub(crate) site: CallSite,
    pub(crate) op: OpKind,
    /// How often this place was passed before.
    pub(crate) passed: u64,
    pub(crate) manner: Manner,
    pub(crate) for_ever: bool,
    pub(crate) seed: u64,
    /// The faults that come on top, in calls that those before lead to.
    pub(crate) then: Vec<Then>,
}

impl Case {
    /// All its faults; the last is the one that it is about.
    pub(crate) fn faults(&self) -> Vec<Fault> {
        let Case { site, op, manner, for_ever, .. } = *self;
        let first = Then { site, op, manner, for_ever };
        let mut faults = vec![first.fault(self.seed).after(self.passed)];
        faults.extend(self.then.iter().map(|then| then.fault(self.seed)));
        faults
    }

    /// What the case is about.
    pub(crate) fn pair(&self) -> Pair {
        match self.then.last() {
            Some(then) => (then.site, then.op, then.manner.name, then.for_ever),
            None => (self.site, self.op, self.manner.name, self.for_ever),
        }
    }

    /// Its first fault alone, by which it is found.
    pub(crate) fn first(&self) -> Case {
        Case { then: Vec::new(), ..self.clone() }
    }

    /// With one fault more.
    pub(crate) fn with(&self, then: Then) -> Case {
        let mut case = self.clone();
        case.then.push(then);
        case
    }
}

impl Then {
    fn fault(&self, seed: u64) -> Fault {
        let kind = match self.manner.kind {
            FaultKind::FlipBit(_) => FaultKind::FlipBit(seed),
            // A log that is read in pieces of nine bytes takes thousands of calls: most of all reads of a
            // sweep were such. For ever some do it.
            FaultKind::Short(1..) if self.for_ever && !seed.is_multiple_of(8) => {
                FaultKind::Short(LONGER)
            }
            kind => kind,
        };
        let fault = Fault::new(self.op, self.manner.error).at(self.site);
        match (self.for_ever, self.manner.name) {
            (false, _) => fault.kind(kind).times(1),
            (true, "enospc") => fault.kind(kind).then_all(&TAKE_SPACE),
            (true, _) => fault.kind(kind).then_all(&[self.op]),
        }
    }
}

/// For each manner of a call that is only made where another failed: the ways to come there, of
/// which one must do.
pub(crate) fn behind(site: CallSite, op: OpKind, ways: &[Case]) -> Vec<Vec<Case>> {
    let mut groups = Vec::new();
    for manner in manners(op) {
        for for_ever in [false, true] {
            let then = Then { site, op, manner: *manner, for_ever };
            groups.push(ways.iter().map(|way| way.with(then)).collect());
        }
    }
    groups
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { scenario, site, op, passed, manner, for_ever, .. } = self;
        let times = if *for_ever { "for ever" } else { "once" };
        write!(f, "scenario {scenario}: {op:?} at {site} #{passed}, {} {times}", manner.name)?;
        for Then { site, op, manner, for_ever } in &self.then {
            let times = if *for_ever { "for ever" } else { "once" };
            write!(f, "; then {op:?} at {site}, {} {times}", manner.name)?;
        }
        Ok(())
    }
}

/// A pair of the coverage: a call of the engine and a manner of failing.
pub(crate) type Pair = (CallSite, OpKind, &'static str, bool);

/// Every call of every scenario, each failing in all its manners. The first of each place and
/// manner come first, the rest is shuffled, so that any beginning of the list is a fair choice.
pub(crate) fn cases(scenarios: &[Scenario]) -> Vec<Case> {
    let mut rng = Rng::new(0xfa17);
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    let mut seen: BTreeSet<Pair> = BTreeSet::new();
    for (number, scenario) in scenarios.iter().enumerate() {
        let mut passed: BTreeMap<(CallSite, OpKind), u64> = BTreeMap::new();
        for (site, op) in &scenario.calls {
            let before = passed.entry((*site, *op)).or_insert(0);
            for manner in manners(*op) {
                for for_ever in [false, true] {
                    let (site, op, manner, seed) = (*site, *op, *manner, rng.next());
                    let case = Case {
                        scenario: number,
                        site,
                        op,
                        passed: *before,
                        manner,
                        for_ever,
                        seed,
                        then: Vec::new(),
                    };
                    let fresh = seen.insert((site, op, manner.name, for_ever));
                    if fresh { first.push(case) } else { rest.push(case) }
                }
            }
            *before += 1;
        }
    }
    for place in (1..rest.len()).rev() {
        rest.swap(place, rng.below(place as u64 + 1) as usize);
    }
    first.extend(rest);
    first
}
