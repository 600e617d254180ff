//! A panic ends the harness at once, unless the thread that panics said that it catches it.
//!
//! An engine's background thread may panic near the end of a trial, when nobody waits for it any
//! more: the trial would pass. So the hook aborts; only a panic inside [`catch`], on the thread
//! that called it, unwinds and becomes a violation with its seed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// From now on a panic that nobody catches aborts.
pub(crate) fn abort() {
    // What was there is a hook of a sweep that is over, or the usual one.
    drop(take_hook());
    let usual = take_hook();
    set_hook(Box::new(move |panic| {
        usual(panic);
        if !CAUGHT.get() {
            std::process::abort();
        }
    }));
}

/// Runs `trial`; `None` where it panicked on this thread.
pub(crate) fn catch<R>(trial: impl FnOnce() -> R) -> Option<R> {
    let outer = CAUGHT.replace(true);
    let ran = catch_unwind(AssertUnwindSafe(trial)).ok();
    CAUGHT.set(outer);
    ran
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_inside_is_caught_and_one_outside_is_not() {
        assert_eq!(catch(|| 7), Some(7));
        assert_eq!(catch(|| assert!(CAUGHT.get() && catch(|| panic!("inner")).is_some())), None);
        assert!(!CAUGHT.get());
    }
}
