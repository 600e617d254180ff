//! Which calls of an engine were made, and which of them met which fault.

use super::{FaultError, FaultKind, OpKind};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::Location;

/// A place in a program that calls a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallSite {
    /// The source file.
    pub file: &'static str,
    /// The line in it.
    pub line: u32,
    /// The column in the line.
    pub column: u32,
}

impl From<&'static Location<'static>> for CallSite {
    fn from(at: &'static Location<'static>) -> CallSite {
        CallSite { file: at.file(), line: at.line(), column: at.column() }
    }
}

impl fmt::Display for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// What happened to the calls of one kind that were made in one place.
/// ```
/// use kv_vfs::{CallSite, Covered, Fault, FaultError, FaultFs, FaultKind, Fs, MemFs, OpKind};
/// use std::{panic::Location, path::Path, sync::Arc};
/// let fs = FaultFs::new(Arc::new(MemFs::new()));
/// fs.arm(Fault::nth(1));
/// let answers: Vec<bool> = (0..3).map(|_| fs.sync_dir(Path::new("/")).is_ok()).collect();
/// assert_eq!(answers, [true, false, true]);
///
/// // Three calls in one place, of which one met a fault.
/// let Covered { site, op, calls, faults } = fs.coverage().remove(0);
/// assert_eq!((op, calls), (OpKind::SyncDir, 3));
/// assert_eq!(faults, [(FaultKind::Fail, FaultError::EIO, 1)]);
/// let here = CallSite::from(Location::caller());
/// assert_eq!(site.file, here.file);
/// assert_eq!(site.to_string(), format!("{}:{}", site.file, site.line));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The place.
    pub site: CallSite,
    /// What the calls do.
    pub op: OpKind,
    /// How many there were.
    pub calls: u64,
    /// The faults that they met, and how many met each.
    pub faults: Vec<(FaultKind, FaultError, u64)>,
}

#[derive(Debug)]
struct Met {
    site: CallSite,
    calls: u64,
    faults: BTreeMap<(FaultKind, FaultError), u64>,
}

#[derive(Debug, Default)]
pub(super) struct Coverage {
    /// By the address of the location, which costs no comparison of names; one place may have
    /// several.
    met: HashMap<(usize, OpKind), Met>,
}

impl Coverage {
    pub(super) fn count(
        &mut self,
        at: &'static Location<'static>,
        op: OpKind,
        fault: Option<(FaultKind, FaultError)>,
    ) {
        let fresh = || Met { site: at.into(), calls: 0, faults: BTreeMap::new() };
        let met = self.met.entry((std::ptr::from_ref(at).addr(), op)).or_insert_with(fresh);
        met.calls += 1;
        if let Some(fault) = fault {
            *met.faults.entry(fault).or_insert(0) += 1;
        }
    }

    pub(super) fn table(&self) -> Vec<Covered> {
        let mut sites: BTreeMap<(CallSite, OpKind), (u64, BTreeMap<_, u64>)> = BTreeMap::new();
        for ((_, op), met) in &self.met {
            let (calls, faults) = sites.entry((met.site, *op)).or_default();
            *calls += met.calls;
            for (fault, count) in &met.faults {
                *faults.entry(*fault).or_insert(0) += count;
            }
        }
        let faults = |all: BTreeMap<(FaultKind, FaultError), u64>| {
            all.into_iter().map(|((kind, error), count)| (kind, error, count)).collect()
        };
        sites
            .into_iter()
            .map(|((site, op), (calls, met))| Covered { site, op, calls, faults: faults(met) })
            .collect()
    }
}
