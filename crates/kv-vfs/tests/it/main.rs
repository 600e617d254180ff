//! What the file systems promise, one module for each promise.
#![allow(clippy::disallowed_methods, reason = "a test looks at the real disk from outside too")]
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

mod cut_policies;
mod faults;
mod late;
mod locks;
mod power_cut;
mod real_disk;
mod replay;
mod same_everywhere;
mod space;
mod support;
mod time;
