//! The numbers that shape the tree, and the moment at which something is chosen.

/// How the tree is shaped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Runs on level 0 before it is merged down; up to five times as many while writers press.
    pub(crate) level0_runs: usize,
    /// As many bytes in runs of the size that flushes make while writers press.
    pub(crate) pressed_runs: usize,
    /// The size of tables below level 0.
    pub(crate) table_size: u64,
    /// The size of a memtable.
    pub(crate) write_buffer: u64,
    /// How much bigger each level is than the one above.
    pub(crate) level_ratio: u64,
    /// A level whose target is smaller stays empty.
    pub(crate) base_target: u64,
    /// Bytes on disk for each live byte before space is won back.
    pub(crate) space_amplification: f64,
    /// The codec of the tables of the last level.
    pub(crate) bottom_codec: u8,
}

impl Policy {
    /// How many bytes beside `live` ones the store may take.
    pub(crate) fn slack(&self, live: u64) -> u64 {
        ((self.space_amplification - 1.0).max(0.0) * live as f64) as u64
    }
}

/// The moment of a choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// Nobody sees a difference between versions up to this sequence number.
    pub(crate) oldest_snapshot: u64,
    /// The oldest clock that anyone reads with.
    pub(crate) now_ms: u64,
    /// Memtables are filled one after the other: writers wait, or will soon.
    pub(crate) pressure: bool,
    /// Nothing was written for a while.
    pub(crate) idle: bool,
}
