//! Histories that are small and do much.

use crate::history::{Op, Step, Weights, draw};
use crate::rng::Rng;
use crate::settings::Settings;
use clap::ValueEnum;

/// A fixed history, each with its own stress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// A bit of everything.
    Small,
    /// Large values and small memtables: flushes and rotations all the time.
    Flush,
    /// Overwrites and deletes with full compactions.
    Compact,
    /// Opened and closed again and again, so that manifests change.
    Manifest,
    /// Range deletes over every border.
    Range,
    /// Values on both sides of where they are put apart, overwritten and collected.
    Values,
    /// Ingests among writes, flushes and range deletes.
    Ingest,
}

impl Workload {
    pub(crate) const ALL: [Workload; 7] = [
        Workload::Small,
        Workload::Flush,
        Workload::Compact,
        Workload::Manifest,
        Workload::Range,
        Workload::Values,
        Workload::Ingest,
    ];

    /// The steps, with the settings of the store.
    pub(crate) fn steps(self, count: usize, seed: u64) -> (Vec<Step>, Settings) {
        let small = Settings::small();
        let even = Weights::even();
        let (weights, settings) = match self {
            Workload::Small => (even, small),
            Workload::Flush => {
                let weights = Weights { longest: 1500, synced: 10, flushes: 4, ..even };
                (weights, Settings { synced: false, ..small })
            }
            Workload::Compact => {
                let weights = Weights { keys: 30, deletes: 30, compactions: 5, flushes: 6, ..even };
                (weights, Settings { level0_runs: 1, threads: 2, ..small })
            }
            Workload::Manifest => {
                let weights = Weights { reopens: 10, flushes: 8, spaces: 10, ..even };
                (weights, small)
            }
            Workload::Range => {
                let weights = Weights { ranges: 40, flushes: 5, compactions: 3, ..even };
                (weights, Settings { table_size: 1 << 10, ..small })
            }
            Workload::Values => {
                let weights = Weights {
                    keys: 12,
                    longest: 3000,
                    flushes: 5,
                    compactions: 3,
                    reopens: 2,
                    ..even
                };
                (weights, Settings { table_size: 2 << 10, level0_runs: 1, ..small })
            }
            Workload::Ingest => {
                let weights = Weights { ingests: 30, longest: 1500, flushes: 3, ..even };
                (weights, Settings { table_size: 2 << 10, synced: false, ..small })
            }
        };
        let mut rng = Rng::new(seed << 8 | self as u64);
        let mut steps = vec![Step::Create(1), Step::Write(vec![Op::Put(1, 7, 30)], false)];
        steps.extend(draw(&mut rng, &weights, count, &[1]));
        (steps, settings)
    }

    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}
