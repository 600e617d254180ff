//! How fast writers may go, as a pure function of how far the background work is behind.
//!
//! The delay begins long before anything must stop, and grows smoothly: a writer pays for its
//! bytes at a rate that falls from half above what compaction is measured to drain to a fifth
//! below it.

use std::fmt;

/// How far the background work is behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Debt {
    /// Runs on level 0.
    pub(crate) level0_runs: usize,
    /// Runs on level 0 at which they are merged down.
    pub(crate) level0_trigger: usize,
    /// Bytes on level 0, and on the level that it is merged into.
    pub(crate) level0_bytes: u64,
    pub(crate) base_bytes: u64,
    /// Memtables that wait to be written out.
    pub(crate) sealed: usize,
    /// User bytes per second that left level 0 lately; 0 where nothing was measured yet.
    pub(crate) drain_rate: u64,
    /// Bytes of log per second whose memtables were written out lately; 0 where none was.
    pub(crate) flush_rate: u64,
}

/// What writers do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Go on.
    Free,
    /// Take this many nanoseconds for each KiB.
    Slow(u64),
    /// Wait until the background work has moved on.
    Stop(Cause),
}

/// What a writer waits for.
///
/// ```
/// use kv_engine::{Event, StallCause};
/// let listener = |event: &Event| match event {
///     Event::StallStarted { cause: StallCause::Level0 } => eprintln!("merges do not keep up"),
///     Event::StallStarted { cause } => eprintln!("writes wait: {cause}"),
///     _ => {}
/// };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Memtables are not written out fast enough.
    Memtables,
    /// Level 0 is not merged down fast enough.
    Level0,
    /// A merge is to win space back under `disk_limit`.
    Space,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Memtables => "memtables are not written out fast enough",
            Cause::Level0 => "level 0 is not merged down fast enough",
            Cause::Space => "merges are to make room under disk_limit",
        })
    }
}

/// Memtables that may wait besides the one in use.
pub(crate) const MAX_SEALED: usize = 2;
/// Where the delay begins, as a share of where writes stop.
const FREE_UNTIL: f64 = 0.5;
/// The drain rate to assume before one was measured: 64 MiB a second.
const ASSUMED_RATE: u64 = 64 << 20;
/// Never slower than 1 MiB a second: a stop says why, a crawl does not.
const SLOWEST_RATE: f64 = (1 << 20) as f64;

/// The depth of level 0 at which writes stop where its bytes are few, in triggers.
const DEEPEST: usize = 16;
/// The bytes of level 0 at which they stop then, in sizes of the level below.
const HEAVIEST: f64 = 4.0;

/// How far level 0 is on the way to where writes stop: at five times the runs at which it is merged
/// down. Runs that are small beside what they are merged into may be more: a merge of few would
/// write the level below again for little.
pub(crate) fn behind(debt: &Debt) -> f64 {
    let runs = debt.level0_runs as f64;
    let stop_runs = (5 * debt.level0_trigger).max(debt.level0_trigger + 8);
    let deepest = stop_runs.max(DEEPEST * debt.level0_trigger);
    let heavy = debt.level0_bytes as f64 / (HEAVIEST * debt.base_bytes.max(1) as f64);
    (runs / stop_runs as f64).min(heavy.max(runs / deepest as f64))
}

/// How fast writers may go with this debt.
pub(crate) fn pace(debt: &Debt) -> Pace {
    if debt.sealed >= MAX_SEALED {
        return Pace::Stop(Cause::Memtables);
    }
    let behind = behind(debt);
    if behind >= 1.0 {
        return Pace::Stop(Cause::Level0);
    }
    if behind <= FREE_UNTIL {
        return Pace::Free;
    }
    let depth = (behind - FREE_UNTIL) / (1.0 - FREE_UNTIL);
    let drain = if debt.drain_rate == 0 { ASSUMED_RATE } else { debt.drain_rate };
    Pace::Slow(per_kib(drain as f64 * (1.5 - 0.7 * depth)))
}

/// What each written KiB costs with this debt, in nanoseconds.
///
/// The last memtable that may be filled is filled no faster than memtables were written out
/// lately: so writers seldom come to its end, where they would stop for as long as that takes.
pub(crate) fn delay(debt: &Debt) -> u64 {
    let full = debt.sealed >= MAX_SEALED && debt.flush_rate > 0;
    let for_memtables = if full { per_kib(debt.flush_rate as f64) } else { 0 };
    match pace(&Debt { sealed: 0, ..*debt }) {
        Pace::Slow(for_level0) => for_level0.max(for_memtables),
        Pace::Free => for_memtables,
        Pace::Stop(_) => 0,
    }
}

/// The part of the rate of flushes below which writers are not slowed down for memory.
const SLOWEST_PART: f64 = 0.25;

