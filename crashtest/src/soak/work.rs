//! What the soak does with a store, one operation at a time.

use crate::rng::{Rng, mix};
use crate::soak::clock::Day;
use anyhow::{Result, ensure};
use kv_engine::Db;
use std::time::Duration;

/// Live bytes, of keys and values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Live(pub(super) u64);

/// A workload that keeps as much alive as it goes on.
pub(super) trait Work {
    fn step(&mut self, db: &Db, day: &Day, number: u64) -> Result<Live>;

    /// How many operations of the others one of its own stands for.
    fn cost(&self) -> u64 {
        1
    }
}

type Make = fn() -> Box<dyn Work>;

pub(super) const WORKLOADS: [(&str, Make); 5] = [
    ("queue", || Box::new(Queue::default())),
    ("expiry", || Box::new(Expiry)),
    ("uniform", || Box::new(Overwrite::new(false, VALUE, 50_000))),
    ("skewed", || Box::new(Overwrite::new(true, VALUE, 50_000))),
    ("values", || Box::new(Overwrite::new(true, LONG, 2_000))),
];

const KEY: u64 = 8;
const VALUE: usize = 100;
/// Such values lie in files of their own.
const LONG: usize = 2 << 10;
/// Items in the queue.
const LENGTH: u64 = 10_000;
/// Entries expire after so many milliseconds; one is written in each.
const ALIVE_MS: u64 = 25_000;

/// A value that no codec makes smaller.
fn fill(value: &mut [u8], seed: u64) {
    for (at, part) in value.chunks_mut(8).enumerate() {
        let bytes = mix(seed.wrapping_mul(0x9e37_79b9).wrapping_add(at as u64)).to_le_bytes();
        part.iter_mut().zip(bytes).for_each(|(byte, random)| *byte = random);
    }
}

/// Items are put behind the last one, and read and deleted at the front by a consumer that knows
/// where it was.
#[derive(Default)]
struct Queue {
    head: u64,
    tail: u64,
}

impl Work for Queue {
    fn step(&mut self, db: &Db, _: &Day, _: u64) -> Result<Live> {
        let length = self.tail - self.head;
        if length < LENGTH {
            let mut value = [0; VALUE];
            fill(&mut value, self.tail);
            db.put(self.tail.to_be_bytes(), value)?;
            self.tail += 1;
        } else {
            // As many as a consumer takes at a time.
            for _ in 0..16 {
                let key = self.head.to_be_bytes();
                ensure!(db.get(key)?.is_some(), "item {} is lost", self.head);
                db.delete(key)?;
                self.head += 1;
            }
            let first = db.range(self.head.to_be_bytes()..).next().transpose()?;
            let first = first.map(|pair| pair.0.to_vec());
            ensure!(first == Some(self.head.to_be_bytes().to_vec()), "item {} is lost", self.head);
        }
        Ok(Live((self.tail - self.head) * (KEY + VALUE as u64)))
    }
}

/// Entries that expire soon, each under a key of its own; every fourth operation reads.
struct Expiry;

impl Work for Expiry {
    fn step(&mut self, db: &Db, day: &Day, number: u64) -> Result<Live> {
        day.set(number);
        if number % 4 == 3 {
            let age = mix(number) % (2 * ALIVE_MS);
            let asked = number.saturating_sub(age | 1);
            let found = db.get(mix(asked).to_be_bytes())?.is_some();
            let alive = asked % 4 != 3 && number - asked < ALIVE_MS;
            ensure!(found == alive, "entry {asked} at {number}: found is {found}");
        } else {
            let mut value = [0; VALUE];
            fill(&mut value, number);
            let ttl = Duration::from_millis(ALIVE_MS);
            db.put_with_ttl(mix(number).to_be_bytes(), value, ttl)?;
        }
        Ok(Live(number.min(ALIVE_MS) / 4 * 3 * (KEY + VALUE as u64)))
    }
}

/// A fixed set of keys, written again and again.
struct Overwrite {
    rng: Rng,
    skewed: bool,
    value: Vec<u8>,
    keys: u64,
}

impl Overwrite {
    fn new(skewed: bool, value: usize, keys: u64) -> Overwrite {
        Overwrite { rng: Rng::new(1), skewed, value: vec![0; value], keys }
    }
}

impl Work for Overwrite {
    fn step(&mut self, db: &Db, _: &Day, number: u64) -> Result<Live> {
        // Every key once, in an order of its own; then as they are drawn.
        let key = match number {
            first if first < self.keys => first,
            _ if self.skewed => {
                // Half of the draws fall on a sixteenth of the keys, and so on within it.
                let part = (self.rng.below(1 << 20) as f64 / (1u64 << 20) as f64).powi(4);
                (part * self.keys as f64) as u64
            }
            _ => self.rng.below(self.keys),
        };
        fill(&mut self.value, number);
        db.put(mix(key).to_be_bytes(), &self.value)?;
        Ok(Live(number.min(self.keys) * (KEY + self.value.len() as u64)))
    }

    fn cost(&self) -> u64 {
        (self.value.len() / VALUE).clamp(1, 100) as u64
    }
}
