//! Decisions as text, the fate of versions against a model, and loads in simulation.

mod choices;
mod retention;
mod simulation;

use crate::compaction::policy::{Context, Policy};

const MIB: u64 = 1 << 20;

fn policy() -> Policy {
    Policy {
        level0_runs: 4,
        pressed_runs: 4,
        table_size: 32 * MIB,
        write_buffer: 64 * MIB,
        level_ratio: 8,
        base_target: 512 * MIB,
        space_amplification: 1.15,
        bottom_codec: 0,
    }
}

fn context() -> Context {
    Context { oldest_snapshot: u64::MAX, now_ms: 0, pressure: false, idle: false }
}
