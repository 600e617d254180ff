//! Signals that are not to end the program at once: blocked in all threads, and awaited by one, so that no
//! handler runs anywhere.

use nix::sys::signal::{SigSet, Signal};

/// What a program gives back that is ended by Ctrl-C.
pub(crate) const INTERRUPTED: i32 = 128 + Signal::SIGINT as i32;

/// Calls `act` for each of these signals. To be called before other threads are there: they inherit
/// what is blocked.
#[expect(clippy::disallowed_methods, reason = "the thread has nothing to do with a store")]
pub(crate) fn watch(signals: &[Signal], mut act: impl FnMut() + Send + 'static) {
    let signals = signals.iter().copied().collect::<SigSet>();
    if signals.thread_block().is_ok() {
        std::thread::spawn(move || {
            while signals.wait().is_ok() {
                act();
            }
        });
    }
}
