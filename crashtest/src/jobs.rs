//! What the threads of a store are doing, as its statistics tell it.

use kv_engine::Db;
use std::thread;
use std::time::Duration;

/// So many looks in a row that find no job under way mean that none is left to begin.
const LOOKS: u32 = 10;

/// How many flushes and compactions are under way.
pub(crate) fn running(db: &Db) -> u64 {
    let text = db.stats().prometheus();
    let found = text.lines().find_map(|line| line.strip_prefix("kv_running_jobs ")?.parse().ok());
    found.unwrap_or(0)
}

/// Waits until flushes and compactions have ended.
pub(crate) fn settle(db: &Db) {
    let mut quiet = 0;
    while quiet < LOOKS {
        quiet = if running(db) == 0 { quiet + 1 } else { 0 };
        thread::sleep(Duration::from_millis(1));
    }
}
