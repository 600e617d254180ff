//! Locks, condition variables and atomics: the real ones, or those of a model checker.
//!
//! In an ordinary build these are names for `parking_lot` and `std`, and cost nothing. Under
//! `--cfg shuttle` or `--cfg loom` every one of them is a point at which the checker may let
//! another thread run; threads and sleeping go with it.
//!
//! Whoever holds a lock of another kind across one of these points would stop the checker, so only
//! leaf locks may stay outside: those of [`MemFs`](crate::MemFs), of the block cache and of the
//! memory of its blocks, of the open tables and of the memtable's tombstones, under which nothing but one
//! another is locked or waited for.

#[cfg(not(any(shuttle, loom)))]
mod real;
#[cfg(not(any(shuttle, loom)))]
pub use real::*;

#[cfg(any(shuttle, loom))]
mod checked;
#[cfg(any(shuttle, loom))]
pub use checked::*;
