//! How memtables share the memory of the write buffer, as pure functions of how much was written
//! while the last one was written out.
//!
//! Where writers are slow, a memtable takes all of it: it is written out long before the next one is
//! large. Where they are fast, two are in memory most of the time. Then each is sealed earlier, so that
//! both together take what one may, and the next one is filled more slowly once they do.

/// Memtables that are no larger do not share: the tables of smaller ones would cost merges more
/// than their memory is worth.
const SMALL: usize = 32 << 20;
/// The part of the write buffer by which memtables may pass it, while writers are slowed down.
const SLACK_PART: usize = 8;
/// What all of a memtable is, where parts of it are counted.
pub(crate) const WHOLE: u64 = 1000;

/// Whether memtables of at most `limit` bytes share them.
pub(crate) fn applies(limit: usize) -> bool {
    limit > SMALL
}

/// The bytes at which a memtable is sealed while none waits, if for each one that was written out
/// `overlap` thousandths of it were written anew: `limit` at most, and half of it at least, for more
/// than one at a time is not written out.
pub(crate) fn early(limit: usize, overlap: u64) -> usize {
    let whole = u128::from(WHOLE);
    let part = limit as u128 * whole / (whole + u128::from(overlap.min(WHOLE)));
    usize::try_from(part).unwrap_or(limit)
}

/// The overlap to expect, after one of `written` bytes to `flushed`: it grows at once and falls slowly.
pub(crate) fn overlap(before: u64, written: usize, flushed: usize) -> u64 {
    let seen = (written as u64).saturating_mul(WHOLE) / (flushed as u64).max(1);
    seen.max(before.saturating_mul(3).saturating_add(seen) / 4)
}

/// How many runs of memtables sealed at `early` bytes hold what `usual` runs of whole ones do.
pub(crate) fn runs(usual: usize, limit: usize, early: usize) -> usize {
    usual.saturating_mul(limit).div_ceil(early.max(1)).clamp(usual, usual.saturating_mul(2))
}

/// The bytes over the write buffer in which writers are slowed down further and further.
pub(crate) fn slack(limit: usize) -> usize {
    limit / SLACK_PART
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn slow_writers_fill_all_of_it_and_fast_ones_half() {
        let mut last = 64 * MIB + 1;
        for overlap in (0..=WHOLE).step_by(100) {
            let early = early(64 * MIB, overlap);
            assert!(early < last, "{overlap}");
            last = early;
            let both = early + early * overlap as usize / WHOLE as usize;
            assert!((63 * MIB..=64 * MIB).contains(&both), "{overlap}: {both}");
        }
        assert_eq!(last, 32 * MIB);
        assert_eq!(early(64 * MIB, u64::MAX), 32 * MIB);
        assert_eq!(early(usize::MAX, 0), usize::MAX);
    }

    #[test]
    fn the_overlap_grows_at_once_and_falls_slowly() {
        assert_eq!(overlap(WHOLE, 0, 40 * MIB), 750);
        assert_eq!(overlap(500, 30 * MIB, 40 * MIB), 750);
        assert_eq!(overlap(750, 10 * MIB, 40 * MIB), 625);
        assert_eq!(overlap(u64::MAX, usize::MAX, 0), u64::MAX);
    }

    #[test]
    fn level_0_gathers_the_same_bytes_in_more_runs() {
        assert_eq!(runs(4, 64 * MIB, 64 * MIB), 4);
        assert_eq!(runs(4, 64 * MIB, 45 * MIB), 6);
        assert_eq!(runs(4, 64 * MIB, 32 * MIB), 8);
        assert_eq!(runs(usize::MAX, 64 * MIB, 0), usize::MAX);
    }
}
