//! What a table promises, by promise.
#![allow(clippy::unwrap_used)]

mod builder;
mod damage;
mod dump;
mod failed_reads;
mod large_values;
mod long_values;
mod model;
mod range_tombstones;
mod salvage;
mod scan;
mod split;
mod summary;
mod support;
mod warm;
