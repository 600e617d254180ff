//! The workload driver behind `kv bench`, and what the benchmarks share.
//!
//! [`store`] is the seam to an engine, [`kv`] this project's own behind it. A [`Bench`] runs
//! [`Workload`]s on a store and answers a [`Row`] for each. Keys, values and operations follow from
//! the options and a seed, so that two engines, or two runs, do the same work; what is read is
//! compared with what was written. What is measured, and how not to fool oneself:
//! `docs/benchmarks.md`.

#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the real clock, threads and files"
)]

mod bench;
mod config;
pub mod crash;
mod drive;
pub mod keys;
pub mod kv;
mod latency;
pub mod measure;
mod model;
mod permute;
pub mod report;
pub mod seen;
pub mod store;
pub mod values;
mod work;
mod workload;
pub mod zipf;

pub use anyhow::Error;
pub use bench::Bench;
pub use config::{Config, Filler};
pub use drive::{Silent, Watch};
pub use report::Row;
pub use workload::Workload;

/// A fast generator of pseudo-random numbers (xorshift64*), the same for the same seed.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins with `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The next number.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number from 0 up to and without 1.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number below `limit`.
    #[inline]
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(limit)) >> 64) as u64
    }
}

/// The key number `n`: 16 bytes, in the order of the numbers.
#[inline]
pub fn key(n: u64) -> [u8; 16] {
    let mut key = [b'0'; 16];
    let mut n = n;
    for slot in key.iter_mut().rev() {
        *slot = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    key
}

/// A pool of bytes of which half compress away; values are cut from it.
pub struct Values(Vec<u8>);

impl Values {
    /// A pool of 1 MiB.
    pub fn new() -> Values {
        let mut random = Random::new(7);
        let mut pool = Vec::with_capacity(1 << 20);
        while pool.len() < 1 << 20 {
            let piece: Vec<u8> = (0..50).map(|_| (32 + random.below(95)) as u8).collect();
            pool.extend_from_slice(&piece);
            pool.extend_from_slice(&piece);
        }
        Values(pool)
    }

    /// Value number `n` with `len` bytes.
    #[inline]
    pub fn get(&self, n: u64, len: usize) -> &[u8] {
        let at = (n as usize).wrapping_mul(101) % (self.0.len() - len);
        &self.0[at..at + len]
    }
}

impl Default for Values {
    fn default() -> Self {
        Values::new()
    }
}
