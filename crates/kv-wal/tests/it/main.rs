//! What the log promises, by promise.
#![allow(clippy::unwrap_used)]

mod chain;
mod copies;
mod crash;
mod damage;
mod failure;
mod format;
mod frame_writer;
mod group_commit;
mod mutation;
mod round_trip;
mod scan;
mod space;
mod support;
