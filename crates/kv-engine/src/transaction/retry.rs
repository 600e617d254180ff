//! Transactions that are run again after a conflict.

use crate::engine::Engine;
use crate::error::{ErrorKind, Result};
use crate::space::Space;
use crate::transaction::Transaction;
use kv_core::hash64;
use std::sync::Arc;
use std::time::Duration;

/// How often a transaction is run, the first time included.
const TRIES: u32 = 24;
/// The longest sleep before the second try; each later one may be twice as long, up to the last.
const FIRST_SLEEP: Duration = Duration::from_micros(20);
const LAST_SLEEP: Duration = Duration::from_millis(20);

/// Runs `body` in a transaction and commits it, until that is not a conflict, or the tries are up.
pub(crate) fn transact<T>(
    engine: &Arc<Engine>,
    space: &Arc<Space>,
    mut body: impl FnMut(&mut Transaction) -> Result<T>,
) -> Result<T> {
    let mut tried = 0;
    loop {
        let mut transaction = Transaction::new(Arc::clone(engine), Arc::clone(space));
        let snapshot = transaction.moment.seq;
        let outcome = body(&mut transaction);
        let outcome = outcome.and_then(|answer| transaction.finish().map(|_| answer));
        let winner = transaction.read.assigned.get();
        drop(transaction);
        tried += 1;
        match outcome {
            Err(error) if error.kind() == ErrorKind::Conflict && tried < TRIES => {
                // A commit that is still on its way would win again.
                engine.publisher.wait_for(winner);
                engine.clock.sleep(pause(tried, engine.now_ms() ^ snapshot.rotate_left(32)));
            }
            outcome => return outcome,
        }
    }
}

/// How long to sleep after a number of tries: anything up to a limit that doubles, so that those
/// who met do not meet again.
fn pause(tried: u32, seed: u64) -> Duration {
    let limit = FIRST_SLEEP.saturating_mul(1 << (tried - 1).min(16)).min(LAST_SLEEP);
    let thread = format!("{:?}", std::thread::current().id());
    let share = hash64(&[&seed.to_le_bytes(), thread.as_bytes()].concat()) >> 40;
    limit.mul_f64(share as f64 / (1u64 << 24) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ() {
        for tried in 1..TRIES {
            let limit = FIRST_SLEEP.saturating_mul(1 << (tried - 1).min(16)).min(LAST_SLEEP);
            let pauses: Vec<Duration> = (0..50).map(|seed| pause(tried, seed)).collect();
            assert!(pauses.iter().all(|pause| *pause <= limit), "{tried}: {pauses:?}");
            let longest = pauses.iter().max().copied().unwrap_or_default();
            assert!(longest > limit / 2, "{tried}: {longest:?} of {limit:?}");
        }
    }
}
