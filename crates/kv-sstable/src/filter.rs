//! A Bloom filter over the keys of one table, in lines of the size of a cache line.
//!
//! Promises: a key that was added is never denied; a key that was not is let through about once
//! in a hundred times at ten bits a key; a question touches one line of 64 bytes. Knows hashes,
//! not keys. The bytes are laid out in `docs/format/filter.md`.

use crate::cache::prefetch;
use bytes::Bytes;
use kv_core::Take;
use kv_vfs::testing::{bug, planted};

/// The only kind of filter so far.
const KIND: u8 = 1;
/// Bytes before the first line.
const HEADER_LEN: usize = 8;
/// Bytes of a line: a cache line.
const LINE_LEN: usize = 64;
/// The most bits that a key sets.
const MAX_PROBES: u8 = 8;

/// 2^64 divided by the golden ratio: spreads consecutive products evenly over the top bits.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// More bits than this for a key change nothing that could be measured.
const MAX_BITS_PER_KEY: f64 = 64.0;

/// Collects the hashes of a table's keys, then builds its filter.
///
/// ```
/// use kv_core::hash64;
/// use kv_sstable::{FilterBuilder, filter_may_contain};
///
/// let mut builder = FilterBuilder::new(10.0);
/// assert!(builder.is_empty());
/// builder.add(hash64(b"apple"));
/// assert_eq!(builder.len(), 1);
/// let filter = builder.finish();
/// assert_eq!(filter_may_contain(&filter, hash64(b"apple")), Some(true));
/// ```
#[derive(Debug)]
pub struct FilterBuilder {
    bits_per_key: f64,
    hashes: Vec<u64>,
}

impl FilterBuilder {
    /// A filter with this many bits for each key; 0 (or a number that is none) builds no filter.
    pub fn new(bits_per_key: f64) -> FilterBuilder {
        let bits_per_key =
            if bits_per_key.is_nan() { 0.0 } else { bits_per_key.clamp(0.0, MAX_BITS_PER_KEY) };
        FilterBuilder { bits_per_key, hashes: Vec::new() }
    }

    /// Adds a key by its [`kv_core::hash64`]. The versions of a key come one after the other;
    /// those behind the first are skipped.
    #[inline]
    pub fn add(&mut self, hash: u64) {
        if planted(bug::FILTER_MISSES_A_KEY)
            && self.hashes.last().is_some_and(|last| last % 32 == hash % 32)
        {
            return;
        }
        if self.bits_per_key > 0.0 && self.hashes.last() != Some(&hash) {
            self.hashes.push(hash);
        }
    }

    /// How many keys the filter will stand for.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether no key was added.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// The encoded filter; no bytes where filters are turned off.
    pub fn finish(self) -> Vec<u8> {
        if self.bits_per_key == 0.0 {
            return Vec::new();
        }
        let bits = self.hashes.len() as f64 * self.bits_per_key;
        let lines = (bits / (8 * LINE_LEN) as f64).ceil() as u32;
        let probes = probes(self.bits_per_key);

        let mut filter = vec![0; HEADER_LEN + lines as usize * LINE_LEN];
        let (header, body) = filter.split_at_mut(HEADER_LEN);
        header.copy_from_slice(&encode_header(probes, lines));
        let (body, _) = body.as_chunks_mut::<LINE_LEN>();
        for &hash in &self.hashes {
            let Some(line) = body.get_mut(line_of(hash, lines)) else { continue };
            for (byte, mask) in places(hash, probes) {
                line[byte] |= mask;
            }
        }
        filter
    }
}

/// Whether a table with this encoded filter may hold the key with this hash; `None` where the
/// bytes are no filter. No bytes at all stand for no filter: anything may be there.
#[inline]
pub fn filter_may_contain(filter: &[u8], hash: u64) -> Option<bool> {
    if filter.is_empty() {
        return Some(true);
    }
    let shape = Shape::parse(filter)?;
    Some(shape.may_contain(filter, hash))
}

/// A filter that was parsed once and is held in memory so that each of its lines is a cache
/// line.
///
/// ```
/// use kv_core::hash64;
/// use kv_sstable::{Filter, FilterBuilder};
///
/// let mut builder = FilterBuilder::new(10.0);
/// builder.add(hash64(b"apple"));
/// let filter = Filter::load(&builder.finish()).unwrap();
/// filter.prefetch(hash64(b"apple"));
/// assert!(filter.may_contain(hash64(b"apple")));
/// assert!(filter.memory() >= 64);
/// ```
#[derive(Clone, Debug)]
pub struct Filter {
    bytes: Bytes,
    shape: Shape,
}

