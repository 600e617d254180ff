//! Which keys a store must hold, so that what reads find can be checked.

/// A bit for each key number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    bits: Vec<u64>,
    count: u64,
    /// One above the highest key number that was ever there.
    end: u64,
}

impl Model {
    /// The keys below `end`.
    pub(crate) fn full(end: u64) -> Model {
        let mut model = Model::default();
        (0..end).for_each(|n| model.insert(n));
        model
    }

    /// Notes that a key is there.
    pub(crate) fn insert(&mut self, n: u64) {
        let (word, bit) = place(n);
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        if let Some(word) = self.bits.get_mut(word) {
            self.count += u64::from(*word & bit == 0);
            *word |= bit;
        }
        self.end = self.end.max(n + 1);
    }

    /// Notes that a key is gone.
    pub(crate) fn remove(&mut self, n: u64) {
        let (word, bit) = place(n);
        if let Some(word) = self.bits.get_mut(word) {
            self.count -= u64::from(*word & bit != 0);
            *word &= !bit;
        }
    }

    /// Whether a key is there.
    #[inline]
    pub(crate) fn contains(&self, n: u64) -> bool {
        let (word, bit) = place(n);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }

    /// How many keys.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The key numbers are below this.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Whether all key numbers below `end` are there.
    pub(crate) fn has_all(&self, end: u64) -> bool {
        (self.is_dense() && self.end >= end) || (0..end).all(|n| self.contains(n))
    }

    /// Whether all key numbers below the end are there.
    pub(crate) fn is_dense(&self) -> bool {
        self.count == self.end
    }
}

fn place(n: u64) -> (usize, u64) {
    ((n / 64) as usize, 1 << (n % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_each_key_once() {
        let mut model = Model::full(100);
        assert!(model.is_dense());
        model.insert(5);
        model.remove(7);
        model.remove(7);
        model.remove(1000);
        assert_eq!((model.count(), model.end()), (99, 100));
        assert!(model.contains(5) && !model.contains(7) && !model.contains(1000));
        assert!(!model.is_dense());
        model.insert(200);
        assert_eq!((model.count(), model.end()), (100, 201));
        assert!(!model.is_dense());
        assert!(model.has_all(7) && !model.has_all(8));
    }
}
