//! Settings of a store as a value that can be written down, drawn and changed on reopening.

use crate::rng::Rng;
use kv_engine::{Compression, Options};
use kv_vfs::Fs;
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) synced: bool,
    pub(crate) write_buffer: u64,
    pub(crate) table_size: u64,
    pub(crate) block_size: u64,
    pub(crate) level0_runs: usize,
    pub(crate) wal_limit: u64,
    pub(crate) bloom_bits: u64,
    pub(crate) compressed: bool,
    pub(crate) threads: usize,
    pub(crate) open_files: usize,
}

impl Settings {
    /// The least of everything, so that few steps do much.
    pub(crate) fn small() -> Settings {
        Settings {
            synced: true,
            write_buffer: 4 << 10,
            table_size: 4 << 10,
            block_size: 512,
            level0_runs: 2,
            wal_limit: 16 << 10,
            bloom_bits: 10,
            compressed: true,
            threads: 1,
            open_files: 64,
        }
    }

    /// Such that an open starts no work of its own: for looking at what a crash left.
    pub(crate) fn quiet() -> Settings {
        Settings { level0_runs: 64, wal_limit: 1 << 20, ..Settings::small() }
    }

    pub(crate) fn drawn(rng: &mut Rng) -> Settings {
        Settings {
            synced: rng.chance(50),
            write_buffer: rng.pick(4 << 10, &[8 << 10, 64 << 10]),
            table_size: rng.pick(4 << 10, &[1 << 10, 32 << 10]),
            block_size: rng.pick(512, &[64, 4 << 10]),
            level0_runs: rng.pick(2, &[1, 4, 16]),
            wal_limit: rng.pick(16 << 10, &[64 << 10, 1 << 20]),
            bloom_bits: rng.pick(10, &[0, 3]),
            compressed: rng.chance(50),
            threads: rng.pick(1, &[2, 3]),
            open_files: rng.pick(64, &[4]),
        }
    }

    pub(crate) fn options(&self, fs: Arc<dyn Fs>) -> Options {
        Options::default()
            .sync_on_write(self.synced)
            .memory_budget(1 << 20)
            .write_buffer(self.write_buffer)
            .table_size(self.table_size)
            .block_size(self.block_size)
            .level0_runs(self.level0_runs)
            .wal_limit(self.wal_limit)
            .bloom_bits(self.bloom_bits as f64)
            .compression(if self.compressed { Compression::Lz4 } else { Compression::None })
            .background_threads(self.threads)
            .max_open_files(self.open_files)
            .file_system(fs)
    }

    /// Reads what `Display` shows.
    pub(crate) fn parse(text: &str) -> Option<Settings> {
        let words = text.split(' ').map(|word| word.parse().ok());
        let numbers: Vec<u64> = words.collect::<Option<_>>()?;
        let [synced, write, table, block, runs, wal, bloom, compressed, threads, files] =
            numbers.as_slice()
        else {
            return None;
        };
        Some(Settings {
            synced: *synced == 1,
            write_buffer: *write,
            table_size: *table,
            block_size: *block,
            level0_runs: *runs as usize,
            wal_limit: *wal,
            bloom_bits: *bloom,
            compressed: *compressed == 1,
            threads: *threads as usize,
            open_files: *files as usize,
        })
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} {} {} {} {} {} {}",
            u8::from(self.synced),
            self.write_buffer,
            self.table_size,
            self.block_size,
            self.level0_runs,
            self.wal_limit,
            self.bloom_bits,
            u8::from(self.compressed),
            self.threads,
            self.open_files
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_can_be_written_down() {
        let mut rng = Rng::new(3);
        for _ in 0..50 {
            let settings = Settings::drawn(&mut rng);
            assert_eq!(Settings::parse(&settings.to_string()), Some(settings));
        }
    }
}
