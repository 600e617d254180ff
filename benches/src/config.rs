//! How a run is done.

use crate::keys::{KeyBuf, Shape};
use crate::store::Settings;
use anyhow::{Result, ensure};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the stores lie; two directories are made in it.
    pub dir: PathBuf,
    /// Work on the store that an earlier run with the same options left there, all keys in it.
    pub existing: bool,
    /// How many keys.
    pub keys: u64,
    /// What keys look like.
    pub shape: Shape,
    /// Bytes of a key; at least what the shape needs.
    pub key_len: usize,
    /// Bytes of a value.
    pub value_len: usize,
    /// Entries of a batch.
    pub batch: u64,
    /// Threads that work at the same time.
    pub threads: usize,
    /// Operations of each workload, instead of its own number.
    pub operations: Option<u64>,
    /// The time after which a workload ends, even if operations are left.
    pub limit: Option<Duration>,
    /// Bytes for cached data.
    pub cache_bytes: u64,
    /// Bytes of a memtable.
    pub write_buffer_bytes: u64,
    /// Every write survives power loss when it returns.
    pub sync: bool,
    /// Every operation is a transaction.
    pub transactions: bool,
    /// Entries that a seek reads; `seekrandom` is run for each.
    pub seek_steps: Vec<u64>,
    /// Writes per second beside the readers of `readwhilewriting`; without a limit where none.
    pub write_rate: Option<u64>,
    /// How many times the keys `overwritewait` writes.
    pub rounds: u64,
    /// Reading workloads run once before the clock starts.
    pub warm: bool,
    /// Another seed is another order of keys.
    pub seed: u64,
    /// Bytes of keys and values in the log for `openlog`.
    pub log_bytes: u64,
    /// A program that, with [`crate::crash::Job`] as text behind its arguments, calls
    /// [`crate::crash::fill_and_wait`]. Without one there is no `openlog`.
    pub filler: Option<Filler>,
}

/// How the process is started that `openlog` kills.
#[derive(Clone, Debug)]
pub struct Filler {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; one more follows.
    pub arguments: Vec<String>,
}

impl Filler {
    pub(crate) fn command(&self, job: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(job);
        command
    }
}

const MIB: u64 = 1 << 20;

impl Default for Config {
    fn default() -> Config {
        Config {
            dir: PathBuf::new(),
            existing: false,
            keys: 1_000_000,
            shape: Shape::Plain,
            key_len: 16,
            value_len: 100,
            batch: 100,
            threads: 1,
            operations: None,
            limit: None,
            cache_bytes: 256 * MIB,
            write_buffer_bytes: 64 * MIB,
            sync: false,
            transactions: false,
            seek_steps: vec![10],
            write_rate: None,
            rounds: 4,
            warm: false,
            seed: 1,
            log_bytes: 64 * MIB,
            filler: None,
        }
    }
}

impl Config {
    /// Refuses what cannot be run, and says why.
    ///
    /// # Errors
    ///
    /// Where that is so.
    pub fn check(&self) -> Result<()> {
        ensure!(self.keys > 0, "there must be a key");
        ensure!(self.keys <= 1 << 40, "2^40 keys are the limit");
        ensure!((1..=1024).contains(&self.threads), "there must be 1 to 1024 threads");
        ensure!(self.batch > 0, "a batch must have an entry");
        ensure!(self.rounds > 0, "there must be a round");
        ensure!(self.operations != Some(0), "there must be an operation");
        ensure!(self.write_rate != Some(0), "the writer must write");
        ensure!(self.seek_steps.iter().all(|&steps| steps > 0), "a seek must read an entry");
        let shortest = KeyBuf::shortest(self.shape);
        let key_len = self.key_len;
        ensure!(key_len >= shortest, "a key has {key_len} bytes; such keys need {shortest}");
        // Twice the number, and one for a missing key, in decimal digits behind the text.
        let digits = key_len - shortest + 8;
        let needed = (4 * self.keys).ilog10() as usize + 1;
        ensure!(digits >= needed, "a key of {key_len} bytes cannot number {} keys", self.keys);
        Ok(())
    }

    /// What the store is opened with.
    pub fn settings(&self) -> Settings {
        Settings {
            cache_bytes: self.cache_bytes,
            write_buffer_bytes: self.write_buffer_bytes,
            log_limit_bytes: (4 * self.write_buffer_bytes).max(256 * MIB),
            sync: self.sync,
            transactions: self.transactions,
            threads: self.threads + 1,
            keys: self.keys,
            key_len: self.key_len,
            value_len: self.value_len,
        }
    }

    /// What the store of `openlog` is opened with: its log is not written out.
    pub(crate) fn log_settings(&self) -> Settings {
        let write_buffer_bytes = self.write_buffer_bytes.max(4 * self.log_bytes);
        Settings {
            cache_bytes: self.cache_bytes.max(3 * write_buffer_bytes),
            write_buffer_bytes,
            log_limit_bytes: 4 * write_buffer_bytes,
            transactions: false,
            keys: self.log_bytes / (self.key_len + self.value_len) as u64 + 1,
            ..self.settings()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_must_have_room_for_their_numbers() {
        let with = |keys, shape, key_len| Config { keys, shape, key_len, ..Config::default() };
        assert!(with(24_999_999, Shape::Plain, 8).check().is_ok());
        assert!(with(25_000_000, Shape::Plain, 8).check().is_err());
        assert!(with(25_000_000, Shape::Plain, 9).check().is_ok());
        assert!(with(100, Shape::Plain, 7).check().is_err());
        assert!(with(100, Shape::Prefix, 53).check().is_err());
        assert!(with(100, Shape::Prefix, 60).check().is_ok());
    }
}
