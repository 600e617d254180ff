//! Settings of a store as drawn numbers, from the usual sizes to the smallest legal ones.

use super::rng::Rng;
use kv_engine::{Compression, Options};
use kv_vfs::Fs;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Everything of [`Options`] that a run varies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) write_buffer: u64,
    pub(super) block_size: u64,
    pub(super) table_size: u64,
    pub(super) bloom_bits: f64,
    /// 0 none, 1 LZ4, 2 Snappy.
    pub(super) compression: u8,
    pub(super) level0_runs: usize,
    pub(super) wal_limit: u64,
    pub(super) space_amplification: f64,
    pub(super) max_open_files: usize,
    pub(super) memory_budget: u64,
    pub(super) threads: usize,
    pub(super) mmap_reads: bool,
    pub(super) sync_on_write: bool,
    pub(super) disk_limit: Option<u64>,
}

impl Settings {
    /// Small sizes, so that a few hundred writes flush and compact, and nothing else unusual.
    pub(super) fn plain() -> Settings {
        Settings {
            write_buffer: 4 << 10,
            block_size: 4 << 10,
            table_size: 16 << 10,
            bloom_bits: 10.0,
            compression: 1,
            level0_runs: 4,
            wal_limit: 256 << 20,
            space_amplification: 1.15,
            max_open_files: 512,
            memory_budget: 1 << 20,
            threads: 2,
            mmap_reads: false,
            sync_on_write: true,
            disk_limit: None,
        }
    }

    pub(super) fn draw(rng: &mut Rng) -> Settings {
        Settings {
            write_buffer: *rng.pick(&[4 << 10, 4 << 10, 8 << 10, 16 << 10, 64 << 10, 1 << 20]),
            block_size: *rng.pick(&[64, 256, 512, 1 << 10, 4 << 10, 16 << 10, 64 << 10]),
            table_size: *rng.pick(&[1 << 10, 2 << 10, 4 << 10, 16 << 10, 64 << 10, 1 << 20]),
            bloom_bits: *rng.pick(&[0.0, 0.5, 1.0, 4.0, 10.0, 20.0]),
            compression: rng.below(3) as u8,
            level0_runs: *rng.pick(&[1, 1, 2, 4, 8, 16]),
            wal_limit: *rng.pick(&[16 << 10, 32 << 10, 128 << 10, 256 << 20]),
            space_amplification: *rng.pick(&[1.01, 1.15, 1.5, 3.0, 10.0]),
            max_open_files: *rng.pick(&[4, 4, 16, 512]),
            memory_budget: *rng.pick(&[64 << 10, 128 << 10, 1 << 20, 64 << 20]),
            threads: *rng.pick(&[1, 2, 2, 3, 4, 8]),
            mmap_reads: rng.chance(20),
            sync_on_write: rng.chance(50),
            disk_limit: rng.chance(5).then(|| *rng.pick(&[64 << 10, 256 << 10, 1 << 20])),
        }
    }

    /// The settings under which one history must look the same: the usual ones, each extreme
    /// alone, and everything off.
    pub(super) fn twelve() -> [Settings; 12] {
        let plain = Settings::plain();
        let off = Settings {
            bloom_bits: 0.0,
            compression: 0,
            memory_budget: 64 << 10,
            threads: 1,
            max_open_files: 4,
            ..plain
        };
        [
            plain,
            off,
            Settings { write_buffer: 1 << 20, memory_budget: 64 << 20, ..plain },
            Settings { block_size: 64, table_size: 1 << 10, ..plain },
            Settings { block_size: 64 << 10, table_size: 1 << 20, ..plain },
            Settings { level0_runs: 1, ..plain },
            Settings { level0_runs: 16, threads: 4, ..plain },
            Settings { bloom_bits: 20.0, compression: 2, ..plain },
            Settings { bloom_bits: 0.5, compression: 0, ..plain },
            Settings { wal_limit: 16 << 10, sync_on_write: false, ..plain },
            Settings { mmap_reads: true, max_open_files: 4, table_size: 2 << 10, ..plain },
            Settings { space_amplification: 1.01, threads: 4, table_size: 4 << 10, ..plain },
        ]
    }

    pub(super) fn options(&self, fs: Arc<dyn Fs>) -> Options {
        let compression = match self.compression {
            0 => Compression::None,
            1 => Compression::Lz4,
            _ => Compression::Snappy,
        };
        Options::default()
            .write_buffer(self.write_buffer)
            .block_size(self.block_size)
            .table_size(self.table_size)
            .bloom_bits(self.bloom_bits)
            .compression(compression)
            .level0_runs(self.level0_runs)
            .wal_limit(self.wal_limit)
            .space_amplification(self.space_amplification)
            .max_open_files(self.max_open_files)
            .memory_budget(self.memory_budget)
            .background_threads(self.threads)
            .mmap_reads(self.mmap_reads)
            .sync_on_write(self.sync_on_write)
            .disk_limit(self.disk_limit.unwrap_or(u64::MAX))
            .file_system(fs)
    }
}