impl Filter {
    /// Parses an encoded filter and copies it; `None` where the bytes are no filter. Without
    /// bytes the filter lets everything through.
    pub fn load(encoded: &[u8]) -> Option<Filter> {
        if encoded.is_empty() {
            return Some(Filter { bytes: Bytes::new(), shape: Shape { probes: 0, lines: 1 } });
        }
        let shape = Shape::parse(encoded)?;
        let mut buffer: Vec<u8> = Vec::with_capacity(encoded.len() + LINE_LEN);
        let first_line = buffer.as_ptr().wrapping_add(HEADER_LEN);
        let padding = first_line.align_offset(LINE_LEN).min(LINE_LEN);
        buffer.resize(padding, 0);
        buffer.extend_from_slice(encoded);
        Some(Filter { bytes: Bytes::from(buffer).split_off(padding), shape })
    }

    /// Has the processor fetch the line that [`Filter::may_contain`] will ask.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        prefetch(&self.bytes, HEADER_LEN + line_of(hash, self.shape.lines) * LINE_LEN);
    }

    /// Whether the table may hold the key with this hash.
    #[inline]
    pub fn may_contain(&self, hash: u64) -> bool {
        self.shape.may_contain(&self.bytes, hash)
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        if self.bytes.is_empty() { 0 } else { self.bytes.len() + LINE_LEN }
    }
}

/// What a filter's header says, checked against the filter's length.
#[derive(Clone, Copy, Debug)]
struct Shape {
    probes: u8,
    lines: u32,
}

impl Shape {
    #[inline]
    fn parse(filter: &[u8]) -> Option<Shape> {
        let mut take = Take::new(filter);
        let kind = take.u8().ok()?;
        let probes = take.u8().ok()?;
        let reserved = take.u16().ok()?;
        let lines = take.u32().ok()?;
        let body = usize::try_from(lines).ok()?.checked_mul(LINE_LEN)?;
        let known = kind == KIND && reserved == 0;
        let sound = (1..=MAX_PROBES).contains(&probes) && take.remaining() == body;
        (known && sound).then_some(Shape { probes, lines })
    }

    /// Of a filter that this shape was parsed from. A filter of no lines is one of no keys.
    #[inline]
    fn may_contain(self, filter: &[u8], hash: u64) -> bool {
        if self.lines == 0 {
            return false;
        }
        let at = HEADER_LEN + line_of(hash, self.lines) * LINE_LEN;
        match filter.get(at..).and_then(|rest| rest.first_chunk::<LINE_LEN>()) {
            Some(line) => places(hash, self.probes).all(|(byte, mask)| line[byte] & mask != 0),
            None => true,
        }
    }
}

fn encode_header(probes: u8, lines: u32) -> [u8; HEADER_LEN] {
    let [a, b, c, d] = lines.to_le_bytes();
    [KIND, probes, 0, 0, a, b, c, d]
}

/// How many bits a key sets. The best number for a filter without lines is 0.69 for each bit;
/// crowded lines make a little less better, and each bit beyond eight costs more time than the
/// searches that it saves.
fn probes(bits_per_key: f64) -> u8 {
    (bits_per_key * 0.6).round().clamp(1.0, f64::from(MAX_PROBES)) as u8
}

/// The line of a key, by the upper half of its hash.
#[inline]
fn line_of(hash: u64, lines: u32) -> usize {
    (((hash >> 32) * u64::from(lines)) >> 32) as usize
}