/// What each written KiB costs where memtables take `excess` bytes more than they should, of which
/// `slack` are not to be passed, in nanoseconds: from the rate of flushes down to a quarter of it.
pub(crate) fn memory_delay(excess: usize, slack: usize, flush_rate: u64) -> u64 {
    let rate = if flush_rate == 0 { 4 * ASSUMED_RATE } else { flush_rate };
    let depth = excess as f64 / slack.max(1) as f64;
    per_kib(rate as f64 * (1.0 - depth).max(SLOWEST_PART))
}

/// Nanoseconds for a KiB at a rate in bytes per second, with the slowest rate as a bound.
fn per_kib(rate: f64) -> u64 {
    (1024.0 * 1e9 / rate.max(SLOWEST_RATE)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn debt(level0_runs: usize, sealed: usize) -> Debt {
        let level0_bytes = 64 * level0_runs as u64;
        let drain_rate = 100 << 20;
        let (level0_trigger, base_bytes, flush_rate) = (4, 100, 50 << 20);
        Debt {
            level0_runs,
            level0_trigger,
            level0_bytes,
            base_bytes,
            sealed,
            drain_rate,
            flush_rate,
        }
    }

    #[test]
    fn the_last_memtable_is_filled_at_the_rate_of_flushes() {
        assert_eq!(delay(&debt(0, 1)), 0);
        let at_flush_rate = delay(&debt(0, 2));
        assert_eq!(at_flush_rate, 1024 * 1_000_000_000 / (50 << 20));
        // Level 0 counts beside that, and the slower of the two rates.
        let Pace::Slow(for_level0) = pace(&debt(19, 0)) else { panic!("19 runs do not slow") };
        assert_eq!(delay(&debt(19, 1)), for_level0);
        assert_eq!(delay(&debt(19, 2)), for_level0.max(at_flush_rate));
        let crawling = Debt { flush_rate: 1, ..debt(0, 2) };
        assert_eq!(delay(&crawling), 1024 * 1_000_000_000 / (1 << 20));
        assert_eq!(delay(&Debt { flush_rate: 0, ..crawling }), 0);
    }

    #[test]
    fn memtables_that_take_too_much_are_filled_more_and_more_slowly() {
        let (slack, rate) = (8 << 20, 400 << 20);
        let mut last = memory_delay(0, slack, rate);
        assert_eq!(last, 1024 * 1_000_000_000 / (400 << 20));
        for excess in (1..=6).map(|mib| mib << 20) {
            let delay = memory_delay(excess, slack, rate);
            assert!(delay > last, "{excess} bytes slow no more than fewer");
            last = delay;
        }
        // A stop says why, a crawl does not.
        assert_eq!(memory_delay(64 << 20, slack, rate), last);
        assert_eq!(memory_delay(1, 0, 1), 1024 * 1_000_000_000 / (1 << 20));
        assert!(memory_delay(0, slack, 0) > 0);
    }

    #[test]
    fn small_runs_may_be_more() {
        let small = |runs| Debt { base_bytes: 64 * 30, ..debt(runs, 0) };
        assert_eq!(pace(&small(32)), Pace::Free);
        let mut last = 0;
        for runs in 33..64 {
            let Pace::Slow(delay) = pace(&small(runs)) else { panic!("{runs} runs do not slow") };
            assert!(delay > last, "{runs} runs slow no more than one run fewer");
            last = delay;
        }
        assert_eq!(pace(&small(64)), Pace::Stop(Cause::Level0));
        // Runs that are not small beside what lies below slow writers by their bytes.
        let heavy = |runs| Debt { base_bytes: 64 * 15, ..debt(runs, 0) };
        assert_eq!(pace(&heavy(30)), Pace::Free);
        assert!(matches!(pace(&heavy(31)), Pace::Slow(_)));
        assert_eq!(pace(&heavy(60)), Pace::Stop(Cause::Level0));
    }

    #[test]
    fn slows_down_long_before_it_stops_and_more_with_each_run() {
        assert_eq!(pace(&debt(10, 1)), Pace::Free);
        let mut last = 0;
        for runs in 11..20 {
            let Pace::Slow(delay) = pace(&debt(runs, 0)) else { panic!("{runs} runs do not slow") };
            assert!(delay > last, "{runs} runs slow no more than one run fewer");
            last = delay;
        }
        assert_eq!(pace(&debt(20, 0)), Pace::Stop(Cause::Level0));
        assert_eq!(pace(&debt(0, 2)), Pace::Stop(Cause::Memtables));
    }

    #[test]
    fn a_trigger_of_one_leaves_room_before_the_stop() {
        let debt = Debt { level0_runs: 4, level0_trigger: 1, drain_rate: 0, ..debt(4, 0) };
        assert_eq!(pace(&debt), Pace::Free);
    }
}
