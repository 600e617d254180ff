//! Moving tables down the levels: what to merge, what to keep, where to cut.
//!
//! `run` and `manual` act; all else is pure: values in, a value out. `docs/design/compaction.md`
//! numbers the promises (C1 to C14) that the parts keep together.

pub(crate) mod busy;
pub(crate) mod expand;
mod garbage;
mod manual;
pub(crate) mod pick;
pub(crate) mod policy;
pub(crate) mod retain;
pub(crate) mod run;
pub(crate) mod score;
pub(crate) mod split;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use busy::Busy;
pub(crate) use score::{flush_level, level0_runs, targets};
