//! Words by which a merge compares keys: eight bytes of each, behind what the keys near by share.
//!
//! Keys that are merged lie close to each other, so mostly they agree in all but their ends. The
//! bytes to compare are chosen anew wherever a merge is placed, and where it has come to keys that the
//! chosen ones do not tell apart. A word is never wrong: it may be the same for two keys, which are
//! then compared as a whole.

/// So many bytes of the word lie before the place where the nearest two keys part: as far as keys
/// agree with the first in those, words go on telling them apart.
const BEFORE: usize = 5;

const WORD: usize = size_of::<u64>();

/// Which bytes of a key make its rank.
#[derive(Default)]
pub(crate) struct Ranking {
    /// What ranked keys begin with; those that do not lie before or behind all of them.
    prefix: Vec<u8>,
}

impl Ranking {
    /// A word that never sorts two keys the wrong way round, but may be the same for both.
    #[inline]
    pub(crate) fn of(&self, key: &[u8]) -> u64 {
        // To compare with an empty slice that lies nowhere is slow.
        if self.prefix.is_empty() {
            return first_word(key);
        }
        match key.strip_prefix(self.prefix.as_slice()) {
            Some(rest) => first_word(rest),
            None if key < self.prefix.as_slice() => u64::MIN,
            None => u64::MAX,
        }
    }

    /// Chooses the bytes by which `first` is told from `others`, above all from those near it.
    pub(crate) fn choose<'a>(&mut self, first: &[u8], others: impl Iterator<Item = &'a [u8]>) {
        let (mut all, mut near) = (first.len().saturating_sub(WORD), 0);
        for other in others {
            let shared = shared_len(first, other);
            all = all.min(shared);
            if shared < first.len().max(other.len()) {
                near = near.max(shared);
            }
        }
        let len = all.max(near.saturating_sub(BEFORE)).min(first.len());
        self.prefix.clear();
        self.prefix.extend_from_slice(first.get(..len).unwrap_or(first));
    }
}

/// How many leading bytes two keys share.
#[inline]
fn shared_len(a: &[u8], b: &[u8]) -> usize {
    let (x, y) = (a.as_chunks::<WORD>().0, b.as_chunks::<WORD>().0);
    let whole = x.iter().zip(y).take_while(|(x, y)| x == y).count() * WORD;
    let (a, b) = (a.get(whole..).unwrap_or_default(), b.get(whole..).unwrap_or_default());
    whole + a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// The first eight bytes as a number that sorts like them; missing ones are zero.
#[inline]
fn first_word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(word) => u64::from_be_bytes(*word),
        None => {
            let word = bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            word.checked_shl(8 * (WORD - bytes.len()) as u32).unwrap_or(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Keys that share more and less with each other, some of them all.
    fn any_key() -> impl Strategy<Value = Vec<u8>> {
        let letter = prop::sample::select(vec![0u8, b'a', 0xFF]);
        let end = prop::collection::vec(letter, 0..12);
        let start =
            prop::sample::select(vec!["", "a", "keys of one table/", "keys of one table/aa"]);
        (start, end).prop_map(|(start, end)| [start.as_bytes(), &end].concat())
    }

    proptest! {
        #[test]
        fn ranks_sort_as_keys_do_or_are_the_same(
            first in any_key(),
            others in prop::collection::vec(any_key(), 0..5),
            (a, b) in (any_key(), any_key()),
        ) {
            let mut ranking = Ranking::default();
            prop_assert!(ranking.of(&a) == ranking.of(&b) || (ranking.of(&a) < ranking.of(&b)) == (a < b));
            ranking.choose(&first, others.iter().map(Vec::as_slice));
            prop_assert!(ranking.of(&a) == ranking.of(&b) || (ranking.of(&a) < ranking.of(&b)) == (a < b));
        }
    }

    #[test]
    fn ranks_tell_near_keys_apart_whatever_they_share_and_whoever_is_far() {
        let key = |n: u32| format!("{:050}{n:08}", 0).into_bytes();
        let (far, mut ranking) = (b"z".to_vec(), Ranking::default());
        let others = [key(5_000_010), far, key(5_000_000)];
        ranking.choose(&key(5_000_000), others.iter().map(Vec::as_slice));
        for n in 5_000_000..5_000_200 {
            assert!(ranking.of(&key(n)) < ranking.of(&key(n + 1)), "{n}");
        }
    }
}
