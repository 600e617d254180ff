//! What the store promises, checked through its public face alone.
//!
//! Each module is named for a promise. Most bodies run once under each of a dozen settings
//! ([`support::every_setting`]), because a promise that holds only for the defaults is none.
#![allow(
    clippy::disallowed_methods,
    reason = "the tests stand where a user stands, outside the seam: real threads, real files"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test panics")]

mod background;
mod backup;
mod batches;
mod changes;
mod checkpoint;
mod child;
mod close;
mod concurrency;
mod copies;
mod corruption;
mod crash;
mod cursors;
mod cutting;
mod delete_range;
mod disk_full;
mod events;
mod failed_io;
mod flushes;
mod follower;
mod format;
mod in_memory;
mod ingest;
mod inspect;
mod iterators;
mod keyspaces;
mod kill;
mod limits;
mod lock;
mod long_values;
mod model;
mod observability;
mod open;
mod point_ops;
mod ranges;
mod read_only;
mod repair;
mod resources;
mod settings;
mod snapshots;
mod support;
mod transactions;
mod ttl;
mod verify;
mod warm;
