//! The arguments of `bench`.

use clap::ValueEnum;
use kv_benches::keys::Shape;
use kv_benches::{Config, Filler, Workload};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// What to measure, in order on one store
    #[arg(value_name = "WORKLOAD", value_parser = workload_parser(), hide_possible_values = true,
        default_values = ["fillrandom", "readrandom", "seekrandom", "readseq"])]
    pub(crate) workloads: Vec<String>,
    /// Make the store in this directory and leave it there; without this, in a temporary one
    #[arg(long, value_name = "PATH")]
    pub(crate) dir: Option<PathBuf>,
    /// Work on the store that an earlier run with the same options left in --dir
    #[arg(long, requires = "dir")]
    existing: bool,
    /// How many keys
    #[arg(long, value_name = "N", value_parser = count, default_value = "1m")]
    keys: u64,
    /// Bytes of a key
    #[arg(long, value_name = "BYTES", value_parser = length)]
    key_size: Option<usize>,
    /// What keys look like
    #[arg(long, value_enum, value_name = "SHAPE", default_value = "plain")]
    key_shape: KeyShape,
    /// Bytes of a value; half of them compress away
    #[arg(long, value_name = "BYTES", value_parser = length, default_value = "100")]
    value_size: usize,
    /// Threads that work at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Operations of each workload, instead of its own number
    #[arg(long, value_name = "N", value_parser = count)]
    ops: Option<u64>,
    /// End each workload after so many seconds, even if operations are left
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Memory for cached data
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "256m")]
    cache: u64,
    /// Size of a memtable; at most a third of the cache
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "64m")]
    write_buffer: u64,
    /// Each write survives power loss when it returns
    #[arg(long)]
    sync: bool,
    /// Entries of a batch
    #[arg(long, value_name = "N", default_value_t = 100)]
    batch: u64,
    /// Entries that a seek reads; several numbers give several rows
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "10")]
    seek_steps: Vec<u64>,
    /// Writes per second beside the readers of readwhilewriting; without this, as many as can be
    #[arg(long, value_name = "N", value_parser = count)]
    write_rate: Option<u64>,
    /// How many times the keys overwritewait writes
    #[arg(long, value_name = "N", default_value_t = 4)]
    rounds: u64,
    /// Run reading workloads once before the clock starts
    #[arg(long)]
    warm: bool,
    /// Another seed is another order of keys
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Keys and values in the log that openlog recovers
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "64m")]
    log_size: u64,
    /// Write the result to a file, too, in JSON, one object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Serve the figures of the store that is measured at this address, for `kv top`
    #[arg(long, value_name = "ADDRESS", value_parser = crate::metrics::address)]
    pub(crate) metrics: Option<SocketAddr>,
    /// Be the process that openlog kills
    #[arg(long, value_name = "JOB", hide = true)]
    pub(crate) fill_and_wait: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum KeyShape {
    /// Digits; 16 bytes unless --key-size says else
    Plain,
    /// A long prefix that 10,000 keys share, and digits; 60 bytes unless --key-size says else
    Prefix,
}

impl Bench {
    pub(crate) fn config(&self, dir: &Path) -> Config {
        let (shape, key_len) = match self.key_shape {
            KeyShape::Plain => (Shape::Plain, 16),
            KeyShape::Prefix => (Shape::Prefix, 60),
        };
        Config {
            dir: dir.to_owned(),
            existing: self.existing,
            keys: self.keys,
            shape,
            key_len: self.key_size.unwrap_or(key_len),
            value_len: self.value_size,
            batch: self.batch,
            threads: self.threads,
            operations: self.ops,
            limit: self.seconds,
            cache_bytes: self.cache,
            write_buffer_bytes: self.write_buffer,
            sync: self.sync,
            transactions: false,
            seek_steps: self.seek_steps.clone(),
            write_rate: self.write_rate,
            rounds: self.rounds,
            warm: self.warm,
            seed: self.seed,
            log_bytes: self.log_size,
            filler: std::env::current_exe().ok().map(|program| Filler {
                program,
                arguments: vec!["bench".to_owned(), "--fill-and-wait".to_owned()],
            }),
        }
    }
}

pub(crate) fn examples() -> &'static str {
    "\
Examples:
  kv bench
  kv bench fillrandom readrandom seekrandom --keys 2m --threads 2
  kv bench fillsync --threads 8 --seconds 10 --dir /mnt/disk
  kv bench readrandom --keys 10m --cache 128m --warm
  kv bench ycsba ycsbe --value-size 1000 --json
  kv bench transact0 transact10 transact90 --threads 8 --seconds 2 --ops 1g"
}

pub(crate) fn about() -> String {
    let mut text = "\
Measure how fast the store is here: the workloads of db_bench and YCSB

Workloads run in order on one store. One that begins with an empty store makes a new one; one that \
needs keys and finds none has them loaded, which is not measured. Every value that is read is \
checked, and what is found is compared with what was written.

"
    .to_owned();
    for workload in Workload::ALL {
        let _ = writeln!(text, "  {workload:<17} {}", workload.about());
    }
    text += "
A row tells operations per second, how long single operations took, the longest pause, processor \
seconds, the peak of resident memory, bytes written by the process as the kernel counts them, write \
amplification by process, device and engine (p/d/e), and bytes on disk. Operations under a \
microsecond are timed one in 16. What the system does not tell is a dash.

Sizes and counts may end in k, m or g; those of bytes are powers of 1024, those of keys and \
operations of 1000.";
    text
}

fn workload_parser() -> clap::builder::PossibleValuesParser {
    Workload::ALL.iter().map(|workload| workload.name()).collect::<Vec<_>>().into()
}

fn count(text: &str) -> Result<u64, String> {
    scaled(text, 1000)
}

fn size(text: &str) -> Result<u64, String> {
    scaled(text, 1024)
}

fn length(text: &str) -> Result<usize, String> {
    let length = size(text)?;
    if length > 64 << 20 {
        return Err("64 MiB is the limit".to_owned());
    }
    usize::try_from(length).map_err(|e| e.to_string())
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    if seconds <= 0.0 {
        return Err("there must be time to work".to_owned());
    }
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

/// A number, and k, m or g behind it.
fn scaled(text: &str, unit: u64) -> Result<u64, String> {
    let (digits, power) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1),
        Some((at, 'm' | 'M')) => (&text[..at], 2),
        Some((at, 'g' | 'G')) => (&text[..at], 3),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| "expected a number, such as 64m".to_owned())?;
    number.checked_mul(unit.pow(power)).ok_or_else(|| "too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        assert_eq!((count("7"), count("2m")), (Ok(7), Ok(2_000_000)));
        assert_eq!((size("64k"), size("1G")), (Ok(64 << 10), Ok(1 << 30)));
        for wrong in ["", "m", "-1", "1.5m", "1t", "99999999999g"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert!(length("65m").is_err());
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "NaN", "inf", "x"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
