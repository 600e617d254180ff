//! What a background thread does next: every reason not to start a job stands here.

/// What is to be done, and what is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Situation {
    /// No job begins any more: the store closes, or it failed for good.
    pub(crate) stopping: bool,
    /// A flush failed lately and is not to be tried again yet.
    pub(crate) flush_waits: bool,
    /// A log segment could not be made lately and is not to be tried again yet. Apart from
    /// flushes, which free the space that it needs.
    pub(crate) prepare_waits: bool,
    /// A compaction failed lately and is not to be tried again yet.
    pub(crate) compaction_waits: bool,
    /// Dead tables wait to be removed.
    pub(crate) dead_tables: bool,
    /// The oldest sealed memtable has no writers left.
    pub(crate) flushable: bool,
    /// A memtable is being written out.
    pub(crate) flushing: bool,
    /// The next log segment is not there yet, and the current one is half full.
    pub(crate) segment_wanted: bool,
    /// A log segment is being made.
    pub(crate) preparing: bool,
    /// Compactions under way.
    pub(crate) compacting: usize,
    /// Compactions that may be under way at once.
    pub(crate) max_compacting: usize,
}

/// A kind of job. Which tables a compaction takes is decided by `compaction::pick`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Write the oldest sealed memtable out.
    Flush,
    /// Make the next log segment.
    PrepareSegment,
    /// Remove dead tables.
    Reclaim,
    /// Look for a compaction.
    Compact,
    /// Wait for a change.
    Wait,
}

/// The next job. Writers wait for memtables first, then for a log; a flush always finds a thread,
/// because compactions leave one free.
pub(crate) fn next(now: &Situation) -> Next {
    if now.stopping {
        return Next::Wait;
    }
    if now.segment_wanted && !now.preparing && !now.prepare_waits {
        return Next::PrepareSegment;
    }
    if now.flushable && !now.flushing && !now.flush_waits {
        return Next::Flush;
    }
    if now.dead_tables {
        return Next::Reclaim;
    }
    if now.compacting < now.max_compacting && !now.compaction_waits {
        return Next::Compact;
    }
    Next::Wait
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Situation = Situation {
        stopping: false,
        flush_waits: false,
        prepare_waits: false,
        compaction_waits: false,
        dead_tables: false,
        flushable: false,
        flushing: false,
        segment_wanted: false,
        preparing: false,
        compacting: 0,
        max_compacting: 1,
    };

    #[test]
    fn a_log_that_cannot_be_made_holds_up_no_flush() {
        let both = Situation { segment_wanted: true, flushable: true, ..IDLE };
        assert_eq!(next(&both), Next::PrepareSegment);
        assert_eq!(next(&Situation { prepare_waits: true, ..both }), Next::Flush);
        let flush_failed = Situation { flush_waits: true, ..both };
        assert_eq!(next(&flush_failed), Next::PrepareSegment);
    }

    #[test]
    fn a_flush_goes_before_a_compaction_and_runs_alone() {
        assert_eq!(next(&IDLE), Next::Compact);
        assert_eq!(next(&Situation { flushable: true, ..IDLE }), Next::Flush);
        let flushing = Situation { flushable: true, flushing: true, ..IDLE };
        assert_eq!(next(&flushing), Next::Compact);
        assert_eq!(next(&Situation { compacting: 1, ..flushing }), Next::Wait);
    }

    #[test]
    fn a_failure_holds_back_its_own_kind_of_work_only() {
        let failing = Situation {
            flush_waits: true,
            prepare_waits: true,
            flushable: true,
            segment_wanted: true,
            ..IDLE
        };
        assert_eq!(next(&failing), Next::Compact);
        assert_eq!(next(&Situation { compaction_waits: true, ..failing }), Next::Wait);
        assert_eq!(next(&Situation { dead_tables: true, ..failing }), Next::Reclaim);
    }

    #[test]
    fn nothing_begins_while_the_store_closes() {
        let all = Situation { stopping: true, flushable: true, dead_tables: true, ..IDLE };
        assert_eq!(next(&all), Next::Wait);
    }
}
