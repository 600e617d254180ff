//! A Bloom filter over whole keys, filled while it is asked.
//!
//! Promises: a key whose insert happened before the question is never denied. All bits of a key
//! are in one word, so that an insert is one atomic operation and a question one load; that
//! costs a few more false answers than spreading them, and here a false answer costs one search.

use crate::arena::Words;
use std::sync::atomic::Ordering;

/// Arena bytes for each byte of filter: 12 bits for an entry of 144 bytes.
const ARENA_BYTES: usize = 96;

pub(crate) struct Filter {
    words: Words,
}

impl Filter {
    /// A filter for as many entries as an arena of `capacity` bytes is likely to hold.
    pub(crate) fn new(capacity: usize) -> Filter {
        Filter { words: Words::new(capacity / ARENA_BYTES / size_of::<u64>()) }
    }

    /// Which word, and which five bits of it: by the high and by the low half of the hash.
    #[inline]
    fn place(&self, hash: u64) -> (usize, u64) {
        let word = ((hash >> 32) as u128 * self.words.len() as u128) >> 32;
        let bits =
            [0, 6, 12, 18, 24].iter().fold(0, |bits, shift| bits | 1 << ((hash >> shift) & 63));
        (word as usize, bits)
    }

    #[inline]
    pub(crate) fn insert(&self, hash: u64) {
        let (word, bits) = self.place(hash);
        // A further version of a key finds its bits there and leaves the line shared.
        if self.words[word].load(Ordering::Relaxed) & bits != bits {
            self.words[word].fetch_or(bits, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        let (word, bits) = self.place(hash);
        self.words[word].load(Ordering::Relaxed) & bits == bits
    }

    pub(crate) fn memory(&self) -> usize {
        size_of_val(&*self.words)
    }
}
