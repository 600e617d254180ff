//! The engine under a scheduler that chooses, at every lock, wait, atomic and file operation, which
//! thread goes on: at random, and with few but well placed changes of priority (PCT).
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test -p kv-engine --release --test shuttle
//! ```
//!
//! `KV_SCHEDULES` says how many schedules each scenario runs, `KV_SEED` which. A failure prints the
//! schedule. A thread that nobody wakes is a deadlock, and fails: waits with a limit do not end by
//! themselves, except in the scenarios with faults, whose retries need the time to pass.
#![cfg(shuttle)]

#[path = "shuttle/closing.rs"]
mod closing;
#[path = "shuttle/faults.rs"]
mod faults;
#[path = "shuttle/linear.rs"]
mod linear;
#[path = "shuttle/moments.rs"]
mod moments;
#[path = "shuttle/reading.rs"]
mod reading;
#[path = "shuttle/transacting.rs"]
mod transacting;
#[path = "shuttle/world.rs"]
mod world;