/// The byte in the line and the bit in the byte, for each bit of a key: nine bits of each product
/// of the hash with a power of the golden ratio.
#[inline]
fn places(hash: u64, probes: u8) -> impl Iterator<Item = (usize, u8)> {
    let mut product = hash;
    (0..probes).map(move |_| {
        product = product.wrapping_mul(GOLDEN);
        let bit = product >> 55;
        ((bit >> 3) as usize % LINE_LEN, 1 << (bit & 7))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_core::hash64;
    use proptest::prelude::*;

    fn build(bits: f64, hashes: impl IntoIterator<Item = u64>) -> Vec<u8> {
        let mut builder = FilterBuilder::new(bits);
        hashes.into_iter().for_each(|hash| builder.add(hash));
        builder.finish()
    }

    const DOCUMENT: &str = include_str!("../../../docs/format/filter.md");

    #[test]
    fn the_document_names_the_header() {
        let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with("| offset")).skip(2);
        let fields: Vec<Vec<&str>> = rows
            .take_while(|line| line.starts_with('|'))
            .map(|line| line.trim_matches('|').split('|').take(3).map(str::trim).collect())
            .collect();
        let expected =
            [["0", "1", "kind"], ["1", "1", "probes"], ["2", "2", "reserved"], ["4", "4", "lines"]];
        assert_eq!(fields, expected);
        assert_eq!(HEADER_LEN, 4 + 4);
        let header = encode_header(6, 0x0403_0201);
        assert_eq!(header, [KIND, 6, 0, 0, 1, 2, 3, 4]);
        for claim in [
            format!("`lines` lines of {LINE_LEN} bytes"),
            format!("1 to {MAX_PROBES}"),
            format!("`{GOLDEN:#X}`").replace("0X", "0x"),
        ] {
            assert!(DOCUMENT.contains(&claim), "the document does not say {claim}");
        }
    }

    #[test]
    fn the_worked_example_is_what_is_built() {
        let example: Vec<u8> = DOCUMENT
            .rsplit("```")
            .nth(1)
            .unwrap()
            .lines()
            .flat_map(|line| line.split("  ").next().unwrap_or("").split_whitespace())
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        let shown =
            |bytes: &[u8]| bytes.chunks(16).map(|row| format!("{row:02x?}\n")).collect::<String>();
        let built = build(10.0, [hash64(b"apple")]);
        assert!(built == example, "built:\n{}", shown(&built));
    }

    /// False answers in ten thousand, over keys that look alike.
    fn false_positives(bits: f64, keys: u64) -> f64 {
        let filter = build(bits, (0..keys).map(|n| hash64(format!("user{n:012}").as_bytes())));
        let asked = 200_000;
        let wrong = (keys..keys + asked)
            .filter(|n| {
                let hash = hash64(format!("user{n:012}").as_bytes());
                filter_may_contain(&filter, hash).unwrap()
            })
            .count();
        wrong as f64 * 10_000.0 / asked as f64
    }

    #[test]
    fn false_positive_rate_is_within_its_bound() {
        // Asked 200,000 times at a true rate of 1 %, three standard deviations are 0.07 %.
        for keys in [300, 50_000] {
            let rate = false_positives(10.0, keys);
            assert!(rate < 130.0, "10 bits, {keys} keys: {rate} in 10,000");
        }
        for (bits, bound) in [(6.0, 700.0), (14.0, 30.0), (18.0, 12.0)] {
            let rate = false_positives(bits, 50_000);
            assert!(rate < bound, "{bits} bits: {rate} in 10,000");
        }
    }

    #[test]
    fn probes_follow_the_bits() {
        let chosen = [0.5, 1.0, 5.0, 10.0, 12.0, 14.0, 18.0, 32.0].map(probes);
        assert_eq!(chosen, [1, 1, 3, 6, 7, 8, 8, 8]);
    }

    #[test]
    fn no_bits_is_no_filter_and_no_keys_are_denied() {
        for bits in [0.0, -1.0, f64::NAN] {
            let none = build(bits, [1, 2, 3]);
            assert!(none.is_empty());
            assert_eq!(filter_may_contain(&none, 9), Some(true));
            assert!(Filter::load(&none).unwrap().may_contain(9));
        }
        let empty = build(10.0, []);
        assert_eq!(filter_may_contain(&empty, 9), Some(false));
        assert!(!Filter::load(&empty).unwrap().may_contain(9));
    }

    #[test]
    fn the_empty_key_is_a_key() {
        let filter = build(10.0, [hash64(b"")]);
        assert_eq!(filter_may_contain(&filter, hash64(b"")), Some(true));
        assert_eq!(filter.len(), HEADER_LEN + LINE_LEN);
    }

    #[test]
    fn versions_of_a_key_count_once() {
        let mut builder = FilterBuilder::new(10.0);
        [7, 7, 7, 8].into_iter().for_each(|hash| builder.add(hash));
        assert_eq!(builder.len(), 2);
    }

    #[test]
    fn a_loaded_filter_lies_on_cache_lines() {
        let filter = Filter::load(&build(10.0, 0..1000)).unwrap();
        assert_eq!(filter.bytes[HEADER_LEN..].as_ptr().align_offset(LINE_LEN), 0);
    }

    #[test]
    fn malformed_bytes_are_told() {
        let good = build(10.0, 0..100);
        for len in 1..good.len() {
            assert_eq!(filter_may_contain(&good[..len], 5), None, "cut to {len}");
        }
        for (at, byte) in [(0, 2), (1, 0), (1, 9), (2, 1), (3, 1), (4, 1), (7, 255)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(filter_may_contain(&bad, 5), None, "byte {at} is {byte}");
        }
        let longer = [good.as_slice(), &[0]].concat();
        assert_eq!(filter_may_contain(&longer, 5), None);
    }

    proptest! {
        #[test]
        fn no_key_is_denied(
            bits in 0.1f64..40.0,
            keys in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 0..300),
        ) {
            let filter = build(bits, keys.iter().map(|key| hash64(key)));
            let loaded = Filter::load(&filter).unwrap();
            for key in &keys {
                prop_assert_eq!(filter_may_contain(&filter, hash64(key)), Some(true));
                prop_assert!(loaded.may_contain(hash64(key)));
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), hash: u64) {
            let answer = filter_may_contain(&bytes, hash);
            prop_assert_eq!(Filter::load(&bytes).map(|filter| filter.may_contain(hash)), answer);
        }
    }
}
