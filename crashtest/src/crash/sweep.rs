//! Every crash point of a trace, visited in one pass.

use crate::crash::checker::Bounds;
use crate::record::{Recorded, clock_at, epoch_len};
use anyhow::{Context, Result, anyhow};
use kv_vfs::{ManualClock, MemFs, Note, Replayer, TraceOp};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A moment of a trace.
pub(crate) struct Point<'a> {
    /// The file system at this moment.
    pub(crate) fs: &'a MemFs,
    /// How many operations of the trace were done.
    pub(crate) at: usize,
    pub(crate) bounds: Bounds,
    /// Whether a durable acknowledgement was noted last.
    pub(crate) acknowledged: bool,
}

/// Makes the file system on which a trace began, with this clock.
pub(crate) type Base<'a> = &'a (dyn Fn(Arc<ManualClock>) -> MemFs + Sync);

/// An empty file system.
pub(crate) fn empty(clock: Arc<ManualClock>) -> MemFs {
    MemFs::with_clock(clock)
}

/// Replays what was recorded, and visits the moment before each operation that changes something,
/// the end, and each durable acknowledgement. Where something of an earlier crash may still surface,
/// only what follows the first open is visited: until it has shown a state, any may come.
pub(crate) fn sweep(
    recorded: &Recorded,
    base: Base<'_>,
    mut visit: impl FnMut(&Point<'_>),
) -> Result<()> {
    let clock = clock_at(recorded.epoch);
    let first = recorded.timeline.first();
    let bounds = Bounds { floor: first, ceiling: first, returned: first, epoch: recorded.epoch };
    let fs = base(Arc::clone(&clock));
    let settled = if fs.pending().is_empty() { 0 } else { shown(&recorded.trace) };
    sweep_trace(&recorded.trace, fs, &clock, bounds, |point| {
        if point.at >= settled {
            visit(point);
        }
    })
}

/// How many operations there are up to the first state that an open has shown.
pub(crate) fn shown(trace: &[TraceOp]) -> usize {
    let shown = |op: &TraceOp| matches!(op, TraceOp::Note(Note::Shown, ..));
    trace.iter().position(shown).map_or(0, |place| place + 1)
}

/// The same for a trace that began on `fs` with what is known as `bounds`.
pub(crate) fn sweep_trace(
    trace: &[TraceOp],
    fs: MemFs,
    clock: &ManualClock,
    mut bounds: Bounds,
    mut visit: impl FnMut(&Point<'_>),
) -> Result<()> {
    let mut replayer = Replayer::new(fs);
    for (at, op) in trace.iter().enumerate() {
        if op.changes() {
            visit(&Point { fs: replayer.fs(), at, bounds, acknowledged: false });
        }
        if let TraceOp::Note(note, _, index) = op {
            match note {
                Note::Attempted => bounds.ceiling = *index,
                Note::Durable => bounds.floor = *index,
                // What was shown is there, and what was not is gone for good.
                Note::Shown => {
                    (bounds.floor, bounds.ceiling) = (*index, *index);
                    bounds.returned = *index;
                }
                Note::Clock => {
                    bounds.epoch = *index;
                    clock.advance(epoch_len());
                }
                Note::Returned => bounds.returned = *index,
            }
            if *note == Note::Durable {
                visit(&Point { fs: replayer.fs(), at, bounds, acknowledged: true });
            }
        }
        replayer.apply(op).with_context(|| format!("replaying {at}: {op}"))?;
    }
    visit(&Point { fs: replayer.fs(), at: trace.len(), bounds, acknowledged: false });
    Ok(())
}

/// How many threads work.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, |n| n.get())
}

/// Visits all points of what was recorded, on all cores, each once.
pub(crate) fn sweep_parallel(
    recorded: &Recorded,
    base: Base<'_>,
    visit: &(dyn Fn(&Point<'_>) + Sync),
) -> Result<()> {
    let next = AtomicUsize::new(0);
    on_all_cores(&|_| {
        // Each replays everything and takes the points that nobody has taken yet.
        let mut mine = next.fetch_add(1, Ordering::Relaxed);
        let mut place = 0;
        sweep(recorded, base, |point| {
            if place == mine {
                visit(point);
                mine = next.fetch_add(1, Ordering::Relaxed);
            }
            place += 1;
        })
    })
}

/// Does the same on each core, telling the core's number.
pub(crate) fn on_all_cores(work: &(dyn Fn(usize) -> Result<()> + Sync)) -> Result<()> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads()).map(|n| scope.spawn(move || work(n))).collect();
        for worker in workers {
            worker.join().map_err(|_| anyhow!("a check panicked"))??;
        }
        Ok(())
    })
}
