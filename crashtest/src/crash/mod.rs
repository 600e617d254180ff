//! The proof in memory: a history runs once, its trace is cut at every operation, under every
//! policy and subset, and what is left is opened and compared with the model.

use crate::report::Row;
use anyhow::Result;

pub(crate) mod audit;
pub(crate) mod case;
pub(crate) mod checker;
pub(crate) mod cut;
pub(crate) mod exhaustive;
pub(crate) mod nested;
pub(crate) mod repro;
pub(crate) mod shrink;
pub(crate) mod sim;
pub(crate) mod sweep;
mod watchdog;
pub(crate) mod workload;
mod writers;

/// What the gate runs.
pub(crate) fn quick() -> Result<Vec<Row>> {
    let _watchdog = watchdog::Watchdog::start();
    let mut rows = exhaustive::quick()?;
    rows.extend(nested::quick()?);
    rows.extend(sim::quick()?);
    Ok(rows)
}
